import Coix
import Testing

/// Draws and densities of each distribution, replayed: the bits of the program.
@Suite struct ReplayedDistributionTests {
  /// What the parameters vary over.
  enum Role: CaseIterable {
    case nothing, rows, particles, instances
  }

  /// Those that draw until all elements are accepted, or as often as a parameter says: what is computed depends
  /// on the chunk's numbers.
  private static let dependsOnNumbers: Set = [
    "VonMises", "Poisson, small rate", "Poisson, large rate", "NegativeBinomial by mean",
    "NegativeBinomial by probability", "NegativeBinomial by logits", "mixture of Poissons", "Multinomial",
    "Multinomial by logits",
  ]

  /// A site that is drawn, and one that is observed at a draw, both from a distribution whose parameters vary.
  private static func model(_ distribution: some Distribution, _ runs: Counter) -> Model<
    Tuple<Tensor, Tensor>, Tuple<Tensor>
  > {
    let observed = distribution.sample(PRNGKey(9))
    return Model { (trace, shift: Tensor, zero: Tensor) in
      runs.add(1)
      let shifted = distribution.mapParameters { $0 + shift + zero }
      trace.observe("x", observed, from: shifted)
      return trace.sample("z", from: shifted)
    }
  }

  /// The same site, drawn.
  private static func proposal(_ distribution: some Distribution) -> Kernel<
    Tuple<Tensor, Tensor>, Tuple<Tensor>
  > {
    Kernel { (trace, shift: Tensor, zero: Tensor) in
      trace.sample("z", from: distribution.mapParameters { $0 - shift + zero })
    }
  }

  /// Everything that comes from an evaluation, and from gradients at once and after the barrier; and how often
  /// the model ran in the evaluation.
  private func bits(_ distribution: some Distribution, _ role: Role, _ way: WayToRun) throws -> (
    bits: Bits, runs: Int
  ) {
    let options = try way.options()
    let isNested = role == .particles || role == .instances
    let particles = Plate("particle", count: isNested ? 10 : 100, chunkRows: isNested ? 64 : 16)
    let instances = Plate("instance", count: 40)
    let runs = Counter()
    let (model, proposal) = (Self.model(distribution, runs), Self.proposal(distribution))
    let target = isNested ? Target(particles(instances(model))) : Target(particles(model))
    let source = isNested ? Inference(particles(instances(proposal))) : Inference(particles(proposal))
    let zero =
      switch role {
      case .nothing: Tensor(0)
      case .rows, .particles: particles.mapped(Tensor.zeros([particles.count]))
      case .instances: instances.mapped(Tensor.zeros([instances.count]))
      }
    var bits = Bits()
    bits.add(try evaluate(target, seed: 5, options: options)(Tensor(0), zero))
    let plainRuns = runs.value
    let cold = try valueWithGradient(at: Tensor(0)) { shift in
      let result = try evaluate(target, seed: 5, options: options)(shift, zero)
      return result.metrics.logWeight.sum() + result.output.values.sum()
    }
    bits.add("gradient after the barrier", cold.gradient)
    for loss in [Objective.elbo, .iwae] {
      let result = try valueWithGradient(at: Tensor(0)) { shift in
        try evaluate(propose(target, source, loss: loss), seed: 5, options: options)(shift, zero).metrics.loss
      }
      bits.add("loss", Tensor(result.value))
      bits.add("gradient of \(loss.name)", result.gradient)
    }
    return (bits, plainRuns)
  }

  /// As many trials for all rows.
  @Test func multinomialsAreReplayed() throws {
    let runs = Counter()
    let plate = Plate("particle", count: 100, chunkRows: 16)
    let kernel = Kernel { (trace, logits: Tensor) in
      runs.add(1)
      return trace.sample("z", from: Multinomial(10, logits: Tensor.stack([logits, 0, 1])))
    }
    let logits = Draw(key: 1, shape: [100]).normal()
    func values(_ way: WayToRun) throws -> [Float] {
      try evaluate(plate(kernel), seed: 1, options: way.options())(plate.mapped(logits)).output.values.scalars
    }
    let expected = try values(.plain)
    #expect(runs.value == 7)
    #expect(try values(WayToRun(execution: .replayed)) == expected)
    #expect(runs.value == 9)
  }

  @Test(arguments: DistributionCase.continuous + DistributionCase.discrete + DistributionCase.vectors)
  func theBitsOfTheProgram(_ example: DistributionCase) throws {
    for role in Role.allCases {
      let reference = try bits(example.distribution, role, .plain)
      for way in [WayToRun(execution: .replayed), WayToRun(threads: 3, shuffleSeed: 1, execution: .replayed)]
      {
        let other = try bits(example.distribution, role, way)
        #expect(other.bits.differences(from: reference.bits) == [], "\(role), \(way)")
        guard way.threads == 1, !Self.dependsOnNumbers.contains(example.testDescription) else { continue }
        // The first chunk, and those of another form.
        let isNested = role == .particles || role == .instances
        #expect(other.runs == (isNested ? 6 : 2), "\(role)")
        #expect(reference.runs == (isNested ? 9 : 7), "\(role)")
      }
    }
  }
}
