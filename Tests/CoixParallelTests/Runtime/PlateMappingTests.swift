import Testing

@testable import CoixParallel

/// Data over a plate, and what a resampling does to it.
@Suite struct PlateMappingTests {
  @Test func indicesCompose() {
    let (first, second) = (RowIndex([3, 2, 1, 0]), RowIndex([0, 0, 3]))
    #expect(first.gathered(by: second).rows == [3, 3, 0])
  }

  @Test func gatheringTwiceIsGatheringOnce() {
    let data = Tensor([0, 1, 10, 11, 20, 21], shape: [3, 2])
    let mapped = data.mapped(plate: "p")
    #expect(mapped.shape == [2])
    #expect(mapped.isMapped)
    #expect(mapped.unmapped().scalars == data.scalars)
    let once = mapped.gathered(by: RowIndex([2, 2, 0, 1]), plate: "p")
    #expect(once.unmapped().scalars == [20, 21, 20, 21, 0, 1, 10, 11])
    let twice = once.gathered(by: RowIndex([3, 0]), plate: "p")
    #expect(twice.unmapped().scalars == [10, 11, 20, 21])
    #expect(twice.mappedOver?.rows == 2)
  }

  @Test func gradientsOfRepeatedGathers() throws {
    let result = try valueWithGradient(at: Tensor([1, 2, 3])) { data in
      let once = data.mapped(plate: "p").gathered(by: RowIndex([2, 2, 0, 1]), plate: "p")
      let twice = once.gathered(by: RowIndex([0, 1, 1, 3]), plate: "p").unmapped()
      return (twice * Tensor([1, 10, 100, 1_000])).sum()
    }
    #expect(result.value == 3 + 30 + 300 + 2_000)
    #expect(result.gradient.scalars == [0, 1_000, 111])
  }

  @Test func dataWithoutRowsIsRefused() {
    let plate = Plate("p", count: 3)
    #expect(
      plate.mapped(Tensor(1)).failure?.description
        == #"plate "p": data mapped over a plate needs rows (shapes [])"#)
    let poisoned = Tensor([1], shape: [2])
    #expect(plate.mapped(poisoned).failure == poisoned.failure)
    let tree = plate.mapped([Tensor([1, 2, 3]), Tensor([4, 5, 6])])
    #expect(tree.map(\.isMapped) == [true, true])
    #expect(tree.map { $0.mappedOver?.plate } == ["p", "p"])
  }
}
