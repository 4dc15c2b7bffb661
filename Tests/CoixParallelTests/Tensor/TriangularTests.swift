import TestSupport
import Testing

@testable import CoixParallel

@Suite struct TriangularTests {
  /// A well-conditioned lower triangular matrix with noise above its diagonal that nobody must read.
  private func factor(_ x: Tensor) -> Tensor {
    let size = x.shape.last ?? 0
    return 0.3 * x + 2 * Tensor.identity(size)
  }

  @Test func values() {
    let lower = Tensor([2, 99, 99, 1, 4, 99, -1, 2, 5], shape: [3, 3])
    #expect(solveLowerTriangular(lower, [2, 9, 18]).scalars == [1, 2, 3])
    // Two vectors for one matrix, two matrices for one vector.
    let two = solveLowerTriangular(lower, Tensor([2, 9, 18, 2, 1, -1], shape: [2, 3]))
    #expect(two.shape == [2, 3])
    #expect(two.scalars == [1, 2, 3, 1, 0, 0])
    let matrices = Tensor.stack([lower, .identity(3)])
    #expect(solveLowerTriangular(matrices, [2, 9, 18]).scalars == [1, 2, 3, 2, 9, 18])
    #expect(solveLowerTriangular([[2]].matrix, [4]).scalars == [2])

    let matrix = Tensor([4, 2, -2, 2, 10, 2, -2, 2, 9], shape: [3, 3])
    let found = cholesky(matrix)
    #expect(distance(found.scalars, [2, 0, 0, 1, 3, 0, -1, 1, 7.0.squareRoot()]) < 1e-6)
    #expect(cholesky([[1, 2], [2, 1]].matrix).scalars[3].isNaN, "not positive definite")
    #expect(matrices.diagonal.scalars == [2, 4, 5, 1, 1, 1])
    #expect(Tensor.lowerTriangle(2).scalars == [1, 0, 1, 1])
  }

  @Test func chunks() {
    inChunk(rows: 19) { chunk in
      var generator = SplitMix(seed: 5)
      let numbers = generator.gridFloats(19 * 9, in: -1...1)
      let lower = factor(chunk.batched(numbers, [3, 3]))
      let x = chunk.values(solveLowerTriangular(lower, [1, 2, 3]))
      for row in [0, 7, 18] {
        let own = factor(Tensor(numbers[row * 9..<row * 9 + 9], shape: [3, 3]))
        #expect(
          Array(x[row * 3..<row * 3 + 3]).map(\.bitPattern)
            == solveLowerTriangular(own, [1, 2, 3]).scalars.map(\.bitPattern))
      }
    }
  }

  @Test func gradients() throws {
    try expectGradients("solve", [[3, 3], [3]], in: -1...1) { solveLowerTriangular(factor($0[0]), $0[1]) }
    try expectGradients("many vectors", [[2, 2], [3, 2]], in: -1...1) {
      solveLowerTriangular(factor($0[0]), $0[1])
    }
    try expectGradients("many matrices", [[3, 2, 2], [2]], in: -1...1) {
      solveLowerTriangular(factor($0[0]), $0[1])
    }
    try expectGradients("cholesky", [[3, 3]], in: -1...1) { x in
      // Symmetric and positive definite, so that each element moves two.
      cholesky((x[0] + x[0].transposed()) * 0.3 + 4 * Tensor.identity(3))
    }
    try expectGradients("many factors", [[2, 2, 2]], in: -1...1) { x in
      let symmetric = x[0] + x[0].transposed(permutation: [0, 2, 1])
      return cholesky(symmetric * 0.3 + 4 * Tensor.identity(2))
    }
    try expectGradients("diagonal", [[2, 3, 3]]) { $0[0].diagonal }
  }

  /// As JAX's: symmetric, whatever the triangle that is read.
  @Test func theFactorsGradientIsSymmetric() throws {
    let matrix = [[4, 2], [2, 3]].matrix
    let gradient = try CoixParallelTests.gradients(
      of: { cholesky($0[0]) }, at: [matrix], weights: [1, 9, 2, 3])[0]
    #expect(gradient[1] == gradient[2] && gradient[1] != 0)
  }

  @Test func errors() {
    #expect(solveLowerTriangular(.zeros([2, 3]), .zeros([2])).failure != nil)
    #expect(solveLowerTriangular(.zeros([2, 2]), .zeros([3])).failure != nil)
    #expect(solveLowerTriangular(.zeros([4, 2, 2]), .zeros([3, 2])).failure != nil)
    #expect(solveLowerTriangular(.zeros([2]), .zeros([2])).failure != nil)
    #expect(solveLowerTriangular(.zeros([2, 2]), 1).failure != nil)
    #expect(cholesky(.zeros([2, 3])).failure != nil)
    #expect(cholesky(1).failure != nil)
    #expect(Tensor([1, 2]).diagonal.failure != nil)
    #expect(Tensor.identity(-1).failure != nil)
    #expect(Tensor.identity(0).shape == [0, 0])
    #expect(solveLowerTriangular(.zeros([0, 0]), .zeros([0])).shape == [0])
    #expect(cholesky(.zeros([3, 0, 0])).shape == [3, 0, 0])
  }
}

extension [[Float]] {
  /// Rows as a matrix.
  fileprivate var matrix: Tensor { Tensor.stack(map { Tensor($0) }) }
}
