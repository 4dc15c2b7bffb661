import CoixKernels
import Foundation
import Synchronization
import Testing

@testable import CoixParallel

/// A parallel region: every task once, the first error, cancellation.
@Suite struct WorkersTests {
  struct Failure: Error, Equatable { let task: Int }

  @Test(arguments: [0, -1, Int.min])
  func aNumberOfThreadsBelowOne(_ threads: Int) {
    let error = #expect(throws: CoixError.self) { try Workers(threads: threads) }
    #expect(error == .threads(threads))
    #expect(error?.description == "the number of threads must be at least 1, is \(threads)")
  }

  @Test func theTeamNeverExceedsTheCores() throws {
    #expect(try Workers(threads: 1).team == 1)
    #expect(try Workers(threads: 1_000).team == Workers.standard.threads)
    #expect(Workers.standard.team == Workers.standard.threads)
  }

  @Test(arguments: [1, 2, 3, 16, 1_000], [nil, 1, 2] as [UInt64?])
  func everyTaskRunsOnce(_ threads: Int, _ shuffleSeed: UInt64?) throws {
    let workers = try Workers(threads: threads, shuffleSeed: shuffleSeed)
    for tasks in [0, 1, 2, 7, 128, 1_000] {
      let runs = Mutex([Int](repeating: 0, count: tasks))
      try workers.run(tasks: tasks) { task, _, _ in runs.withLock { $0[task] += 1 } }
      #expect(runs.withLock { $0 } == [Int](repeating: 1, count: tasks), "\(tasks) tasks")
    }
  }

  /// What workers or a team share is in a region, be it by one thread; a single task, or a small tensor, is not.
  @Test(arguments: [1, 2]) func workThatIsSharedIsInRegions(_ threads: Int) throws {
    let workers = try Workers(threads: threads)
    func seconds(_ work: () throws -> Void) rethrows -> Double {
      let before = Workers.regionSeconds
      try work()
      return Workers.regionSeconds - before
    }
    func run(tasks: Int) throws { try workers.run(tasks: tasks) { _, _, _ in usleep(2_000) } }
    #expect(try seconds { try run(tasks: 1) } == 0)
    #expect(try (0.002..<60).contains(seconds { try run(tasks: 4) }))
    ExecutionContext.caller(team: workers.team).withCurrent {
      let (small, large) = (Tensor.zeros([100]), Tensor.zeros([1 << 20]))
      #expect(seconds { _ = exp(small) } == 0)
      #expect(seconds { _ = exp(large) } > 0)
    }
  }

  @Test func shufflesAreFixedByTheirSeed() throws {
    func order(_ seed: UInt64?) throws -> [Int] {
      let order = Mutex<[Int]>([])
      try Workers(threads: 1, shuffleSeed: seed).run(tasks: 50) { task, _, _ in
        order.withLock { $0.append(task) }
      }
      return order.withLock { $0 }
    }
    let identity = Array(0..<50)
    #expect(try order(nil) == identity)
    #expect(try order(1) != identity)
    #expect(try order(1).sorted() == identity)
    #expect(try order(1) == order(1))
    #expect(try order(1) != order(2))
  }

  // MARK: Contexts

  @Test(arguments: [1, 3])
  func eachWorkerHasAContextOfItsOwn(_ threads: Int) throws {
    #expect(ExecutionContext.current == nil)
    try Workers(threads: threads).run(tasks: 20) { _, context, _ in
      #expect(ExecutionContext.current === context)
      #expect(context.pool != nil)
      #expect(context.tape == nil)
      #expect(context.team == 1)
      #expect(!context.isCaller)
    }
    #expect(ExecutionContext.current == nil)
  }

  /// Contexts that work at the same time don't share buffers.
  @Test func buffersAreNotShared() throws {
    let pools = Mutex<[ObjectIdentifier: Int]>([:])
    try Workers(threads: 3).run(tasks: 60) { _, context, _ in
      guard let pool = context.pool else { return }
      let inUse = pools.withLock { pools in
        pools[ObjectIdentifier(pool), default: 0] += 1
        return pools[ObjectIdentifier(pool)]
      }
      #expect(inUse == 1)
      // Something to do, so that tasks overlap.
      let sum = (0..<100).reduce(Tensor(0)) { $0 + Tensor(Float($1)) }
      #expect(sum.scalar == 4_950)
      pools.withLock { $0[ObjectIdentifier(pool), default: 0] -= 1 }
    }
  }

  @Test func aSingleTaskOnTheCallerHasTheTeam() throws {
    let workers = try Workers(threads: 2)
    try workers.run(tasks: 1) { _, context, _ in #expect(context.team == workers.team) }
  }

  // MARK: Errors

  @Test func theErrorEndsTheRegion() throws {
    let runs = Counter()
    #expect(throws: Failure(task: 3)) {
      try Workers(threads: 1).run(tasks: 10) { task, _, _ in
        runs.add(1)
        if task == 3 || task == 5 { throw Failure(task: task) }
      }
    }
    #expect(runs.value == 4)
    #expect(ExecutionContext.current == nil)
  }

  /// Of several errors, that of the first task, in whatever order they are taken.
  @Test(arguments: [1, 2, 3, 16], [nil, 1, 2, 3] as [UInt64?])
  func theFirstErrorWins(_ threads: Int, _ shuffleSeed: UInt64?) throws {
    for first in [0, 1, 17, 99] {
      #expect(throws: Failure(task: first)) {
        try Workers(threads: threads, shuffleSeed: shuffleSeed).run(tasks: 100) { task, _, _ in
          if task >= first { throw Failure(task: task) }
        }
      }
    }
    // And the workers are as good as before.
    let runs = Counter()
    try Workers(threads: threads).run(tasks: 100) { _, _, _ in runs.add(1) }
    #expect(runs.value == 100)
  }

  // MARK: Cancellation

  @Test(arguments: [1, 3])
  func cancellationBetweenTasks(_ threads: Int) async throws {
    let runs = Counter()
    let handle = Mutex<Task<Void, any Error>?>(nil)
    let isReady = Atomic<Bool>(false)
    let task = Task {
      while !isReady.load(ordering: .acquiring) { await Task.yield() }
      try Workers(threads: threads).run(tasks: 100_000) { _, _, _ in
        runs.add(1)
        if runs.value >= 5 { handle.withLock { $0?.cancel() } }
      }
    }
    handle.withLock { $0 = task }
    isReady.store(true, ordering: .releasing)
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(runs.value < 100_000)
    if threads == 1 { #expect(runs.value == 5) }
  }

  @Test func aTaskThatIsCancelledAlready() async throws {
    let runs = Counter()
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      try Workers(threads: 1).run(tasks: 10) { _, _, _ in runs.add(1) }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(runs.value == 0)
  }

  /// Tasks behind an error that is known don't begin, and are told to stop; those before it go on.
  @Test(arguments: [1, 2, 3] as [UInt64])
  func tasksBehindAnErrorAreLeftOut(_ shuffleSeed: UInt64) throws {
    let order = Mutex<[Int]>([])
    #expect(throws: Failure(task: 2)) {
      try Workers(threads: 1, shuffleSeed: shuffleSeed).run(tasks: 60) { task, _, shouldStop in
        order.withLock { $0.append(task) }
        let stops = shouldStop()
        #expect(!stops)
        if task % 10 == 2 { throw Failure(task: task) }
      }
    }
    let begun = order.withLock { $0 }
    #expect(Set(begun).isSuperset(of: 0...2))
    // After an error only tasks before it.
    for (position, task) in begun.enumerated() where task % 10 == 2 {
      #expect(begun[(position + 1)...].allSatisfy { $0 < task })
    }
    #expect(begun.count < 60)
  }

  /// A cancellation that kept tasks before the error from running, of which one may have an error, too.
  @Test func anErrorBehindACancellation() async throws {
    let task = Task {
      try Workers(threads: 1, shuffleSeed: 1).run(tasks: 10) { task, _, _ in
        guard task > 0 else { return }
        withUnsafeCurrentTask { $0?.cancel() }
        throw Failure(task: task)
      }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  /// An error says more than a cancellation that came with it.
  @Test func anErrorAndACancellation() async throws {
    let task = Task {
      try Workers(threads: 1).run(tasks: 10) { task, _, _ in
        withUnsafeCurrentTask { $0?.cancel() }
        throw Failure(task: task)
      }
    }
    await #expect(throws: Failure(task: 0)) { try await task.value }
  }
}

/// Counts across threads.
final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .relaxed) }
  func add(_ number: Int) { count.add(number, ordering: .relaxed) }
}
