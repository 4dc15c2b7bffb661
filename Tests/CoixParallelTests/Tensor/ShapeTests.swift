import Testing

@testable import CoixParallel

@Suite struct ShapeTests {
  @Test func describesItself() {
    let shape: Shape = [2, 3, 4]
    #expect(shape.rank == 3)
    #expect(shape.elementCount == 24)
    #expect(Array(shape) == [2, 3, 4])
    #expect(shape.description == "[2, 3, 4]")
    #expect(Shape.scalar.description == "[]")
    #expect(Shape.scalar.elementCount == 1)
    #expect(Array(Shape([1, 2, 3, 4, 5, 6, 7, 8])) == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test(arguments: [
    [1, 1, 1, 1, 1, 1, 1, 1, 1], [-1], [2, -3], [1 << 40], [1 << 20, 1 << 21], [0, 1 << 30, 1 << 30],
    [Int.max, Int.max],
  ])
  func refusesIllegalSizes(_ sizes: [Int]) {
    let shape = Shape(sizes)
    #expect(!shape.isValid)
    #expect(shape.description == "[invalid]")
    #expect(Tensor(repeating: 0, shape: shape).failure != nil)
    #expect(Tensor([], shape: shape).failure != nil)
  }

  @Test func aZeroMakesNoLargeShapeLegal() {
    // Whatever part of the axes an operation multiplies, the product fits.
    #expect(!Shape([1 << 30, 1 << 30, 0]).isValid)
    #expect(!Shape([0, 1 << 30, 1 << 30]).isValid)
    #expect(Shape([1 << 20, 0, 1 << 20]).isValid)
    #expect(Shape([1 << 20, 0, 1 << 20]).elementCount == 0)
  }

  @Test func appends() {
    #expect(Shape([2]).appending([3, 4]) == [2, 3, 4])
    #expect(!Shape([1, 1, 1, 1, 1]).appending([1, 1, 1, 1]).isValid)
  }

  @Test func broadcasts() {
    #expect(Shape.broadcast([2, 3], [3]) == [2, 3])
    #expect(Shape.broadcast([2, 1], [4]) == [2, 4])
    #expect(Shape.broadcast([], [4]) == [4])
    #expect(Shape.broadcast([1], [0]) == [0])
    #expect(Shape.broadcast([2, 3], [2]) == nil)
    #expect(Shape.broadcast([0], [2]) == nil)
    #expect(Shape.broadcast([1 << 30, 1], [1 << 30]) == nil, "the result would be illegal")
  }

  @Test func normalizesAxes() {
    let shape: Shape = [2, 3]
    #expect(shape.normalizedAxis(0) == 0)
    #expect(shape.normalizedAxis(-1) == 1)
    #expect(shape.normalizedAxis(2) == nil)
    #expect(shape.normalizedAxis(-3) == nil)
    #expect(Shape.scalar.normalizedAxis(0) == nil)
    #expect(shape.normalizedAxis(.min) == nil)
    #expect(shape.normalizedInsertion(2) == 2)
    #expect(shape.normalizedInsertion(-1) == 2)
    #expect(shape.normalizedInsertion(3) == nil)
  }
}
