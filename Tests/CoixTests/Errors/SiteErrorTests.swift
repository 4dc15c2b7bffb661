import Coix
import ExampleModels
import Testing

/// What is wrong with sites is thrown by the evaluation, by name, and the next evaluation works.
@Suite struct SiteErrorTests {
  static let plate = Plate("particle", count: 100, chunkRows: 16)

  /// The message of a program's evaluation, plated and unplated, which must be the same.
  private func message(
    _ program: some KernelProgram<Tuple<>, Tuple<Tensor>>, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String? {
    let plated = CoixTests.message(sourceLocation: sourceLocation) {
      try evaluate(Self.plate(program), seed: 1)()
    }
    let unplated = CoixTests.message(sourceLocation: sourceLocation) { try evaluate(program, seed: 1)() }
    #expect(plated == unplated, sourceLocation: sourceLocation)
    try expectThatEvaluationsWork(sourceLocation: sourceLocation)
    return plated
  }

  private func message(
    _ program: some PrimitiveProgram<Tuple<>, Tuple<Tensor>>,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String? {
    let plated = CoixTests.message(sourceLocation: sourceLocation) {
      try evaluate(Self.plate(program), seed: 1)()
    }
    let unplated = CoixTests.message(sourceLocation: sourceLocation) { try evaluate(program, seed: 1)() }
    #expect(plated == unplated, sourceLocation: sourceLocation)
    try expectThatEvaluationsWork(sourceLocation: sourceLocation)
    return plated
  }

  @Test func anObservedValueOfAnotherShape() throws {
    let model = Model { (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", [1, 2, 3], from: Normal(z, 1).expanded(to: [2]).event(1))
      return z
    }
    #expect(try message(model) == #"site "x": value has event shape [3], distribution has [2]"#)
  }

  @Test func aProposedValueOfAnotherShape() throws {
    let target = Model { (trace) in trace.sample("z", from: Normal(0, 1).expanded(to: [2]).event(1)) }
    let proposal = Kernel { (trace) in trace.sample("z", from: Normal(0, 1).expanded(to: [3]).event(1)) }
    let text = CoixTests.message {
      try evaluate(propose(Self.plate(target), Self.plate(proposal), loss: .elbo), seed: 1)()
    }
    #expect(text == #"site "z": value has event shape [3], distribution has [2]"#)
    try expectThatEvaluationsWork()
  }

  @Test func aShapeErrorNamesTheSiteWhereItComesToLight() throws {
    let kernel = Kernel { (trace) in
      let z = trace.sample("z", from: Normal(0, 1).expanded(to: [2]).event(1))
      return trace.sample("y", from: Normal(z + Tensor([1, 2, 3]), 1).event(1))
    }
    #expect(try message(kernel) == #"at site "y": +: the shapes don't broadcast (shapes [2], [3])"#)
  }

  @Test func aShapeErrorBehindTheLastSite() throws {
    let kernel = Kernel { (trace) in
      let z = trace.sample("z", from: Normal(0, 1).expanded(to: [2]).event(1))
      return z + Tensor([1, 2, 3])
    }
    #expect(try message(kernel) == "+: the shapes don't broadcast (shapes [2], [3])")
  }

  @Test func parametersThatDoNotBroadcast() throws {
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal([0, 0], [1, 1, 1]).event(1)) }
    #expect(try message(kernel) == #"at site "z": *: the shapes don't broadcast (shapes [3], [2])"#)
  }

  @Test func aSiteTwiceInOneProgram() throws {
    let kernel = Kernel { (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      return trace.sample("z", from: Normal(z, 1))
    }
    #expect(
      try message(kernel)
        == #"site "z" appears twice; each sample statement of an evaluation needs its own name"#)
  }

  @Test func aSiteTwiceAmongMany() throws {
    let kernel = Kernel { (trace) in
      for site in 0..<30 { _ = trace.sample("site \(site)", from: Normal(0, 1)) }
      return trace.sample("site 17", from: Normal(0, 1))
    }
    #expect(try message(kernel)?.hasPrefix(#"site "site 17" appears twice"#) == true)
  }

  @Test func aSiteTwiceAcrossACompositionWithoutSuffix() throws {
    let first = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
    let second = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
    #expect(try message(compose(second, first, suffix: false))?.hasPrefix(#"site "z" appears twice"#) == true)
    #expect(throws: Never.self) { try evaluate(Self.plate(compose(second, first)), seed: 1)() }
  }

  /// Also where the two come together only at a barrier.
  @Test func aSiteTwiceAcrossResamplings() throws {
    let first = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
    let second = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
    let inference = compose(resample(Self.plate(second)), resample(Self.plate(first)), suffix: false)
    let text = CoixTests.message { try evaluate(inference, seed: 1)() }
    #expect(text == #"site "z" appears twice; each sample statement of an evaluation needs its own name"#)
  }

  @Test func undeclaredAxes() throws {
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1).expanded(to: [2, 3])) }
    #expect(
      try message(kernel)
        == #"site "z": the distribution's axes [2, 3] are neither event axes nor declared local; "#
        + "use event(2) if they belong to one event")
  }

  /// Neither may a log-density have axes that the value lacks.
  @Test func undeclaredAxesOfTheLogDensity() throws {
    let expected =
      #"site "z": the distribution's axes [2] are neither event axes nor declared local; "#
      + "use event(1) if they belong to one event"
    #expect(
      try message(Kernel { (trace) in trace.sample("z", from: Normal(0, 1).scaled(by: [1, 2])) }) == expected)
    #expect(
      try message(Kernel { (trace) in trace.sample("z", from: Delta(Tensor(0), logDensity: [1, 2])) })
        == expected)
  }

  @Test func moreEventAxesThanThereAre() throws {
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1).event(1)) }
    #expect(try message(kernel) == #"site "z": 1 event axes are asked of shape []"#)
    for count in [Int.min, -1, .max] {
      let text = try message(Kernel { trace in trace.sample("z", from: Normal([0, 1], 1).event(count)) })
      #expect(text?.contains("event axes are asked of shape [2]") == true)
    }
    let twice = Kernel { trace in trace.sample("z", from: Normal([0, 1], 1).event(1).event(.max)) }
    #expect(try message(twice)?.contains("event axes are asked of shape [2]") == true)
  }

  @Test func anExpansionThatDoesNotFit() throws {
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal([1, 2], 1).expanded(to: [3]).event(1)) }
    #expect(
      try message(kernel)
        == #"at site "z": expanded: the batch does not broadcast to the new shape (shapes [2], [3])"#)
  }

  /// A draw that no machine has the memory for.
  @Test func anExpansionThatCannotBeAllocated() throws {
    let kernel = Kernel { (trace) in
      trace.sample("z", from: Normal(0, 1).expanded(to: [1 << 20, 1 << 19]).event(2))
    }
    let text = CoixTests.message { try evaluate(kernel, seed: 1)() }
    #expect(
      text?.hasSuffix("needs 2199023255552 bytes, more than this machine can give") == true, "\(text ?? "")")
    try expectThatEvaluationsWork()
  }

  /// A closure that isn't pure makes other sites in other chunks.
  @Test func sitesThatDependOnTheChunk() throws {
    let runs = Counter()
    let kernel = Kernel { (trace) in
      runs.add(1)
      return trace.sample(runs.value == 1 ? "first" : "later", from: Normal(0, 1))
    }
    let options = EvaluationOptions(workers: try Workers(threads: 1))
    let text = CoixTests.message { try evaluate(Self.plate(kernel), seed: 1, options: options)() }
    #expect(
      text
        == #"a program must make the same sites in every chunk; one made ["first"], another ["later"]"#)
    try expectThatEvaluationsWork()
  }

  @Test func shapesThatDependOnTheChunk() throws {
    let runs = Counter()
    let kernel = Kernel { (trace) in
      runs.add(1)
      return trace.sample("z", from: Normal(0, 1).expanded(to: [runs.value]).event(1))
    }
    let options = EvaluationOptions(workers: try Workers(threads: 1))
    let text = CoixTests.message { try evaluate(Self.plate(kernel), seed: 1, options: options)() }
    // Which shapes depends on how often the chunks have run: they are compared once more, in their order.
    #expect(text?.hasPrefix("merge: a program must give the same shapes in every chunk (shapes [") == true)
    try expectThatEvaluationsWork()
  }

  /// What a closure throws comes through, whatever it is.
  @Test func errorsOfClosures() throws {
    struct Refusal: Error, Equatable {}
    let kernel = Kernel { (trace: KernelTrace) -> Tensor in throw Refusal() }
    #expect(throws: Refusal()) { try evaluate(Self.plate(kernel), seed: 1)() }
    #expect(throws: Refusal()) { try evaluate(kernel, seed: 1)() }
    try expectThatEvaluationsWork()
  }
}

/// Whatever went wrong before: the next evaluation and the next gradient give what they always give.
func expectThatEvaluationsWork(sourceLocation: SourceLocation = #_sourceLocation) throws {
  let plate = Plate("particle", count: 100, chunkRows: 16)
  let result = try valueWithGradient(at: ChainParameters()) { parameters in
    try evaluate(parameters.inference(plate, loss: .elbo), seed: 5)(chainData).metrics.loss
  }
  #expect(
    result.value.bitPattern == goodValue.bitPattern && result.gradient.isFinite,
    sourceLocation: sourceLocation)
}

/// What that evaluation gives before anything has gone wrong.
private let goodValue: Float = {
  let plate = Plate("particle", count: 100, chunkRows: 16)
  let evaluation = try? evaluate(ChainParameters().inference(plate, loss: .elbo), seed: 5)(chainData)
  return (try? evaluation?.metrics.loss.scalar) ?? .nan
}()
