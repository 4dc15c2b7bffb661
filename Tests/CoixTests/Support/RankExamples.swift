import Coix
import Testing

// A computation on ranks, and a comparison, that several suites share.

/// The loss of a proposal and its gradient by the proposal's mean, as a step that is recorded once and then replayed.
func lossStep(in plate: Plate, on ranks: Ranks) throws -> CompiledFunction<Tensor, ValueWithGradient<Tensor>>
{
  let options = EvaluationOptions(workers: try Workers(threads: 1, ranks: ranks), keep: .metrics)
  let model = ConjugateNormal(noise: 1, x: 0.5).model
  return compile(workers: options.workers) { (mean: Tensor, key: PRNGKey) in
    try valueWithGradient(at: mean, workers: options.workers) { mean in
      let program = propose(plate(model), plate(ConjugateNormal.proposal(mean, 1)), loss: .elbo)
      return try evaluate(program, seed: key, options: options)().metrics.loss
    }
  }
}

/// Expects that each rank has the bits of one rank alone.
///
/// - Parameters:
///   - numbers: how many numbers the computation gives at least.
///   - runs: numbers of ranks, and the ways in which so many run it.
///   - compute: the computation.
func expectBitsOfOneRank(
  atLeast numbers: Int = 1, on runs: [(ranks: Int, ways: [WayToRun])] = [(2, WayToRun.replayed)],
  sourceLocation: SourceLocation = #_sourceLocation,
  _ compute: @escaping @Sendable (EvaluationOptions) throws -> Bits
) throws {
  let reference = try compute(WayToRun.plain.options())
  #expect(reference.count >= numbers, sourceLocation: sourceLocation)
  for (count, ways) in runs {
    for way in ways {
      let results = try Ranks.inProcess(count) { ranks in try compute(way.options(of: ranks)) }
      for (rank, bits) in results.enumerated() {
        #expect(
          bits.differences(from: reference) == [], "rank \(rank) of \(count), \(way)",
          sourceLocation: sourceLocation)
      }
    }
  }
}
