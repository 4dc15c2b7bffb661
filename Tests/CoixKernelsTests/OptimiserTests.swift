import CoixKernels
import Foundation
import TestSupport
import Testing

@Suite struct OptimiserTests {
  @Test(arguments: [0, 0.25] as [Float])
  func adamIsThePlainLoop(_ decay: Float) {
    for size in oddSizes {
      var random = SplitMix(seed: 70)
      let start = random.floats(size)
      var parameter = start
      var (m, v) = ([Float](repeating: 0, count: size), [Float](repeating: 0, count: size))
      var (p2, m2, v2) = (start.map(Double.init), m.map(Double.init), v.map(Double.init))
      for step in 1...5 {
        let gradient = random.floats(size)
        let (c1, c2) = (1 - pow(0.9, Double(step)), 1 - pow(0.999, Double(step)))
        coix_adam(&parameter, gradient, &m, &v, size, 0.01, decay, 0.9, 0.999, 1e-8, Float(c1), Float(c2))
        for i in 0..<size {
          let g = Double(gradient[i])
          m2[i] = 0.9 * m2[i] + 0.1 * g
          v2[i] = 0.999 * v2[i] + 0.001 * g * g
          p2[i] -= 0.01 * (m2[i] / c1) / ((v2[i] / c2).squareRoot() + 1e-8) + Double(decay) * p2[i]
        }
      }
      #expect(distance(parameter, p2) < 2e-6)
      #expect(distance(m, m2) < 2e-6)
      #expect(distance(v, v2) < 2e-6)
    }
  }
}
