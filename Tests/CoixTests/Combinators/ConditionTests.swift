import Coix
import Testing

/// Latent sites that become observed ones, and sites that are hidden.
@Suite struct ConditionTests {
  static let particles = Plate("particle", count: 200, chunkRows: 64)

  static let joint = Kernel { trace in
    let z = trace.sample("z", from: Normal(0, 1))
    return trace.sample("x", from: Normal(z, 0.5))
  }
  static let observed = Model { trace in
    let z = trace.sample("z", from: Normal(0, 1))
    trace.observe("x", 1.25, from: Normal(z, 0.5))
    return z
  }

  // MARK: condition

  /// Conditioned on data a kernel is the model that observes them, with the same draws and weights.
  @Test(arguments: [1, 3]) func aKernelBecomesAModel(_ threads: Int) throws {
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    let model: Model<Tuple<>, Tuple<Tensor>> = condition(Self.particles(Self.joint), ["x": 1.25])
    let found = try evaluate(model, seed: 3, options: options)()
    let expected = try evaluate(Self.particles(Self.observed), seed: 3, options: options)()
    #expect(found.metrics.logWeight.scalars == expected.metrics.logWeight.scalars)
    #expect(found.trace["z"]?.value.scalars == expected.trace["z"]?.value.scalars)
    #expect(found.trace["x"]?.isObserved == true)
    #expect(found.output.values.scalars == [Float](repeating: 1.25, count: 200))
  }

  @Test func theEvidenceIsThatOfTheData() throws {
    let plate = Plate("particle", count: 20_000)
    let proposal = Kernel { trace in trace.sample("z", from: Normal(1, 0.6)) }
    let inference = propose(condition(plate(Self.joint), ["x": 1.25]), plate(proposal))
    let result = try evaluate(inference, seed: 0)()
    let exact = normalLogDensity(1.25, 0, 1.25.squareRoot())
    #expect(abs(Double(try result.metrics.logZ.scalar) - exact) < 0.02)
  }

  /// Values may be mapped over a plate; in nested plates over any of them; in local plates they have their
  /// axes.
  @Test func valuesOfPlates() throws {
    let instances = Plate("instance", count: 3)
    let nest = Self.particles(instances(Self.joint))
    let mapped = try evaluate(condition(nest, ["x": instances.mapped([1, 2, 3])]), seed: 0)()
    #expect(mapped.output.values.shape == [200, 3])
    let cycles: [Float] = (0..<200).flatMap { _ in [1, 2, 3] as [Float] }
    #expect(mapped.output.values.scalars == cycles)
    let local = Kernel { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      return trace.plate("point", 2).sample("x", from: Normal(z, 1))
    }
    let result = try evaluate(Self.particles(condition(local, ["x": [4, 5]])), seed: 0)()
    #expect(result.trace["x"]?.value.shape == [200, 2])
    #expect(result.trace["x"]?.value.scalars.prefix(4) == [4, 5, 4, 5])
    #expect(result.trace["x"]?.logProb.shape == [200, 2])
  }

  /// In a composition each site has the name that it has in the conditioned program.
  @Test func namesAreTheProgramsOwn() throws {
    let start = Kernel { trace in trace.sample("x", from: Normal(0, 1)) }
    let walk = Kernel { (trace, x: Tensor) in trace.sample("x", from: Normal(x, 1)) }
    let earlier = try evaluate(condition(Self.particles(compose(walk, start)), ["x_PREV_": 7]), seed: 0)()
    #expect(earlier.trace["x_PREV_"]?.value.scalars.first == 7)
    #expect(earlier.trace["x"]?.isObserved == false)
    let inner = try evaluate(
      compose(Self.particles(walk), Self.particles(condition(start, ["x": 7]))), seed: 0)()
    #expect(inner.trace["x_PREV_"]?.value.scalars.first == 7)
  }

  /// The gradient by a value that is conditioned on.
  @Test func gradientsByTheValue() throws {
    let model = Kernel { trace in trace.sample("x", from: Normal(1, 2)) }
    let shared = try valueWithGradient(at: Tensor(3)) { x in
      try evaluate(Self.particles(condition(model, ["x": x])), seed: 0)().metrics.logWeight.mean()
    }
    #expect((shared.gradient.scalar + 0.5).magnitude < 1e-5)
    let plate = Plate("particle", count: 3)
    let rows = try valueWithGradient(at: Tensor([1, 3, 5])) { x in
      try evaluate(plate(condition(model, ["x": plate.mapped(x)])), seed: 0)().metrics.logWeight.sum()
    }
    #expect(rows.gradient.scalars == [0, -0.5, -1])
  }

  @Test func wrongConditions() throws {
    let plated = Self.particles(Self.joint)
    #expect(
      message { try evaluate(condition(plated, ["y": 1]), seed: 0)() }
        == #"site "y": condition gives it a value, but the program has no such latent site; there are "z", "x""#
    )
    #expect(
      message { try evaluate(condition(Self.particles(Self.observed), ["x": 1]), seed: 0)() }
        == #"site "x": condition gives it a value, but the program has no such latent site; there are "z""#)
    #expect(
      message { try evaluate(condition(condition(plated, ["x": 1]), ["x": 2]), seed: 0)() }
        == #"site "x": two conditions give it a value"#)
    #expect(
      message { try evaluate(condition(plated, ["x": [1, 2]]), seed: 0)() }?.hasPrefix(
        #"site "x": value has event shape [2], distribution has []"#) == true)
    #expect(
      message {
        try evaluate(condition(plated, ["x": Plate("particle", count: 7).mapped(.zeros([7]))]), seed: 0)()
      }
        == #"plate "particle" has 200 rows, the data mapped over it 7"#)
    #expect(
      message {
        try evaluate(condition(plated, ["x": matmul(Tensor.ones([5, 4]), Tensor.ones([3]))]), seed: 0)()
      }
        == "matmul: the inner sizes differ (shapes [5, 4], [3])")
  }

  // MARK: block

  /// A hidden site is drawn as ever, but is in no trace and no weight.
  @Test(arguments: [1, 3]) func hiddenSites(_ threads: Int) throws {
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    let whole = try evaluate(Self.particles(Self.joint), seed: 3, options: options)()
    let kernel: Kernel<Tuple<>, Tuple<Tensor>> = block(Self.particles(Self.joint), hiding: ["z"])
    let result = try evaluate(kernel, seed: 3, options: options)()
    #expect(result.trace.names == ["x"])
    #expect(result.output.values.scalars == whole.output.values.scalars)
    let model: Model<Tuple<>, Tuple<Tensor>> = block(Self.particles(Self.observed), hiding: ["x"])
    let unweighted = try evaluate(model, seed: 3, options: options)()
    #expect(unweighted.trace.names == ["z"])
    #expect(unweighted.metrics.logWeight.scalars == [Float](repeating: 0, count: 200))
  }

  /// Nothing around sees a hidden site: it takes no value, and weights stay proper.
  @Test func hiddenFromOutside() throws {
    let plate = Plate("particle", count: 40_000)
    let model = Model { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      let shift = trace.sample("shift", from: Normal(0, 0.75))
      trace.observe("x", 1.25, from: Normal(z + shift, 0.5))
    }
    let proposal = Kernel { trace in
      _ = trace.sample("shift", from: Normal(50, 1))
      return trace.sample("z", from: Normal(0.5, 1))
    }
    let target: Model<Tuple<>, Tuple<>> = block(plate(model), hiding: ["shift"])
    let result = try evaluate(propose(target, plate(proposal)), seed: 0)()
    let exact = normalLogDensity(1.25, 0, (1 + 0.75 * 0.75 + 0.25).squareRoot())
    #expect(abs(Double(try result.metrics.logZ.scalar) - exact) < 0.03)
    #expect(
      message { try evaluate(Self.particles(block(model, hiding: ["z"])), latents: ["z": 1], seed: 0)() }
        == #"site "z": latents: gives it a value, but no latent site has this name; there are "shift""#)
    #expect(
      message { try evaluate(condition(plate(block(model, hiding: ["z"])), ["z": 1]), seed: 0)() }
        == #"site "z": condition gives it a value, but the program has no such latent site; there are "shift""#
    )
    // A condition within stays: the value is fixed, and weighs nothing.
    let fixed = try evaluate(Self.particles(block(condition(Self.joint, ["z": 2]), hiding: ["z"])), seed: 0)()
    #expect(fixed.trace.names == ["x"])
    #expect((fixed.output.values.mean().scalar - 2).magnitude < 0.2)
    #expect(fixed.metrics.logWeight.scalars == [Float](repeating: 0, count: 200))
  }

  @Test func wrongNamesToHide() throws {
    #expect(
      message { try evaluate(block(Self.particles(Self.observed), hiding: ["x", "w"]), seed: 0)() }
        == #"site "w": block hides it, but the program has no such site; there are "z""#)
    let twice = Kernel { trace in
      (trace.sample("z", from: Normal(0, 1)), trace.sample("z", from: Normal(0, 1)))
    }
    #expect(
      message { try evaluate(Self.particles(block(twice, hiding: ["z"])), seed: 0)() }?.contains(
        "appears twice")
        == true)
    let coin = Kernel { trace in trace.sample("c", from: Bernoulli(probabilities: 0.5)) }
    #expect(
      message { try enumerate(block(coin, hiding: ["c"]))() }
        == #"site "c": enumerate: the site is hidden (block), so that its values are not gone through"#)
  }

  // MARK: Types erased

  @Test func erased() throws {
    let kernel = AnyProgram(
      Kernel(tree: { (trace: KernelTrace, _: [Tensor]) in [trace.sample("z", from: Normal(0, 1))] }))
    let conditioned = try AnyProgram.condition(kernel, ["z": 1])
    #expect(conditioned.level == .primitive)
    #expect(try evaluate(conditioned, seed: 0).run([]).trace["z"]?.isObserved == true)
    #expect(try AnyProgram.block(kernel, hiding: ["z"]).level == .kernel)
    #expect(try evaluate(AnyProgram.block(kernel, hiding: ["z"]), seed: 0).run([]).trace.names == [])
    let inference = AnyProgram.resample(kernel)
    #expect(
      message { try AnyProgram.condition(inference, ["z": 1]) }?.contains("condition needs a target") == true)
    #expect(message { try AnyProgram.block(inference, hiding: []) }?.contains("block needs a target") == true)
  }
}
