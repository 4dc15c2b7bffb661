import Coix
import ExampleModels
import Foundation
import Testing

/// Gradients of rows that stay on the rank that has computed them, in plates of so many rows that ranks don't gather them.
@Suite struct RankGradientTests {
  /// The loss of a filter of two resamplings, and its gradient by a number and by a number of each row. Two programs read rows from
  /// before the resamplings, so that there are several gathers of one tensor, one of them by a product of both.
  private static func step(
    _ scheme: ResamplingScheme, slope: Float, shifts: Tensor, mean: Tensor, key: PRNGKey,
    _ options: EvaluationOptions
  ) throws -> ValueWithGradient<Tuple<Tensor, Tensor>> {
    let plate = Plate("particle", count: shifts.shape[0])
    return try valueWithGradient(at: Tuple(mean, shifts), workers: options.workers) { point in
      let (mean, shifts) = point.values
      let start = Kernel { (trace, shift: Tensor) in
        _ = trace.sample("a", from: Normal(mean * shift, 1))
        return shift
      }
      let weigh = Model { (trace, shift: Tensor) in
        let a = trace.sample("a", from: Normal(0, 1))
        trace.observe("y", 0, from: Delta(0, logDensity: slope * shift + 0.1 * mean * a))
        return shift
      }
      let move = Kernel { (trace, shift: Tensor) in trace.sample("b", from: Normal(shift * mean, 1)) }
      let last = Kernel { (trace, b: Tensor) in trace.sample("c", from: Normal(b, 1)) }
      let target = Model { (trace, shift: Tensor) in
        let a = trace.sample("a", from: Normal(shift, 2))
        let b = trace.sample("b", from: Normal(a, 1))
        return trace.sample("c", from: Normal(a + b * mean, 1))
      }
      let first = resample(propose(plate(weigh), plate(start), loss: .elbo), scheme: scheme)
      let second = resample(compose(plate(move), first), scheme: scheme)
      let program = propose(plate(target), compose(plate(last), second), loss: .iwae)
      return try evaluate(program, seed: key, options: options)(plate.mapped(shifts)).metrics.loss
    }
  }

  private static func shifts(_ rows: Int) -> Tensor {
    Tensor((0..<rows).map { Float($0) / Float(rows) })
  }

  private static func bits(
    _ scheme: ResamplingScheme, slope: Float, rows: Int, _ options: EvaluationOptions
  ) throws -> Bits {
    let result = try step(scheme, slope: slope, shifts: shifts(rows), mean: 0.5, key: 5, options)
    var bits = Bits()
    bits.add("loss", result.tensor)
    bits.addTree("gradient", result.gradient)
    return bits
  }

  /// Weights that are nearly equal, and weights of which the last row has nearly all; ancestors in order, and not.
  @Test(arguments: [ResamplingScheme.systematic, .residual], [Float(0.1), 5_000_000])
  func filters(_ scheme: ResamplingScheme, slope: Float) throws {
    try expectBitsOfOneRank { try Self.bits(scheme, slope: slope, rows: 70_001, $0) }
  }

  /// Just as many rows that ranks keep their own, and one less; of three ranks, too.
  @Test(arguments: [(2, 65_536), (2, 65_535), (3, 98_305)])
  func rowCounts(_ ranks: Int, _ rows: Int) throws {
    try expectBitsOfOneRank(on: [(ranks, WayToRun.replayed)]) {
      try Self.bits(.multinomial, slope: 3, rows: rows, $0)
    }
  }

  /// A compiled function, recorded once and then replayed: with other weights and keys, so that other rows travel.
  @Test(arguments: [ResamplingScheme.systematic, .residual])
  func compiled(_ scheme: ResamplingScheme) throws {
    try expectBitsOfOneRank { options in
      let step = compile(workers: options.workers) { (mean: Tensor, key: PRNGKey) in
        try Self.step(scheme, slope: 3, shifts: Self.shifts(70_001), mean: mean, key: key, options)
      }
      var bits = Bits()
      for (call, mean) in [Float(0.1), 2, 0.5].enumerated() {
        bits.addTree("call \(call)", try step(Tensor(mean), key: call))
      }
      return bits
    }
  }

  /// The gradient of a filter, replayed: a rank sends less than six numbers for each of its rows, for the objective at the end. A
  /// number for each row and step would be twice as many.
  @Test func fewBytesAreSent() throws {
    let (rows, steps) = (70_001, 12)
    let plate = Plate("particle", count: rows)
    let sent = try Ranks.inProcess(2) { ranks -> Int in
      let options = EvaluationOptions(workers: try Workers(threads: 1, ranks: ranks), keep: .metrics)
      let step = compile(workers: options.workers) { (slope: Tensor, key: PRNGKey) in
        try valueWithGradient(at: slope, workers: options.workers) { slope in
          let guess = Kernel { trace in trace.sample("x", from: Normal(0, 1)) }
          let move = Kernel { (trace, before: Tensor) in
            let before = trace.sample("before", from: Delta(before))
            return trace.sample("x", from: Normal(slope * before, 1))
          }
          let targets = (0..<steps).map { step in
            Model { trace in
              var transition = Normal(0, 1)
              if step > 0 { transition = Normal(slope * trace.sample("before", from: Normal(0, 1)), 1) }
              let x = trace.sample("x", from: transition)
              trace.observe("y", 0.3, from: Normal(x, 1))
              return x
            }
          }
          let program = try vsmc(
            targets: targets.map { plate($0) }, initial: plate(guess),
            proposals: targets.dropFirst().map { _ in plate(move) })
          return try evaluate(program, seed: key, options: options)().metrics.loss
        }
      }
      _ = try step(0.9, key: 0)
      let before = ranks.traffic.bytes
      _ = try step(0.9, key: 1)
      #expect(step.runCount == 1)
      return ranks.traffic.bytes - before
    }
    #expect(sent.allSatisfy { $0 < 6 * 4 * rows / 2 }, "\(sent)")
  }
}
