import TestSupport
import Testing

@testable import CoixParallel

@Suite struct ComparisonTests {
  @Test func comparisons() {
    let a = Tensor([1, 2, 3, .nan])
    let b = Tensor([2, 2, 2, 2])
    #expect((a .< b).scalars == [1, 0, 0, 0])
    #expect((a .<= b).scalars == [1, 1, 0, 0])
    #expect((a .> b).scalars == [0, 0, 1, 0])
    #expect((a .>= b).scalars == [0, 1, 1, 0])
    #expect((a .== b).scalars == [0, 1, 0, 0])
    #expect((a .!= b).scalars == [1, 0, 1, 1])
  }

  @Test func comparisonsWithNumbers() {
    let a = Tensor([1, 2, 3])
    let two: Float = 2
    #expect((a .< two).scalars == [1, 0, 0])
    #expect((a .<= two).scalars == [1, 1, 0])
    #expect((a .> two).scalars == [0, 0, 1])
    #expect((a .>= two).scalars == [0, 1, 1])
    #expect((a .== two).scalars == [0, 1, 0])
    #expect((a .!= two).scalars == [1, 0, 1])
    #expect((a .< 2).scalars == [1, 0, 0], "a literal is not ambiguous")
    #expect((a .== 2.0).scalars == [0, 1, 0])
  }

  @Test func comparisonsBroadcastAndHaveNoGradient() throws {
    let column = Tensor([1, 2], shape: [2, 1])
    #expect((column .< [1, 2, 3]).scalars == [0, 1, 1, 0, 0, 1])
    #expect(try gradients(of: { ($0[0] .< 2) * $0[0] }, at: [[1, 3]]) == [[1, 0]])
    inChunk(rows: 3) { chunk in
      #expect(chunk.values(chunk.batched([1, 2, 3], []) .>= 2) == [0, 1, 1])
      #expect(chunk.values(Tensor([2, 3]) .== chunk.batched([1, 2, 3], [])) == [0, 0, 1, 0, 0, 1])
    }
  }

  // MARK: select

  @Test func selects() {
    #expect(select([1, 0, 2], [1, 2, 3], [10, 20, 30]).scalars == [1, 20, 3])
    #expect(select([1, 0], 5, [10, 20]).scalars == [5, 20])
    #expect(select(1, [1, 2], 7).scalars == [1, 2])
    let condition = Tensor([1, 0], shape: [2, 1])
    #expect(select(condition, [1, 2, 3], Tensor([8, 9], shape: [2, 1])).scalars == [1, 2, 3, 9, 9, 9])
    #expect(select(Tensor([], shape: [0]), 1, 2).shape == [0])
  }

  @Test(
    arguments: [
      [[3], [3]], [[3], []], [[], [3]], [[2, 1], [3]], [[2, 3], [3]], [[], []],
    ] as [[Shape]])
  func gradientsOfSelect(_ shapes: [Shape]) throws {
    try expectGradients("select, own condition", shapes) {
      select(Tensor([1, 0, 1]), $0[0] * $0[0], $0[1] * $0[1])
    }
    try expectGradients("select, computed condition", shapes, separated: true) {
      select($0[0].detached .> 0.25, $0[0] * $0[1], $0[1])
    }
    try expectGradients("select, single condition", shapes) { select(1, $0[0] * $0[1], $0[1]) }
  }

  @Test func theOtherSideGetsExactZeros() throws {
    let condition = Tensor([1, 0, 1, 0])
    let found = try gradients(
      of: { select(condition, $0[0], $0[1]) },
      at: [[1, .nan, 3, .infinity], [.nan, 2, .infinity, 4]], weights: [1, 2, 3, 4])
    #expect(found == [[1, 0, 3, 0], [0, 2, 0, 4]])
  }

  // MARK: maximum, minimum, clamped

  @Test func extremes() {
    #expect(maximum([1, 5, 3], [4, 2, 3]).scalars == [4, 5, 3])
    #expect(minimum([1, 5, 3], [4, 2, 3]).scalars == [1, 2, 3])
    #expect(maximum([-1, 1], 0).scalars == [0, 1])
    #expect(distance(maximum([.nan, 1, -.infinity], [1, .nan, 1]).scalars, [.nan, .nan, 1]) == 0)
    #expect(distance(minimum([.nan, 1, -.infinity], [1, .nan, 1]).scalars, [.nan, .nan, -.infinity]) == 0)
  }

  @Test(arguments: [[[3], [3]], [[4], []], [[2, 1], [3]], [[2, 3], [3]]] as [[Shape]])
  func gradientsOfExtremes(_ shapes: [Shape]) throws {
    try expectGradients("maximum", shapes, separated: true) { maximum($0[0], $0[1]) * $0[0] }
    try expectGradients("minimum", shapes, separated: true) { minimum($0[0], $0[1]) * $0[1] }
  }

  @Test func tiesShareTheGradient() throws {
    let (a, b) = (Tensor([1, 2, 3]), Tensor([2, 2, 2]))
    #expect(try gradients(of: { maximum($0[0], $0[1]) }, at: [a, b]) == [[0, 0.5, 1], [1, 0.5, 0]])
    #expect(try gradients(of: { minimum($0[0], $0[1]) }, at: [a, b]) == [[1, 0.5, 0], [0, 0.5, 1]])
  }

  @Test func clamps() throws {
    let x = Tensor([-2, -1, 0, 1, 2, .infinity])
    #expect(x.clamped(to: -1...1).scalars == [-1, -1, 0, 1, 1, 1])
    #expect(x.clamped(to: 0 ... .infinity).scalars == [0, 0, 0, 1, 2, .infinity])
    #expect(try gradients(of: { $0[0].clamped(to: -1...1) }, at: [x]) == [[0, 0.5, 1, 0.5, 0, 0]])
    try expectGradients("clamped", [[2, 3]], separated: true) { ($0[0] + 0.25).clamped(to: -0.5...0.5) }
  }
}
