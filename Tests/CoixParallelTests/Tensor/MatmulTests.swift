import TestSupport
import Testing

@testable import CoixParallel

@Suite struct MatmulTests {
  /// The shapes of every kind of product.
  static let shapePairs: [[Shape]] = [
    [[2, 3], [3, 2]], [[3], [3, 2]], [[2, 3], [3]], [[3], [3]], [[1, 1], [1, 1]], [[4, 2], [2, 3]],
  ]

  @Test func values() {
    let a = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    let b = Tensor([1, 0, 2, -1, 3, 1], shape: [3, 2])
    #expect(matmul(a, b).scalars == [14, 1, 32, 1])
    #expect(matmul(a, b).shape == [2, 2])
    #expect(matmul(a, [1, 10, 100]).scalars == [321, 654])
    #expect(matmul([1, 10, 100], b).scalars == [321, 90])
    #expect(matmul([1, 2, 3], [4, 5, 6]).scalars == [32])
    #expect(dot([1, 2, 3], [4, 5, 6]).scalar == 32)
    #expect(dot([1, 2, 3], [4, 5, 6]).shape == [])
  }

  @Test func emptyProducts() {
    #expect(matmul(Tensor([], shape: [2, 0]), Tensor([], shape: [0, 3])).scalars == [0, 0, 0, 0, 0, 0])
    #expect(matmul(Tensor([], shape: [0, 2]), .ones([2, 3])).shape == [0, 3])
    #expect(dot(Tensor([], shape: [0]), Tensor([], shape: [0])).scalar == 0)
    inChunk(rows: 2) { chunk in
      let empty = chunk.batched([], [2, 0])
      #expect(chunk.values(matmul(empty, Tensor([], shape: [0, 1]))) == [0, 0, 0, 0])
      #expect(chunk.values(matmul(empty, chunk.batched([], [0, 1]))) == [0, 0, 0, 0])
      #expect(chunk.values(matmul(Tensor([], shape: [1, 0]), chunk.batched([], [0, 1]))) == [0, 0])
    }
  }

  @Test(arguments: [(1, 1, 1), (3, 5, 2), (17, 4, 33), (20, 70, 18)])
  func everyCombinationMatchesTheDefinition(_ m: Int, _ k: Int, _ n: Int) {
    for rows in [1, 16, 17] {
      for (aBatched, bBatched) in [(false, false), (true, false), (false, true), (true, true)] {
        inChunk(rows: rows) { chunk in
          var generator = SplitMix(seed: 7)
          let aValues = generator.gridFloats((aBatched ? rows : 1) * m * k, in: -1...1)
          let bValues = generator.gridFloats((bBatched ? rows : 1) * k * n, in: -1...1)
          let a = aBatched ? chunk.batched(aValues, [m, k]) : Tensor(aValues, shape: [m, k])
          let b = bBatched ? chunk.batched(bValues, [k, n]) : Tensor(bValues, shape: [k, n])
          let expected = (0..<(aBatched || bBatched ? rows : 1)).flatMap { row in
            (0..<m * n).map { at in
              (0..<k).reduce(0.0) { sum, l in
                let x = aValues[(aBatched ? row * m * k : 0) + at / n * k + l]
                let y = bValues[(bBatched ? row * k * n : 0) + l * n + at % n]
                return sum + Double(x) * Double(y)
              }
            }
          }
          #expect(
            distance(chunk.values(matmul(a, b)), expected) < 3e-6,
            "\(rows) rows, batched \(aBatched), \(bBatched)")
        }
      }
    }
  }

  @Test(arguments: shapePairs)
  func gradientsOfProducts(_ shapes: [Shape]) throws {
    try expectGradients("matmul", shapes) { matmul($0[0], $0[1]) }
    try expectGradients("matmul with squares", shapes) { matmul($0[0].squared, $0[1]).squared }
  }

  @Test func gradientsOfDot() throws {
    try expectGradients("dot", [[3], [3]]) { dot($0[0], $0[1]) }
    try expectGradients("dot with itself", [[3]]) { dot($0[0], $0[0]) }
  }

  @Test func gradientsOfOneSide() throws {
    let constant = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    try expectGradients("right", [[3, 2]]) { matmul(constant, $0[0]) }
    try expectGradients("left", [[2, 2]]) { matmul($0[0], constant) }
    try expectGradients("vector", [[2]]) { matmul($0[0], constant) }
  }

  @Test func closedForm() throws {
    // d sum(W * AB) / dA = W B^T and / dB = A^T W.
    let a = Tensor([1, 2, 3, 4], shape: [2, 2])
    let b = Tensor([5, 6, 7, 8], shape: [2, 2])
    let found = try gradients(of: { matmul($0[0], $0[1]) }, at: [a, b], weights: [1, 2, 3, 4])
    #expect(found == [[17, 23, 39, 53], [10, 14, 14, 20]])
    let empty = try gradients(
      of: { matmul($0[0], $0[1]) }, at: [Tensor([], shape: [0, 2]), .ones([2, 3])])
    #expect(empty == [[], [0, 0, 0, 0, 0, 0]])
  }
}
