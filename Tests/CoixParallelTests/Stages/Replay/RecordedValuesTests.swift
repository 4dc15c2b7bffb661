import CoixKernels
import TestSupport
import Testing

@testable import CoixParallel

/// What follows from a list of operations: what differs from chunk to chunk, what is needed, where it lies.
@Suite struct RecordedValuesTests {
  private let list: RecordedOperations

  init() throws { list = try RecordedOperations() }

  private func liveOperations(wanted: [Storage] = []) -> [Bool] {
    var values = RecordedValues(list.recording, variation: .rows)
    let isLive = values.liveOperations(wanted: wanted.map { values.number(of: $0.pointer) })
    return isLive.indices.map { isLive[$0] && values.varies($0) }
  }

  // MARK: What runs for each chunk

  @Test func whatIsTheSameForAllChunksRunsOnce() throws {
    let (a, b, c, d, e) = try (list.value(), list.value(), list.value(), list.value(), list.value())
    list.fill(a)
    list.sine(a, to: b)
    list.load(c)
    list.add(b, c, to: d)
    list.sine(b, to: e)
    #expect(liveOperations(wanted: [d, e]) == [false, false, true, true, false])
    let values = RecordedValues(list.recording, variation: .rows)
    let layout = values.layout(
      of: liveOperations(wanted: [d, e]), wanted: [d, e].map { values.number(of: $0.pointer) })
    #expect(layout.offsets.map { $0 == nil } == [true, true, false, false, true])
    #expect(values.areComplete)
  }

  @Test func whatNobodyReadsDoesNotRun() throws {
    let (a, b, c, d) = try (list.value(), list.value(), list.value(), list.value())
    list.load(a)
    list.sine(a, to: b)
    list.sine(b, to: c)
    list.add(a, a, to: d)
    #expect(liveOperations() == [false, false, false, false])
    #expect(liveOperations(wanted: [b]) == [true, true, false, false])
    list.store(d)
    #expect(liveOperations() == [true, false, false, true, true])
    list.sum(c)
    #expect(liveOperations() == [true, true, true, true, true, true])
  }

  /// Of equal operations the first stands for the others, unless a value is written more than once.
  @Test func equalOperationsRunOnce() throws {
    let (a, b, c, d, e) = try (list.value(), list.value(), list.value(), list.value(), list.value())
    list.load(a)
    list.sine(a, to: b)
    list.load(c)
    list.sine(c, to: d)
    list.add(b, d, to: e)
    #expect(liveOperations(wanted: [e]) == [true, true, false, false, true])
    let values = RecordedValues(list.recording, variation: .rows)
    #expect(values.number(of: d.pointer) == values.number(of: b.pointer))
    #expect(values.places(of: 4).map(\.value) == [4, 1, 1])

    let other = try RecordedOperations()
    let (f, g, h) = try (other.value(), other.value(), other.value())
    other.load(f)
    other.load(g)
    other.accumulate(f, into: g)
    other.add(f, g, to: h)
    var unequal = RecordedValues(other.recording, variation: .rows)
    #expect(unequal.liveOperations(wanted: [unequal.number(of: h.pointer)]) == [true, true, true, true])
  }

  /// Exports write outside of the chunk, also those of numbers that are the same for all chunks.
  @Test func exportsAlwaysRun() throws {
    let a = try list.value()
    list.fill(a)
    list.store(a)
    list.sum(a)
    #expect(liveOperations() == [false, true, true])
  }

  /// If one part of a value differs from chunk to chunk, all of its parts are written anew.
  @Test func valuesThatAreWrittenInParts() throws {
    let (a, b, joined, read) = try (list.value(), list.value(), list.value(), list.value())
    list.fill(a)
    list.load(b)
    list.copy(a, part: 1, to: joined, part: 0)
    list.copy(b, part: 0, to: joined, part: 1)
    list.sine(joined, to: read)
    #expect(liveOperations(wanted: [read]) == [false, true, true, true, true])
  }

  /// What is updated in place starts anew for each chunk.
  @Test func updates() throws {
    let (sum, x) = try (list.value(), list.value())
    list.fill(sum)
    list.load(x)
    list.accumulate(x, into: sum)
    list.store(sum)
    #expect(liveOperations() == [true, true, true, true])
  }

  @Test func guardsRunIfTheirNumbersDiffer() throws {
    let (a, b, c) = try (list.value(), list.value(), list.value())
    list.fill(a)
    list.append(coix_op_is_within(a.pointer, -1, 1, 32))
    list.load(b)
    list.sine(b, to: c)
    list.append(coix_op_is_zero(c.pointer, 32))
    #expect(liveOperations() == [false, false, true, true, true])
  }

  /// The memory of a large buffer goes back to the system when nobody else refers to it, unless Swift code has
  /// written its numbers: these could not be computed again.
  @Test func memoryThatNobodyReads() throws {
    let recording = Recording(discardsUnread: true)
    let count = 2 * Limits.discardedBytes / MemoryLayout<Float>.stride
    let context = ExecutionContext.caller(team: 1)
    context.recording = recording
    try context.withCurrent {
      let addresses = try (0..<3).map { index in
        let storage = try Storage.made(count)
        storage.pointer.update(repeating: 5, count: count)
        if index == 1 { recording.noteConstant(storage.address, bytes: 0) }
        return storage.pointer
      }
      let kept = try Storage.made(count)
      kept.pointer.update(repeating: 5, count: count)
      _ = try Storage.made(count)
      #expect(addresses.map { $0[count / 2] } == [0, 5, 0] && kept.pointer[count / 2] == 5)
      #expect(recording.buffers.count == 5 && recording.hasBuffer(at: addresses[0]))
    }
    context.recording = nil
  }

  // MARK: What is known

  @Test func valuesThatNoOperationWrites() throws {
    let (a, b) = try (list.value(), list.value())
    list.sine(a, to: b)
    #expect(!RecordedValues(list.recording, variation: .rows).areComplete)
    #expect(ChunkPlan(list.recording, of: list.grid[0], gradients: []) == nil)
    list.recording.noteConstant(a.pointer, bytes: 0)
    #expect(RecordedValues(list.recording, variation: .rows).areComplete)
    #expect(ChunkPlan(list.recording, of: list.grid[0], gradients: []) != nil)
  }

  /// A value that is updated before it is written, and one that is written after it is read.
  @Test func valuesThatAreWrittenTooLate() throws {
    let (a, b) = try (list.value(), list.value())
    list.fill(b)
    list.accumulate(b, into: a)
    #expect(!RecordedValues(list.recording, variation: .rows).areComplete)
    let other = try RecordedOperations()
    let (c, d) = try (other.value(), other.value())
    other.sine(c, to: d)
    other.fill(c)
    #expect(!RecordedValues(other.recording, variation: .rows).areComplete)
  }

  /// Only exports write to memory that others see.
  @Test func writesToOtherMemory() throws {
    let a = try list.value()
    list.load(a)
    list.append(coix_op_copy(a.pointer, 0, 1, list.target.pointer, 0, 1, 16))
    #expect(!RecordedValues(list.recording, variation: .rows).areComplete)
  }

  @Test func refusedRecordings() throws {
    let a = try list.value()
    list.load(a)
    list.store(a)
    #expect(ChunkPlan(list.recording, of: list.grid[0], gradients: []) != nil)
    list.recording.refuse()
    #expect(ChunkPlan(list.recording, of: list.grid[0], gradients: []) == nil)
  }

  /// In a chunk: a tensor that is filled by hand, and the same filled as it should be.
  @Test func tensorsThatAreFilledByHand() throws {
    func isComplete(_ fill: (Tensor) -> Void) throws -> Bool {
      try inChunk(rows: 16) { chunk in
        let recording = Recording()
        chunk.context.recording = recording
        let tensor = try #require(Tensor(undefined: [3]))
        fill(tensor)
        _ = exp(tensor)
        return RecordedValues(recording, variation: .rows).areComplete
      }
    }
    let byHand = try isComplete { $0.pointer.update(repeating: 1, count: 3) }
    let noted = try isComplete { tensor in tensor.write { $0.update(repeating: 1, count: 3) } }
    #expect(!byHand && noted)
  }

  /// What all operations of the library record: everything that is read was written before, and what is the same
  /// for all chunks is not written any more once something that differs has read it. A plan keeps its last
  /// numbers.
  @Test(arguments: ReplayCase.all)
  func valuesAreWholeBeforeTheyAreRead(_ example: ReplayCase) throws {
    let recording = Recording()
    let tape = Tape()
    try inChunk(rows: 16, tape: tape) { chunk in
      chunk.context.recording = recording
      let inputs = example.shapes.indices.map { input in
        let shape = example.shapes[input]
        let numbers = Array(repeating: example.domain.upperBound, count: 16 * shape.elementCount)
        let mapped = Tensor(numbers, shape: Shape([16]).appending(shape)).mapped(plate: "p")
        let tensor =
          example.uniform.contains(input)
          ? Tensor(numbers, shape: Shape([16]).appending(shape))[0] : chunk.context.local(mapped)
        return tensor.tracked(node: tape.append(shape: shape, stride: tensor.stride, .none), tape: tape.id)
      }
      let output = try example.function(inputs).validated()
      if output.node >= 0 {
        tape.add(chunk.context.seed(from: Tensor(1), like: tape.form(of: output.node)), to: output.node)
        try tape.pullBack()
      }
    }
    let values = RecordedValues(recording, variation: .rows)
    #expect(values.areComplete || example.isGuarded)
    let operations = recording.operations
    let varies = operations.indices.map(values.varies)
    var isRead = Set<Int>()
    for index in operations.indices {
      let places = values.places(of: index)
      for place in places.prefix(operations[index].writes) where !varies[index] {
        #expect(!isRead.contains(place.value), "operation \(index) of code \(operations[index].code)")
      }
      if varies[index] { isRead.formUnion(places.map(\.value).filter { $0 >= 0 }) }
    }
  }

  // MARK: The arena

  /// Values that are needed at the same time have places of their own; other places are used again.
  @Test(arguments: 0..<200)
  func layoutsOfRandomLists(_ seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let list = try RandomOperations(&random)
    let recording = list.operations.recording
    var values = RecordedValues(recording, variation: .rows)
    let wanted = list.wanted.map { values.number(of: $0.pointer) }
    let isNeeded = values.liveOperations(wanted: wanted)
    let isLive = isNeeded.indices.map { isNeeded[$0] && values.varies($0) }
    let layout = values.layout(of: isLive, wanted: wanted)

    // When each value is needed: from the first live operation that mentions it to the last.
    var lives: [Int: ClosedRange<Int>] = [:]
    for index in recording.operations.indices where isLive[index] {
      for place in values.places(of: index) where place.value >= 0 {
        lives[place.value] = (lives[place.value]?.lowerBound ?? index)...index
      }
    }
    for value in wanted {
      if let life = lives[value] { lives[value] = life.lowerBound...recording.operations.count }
    }
    let placed = lives.compactMap { value, life in
      layout.offsets[value].map { (life, $0..<$0 + recording.buffers[value].bytes) }
    }
    var mostAtOnce = 0
    for (life, place) in placed {
      #expect(place.lowerBound % 64 == 0 && place.upperBound <= layout.bytes)
      let others = placed.filter { $0.0.contains(life.lowerBound) }
      mostAtOnce = max(mostAtOnce, others.reduce(0) { $0 + $1.1.count })
      #expect(others.count { $0.1.overlaps(place) } == 1, "only itself")
    }
    // A first fit may leave gaps, but not many.
    #expect(layout.bytes <= 2 * mostAtOnce)
    for value in recording.buffers.indices where lives[value] == nil {
      #expect(layout.offsets[value] == nil)
    }
  }

  // MARK: Plans

  /// A plan exports what its whole list exports, on each chunk.
  @Test(arguments: 0..<200)
  func plansOfRandomLists(_ seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let list = try RandomOperations(&random)
    let expected = list.operations.runAll()
    let wanted = list.wanted.map { Tensor(storage: $0, shape: [32]) }
    let plan = try #require(
      ChunkPlan(
        list.operations.recording, of: list.operations.grid[0],
        gradients: wanted.enumerated().map { (parentNode: Int32($0.offset), tensor: $0.element) }))
    #expect(list.operations.run(plan) == expected)

    // The gradients, too.
    for chunk in [2, 0, 3] {
      list.operations.inContext(of: chunk) { context in
        let operations = list.operations.recording.operations
        _ = coix_execute(operations, operations.count, context.place)
        let expected = wanted.map { $0.scalars.map(\.bitPattern) }
        var found = expected.map { _ in [UInt32]() }
        let hasRun = plan.run(context) { gradient, address in
          #expect(gradient.shape == [32])
          found[Int(gradient.parentNode)] = (0..<32).map { address[$0].bitPattern }
        }
        #expect(hasRun && found == expected)
      }
    }
  }
}

/// Operations at random: each reads values that are there and writes a new one, or adds to one that nobody has
/// read yet.
private struct RandomOperations {
  let operations: RecordedOperations
  /// Values whose numbers are asked for in the end.
  private(set) var wanted: [Storage] = []

  init(_ random: inout SplitMix) throws {
    operations = try RecordedOperations()
    var values: [Storage] = []
    var unread: [Storage] = []
    func new(_ list: RecordedOperations, _ write: (Storage) -> Void) throws {
      let value = try list.value()
      write(value)
      values.append(value)
      unread.append(value)
    }
    func any(_ random: inout SplitMix) -> Storage {
      // Values made lately are read more often.
      let value =
        values.suffix(Bool.random(using: &random) ? 4 : 20).randomElement(using: &random) ?? values[0]
      unread.removeAll { $0 === value }
      return value
    }
    let list = operations
    try new(list) { list.fill($0, 0.5) }
    try new(list) { list.load($0) }
    for _ in 0..<Int.random(in: 5..<60, using: &random) {
      switch Int.random(in: 0..<12, using: &random) {
      case 0: try new(list) { list.fill($0, Float(values.count)) }
      case 1: try new(list) { list.load($0) }
      case 2, 3:
        let x = any(&random)
        try new(list) { list.sine(x, to: $0) }
      case 4, 5, 6:
        let (a, b) = (any(&random), any(&random))
        try new(list) { list.add(a, b, to: $0, op: COIX_SUBTRACT) }
      case 7:
        let (a, b) = (any(&random), any(&random))
        try new(list) {
          list.copy(a, part: 1, to: $0, part: 0)
          list.copy(b, part: 0, to: $0, part: 1)
        }
      case 8, 9:
        let x = any(&random)
        guard let sum = unread.randomElement(using: &random) else { continue }
        list.accumulate(x, into: sum)
      case 10: list.store(any(&random))
      default: list.sum(any(&random))
      }
    }
    wanted = (0..<3).map { _ in any(&random) }
    list.store(any(&random))
  }
}
