import Coix
import Testing

/// Plates, data over plates and particle counts that can't be.
@Suite struct PlateErrorTests {
  static let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
  static let model = Model { (trace) in trace.sample("z", from: Normal(0, 1)) }
  static let withData = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }

  @Test func unequalPlates() throws {
    func text(_ target: Plate, _ proposal: Plate) -> String? {
      message { try evaluate(propose(target(Self.model), proposal(Self.kernel)), seed: 1)() }
    }
    let start = "programs that run together need the same plates; found "
    #expect(
      text(Plate("particle", count: 10), Plate("particle", count: 20)) == start
        + #""particle" of 20 and "particle" of 10"#)
    #expect(
      text(Plate("particle", count: 10), Plate("other", count: 10)) == start
        + #""other" of 10 and "particle" of 10"#)
    let unplated = message {
      try evaluate(propose(Self.model, Plate("particle", count: 10)(Self.kernel)), seed: 1)()
    }
    #expect(unplated == start + #""particle" of 10 and no plate"#)
    let (outer, inner) = (Plate("particle", count: 10), Plate("instance", count: 3))
    let nested = message {
      try evaluate(propose(outer(inner(Self.model)), inner(outer(Self.kernel))), seed: 1)()
    }
    #expect(nested == start + #""instance" of 3 × "particle" of 10 and "particle" of 10 × "instance" of 3"#)
    let afterResampling = message {
      try evaluate(propose(outer(Self.model), resample(outer(Self.kernel), count: 5)), seed: 1)()
    }
    #expect(afterResampling == start + #""particle" of 5 and "particle" of 10"#)
    try expectThatEvaluationsWork()
  }

  @Test func nestedPlatesOfOneName() throws {
    let nested = Plate("p", count: 3)(Plate("q", count: 2)(Plate("p", count: 4)(Self.kernel)))
    #expect(
      message { try evaluate(nested, seed: 1)() }
        == #"plate "p" stands inside a plate of the same name; nested plates need different ones"#)
  }

  @Test(arguments: [0, -1, Int.min])
  func platesWithoutRows(_ count: Int) throws {
    let text = message { try evaluate(Plate("particle", count: count)(Self.kernel), seed: 1)() }
    #expect(text == #"plate "particle": needs at least one row, has \#(count)"#)
    let nested = Plate("particle", count: 2)(Plate("instance", count: count)(Self.kernel))
    #expect(
      message { try evaluate(nested, seed: 1)() }
        == #"plate "instance": needs at least one row, has \#(count)"#)
    try expectThatEvaluationsWork()
  }

  @Test(arguments: [0, -1, Int.min])
  func chunksWithoutRows(_ rows: Int) throws {
    let text = message { try evaluate(Plate("particle", count: 10, chunkRows: rows)(Self.kernel), seed: 1)() }
    #expect(text == #"plate "particle": chunkRows must be at least 1"#)
  }

  @Test func chunksLargerThanAnyPlate() throws {
    let evaluation = try evaluate(Plate("particle", count: 10, chunkRows: .max)(Self.kernel), seed: 1)()
    #expect(evaluation.chunkCounts == [1])
  }

  @Test func mappedDataOfTheWrongRowCount() throws {
    let plate = Plate("particle", count: 10)
    let data = Tensor.zeros([9])
    let text = message { try evaluate(plate(Self.withData), seed: 1)(plate.mapped(data)) }
    #expect(text == #"plate "particle" has 10 rows, the data mapped over it 9"#)
    let instances = Plate("instance", count: 3)
    let nested = message {
      try evaluate(plate(instances(Self.withData)), seed: 1)(instances.mapped(Tensor.zeros([10])))
    }
    #expect(nested == #"plate "instance" has 3 rows, the data mapped over it 10"#)
    try expectThatEvaluationsWork()
  }

  @Test func dataMappedOverAPlateThatIsNotThere() throws {
    let data = Plate("instance", count: 10).mapped(Tensor.zeros([10]))
    let expected =
      #"plate "instance": data is mapped over it, but no program stands in a plate of this name"#
    #expect(message { try evaluate(Plate("particle", count: 10)(Self.withData), seed: 1)(data) } == expected)
    #expect(message { try evaluate(Self.withData, seed: 1)(data) } == expected)
  }

  @Test func dataWithoutRows() throws {
    let plate = Plate("particle", count: 10)
    let text = message { try evaluate(plate(Self.withData), seed: 1)(plate.mapped(Tensor(1))) }
    #expect(text == #"plate "particle": data mapped over a plate needs rows (shapes [])"#)
    let empty = message { try evaluate(plate(Self.withData), seed: 1)(plate.mapped(Tensor([]))) }
    #expect(empty == #"plate "particle" has 10 rows, the data mapped over it 0"#)
  }

  /// Data that was poisoned before says why.
  @Test func poisonedData() throws {
    let plate = Plate("particle", count: 10)
    let broken = Tensor([1, 2], shape: [3])
    let expected = "Tensor: 2 numbers given (shapes [3])"
    #expect(message { try evaluate(plate(Self.withData), seed: 1)(broken) } == expected)
    #expect(message { try evaluate(plate(Self.withData), seed: 1)(plate.mapped(broken)) } == expected)
  }

  /// Numbers of particles that no machine has the memory for are refused before anything runs.
  @Test(arguments: [100_000_000_000, 1_000_000_000_000_000, Int.max])
  func particlesThatCannotBeAllocated(_ count: Int) throws {
    let runs = Counter()
    let counting = Kernel { (trace) in
      runs.add(1)
      return trace.sample("z", from: Normal(0, 1))
    }
    for chunkRows in [nil, 1] {
      let plate = Plate("particle", count: count, chunkRows: chunkRows)
      for keep in [EvaluationOptions.Keep.everything, .metrics] {
        let text = message {
          try evaluate(
            propose(plate(Self.model), plate(counting)), seed: 1, options: EvaluationOptions(keep: keep))()
        }
        let bytes = count == .max ? "more than 2^63" : String(4 * count)
        #expect(text == "a plate of \(count) rows needs \(bytes) bytes, more than this machine can give")
      }
    }
    #expect(runs.value == 0)
    try expectThatEvaluationsWork()
  }

  /// More rows than a shape counts, in as many chunks: refused as too much memory, or for the rows.
  @Test func moreRowsThanAShapeCounts() throws {
    for chunkRows in [nil, 1] {
      let text = message {
        try evaluate(Plate("particle", count: 3_000_000_000, chunkRows: chunkRows)(Self.kernel), seed: 1)()
      }
      let reasons = [
        "more than this machine can give", "; the memory budget is ", "rows of this shape are too many",
      ]
      #expect(reasons.contains { text?.contains($0) == true }, "\(text ?? "")")
    }
    try expectThatEvaluationsWork()
  }

  @Test func nestedPlatesThatCannotBeAllocated() throws {
    let plates = [1_000_000, 10_000_000_000].map {
      Plate("particle", count: $0)(Plate("instance", count: 10_000_000_000)(Self.kernel))
    }
    #expect(
      message { try evaluate(plates[0], seed: 1)() }
        == "a plate of 10000000000000000 rows needs 40000000000000000 bytes, more than this machine can give")
    #expect(
      message { try evaluate(plates[1], seed: 1)() }
        == "the plates' rows needs more than 2^63 bytes, more than this machine can give")
  }

  /// The weights would fit, the values don't: each for itself, or all together.
  @Test func valuesThatCannotBeAllocated() throws {
    let runs = Counter()
    let wide = Kernel { (trace) in
      runs.add(1)
      return trace.sample("z", from: Normal(0, 1).expanded(to: [1 << 15]).event(1))
    }
    let plate = Plate("particle", count: 1 << 24)
    // A value, its log-probability, the weight; the output is the value.
    let bytes = 4 * ((1 << 39) + (1 << 24))
    #expect(
      message { try evaluate(plate(wide), seed: 1)() }
        == "what is kept of 16777216 rows needs \(bytes) bytes, more than this machine can give")
    #expect(runs.value < 1_000, "it was noticed with the first chunks")
    try expectThatEvaluationsWork()
  }

  @Test(arguments: [0, -3])
  func resamplingToNoParticles(_ count: Int) throws {
    let text = message {
      try evaluate(resample(Plate("particle", count: 10)(Self.kernel), count: .exactly(count)), seed: 1)()
    }
    #expect(text == "resample: the number of particles must be at least 1, is \(count)")
  }

  @Test(arguments: [100_000_000_000, Int.max])
  func resamplingToMoreParticlesThanCanBe(_ count: Int) throws {
    let nested = Plate("particle", count: 10)(Plate("instance", count: 3)(Self.kernel))
    for text in [
      message {
        try evaluate(resample(Plate("particle", count: 10)(Self.kernel), count: .exactly(count)), seed: 1)()
      },
      message { try evaluate(resample(nested, count: .exactly(count)), seed: 1)() },
    ] {
      #expect(
        text == "resampling more than 2^31 rows needs more than 2^63 bytes, more than this machine can give")
    }
    try expectThatEvaluationsWork()
  }

  /// Data over the particles has no rows for what comes after a resampling to another number of them, and is
  /// not missed where nobody reads it.
  @Test func dataOverResampledParticles() throws {
    let plate = Plate("particle", count: 10)
    let few = Plate("particle", count: 5)
    let data = Draw(key: 1, shape: [10]).normal()
    let model = Model { (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", x, from: Normal(z, 1))
      return z
    }
    let first = propose(plate(model), plate(Self.withData))
    let resampled = try evaluate(resample(first, count: 5), seed: 1)(plate.mapped(data))
    #expect(resampled.output.values.shape == [5])
    let one = try evaluate(resample(first, count: .one), seed: 1)(plate.mapped(data))
    #expect(one.output.values.shape == [])
    let onwards = compose(few(Self.withData), resample(first, count: 5))
    #expect(try evaluate(onwards, seed: 1)(plate.mapped(data)).output.values.shape == [5])
  }
}
