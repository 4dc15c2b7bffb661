import Testing

@testable import CoixParallel

@Suite struct IndexingTests {
  @Test(arguments: [0, 1, 5, 300])
  func sampledRowsAreTheChosenOnes(_ count: Int) {
    let data = Tensor((0..<42).map(Float.init), shape: [7, 2, 3])
    let key = PRNGKey(seed: 3)
    let found = data.sampledRows(count, key: key)
    #expect(found.shape == [count, 2, 3])
    #expect(found.scalars == data.rows(at: key.choice(count, from: 7)).scalars)
  }

  @Test func sampledRowsNeedRows() {
    for (data, count) in [(Tensor(1), 2), (.zeros([0, 2]), 2), (.zeros([3]), -1)] {
      #expect(data.sampledRows(count, key: 0).failure != nil)
    }
  }

  let table = Tensor((0..<24).map(Float.init), shape: [2, 3, 4])

  @Test func gathersFromUniform() {
    #expect(Tensor([5, 6, 7]).gathered(at: 1).scalars == [6])
    #expect(Tensor([5, 6, 7]).gathered(at: 1).shape == [])
    #expect(table.gathered(at: 1, axis: 0).scalars == (12..<24).map(Float.init))
    #expect(table.gathered(at: 2, axis: 1).scalars == [8, 9, 10, 11, 20, 21, 22, 23])
    #expect(table.gathered(at: 0, axis: -1).scalars == [0, 4, 8, 12, 16, 20])
  }

  @Test func eachParticleHasItsOwnIndex() {
    inChunk(rows: 4) { chunk in
      let index = chunk.batched([2, 0, 1, 2], [])
      #expect(chunk.values(Tensor([5, 6, 7]).gathered(at: index)) == [7, 5, 6, 7])
      let picked = table.gathered(at: index, axis: 1)
      #expect(picked.shape == [2, 4])
      #expect(chunk.values(picked) == [2, 0, 1, 2].flatMap { table.selecting($0, axis: 1).scalars })
      let rows = chunk.batched(
        (0..<4).flatMap { row in table.scalars.map { $0 + Float(row) * 100 } }, table.shape)
      let expected = [2, 0, 1, 2].enumerated().flatMap { row, index in
        table.selecting(index, axis: 1).scalars.map { $0 + Float(row) * 100 }
      }
      #expect(chunk.values(rows.gathered(at: index, axis: 1)) == expected)
      #expect(chunk.values(rows.gathered(at: 1, axis: 1)) == chunk.values(rows.selecting(1, axis: 1)))
    }
  }

  /// Several positions at once, uniform or each particle's own.
  @Test func severalPositions() throws {
    let means = Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2])
    #expect(means.gathered(at: [0, 2]).scalars == [1, 2, 5, 6])
    #expect(means.gathered(at: Tensor([2, 0, 2, 1], shape: [2, 2]), axis: 0).shape == [2, 2, 2])
    #expect(means.gathered(at: [1, 1, 0], axis: 1).scalars == [2, 2, 1, 4, 4, 3, 6, 6, 5])
    #expect(means.gathered(at: [] as [Int]).shape == [0, 2])
    let found = try CoixParallelTests.gradients(
      of: { $0[0].gathered(at: [0, 2, 0]) }, at: [means], weights: [1, 2, 3, 4, 5, 6])
    #expect(found == [[6, 8, 0, 0, 3, 4]])
    inChunk(rows: 3) { chunk in
      let index = chunk.batched([0, 1, 1, 2, 2, 2], [2])
      #expect(chunk.values(means.gathered(at: index)) == [1, 2, 3, 4, 3, 4, 5, 6, 5, 6, 5, 6])
    }
    #expect(
      means.gathered(at: [0, 3]).failure?.description
        == "gathered: index 3 is outside of 0 ..< 3, the positions along axis 0 (shapes [3, 2])")
    #expect(
      means.gathered(at: Tensor([0, .nan])).failure?.description.contains("index nan is outside") == true)
  }

  @Test func strangeIndicesAreRoundedAndClamped() {
    let cases: [(Float, Float)] = [
      (-1, 5), (-.infinity, 5), (3, 7), (1e20, 7), (.infinity, 7), (.nan, 5), (0.4, 5), (0.6, 6), (2.4, 7),
    ]
    for (index, expected) in cases {
      // The same for all particles: known, and an error outside of the axis.
      let element = Tensor([5, 6, 7]).gathered(at: Tensor(index))
      if index > -0.5 && index < 2.5 {
        #expect(element.scalar == expected, "index \(index)")
      } else {
        #expect(
          element.failure?.description
            == "gathered: index \(index) is outside of 0 ..< 3, the positions along axis 0 (shapes [3])")
      }
    }
    inChunk(rows: cases.count) { chunk in
      let index = chunk.batched(cases.map(\.0), [])
      #expect(chunk.values(Tensor([5, 6, 7]).gathered(at: index)) == cases.map(\.1))
      let rows = chunk.batched(cases.flatMap { _ in [5, 6, 7] as [Float] }, [3])
      #expect(chunk.values(rows.gathered(at: index)) == cases.map(\.1))
    }
  }

  @Test(arguments: [0, 1, 2])
  func gradients(_ axis: Int) throws {
    let shape: Shape = [3, 2, 3]
    for index in 0..<shape[axis] {
      try expectGradients("uniform index", [shape]) {
        $0[0].squared.gathered(at: Tensor(Float(index)), axis: axis)
      }
    }
    // An index from a second input, which is shuffled in each row: 0, 1 or 2 as far as there are so many, and
    // half a step away from the next.
    try expectGradients("own index", [shape, [6]], separated: true) { inputs in
      let index = minimum((inputs[1][0].detached.magnitude * 2).floor, Tensor(Float(shape[axis] - 1)))
      return inputs[0].squared.gathered(at: index, axis: axis) * inputs[1][1]
    }
  }

  @Test func ownIndices() throws {
    for rows in [1, 5, 16, 17, 37] {
      let indices = (0..<rows).map { Float($0 * 5 % 3) }
      for isBatched in [false, true] {
        let tape = Tape()
        try inChunk(rows: rows, tape: tape) { chunk in
          let values = (0..<(isBatched ? rows : 1) * 6).map { Float($0) }
          let x = isBatched ? chunk.batched(values, [3, 2]) : Tensor(values, shape: [3, 2])
          let node = tape.append(shape: x.shape, stride: x.stride, .none)
          let y = x.tracked(node: node, tape: tape.id).gathered(at: chunk.batched(indices, []))
          let weights = (0..<rows * 2).map { Float($0 + 1) }
          tape.add(chunk.seed(weights, y.shape), to: y.node)
          try tape.pullBack()
          let gradient = try #require(tape.gradient(of: node))
          var expected = Array(repeating: Float(0), count: values.count)
          for row in 0..<rows {
            for i in 0..<2 {
              expected[(isBatched ? row * 6 : 0) + Int(indices[row]) * 2 + i] += weights[row * 2 + i]
            }
          }
          #expect(chunk.values(gradient) == expected, "\(rows) rows, batched: \(isBatched)")
        }
      }
    }
  }

  @Test func closedForm() throws {
    let found = try CoixParallelTests.gradients(
      of: { $0[0].gathered(at: 1, axis: 1) }, at: [Tensor([1, 2, 3, 4], shape: [2, 2])], weights: [5, 6])
    #expect(found == [[0, 5, 0, 6]])
  }

  // MARK: One-hot

  @Test func oneHot() throws {
    #expect(Tensor(2).oneHot(depth: 4).scalars == [0, 0, 1, 0])
    #expect(Tensor(2).oneHot(depth: 4).shape == [4])
    #expect(Tensor([0, 2]).oneHot(depth: 3).scalars == [1, 0, 0, 0, 0, 1])
    #expect(Tensor([0, 2]).oneHot(depth: 3).shape == [2, 3])
    #expect(Tensor([-1, 3, 0.5, .nan]).oneHot(depth: 3).scalars == Array(repeating: 0, count: 12))
    #expect(Tensor(0).oneHot(depth: 0).shape == [0])
    #expect(try CoixParallelTests.gradients(of: { $0[0].oneHot(depth: 2) * 3 }, at: [[1]]) == [[0]])
    inChunk(rows: 3) { chunk in
      #expect(chunk.values(chunk.batched([1, 0, 2], []).oneHot(depth: 3)) == [0, 1, 0, 1, 0, 0, 0, 0, 1])
      #expect(
        chunk.values(chunk.batched([1, 0, 2, 1, 0, 0], [2]).oneHot(depth: 3).sum(axis: 0))
          == [1, 1, 0, 0, 1, 1, 2, 0, 0])
    }
  }

  /// Axes may be longer than numbers of four bytes count, but have no positions then. (These have no elements.)
  @Test func longAxes() throws {
    let longest = Int(UInt32.max)
    #expect(Shape([longest]).isValid && Shape([longest])[0] == longest && !Shape([longest + 1]).isValid)
    #expect(Shape([2, longest, 3]).elementCount == 6 * longest)
    let long = Tensor.zeros([1 << 31, 0])
    let error = CoixError.shape(
      operation: "gathered", shapes: [[1 << 31, 0]], reason: "axis 0 has more than 2^31 positions")
    #expect(long.gathered(at: [0]).failure == error)
    #expect(long.gathered(at: Tensor([0])).failure == error)
    #expect(long.sampledRows(1, key: 0).failure != nil)
    #expect(Tensor.zeros([1 << 31 - 1, 0]).gathered(at: [1 << 31 - 2]).shape == [1, 0])
  }
}
