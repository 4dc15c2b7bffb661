import Coix
import Foundation

// Asks for more memory than the limit of the process allows (`ulimit -v`), in the way that its argument
// names, and prints the error that comes of it. It is a program of its own since a process that has once been
// limited stays so.

/// A way to ask for too much.
enum Request: String, CaseIterable {
  case plate, nest, mappedNest, resampling, residualResampling, chunks, tensor, keys, permutation, statistics,
    gradient, dataset, scalars, lists, positions, table, product, support, array, comments,
    filter

  /// Asks; the error, if there is one. `scale` is a number of elements that one float each would fit, but not
  /// two.
  func run(scale: Int) throws {
    let normal = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
    switch self {
    case .plate:
      _ = try evaluate(Plate("particle", count: 3 * scale)(normal), seed: 0)()
    case .nest:
      let (particles, instances) = (
        Plate("particle", count: 3 * scale / 10_000), Plate("instance", count: 10_000)
      )
      _ = try evaluate(
        resample(propose(particles(instances(normal)), particles(instances(normal)))), seed: 0)()
    case .mappedNest:
      let plates = [
        Plate("particle", count: 100), Plate("instance", count: 3 * scale / 1_000), Plate("point", count: 10),
      ]
      let echo = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
      // With a gradient, data are read row by row.
      _ = try valueWithGradient(at: Tensor.zeros([10])) { data in
        try evaluate(plates[0](plates[1](plates[2](echo))), seed: 0)(plates[2].mapped(data)).metrics.logWeight
          .sum()
      }
    case .resampling, .residualResampling:
      let particles = Plate("particle", count: 100)
      let weighted = propose(particles(normal), particles(normal))
      let scheme: ResamplingScheme = self == .resampling ? .systematic : .residual
      _ = try evaluate(resample(weighted, count: .exactly(3 * scale), scheme: scheme), seed: 0)()
    case .chunks:
      // The weights' gradient goes back through every chunk, each of which may keep a tape.
      _ = try valueWithGradient(at: Tensor(0)) { mean in
        let particles = Plate("particle", count: scale, chunkRows: 1)
        let proposal = Kernel { (trace) in trace.sample("z", from: Normal(mean, 1)) }
        return try evaluate(propose(particles(normal), particles(proposal), loss: .iwae), seed: 0)().metrics
          .loss
      }
    case .tensor:
      let tensor = Tensor.zeros([scale])
      _ = try (exp(tensor) + 1).validated()
    case .keys:
      try check { _ = PRNGKey(seed: 0).split(into: scale) }
    case .permutation:
      try check { _ = PRNGKey(seed: 0).permutation(of: scale) }
    case .statistics:
      let tensor = Tensor.zeros([scale / 2])
      _ = try weightedQuantiles([0.5], of: tensor, logWeights: tensor)
    case .gradient:
      _ = try valueWithGradient(at: Tensor.zeros([scale / 2])) { ($0.squared + exp($0)).sum() }
    case .dataset:
      _ = try TwoMoons.points(scale, key: 0).validated()
    case .scalars:
      let tensor = Tensor.zeros([scale])
      try check { _ = tensor.scalars }
    case .lists:
      _ = try Tensor([[Float]](repeating: [Float](repeating: 1, count: 1_000), count: 3 * scale / 1_000))
        .validated()
    case .positions:
      _ = try Tensor.zeros([1]).gathered(at: Tensor.zeros([scale])).validated()
    case .table:
      // Each particle's element of a table: the gradient is a sum for each of the table's.
      _ = try valueWithGradient(at: Tensor.zeros([scale / 2])) { table in
        let choice = Kernel { (trace) in
          table.gathered(at: trace.sample("i", from: Categorical(probabilities: [0.5, 0.5])))
        }
        return try evaluate(Plate("particle", count: 10)(choice), seed: 0)().output.values.sum()
      }
    case .product:
      _ = try valueWithGradient(at: Tensor.zeros([scale / 2_000, 1_000])) { matrix in
        let program = Kernel { (trace) in
          let z = trace.sample("z", from: Normal(0, 1).expanded(to: [2, scale / 2_000]).event(2))
          return matmul(z, matrix).sum()
        }
        return try evaluate(Plate("particle", count: 10)(program), seed: 0)().output.values.sum()
      }
    case .support:
      let program = Kernel { (trace) in
        trace.sample("z", from: Categorical(logits: Tensor.zeros([scale / 10])))
      }
      _ = try enumerate(program, limit: .max)()
    case .filter:
      // Evidence and its gradient over many steps; then the greatest memory that was resident, in MiB.
      let plate = Plate("particle", count: scale)
      let result = try valueWithGradient(at: Tensor(0.9)) { slope in
        @Sendable func step(_ time: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
          Model { (trace, x: Tensor) in
            let next = trace.sample("x\(time)", from: Normal(slope * x, 1).event(1))
            trace.observe("y\(time)", 0.5, from: Normal(next.sum(), 1))
            return next
          }
        }
        let first = Kernel { (trace) in trace.sample("x", from: Normal(0, 1).expanded(to: [8]).event(1)) }
        let program = (1..<64).reduce(Inference(compose(plate(step(0)), plate(first)))) {
          compose(plate(step($1)), resample($0))
        }
        let options = EvaluationOptions(workers: try Workers(threads: 1), keep: .metrics)
        return try evaluate(program, seed: 0, options: options)().metrics.logZ
      }
      print(result.value.bitPattern, result.gradient.scalar.bitPattern)
      let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
      let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
      print((peak?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) / 1024)
    case .array:
      _ = try NPYArray(Tensor.zeros([scale]))
    case .comments:
      // A text of nothing but short lines of comments, each of which is kept until the first row.
      let path = FileManager.default.temporaryDirectory.appending(path: "coix-\(UUID()).csv").path
      defer { try? FileManager.default.removeItem(atPath: path) }
      try Data((String(repeating: "##\n", count: scale / 8) + "1\n").utf8).write(to: URL(filePath: path))
      _ = try CSVTable(contentsOf: path)
    }
  }

  /// Throws what is remembered for an evaluation to throw.
  private func check(_ body: @escaping @Sendable () -> Void) throws {
    let program = Kernel { (trace) in
      body()
      return trace.sample("z", from: Normal(0, 1))
    }
    _ = try evaluate(program, seed: 0)()
  }
}

@main
struct Probe {
  static func main() {
    guard CommandLine.arguments.count == 3, let request = Request(rawValue: CommandLine.arguments[1]),
      let scale = Int(CommandLine.arguments[2])
    else { return print("usage: MemoryProbe REQUEST SCALE") }
    do {
      try request.run(scale: scale)
      print("no error")
    } catch {
      print(error)
    }
  }
}
