import Testing

@testable import CoixParallel

@Suite struct ShapingTests {
  let matrix = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])

  // MARK: Reshaping

  @Test func reshapes() {
    #expect(matrix.reshaped(to: [3, 2]).scalars == matrix.scalars)
    #expect(matrix.reshaped(to: [3, 2]).shape == [3, 2])
    #expect(matrix.reshaped(to: [1, 6, 1]).shape == [1, 6, 1])
    #expect(matrix.reshaped(to: [3, 2]).pointer == matrix.pointer, "nothing is copied")
    #expect(matrix.flattened().shape == [6])
    #expect(Tensor(3).flattened().shape == [1])
    #expect(Tensor([], shape: [0, 3]).reshaped(to: [5, 0]).shape == [5, 0])
    #expect(matrix.expandingAxis(at: 0).shape == [1, 2, 3])
    #expect(matrix.expandingAxis(at: 1).shape == [2, 1, 3])
    #expect(matrix.expandingAxis(at: 2).shape == [2, 3, 1])
    #expect(matrix.expandingAxis(at: -1).shape == [2, 3, 1])
    #expect(matrix.expandingAxis(at: -3).shape == [1, 2, 3])
    #expect(matrix.expandingAxis(at: 1).squeezingAxis(at: 1).shape == [2, 3])
    #expect(matrix.expandingAxis(at: 0).squeezingAxis(at: -3).shape == [2, 3])
  }

  @Test func gradientsOfReshapes() throws {
    let square: [Float] = [1, 2, 3, 4, 5, 6]
    try expectGradients("reshaped", [[2, 3]]) {
      ($0[0].reshaped(to: [3, 2]) * Tensor(square, shape: [3, 2])).squared
    }
    try expectGradients("flattened", [[2, 3]]) { ($0[0].flattened() * Tensor(square)).squared }
    try expectGradients("expandingAxis", [[3]]) { $0[0].expandingAxis(at: 1) * Tensor([1, 2]) }
    try expectGradients("squeezingAxis", [[2, 1, 2]]) { $0[0].squeezingAxis(at: 1).squared }
    #expect(
      try gradients(of: { $0[0].reshaped(to: [3, 2]) }, at: [matrix], weights: [6, 5, 4, 3, 2, 1]) == [
        [6, 5, 4, 3, 2, 1]
      ])
  }

  // MARK: Stretching

  @Test func broadcasts() {
    #expect(Tensor(2).broadcast(to: [2, 2]).scalars == [2, 2, 2, 2])
    #expect(Tensor([1, 2]).broadcast(to: [3, 2]).scalars == [1, 2, 1, 2, 1, 2])
    #expect(Tensor([1, 2], shape: [2, 1]).broadcast(to: [2, 3]).scalars == [1, 1, 1, 2, 2, 2])
    #expect(
      Tensor([1, 2, 3, 4], shape: [2, 1, 2]).broadcast(to: [2, 2, 2]).scalars == [1, 2, 1, 2, 3, 4, 3, 4])
    #expect(Tensor([1, 2], shape: [1, 2, 1]).broadcast(to: [2, 2, 2]).scalars == [1, 1, 2, 2, 1, 1, 2, 2])
    #expect(Tensor([1]).broadcast(to: [0]).shape == [0])
    #expect(matrix.broadcast(to: [2, 3]).scalars == matrix.scalars)
    inChunk(rows: 2) { chunk in
      let rows = chunk.batched([1, 2, 3, 4], [2, 1])
      #expect(chunk.values(rows.broadcast(to: [2, 2])) == [1, 1, 2, 2, 3, 3, 4, 4])
    }
  }

  @Test func gradientsOfBroadcasts() throws {
    try expectGradients("from a number", [[]]) { $0[0].broadcast(to: [2, 2]) }
    try expectGradients("outer axis", [[2]]) { $0[0].broadcast(to: [3, 2]) }
    try expectGradients("inner axis", [[2, 1]]) { $0[0].broadcast(to: [2, 3]) }
    try expectGradients("middle axis", [[2, 1, 2]]) { $0[0].broadcast(to: [2, 2, 2]).squared }
    try expectGradients("several", [[1, 2, 1]]) { $0[0].broadcast(to: [2, 2, 2, 3]) }
    #expect(
      try gradients(of: { $0[0].broadcast(to: [2, 2]) }, at: [[1, 2]], weights: [1, 2, 3, 4]) == [[4, 6]])
  }

  // MARK: Transposing

  /// The transposition by its definition, element by element.
  static func slowlyTransposed(_ values: [Float], _ shape: Shape, _ permutation: [Int]) -> [Float] {
    let result = permutation.map { shape[$0] }
    return (0..<shape.elementCount).map { flat in
      var rest = flat
      var position = Array(repeating: 0, count: shape.rank)
      for axis in result.indices.reversed() {
        position[permutation[axis]] = rest % result[axis]
        rest /= result[axis]
      }
      return values[zip(position, shape).reduce(0) { $0 * $1.1 + $1.0 }]
    }
  }

  static func permutations(_ count: Int) -> [[Int]] {
    count == 0
      ? [[]]
      : permutations(count - 1).flatMap { rest in
        (0...rest.count).map { at in Array(rest[..<at]) + [count - 1] + Array(rest[at...]) }
      }
  }

  @Test(arguments: [[], [4], [2, 3], [1, 5], [70, 67], [2, 3, 4], [3, 1, 2], [2, 3, 2, 5]] as [Shape])
  func transposes(_ shape: Shape) {
    let values = (0..<shape.elementCount).map(Float.init)
    let x = Tensor(values, shape: shape)
    for permutation in Self.permutations(shape.rank) {
      let y = x.transposed(permutation: permutation)
      #expect(Array(y.shape) == permutation.map { shape[$0] })
      #expect(y.scalars == Self.slowlyTransposed(values, shape, permutation), "\(permutation)")
      inChunk(rows: 3) { chunk in
        let rows = (0..<3).map { row in values.map { $0 + Float(row) * 1000 } }
        let y = chunk.batched(rows.flatMap(\.self), shape).transposed(permutation: permutation)
        #expect(
          chunk.values(y) == rows.flatMap { Self.slowlyTransposed($0, shape, permutation) }, "\(permutation)")
      }
    }
    #expect(x.transposed().shape == Shape(shape.reversed()))
  }

  @Test func transposesInFewWords() {
    #expect(matrix.transposed().scalars == [1, 4, 2, 5, 3, 6])
    #expect(matrix.transposed(permutation: [-1, 0]).scalars == [1, 4, 2, 5, 3, 6])
    #expect(Tensor([], shape: [0, 3]).transposed().shape == [3, 0])
    let row = Tensor([1, 2, 3], shape: [1, 3])
    #expect(row.transposed().pointer == row.pointer, "nothing moves, nothing is copied")
  }

  @Test func gradientsOfTranspositions() throws {
    try expectGradients("matrix", [[2, 3]]) { ($0[0].transposed() * Tensor([1, 2])).squared }
    for permutation in Self.permutations(3) {
      try expectGradients("\(permutation)", [[2, 3, 2]]) {
        $0[0].squared.transposed(permutation: permutation)
      }
    }
    #expect(
      try gradients(of: { $0[0].transposed() }, at: [matrix], weights: [1, 2, 3, 4, 5, 6]) == [
        [1, 3, 5, 2, 4, 6]
      ])
  }
}
