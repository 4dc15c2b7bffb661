import CoixKernels
import Testing

@testable import CoixParallel

/// Plans: which chunks they are for, and when a chunk has to be run by the program after all.
@Suite struct ChunkPlanTests {
  private let list: RecordedOperations

  init() throws { list = try RecordedOperations() }
  /// A stage whose first chunk, which has no rows, runs here.
  private let oneChunk = ChunkTasks(grid: nil, workers: .inOrder)

  private func plan(of chunk: Int = 0) throws -> ChunkPlan {
    try #require(ChunkPlan(list.recording, of: list.grid[chunk], gradients: []))
  }

  private func run(_ plan: ChunkPlan, _ chunk: Int) -> Bool {
    list.inContext(of: chunk) { plan.run($0) { _, _ in } }
  }

  // MARK: Which chunks

  @Test func onlyChunksOfTheSameForm() throws {
    let value = try list.value()
    list.load(value)
    list.store(value)
    let plans = ChunkPlans(recordingFrom: 0, allForms: false, of: oneChunk)
    plans.add(try plan())
    for chunk in 0..<4 { #expect(plans.plan(for: list.grid[chunk]) != nil) }
    let shorter = ChunkGrid(PlateRows(particles: 60), chunkRows: 16)
    #expect(plans.plan(for: shorter[2]) != nil && plans.plan(for: shorter[3]) == nil)
    #expect(plans.plan(for: .none) == nil)
  }

  /// As many rows are not enough: a chunk has as many of each plate.
  @Test func chunksOfNestedPlates() throws {
    let value = try list.value()
    list.load(value)
    list.store(value)
    let grid = ChunkGrid(PlateRows(particles: 18, instances: 40), chunkRows: 64)
    let plans = ChunkPlans(recordingFrom: 0, allForms: false, of: oneChunk)
    plans.add(ChunkPlan(list.recording, of: grid[0], gradients: []))
    let forms = (0..<grid.chunkCount).map { [grid[$0].particles.count, grid[$0].instances.count] }
    #expect(Set(forms) == [[4, 14], [4, 12], [2, 14], [2, 12]])
    for (chunk, form) in forms.enumerated() {
      #expect((plans.plan(for: grid[chunk]) != nil) == (form == [4, 14]))
    }
    let turned = ChunkRows(
      particles: 0..<14, instances: 0..<4, plate: PlateRows(particles: 18, instances: 40))
    #expect(turned.count == grid[0].count && plans.plan(for: turned) == nil)
  }

  /// Which chunks are recorded: one alone, or one of each form from some chunk on.
  @Test func chunksThatAreRecorded() {
    let grid = ChunkGrid(PlateRows(particles: 18, instances: 40), chunkRows: 64)
    func claimed(_ plans: ChunkPlans) -> [Int] {
      (0..<grid.chunkCount).filter { plans.claims($0, grid[$0]) }
    }
    #expect(claimed(ChunkPlans(recordingFrom: nil, allForms: true, of: oneChunk)) == [])
    #expect(claimed(ChunkPlans(recordingFrom: 0, allForms: false, of: oneChunk)) == [0])
    #expect(claimed(ChunkPlans(recordingFrom: 1, allForms: false, of: oneChunk)) == [1])
    #expect(claimed(ChunkPlans(recordingFrom: 0, allForms: true, of: oneChunk)) == [0, 2, 12, 14])
    let alone = ChunkPlans(recordingFrom: 1, allForms: false, of: oneChunk)
    #expect((0..<3).map(alone.mayClaim) == [false, true, false])
    #expect(alone.plan(for: grid[0]) == nil)
    alone.add(nil)
    #expect(alone.plan(for: grid[0]) == nil, "an incomplete recording gives no plan")
  }

  // MARK: Guards

  /// A list that exports the rows if they are finite; one row of `infinite` chunks is not.
  private func makeGuardedList(infinite: [Int], expected: Bool = true) throws {
    let value = try list.value()
    list.load(value)
    var check = coix_op_is_within(value.pointer, -100, 100, 32)
    check.variant = expected ? 1 : 0
    list.append(check)
    list.store(value)
    for chunk in infinite { list.source.pointer[2 * 16 * chunk + 5] = .infinity }
  }

  @Test func aChunkThatTakesAnotherWay() throws {
    try makeGuardedList(infinite: [2])
    let plan = try plan()
    list.clear()
    let before = list.exported
    #expect(
      list.inContext(of: 2) { plan.run($0) { _, _ in Issue.record("it has not run to the end") } } == false)
    #expect(list.exported == before, "nothing is exported behind the guard")
    for chunk in [0, 1, 3] { #expect(run(plan, chunk)) }
    let isWritten = (0..<128).map { list.target.pointer[$0] == list.source.pointer[$0] }
    #expect(isWritten == (0..<128).map { !(64..<96).contains($0) })
  }

  /// The recorded chunk may itself have taken the rarer way.
  @Test func guardsThatAreExpectedToFail() throws {
    try makeGuardedList(infinite: [1, 3], expected: false)
    let plan = try plan(of: 1)
    #expect((0..<4).map { run(plan, $0) } == [false, true, false, true])
  }

  /// A plan whose guards fail more often than not is given up, and counts as one of no chunk.
  @Test func plansThatFailTooOften() throws {
    try makeGuardedList(infinite: [1, 3])
    let plan = try plan()
    for _ in 0..<2 {
      #expect(!run(plan, 1))
      #expect(plan.pays)
    }
    #expect(run(plan, 0))
    for chunk in [1, 3] { #expect(!run(plan, chunk)) }
    #expect(!plan.pays)
    let plans = ChunkPlans(recordingFrom: 0, allForms: false, of: oneChunk)
    plans.add(plan)
    #expect(plans.plan(for: list.grid[0]) == nil)
  }

  // MARK: Gradients

  /// A gradient is in the arena, or is the same for all chunks.
  @Test func gradients() throws {
    let (constant, varying) = try (list.value(), list.value())
    list.fill(constant, 3)
    list.load(varying)
    _ = list.runAll()
    let tensors = [constant, varying].map { Tensor(storage: $0, shape: [32]) }
    let wanted: [(parentNode: Int32, tensor: Tensor)] = [(7, tensors[0]), (4, tensors[1])]
    let plan = try #require(ChunkPlan(list.recording, of: list.grid[0], gradients: wanted))
    var found: [Int32: [Float]] = [:]
    for chunk in 0..<4 {
      let hasRun = list.inContext(of: chunk) { context in
        plan.run(context) { gradient, address in
          found[gradient.parentNode] = Array(
            UnsafeBufferPointer(start: address, count: gradient.shape.elementCount))
        }
      }
      #expect(hasRun)
      #expect(found[7] == Array(repeating: 3, count: 32))
      // A chunk has element after element, the plate row after row.
      let rows = (0..<32).map { list.source.pointer[2 * (16 * chunk + $0 % 16) + $0 / 16] }
      #expect(found[4] == rows)
    }
  }

  // MARK: As a part of a step

  /// Exports that nobody needs are left out, with what only they need, and so are the addresses that this reads.
  @Test func exportsThatNobodyNeeds() throws {
    let (value, other) = try (list.value(), list.value())
    list.load(value)
    list.sum(value)
    let unread = try Storage.made(128)
    list.append(coix_op_load_rows(unread.pointer, nil, other.pointer, 16, 2, 0))
    list.store(other)
    let plan = try plan()
    #expect(plan.readings == [list.source.address, unread.address].map { UnsafeRawPointer($0) })
    #expect(plan.writes == Set([list.target.address, list.sums.address].map { UnsafeRawPointer($0) }))
    list.clear()
    plan.narrow { $0 != UnsafeRawPointer(list.target.pointer) }
    #expect(plan.readings == [UnsafeRawPointer(list.source.address)])
    for chunk in 0..<4 { #expect(run(plan, chunk)) }
    #expect((0..<128).allSatisfy { list.target.pointer[$0] == 99 }, "nothing is stored")
    #expect((0..<4).allSatisfy { list.sums.doubles[$0] != 0 })
  }

  /// What a plan reads and writes may move, also what it computes once for all chunks.
  @Test func memoryThatMoves() throws {
    let (constant, value, sum) = try (list.value(), list.value(), list.value())
    list.append(coix_op_copy(list.source.pointer, 0, 1, constant.pointer, 0, 1, 32))
    list.load(value)
    list.add(value, constant, to: sum)
    list.store(sum)
    let expected = list.runAll()
    let plan = try plan()
    for chunk in 0..<4 { #expect(run(plan, chunk)) }
    let source = try Storage.made(128)
    source.pointer.update(from: list.source.pointer, count: 128)
    list.source.pointer.update(repeating: 7, count: 128)
    list.clear()
    plan.move { $0 == UnsafeRawPointer(list.source.pointer) ? source.address : nil }
    #expect(plan.prepare())
    for chunk in 0..<4 { #expect(run(plan, chunk)) }
    #expect(list.exported == expected)
    let target = try Storage.made(128)
    list.clear()
    plan.move { $0 == UnsafeRawPointer(list.target.pointer) ? target.address : nil }
    for chunk in 0..<4 { #expect(run(plan, chunk)) }
    #expect((0..<128).map { target.pointer[$0].bitPattern } == Array(expected.prefix(128)))
    #expect((0..<128).allSatisfy { list.target.pointer[$0] == 99 })
  }

  // MARK: Memory

  // nonisolated(unsafe): one test uses it.
  nonisolated(unsafe) private static var neverReleased: [Storage] = []

  /// Without memory for an arena, the program runs.
  @Test func anArenaThatCannotBeHad() throws {
    // More than can be addressed, and above all other memory. Nobody touches it: it is never released.
    let address = try #require(UnsafeMutablePointer<Float>(bitPattern: 1 << 60))
    let huge = Storage(adopting: address, capacity: 1 << 46)
    Self.neverReleased.append(huge)
    list.recording.keep(huge)
    list.load(huge)
    list.store(huge)
    let plan = try plan()
    list.clear()
    let before = list.exported
    #expect(!run(plan, 0))
    #expect(list.exported == before)
  }

  /// Several workers run a plan at the same time, each in an arena of its own.
  @Test func severalWorkers() throws {
    let (value, sine) = try (list.value(), list.value())
    list.load(value)
    list.sine(value, to: sine)
    list.store(sine)
    let expected = list.runAll()
    let plan = try plan()
    list.clear()
    let grid = list.grid
    try Workers(threads: 3).run(tasks: 400) { task, context, _ in
      context.take(grid[task % 4], task % 4)
      guard plan.run(context, { _, _ in }) else { throw CoixError.argument("task \(task) has not run") }
    }
    #expect(list.exported == expected)
  }
}
