import Testing

@testable import CoixParallel

@Suite struct SlicingTests {
  let matrix = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
  let block = Tensor((0..<24).map(Float.init), shape: [2, 3, 4])

  // MARK: Cutting

  @Test func slices() {
    #expect(matrix[0].scalars == [1, 2, 3])
    #expect(matrix[-1].scalars == [4, 5, 6])
    #expect(matrix[1][2].scalar == 6)
    #expect(matrix[1][2].shape == [])
    #expect(matrix[0..<1].scalars == [1, 2, 3])
    #expect(matrix[0..<1].shape == [1, 3])
    #expect(matrix[1..<1].shape == [0, 3])
    #expect(matrix.sliced(axis: 1, 1..<3).scalars == [2, 3, 5, 6])
    #expect(matrix.sliced(axis: -1, 0..<3).scalars == matrix.scalars)
    #expect(matrix.selecting(1, axis: 1).scalars == [2, 5])
    #expect(matrix.selecting(-1, axis: -1).scalars == [3, 6])
    #expect(block.sliced(axis: 1, 1..<2).scalars == [4, 5, 6, 7, 16, 17, 18, 19])
    #expect(block.selecting(2, axis: 1).shape == [2, 4])
    inChunk(rows: 2) { chunk in
      let rows = chunk.batched([1, 2, 3, 4, 5, 6], [3])
      #expect(chunk.values(rows[1]) == [2, 5])
      #expect(chunk.values(rows[1..<3]) == [2, 3, 5, 6])
    }
  }

  @Test func gradientsOfSlices() throws {
    for axis in 0..<3 {
      try expectGradients("sliced \(axis)", [[2, 3, 2]]) { $0[0].squared.sliced(axis: axis, 1..<2) }
      try expectGradients("selecting \(axis)", [[2, 3, 2]]) { $0[0].squared.selecting(-1, axis: axis) }
    }
    try expectGradients("within", [[5]]) { $0[0].squared[1..<4] }
    try expectGradients("elements", [[3]]) { $0[0][0] * $0[0][1] + $0[0][2] }
    #expect(try gradients(of: { $0[0][1..<3] }, at: [[1, 2, 3, 4]], weights: [5, 6]) == [[0, 5, 6, 0]])
    #expect(
      try gradients(of: { $0[0].selecting(1, axis: 1) }, at: [matrix], weights: [7, 8]) == [
        [0, 7, 0, 0, 8, 0]
      ])
    #expect(try gradients(of: { $0[0][1..<1].sum() }, at: [[1, 2]]) == [[0, 0]])
  }

  // MARK: Joining

  @Test func concatenates() {
    let other = Tensor([7, 8, 9], shape: [1, 3])
    #expect(Tensor.concatenate([matrix, other]).scalars == [1, 2, 3, 4, 5, 6, 7, 8, 9])
    #expect(Tensor.concatenate([matrix, other]).shape == [3, 3])
    let column = Tensor([7, 8], shape: [2, 1])
    #expect(
      Tensor.concatenate([matrix, column, matrix], axis: 1).scalars == [
        1, 2, 3, 7, 1, 2, 3, 4, 5, 6, 8, 4, 5, 6,
      ])
    #expect(Tensor.concatenate([matrix, column], axis: -1).shape == [2, 4])
    #expect(Tensor.concatenate([matrix]).scalars == matrix.scalars)
    #expect(Tensor.concatenate([[1], Tensor([], shape: [0]), [2]]).scalars == [1, 2])
  }

  @Test func stacks() {
    #expect(Tensor.stack([[1, 2], [3, 4]]).scalars == [1, 2, 3, 4])
    #expect(Tensor.stack([[1, 2], [3, 4]]).shape == [2, 2])
    #expect(Tensor.stack([[1, 2], [3, 4]], axis: 1).scalars == [1, 3, 2, 4])
    #expect(Tensor.stack([[1, 2], [3, 4], [5, 6]], axis: -1).shape == [2, 3])
    #expect(Tensor.stack([1, 2, 3]).scalars == [1, 2, 3])
    #expect(Tensor.stack([[1, 2]]).shape == [1, 2])
  }

  @Test func uniformPiecesAreSpreadOverTheRows() {
    inChunk(rows: 3) { chunk in
      let rows = chunk.batched([1, 2, 3], [])
      let stacked = Tensor.stack([10, rows, 20])
      #expect(chunk.values(stacked) == [10, 1, 20, 10, 2, 20, 10, 3, 20])
      let joined = Tensor.concatenate(
        [stacked.expandingAxis(at: 0), Tensor([7, 8, 9], shape: [1, 3])], axis: 0)
      #expect(chunk.values(joined[1]) == [7, 8, 9, 7, 8, 9, 7, 8, 9])
      #expect(joined.pointer[5 * joined.stride + 15] == 9, "also over the padding")
    }
  }

  @Test func gradientsOfJoins() throws {
    try expectGradients("concatenate 0", [[2, 2], [1, 2]]) {
      Tensor.concatenate([$0[0].squared, $0[1].squared])
    }
    try expectGradients("concatenate 1", [[2, 1, 2], [2, 2, 2]]) { Tensor.concatenate($0, axis: 1).squared }
    try expectGradients("concatenate -1", [[2, 1], [2, 2], [2, 1]]) {
      Tensor.concatenate($0, axis: -1).squared
    }
    try expectGradients("stack 0", [[3], [3]]) { Tensor.stack($0).squared }
    try expectGradients("stack -1", [[2], [2], [2]]) { Tensor.stack($0, axis: -1).squared }
    try expectGradients("stack of numbers", [[], []]) { Tensor.stack([$0[0], $0[1], $0[0], 3]).squared }
    let found = try gradients(
      of: { Tensor.concatenate([$0[0], $0[1], $0[0]]) }, at: [[1], [2, 3]], weights: [1, 2, 3, 4])
    #expect(found == [[5], [2, 3]])
  }
}
