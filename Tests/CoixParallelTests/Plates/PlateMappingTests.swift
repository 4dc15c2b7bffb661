import Testing

@testable import CoixParallel

/// Data over a plate, and what a resampling does to it.
@Suite struct PlateMappingTests {
  @Test func indicesCompose() throws {
    let (first, second) = try (RowIndex([3, 2, 1, 0]), RowIndex([0, 0, 3]))
    #expect(try RowIndex(first, then: second).array == [3, 3, 0])
  }

  @Test func gatheringTwiceIsGatheringOnce() throws {
    let data = Tensor([0, 1, 10, 11, 20, 21], shape: [3, 2])
    let mapped = data.mapped(plate: "p")
    #expect(mapped.shape == [2])
    #expect(mapped.isMapped)
    #expect(mapped.unmapped().scalars == data.scalars)
    let once = try RowGather(RowIndex([2, 2, 0, 1]), plate: "p")(mapped)
    #expect(once.unmapped().scalars == [20, 21, 20, 21, 0, 1, 10, 11])
    let twice = try RowGather(RowIndex([3, 0]), plate: "p")(once)
    #expect(twice.unmapped().scalars == [10, 11, 20, 21])
    #expect(twice.mappedOver?.rows == 2)
  }

  @Test func gradientsOfRepeatedGathers() throws {
    let result = try valueWithGradient(at: Tensor([1, 2, 3])) { data in
      let once = try RowGather(RowIndex([2, 2, 0, 1]), plate: "p")(data.mapped(plate: "p"))
      let twice = try RowGather(RowIndex([0, 1, 1, 3]), plate: "p")(once).unmapped()
      return (twice * Tensor([1, 10, 100, 1_000])).sum()
    }
    #expect(result.value == 3 + 30 + 300 + 2_000)
    #expect(result.gradient.scalars == [0, 1_000, 111])
  }

  /// What is done with row numbers is done once for all tensors that were gathered together.
  @Test func workIsSharedAmongTensors() throws {
    var context: ExecutionContext?
    let result = try valueWithGradient(at: Tensor([1, 2, 3])) { data in
      context = ExecutionContext.current
      let tensors = (1...5).map { (data * Tensor(Float($0))).mapped(plate: "p") }
      let first = try RowGather(RowIndex([2, 2, 0, 1]), plate: "p")
      let once = tensors.map { first($0) }
      #expect(first(tensors[0]).isSameMapped(as: once[0]))
      let second = try RowGather(RowIndex([0, 1, 1, 3]), plate: "p")
      #expect(context?.rowWork == RowWork(views: 6))
      let twice = once.map { second($0) }
      #expect(context?.rowWork == RowWork(views: 11), "nobody has read anything yet")
      return twice.reduce(Tensor(0)) { $0 + ($1.unmapped() * Tensor([1, 10, 100, 1_000])).sum() }
    }
    #expect(context?.rowWork == RowWork(compositions: 1, sorts: 1, views: 11, gathers: 5))
    #expect(result.gradient.scalars == [0, 15_000, 1_665])
  }

  /// What a tensor was gathered by in between is not kept, however many times it is.
  @Test func factorsWithoutReadersAreLetGo() throws {
    var tensor = Tensor([1, 2, 3]).mapped(plate: "p")
    weak var early: RowIndex?
    for time in 0..<50 {
      let index = try RowIndex([1, 2, 0])
      if time == 10 { early = index }
      let gather = RowGather(index, plate: "p")
      tensor = gather(tensor)
      try gather.finish()
    }
    #expect(early == nil)
    // A third of a turn, 50 times.
    #expect(tensor.unmapped().scalars == [3, 1, 2])
  }

  @Test func aDetachedTensorStaysDetached() throws {
    let result = try valueWithGradient(at: Tensor([1, 2, 3])) { data in
      let mapped = data.mapped(plate: "p")
      let gather = try RowGather(RowIndex([2, 2, 0]), plate: "p")
      return gather(mapped.detached).unmapped().sum() + 10 * gather(mapped).unmapped().sum()
    }
    #expect(result.value == 77)
    #expect(result.gradient.scalars == [10, 0, 20])
  }

  @Test func indicesAreSortedOnce() throws {
    let context = ExecutionContext.caller(team: 1)
    try context.withCurrent {
      let index = try RowIndex([2, 2, 0, 1])
      for _ in 0..<3 {
        guard case .sorted(let order, let offsets) = try index.arrangement(targets: 3) else {
          Issue.record("they do not ascend")
          return
        }
        #expect(Array(order) == [2, 3, 0, 1] && Array(offsets) == [0, 1, 2, 4])
      }
      #expect(context.rowWork == RowWork(sorts: 1))
      guard case .ascending = try RowIndex([0, 0, 2]).arrangement(targets: 3) else {
        Issue.record("they ascend")
        return
      }
      #expect(context.rowWork == RowWork(sorts: 1))
    }
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
