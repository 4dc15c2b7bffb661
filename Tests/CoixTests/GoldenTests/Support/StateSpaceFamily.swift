import Coix

/// The family L: a scalar linear-Gaussian state-space model, whose targets have all states up to a step.
struct StateSpaceFamily: AlgosFamily {
  let plate: Plate
  let count: Int
  let y, slope, logScaleZ, emission, logScaleY: Tensor
  let proposalSlopes, proposalGains, proposalLogScales: Tensor

  init(_ values: [String: Tensor], _ plate: Plate, count: Int) throws {
    self.plate = plate
    self.count = count
    y = try values.entry("y")
    slope = try values.entry("a")
    logScaleZ = try values.entry("log_sz")
    emission = try values.entry("c")
    logScaleY = try values.entry("log_sy")
    proposalSlopes = try values.entry("pa")
    proposalGains = try values.entry("pb")
    proposalLogScales = try values.entry("ps")
  }

  func target(_ step: Int) -> Model<Tuple<>, [Tensor]> {
    plate(
      Model(tree: { [self] (trace, _: Tuple<>) -> [Tensor] in
        var states: [Tensor] = []
        for s in 0...step {
          let prior = states.last.map { Normal(slope * $0, exp(logScaleZ)) } ?? Normal(0, 1.5)
          let z = trace.sample("z\(s)", from: prior)
          trace.observe("y\(s)", y[s], from: Normal(emission * z, exp(logScaleY)))
          states.append(z)
        }
        return states
      }))
  }

  var firstProposal: Kernel<Tuple<>, [Tensor]> {
    plate(
      Kernel(tree: { [self] (trace, _: Tuple<>) -> [Tensor] in
        [trace.sample("z0", from: Normal(proposalGains[0] * y[0], exp(proposalLogScales[0])))]
      }))
  }

  /// The proposal for the target of a step but the first.
  func proposal(_ step: Int) -> Kernel<[Tensor], [Tensor]> {
    plate(
      Kernel(tree: { [self] (trace, states: [Tensor]) -> [Tensor] in
        let location = proposalGains[step] * y[step] + proposalSlopes[step] * (states.last ?? 0)
        return states + [trace.sample("z\(step)", from: Normal(location, exp(proposalLogScales[step])))]
      }))
  }

  func program(_ algorithm: String, _ form: [String]) throws -> AlgosProgram {
    try sequential(
      algorithm, form, count: count, target: { target($0) }, initial: firstProposal,
      proposal: { proposal($0) })
  }
}
