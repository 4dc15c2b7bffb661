import Coix
import ExampleModels
import Foundation

let data = TwoMoons.points(10_000, key: 1)
var training = VAETraining(VAE(key: 0), data: data, key: 0)
for i in 0..<100 {
  let loss = try training.advance()
  if i % 10 == 0 { print(i, loss) }
}
for n in [300, 1_000_000] {
  let big = TwoMoons.points(n, key: 2)
  for threads in [1, 2] {
    let w = try Workers(threads: threads)
    var times: [Double] = []
    for r in 0..<(n == 300 ? 2000 : 6) {
      let s = Date()
      let g = try training.vae.lossAndGradient(big, key: PRNGKey(seed: r), workers: w)
      times.append(Date().timeIntervalSince(s))
      if r == 1 { print(g.value) }
    }
    times.sort()
    print("gradient", n, threads, times[times.count / 2], Double(n) / times[times.count / 2] / 1e6, "M/s")
    let plate = VAE.plate(n)
    times = []
    for r in 0..<(n == 300 ? 2000 : 6) {
      let s = Date()
      _ = try evaluate(training.vae.inference(plate), seed: PRNGKey(seed: r), options: .init(workers: w, keep: .metrics))(plate.mapped(big))
      times.append(Date().timeIntervalSince(s))
    }
    times.sort()
    print("forward", n, threads, times[times.count / 2], Double(n) / times[times.count / 2] / 1e6, "M/s")
  }
}
