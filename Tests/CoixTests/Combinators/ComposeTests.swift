import Coix
import Testing

/// `compose`: order, names, levels, weights.
@Suite struct ComposeTests {
  static let plate = Plate("particle", count: 20)

  static func step(_ name: String) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    Kernel { (trace, x: Tensor) in trace.sample(name, from: Normal(x, 1)) }
  }

  static func observing(_ name: String) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
    Model { (trace, x: Tensor) in
      trace.observe(name, 0.5, from: Normal(x, 1))
      return x
    }
  }

  private func names(_ program: some InferenceProgram<Tuple<Tensor>, some TensorTree>) throws -> [String] {
    try evaluate(program, seed: 1)(0).trace.sites.map { $0.name + ($0.isSuffixed ? "*" : "") }
  }

  @Test func theInnerProgramRunsFirst() throws {
    let result = try evaluate(compose(Self.step("b"), Self.step("a")), seed: 1)(10)
    let (a, b) = (
      try required(result.trace["a"]?.value).scalar, try required(result.trace["b"]?.value).scalar
    )
    #expect(result.output.values.scalar == b)
    #expect((a - 10).magnitude < 6 && (b - a).magnitude < 6)
    let logProb = try required(result.trace["b"]?.logProb).scalar
    #expect((Double(logProb) - normalLogDensity(Double(b), Double(a), 1)).magnitude < 1e-5)
  }

  /// `_PREV_` for the inner program's sites, taken off where no other version of the variable is there; such
  /// sites are flagged.
  @Test func suffixes() throws {
    let (x, y, z) = (Self.step("x"), Self.step("y"), Self.step("z"))
    #expect(try names(compose(y, x)) == ["x*", "y"])
    #expect(try names(compose(y, x, suffix: false)) == ["x", "y"])
    #expect(try names(compose(x, x)) == ["x_PREV_*", "x"])
    #expect(try names(compose(x, compose(x, x))) == ["x_PREV__PREV_*", "x_PREV_*", "x"])
    #expect(try names(compose(x, compose(y, z))) == ["z*", "y*", "x"])
    #expect(try names(compose(y, compose(x, x))) == ["x_PREV_*", "x*", "y"])
    #expect(try names(compose(x, compose(y, x), suffix: false)) == ["x_PREV_*", "y", "x"])
  }

  /// Auxiliary sites are left out of what a proposal hands on.
  @Test func auxiliarySitesAreMarginalised() throws {
    let x = Self.step("x")
    let target = Self.plate(compose(Self.observing("data"), compose(x, x), suffix: false))
    let proposal = Self.plate(compose(x, x))
    let result = try evaluate(propose(target, proposal), seed: 1)(0)
    #expect(result.trace.names == ["x", "data"])
  }

  @Test func levelsAreInTheTypes() {
    let kernel: Kernel<Tuple<Tensor>, Tuple<Tensor>> = compose(Self.step("b"), Self.step("a"))
    let target: Target<Tuple<Tensor>, Tuple<Tensor>> = compose(Self.observing("x"), Self.step("a"))
    let inference: Inference<Tuple<Tensor>, Tuple<Tensor>> = compose(Self.step("b"), resample(Self.step("a")))
    let plated: Kernel<Tuple<Tensor>, Tuple<Tensor>> = Self.plate(kernel)
    let platedTarget: Target<Tuple<Tensor>, Tuple<Tensor>> = Self.plate(target)
    _ = (inference, plated, platedTarget)
  }

  /// A weighted inner program's weight is that of the composition; so is that of an outer one.
  @Test func weightsPassThrough() throws {
    let p = ChainParameters()
    let first = p.firstStep(Self.plate, loss: .elbo)
    let alone = try evaluate(first, seed: 1)(chainData)
    let composed = try evaluate(compose(Self.plate(p.kernel), first), seed: 1)(chainData)
    #expect(composed.trace.names == ["z", "x1", "y"])
    // The weight belongs to these values of z, whatever the key made of them.
    let z = try required(composed.trace["z"]?.value).scalars.map(Double.init)
    for (weight, z) in zip(composed.metrics.logWeight.scalars, z) {
      let expected =
        normalLogDensity(z, Double(Float(0.1)), 1)
        + normalLogDensity(Double(Float(0.9)), z, Double(Float(0.7)))
        - normalLogDensity(
          z, Double(Float(0.3)) + 0.25 * Double(Float(0.9)), Double(exp(Tensor(-0.2)).scalar))
      #expect((Double(weight) - expected).magnitude < 1e-5)
    }
    #expect(
      (try? composed.metrics.loss) != nil && (try? composed.metrics.ess) != nil
        && (try? composed.metrics.logZ) != nil)
    #expect(alone.metrics.logWeight.shape == composed.metrics.logWeight.shape)
  }

  /// Observations of either side are the weight of an unweighted composition.
  @Test func observationsAreTheWeight() throws {
    let program = compose(Self.observing("b"), compose(Self.step("z"), Self.observing("a"), suffix: false))
    let result = try evaluate(Self.plate(program), seed: 1)(0.25)
    #expect(result.trace.names == ["a", "z", "b"])
    #expect(result.trace.sites.map(\.isObserved) == [true, false, true])
    let (a, b) = (try required(result.trace["a"]?.logProb), try required(result.trace["b"]?.logProb))
    #expect(result.metrics.logWeight.scalars == (a + b).scalars)
  }

  /// Effective sample size and evidence are those of the weight, also where sites observed around a weighted
  /// program have changed it.
  @Test(arguments: [false, true]) func metricsAreThoseOfTheWeight(_ isNested: Bool) throws {
    func plated<Program: TargetProgram>(_ program: Program) -> Program.SameLevel {
      isNested ? Self.plate(Plate("instance", count: 3)(program)) : Self.plate(program)
    }
    let target = compose(Self.observing("x"), Self.step("z"), suffix: false)
    let weighted = propose(plated(target), plated(Self.step("z")))
    let observing = compose(plated(Self.observing("y")), weighted)

    func check(_ program: some InferenceProgram<Tuple<Tensor>, Tuple<Tensor>>) throws -> Metrics {
      let metrics = try evaluate(program, seed: 3)(0).metrics
      let evidence = try logEvidence(metrics.logWeight).scalars.reduce(0, +)
      let sizes = try effectiveSampleSize(metrics.logWeight).scalars
      #expect(try abs(metrics.logZ.scalar - evidence) < 1e-5)
      #expect(try abs(metrics.ess.scalar - sizes.reduce(0, +) / Float(sizes.count)) < 1e-4)
      return metrics
    }
    let inner = try check(weighted)
    #expect(try check(observing).logZ.scalar != inner.logZ.scalar)
    // All weights are equal after a resampling: the evidence is theirs.
    let resampled = try check(resample(observing))
    #expect(Set(resampled.logWeight.scalars).count == (isNested ? 3 : 1))
    // The same through a second one.
    _ = try check(compose(plated(Self.observing("w")), resample(observing)))
    _ = try check(resample(compose(plated(Self.observing("w")), resample(observing))))
  }

  @Test func outputsOfSeveralTensors() throws {
    let pair = Kernel { (trace, x: Tensor) in
      let a = trace.sample("a", from: Normal(x, 1))
      let b = trace.sample("b", from: Normal(x, 1).expanded(to: [2]).event(1))
      return (a, [b, b * 2])
    }
    let taking = Kernel { (trace, a: Tensor, list: [Tensor]) in
      trace.sample("c", from: Normal(a + list[1].sum(), 1))
    }
    let result = try evaluate(Self.plate(pair), seed: 1)(0)
    let (a, list) = result.output.values
    #expect(a.shape == [20] && list.map(\.shape) == [[20, 2], [20, 2]])
    #expect(list[1].scalars == list[0].scalars.map { 2 * $0 })
    #expect(try evaluate(Self.plate(compose(taking, pair)), seed: 1)(0).trace.names == ["a", "b", "c"])
  }
}
