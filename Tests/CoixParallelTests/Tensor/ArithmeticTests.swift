import TestSupport
import Testing

@testable import CoixParallel

@Suite struct ArithmeticTests {
  /// Every pair of broadcasting shapes worth a code path of its own: equal, a single number, stretched at
  /// either end or within.
  static let shapePairs: [[Shape]] = [
    [[], []], [[3], [3]], [[3], []], [[], [3]], [[2, 3], [3]], [[2, 1], [3]], [[2, 3], [1, 1]],
    [[2, 1, 2], [1, 3, 1]],
    [[1], [2, 2]],
  ]

  @Test func values() {
    let a = Tensor([1, -2, 8])
    let b = Tensor([4, 0.5, -2])
    #expect((a + b).scalars == [5, -1.5, 6])
    #expect((a - b).scalars == [-3, -2.5, 10])
    #expect((a * b).scalars == [4, -1, -16])
    #expect((a / b).scalars == [0.25, -4, -4])
    let two: Float = 2
    #expect((a + two).scalars == [3, 0, 10])
    #expect((two + a).scalars == [3, 0, 10])
    #expect((a - two).scalars == [-1, -4, 6])
    #expect((two - a).scalars == [1, 4, -6])
    #expect((a * two).scalars == [2, -4, 16])
    #expect((two * a).scalars == [2, -4, 16])
    #expect((a / two).scalars == [0.5, -1, 4])
    #expect((two / a).scalars == [2, -1, 0.25])
    var c = a
    c += b
    c -= 1
    c *= 2
    c /= 4
    #expect(c.scalars == [2, -1.25, 2.5])
    #expect(a.scalars == [1, -2, 8], "value semantics")
  }

  @Test func literals() {
    let x = Tensor([1, 2])
    #expect((x + 1).scalars == [2, 3])
    #expect((0.5 * x + 1).scalars == [1.5, 2])
    #expect((2 * 3 - x / 2 + [1, 2]).scalars == [6.5, 7])
  }

  @Test func broadcasting() {
    let column = Tensor([1, 2], shape: [2, 1])
    let row = Tensor([10, 20, 30])
    #expect((column + row).scalars == [11, 21, 31, 12, 22, 32])
    #expect((column + row).shape == [2, 3])
    #expect((row - column).scalars == [9, 19, 29, 8, 18, 28])
    let block = Tensor((0..<12).map(Float.init), shape: [2, 3, 2])
    let middle = Tensor([100, 200, 300], shape: [1, 3, 1])
    #expect((block + middle).scalars == [100, 101, 202, 203, 304, 305, 106, 107, 208, 209, 310, 311])
    #expect(
      (block * Tensor([1, 10], shape: [2, 1, 1])).scalars == [0, 1, 2, 3, 4, 5, 60, 70, 80, 90, 100, 110])
  }

  @Test func emptyTensors() {
    let empty = Tensor([], shape: [0, 3])
    #expect((empty + [1, 2, 3]).shape == [0, 3])
    #expect((empty * 2).scalars == [])
    #expect((Tensor([], shape: [0, 1]) * Tensor([1, 2, 3])).shape == [0, 3])
  }

  @Test func infinities() {
    let x = Tensor([.infinity, -.infinity, .nan, 0])
    #expect(distance((x + 1).scalars, [.infinity, -.infinity, .nan, 1]) == 0)
    #expect(distance((1 / x).scalars, [0, 0, .nan, .infinity]) == 0)
    #expect(distance((x - x).scalars, [.nan, .nan, .nan, 0]) == 0)
  }

  @Test(arguments: shapePairs)
  func gradientsOfSumsAndProducts(_ shapes: [Shape]) throws {
    try expectGradients("+", shapes) { $0[0] + $0[1] }
    try expectGradients("-", shapes) { $0[0] - $0[1] }
    try expectGradients("*", shapes) { $0[0] * $0[1] }
  }

  @Test(arguments: shapePairs)
  func gradientsOfQuotients(_ shapes: [Shape]) throws {
    try expectGradients("/", shapes, in: 0.5...3) { $0[0] / $0[1] }
  }

  @Test func gradientsInClosedForm() throws {
    let a = Tensor([1, -2, 8])
    let b = Tensor([4, 0.5, -2])
    let w: [Float] = [1, 2, 3]
    #expect(try gradients(of: { $0[0] + $0[1] }, at: [a, b], weights: w) == [[1, 2, 3], [1, 2, 3]])
    #expect(try gradients(of: { $0[0] - $0[1] }, at: [a, b], weights: w) == [[1, 2, 3], [-1, -2, -3]])
    #expect(try gradients(of: { $0[0] * $0[1] }, at: [a, b], weights: w) == [[4, 1, -6], [1, -4, 24]])
    #expect(
      try gradients(of: { $0[0] / $0[1] }, at: [a, b], weights: w) == [[0.25, 4, -1.5], [-0.0625, 16, -6]])
  }

  @Test func aTensorUsedTwiceGetsBothGradients() throws {
    #expect(try gradients(of: { $0[0] * $0[0] + $0[0] }, at: [[3, 4]]) == [[7, 9]])
    #expect(try gradients(of: { $0[0] - $0[0] }, at: [[3, 4]]) == [[0, 0]])
    // The sum's gradient is one buffer for both sides, which must not be added to in place.
    #expect(try gradients(of: { ($0[0] + $0[1]) * 1 + $0[0] }, at: [[3], [4]]) == [[2], [1]])
  }

  @Test func detachedTensorsAreConstants() throws {
    #expect(try gradients(of: { $0[0].detached * $0[0] }, at: [[3, 4]]) == [[3, 4]])
    #expect(try gradients(of: { stopGradient($0[0]) * $0[0] }, at: [[3, 4]]) == [[3, 4]])
    #expect(try gradients(of: { stopGradient($0[0] * 2) }, at: [[3, 4]]) == [[0, 0]])
  }

  @Test func largeTensorsUseTeams() {
    // Above the size where a team of threads is asked for; the numbers are the same.
    let count = 1 << 17
    let x = Tensor((0..<count).map { Float($0 % 1000) }, shape: [count])
    let y = x * 2 + x
    #expect(y.withScalars { y in y.indices.allSatisfy { y[$0] == Float($0 % 1000 * 3) } })
  }
}
