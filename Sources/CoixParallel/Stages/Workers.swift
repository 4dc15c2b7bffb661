import CoixKernels
import Dispatch
import Foundation
import Synchronization

/// The threads that an evaluation may use.
///
/// Work is cut into tasks whose number depends on the problem alone; each worker takes the next task from a
/// shared counter until none is left. Results therefore don't depend on the number of threads.
public final class Workers: Sendable {
  /// The number of workers that a parallel region starts; it may exceed the number of cores.
  public let threads: Int
  /// Threads for work outside of the workers: never more than there are cores, since those that wait spin.
  package let team: Int
  /// The ranks that an evaluation's work is divided among before it is divided among these threads.
  public let ranks: Ranks
  /// A fixed shuffle of the tasks' order, for tests; nil takes them in order.
  let shuffleSeed: UInt64?

  /// Parallel regions that run at the moment, of all workers of the process.
  private static let running = Atomic<Int>(0)

  /// One worker for each core that the process may use.
  public static let standard = Workers(ranks: .alone)

  /// The cores that the process may run on. Asking for them the first time has `DispatchQueue.concurrentPerform` call in the
  /// threads that help with shared work: workers, and teams that share a kernel's work.
  private static let cores: Int = {
    coix_set_helper_source { count in
      DispatchQueue.global().async {
        DispatchQueue.concurrentPerform(iterations: Int(count)) { _ in coix_help() }
      }
    }
    return Int(coix_cores())
  }()

  /// One worker, which takes the tasks in their own order.
  static let inOrder = Workers(unchecked: 1, .alone, shuffleSeed: nil)

  /// Workers on `threads` threads.
  ///
  /// - Parameters:
  ///   - threads: the number of threads, which may exceed the number of cores.
  ///   - ranks: the ranks that share the work; each of them has so many threads.
  ///   - shuffleSeed: takes the tasks in an order drawn from this seed instead of their own. Results stay the
  ///     same; tests use it to show that.
  /// - Throws: ``CoixError/threads(_:)`` for a number below one.
  public convenience init(threads: Int, ranks: Ranks = .alone, shuffleSeed: UInt64? = nil) throws {
    guard threads >= 1 else { throw CoixError.threads(threads) }
    self.init(unchecked: threads, ranks, shuffleSeed: shuffleSeed)
  }

  /// One worker for each core that this rank may use. Ranks that may use the same cores divide them evenly.
  public convenience init(ranks: Ranks) {
    self.init(unchecked: max(Self.cores / ranks.sharers, 1), ranks, shuffleSeed: nil)
  }

  private init(unchecked threads: Int, _ ranks: Ranks, shuffleSeed: UInt64?) {
    self.threads = threads
    self.team = min(threads, Self.cores)
    self.ranks = ranks
    self.shuffleSeed = shuffleSeed
  }

  /// Wall time that the calling thread has spent within parallel regions so far, in seconds: while workers
  /// took several tasks, or a team of threads shared a kernel's work. Work that would be shared if there
  /// were more threads counts, too. What remains of an evaluation's time is serial: one thread alone works.
  public static var regionSeconds: Double { Double(coix_get_region_nanoseconds()) * 1e-9 }

  /// Whether a parallel region runs at the moment, of any workers. Asking allocates nothing, so that an
  /// allocator may ask.
  package static var isRunning: Bool { running.load(ordering: .relaxed) > 0 }

  /// Runs `body` for each task, concurrently, and waits.
  ///
  /// Each worker has an ``ExecutionContext`` with buffers of its own. If a task has an error, the tasks
  /// before it in order still run, since one of them may have an error, too; the tasks after it don't.
  /// Cancellation of the caller's (Swift) task is noticed between tasks, and by a body that asks whether it
  /// should stop.
  ///
  /// - Throws: the error of the first task that has one, in the tasks' own order: the same for any number of
  ///   threads and any shuffle. `CancellationError`, unless all tasks before that error have run.
  func run(
    tasks: Int, _ body: @Sendable (_ task: Int, ExecutionContext, _ shouldStop: () -> Bool) throws -> Void
  ) throws {
    Self.running.add(1, ordering: .relaxed)
    defer { Self.running.subtract(1, ordering: .relaxed) }
    let start = DispatchTime.now().uptimeNanoseconds
    let regionsBefore = coix_get_region_nanoseconds()
    defer {
      // Regions within this one, of the caller's own tasks, don't count twice.
      if tasks > 1 {
        coix_set_region_nanoseconds(regionsBefore + DispatchTime.now().uptimeNanoseconds - start)
      }
    }
    let order = taskOrder(tasks)
    let next = Atomic<Int>(0)
    let isCancelled = Atomic<Bool>(false)
    // The first task with an error so far: the tasks after it need not run any more.
    let firstFailed = Atomic<Int>(tasks)
    let firstInterrupted = Atomic<Int>(tasks)
    let failure = Mutex<(task: Int, error: any Error)?>(nil)

    // Within another worker's chunk, no more than that one has.
    let callersTeam = min(team, ExecutionContext.current?.team ?? team)

    @Sendable func work(onCaller: Bool) {
      // On the caller's thread within a gradient computation, the worker shares the caller's pool.
      let callersPool = ExecutionContext.current?.pool
      let pool = callersPool ?? BufferPool.borrow()
      let context = ExecutionContext(pool: pool, tape: nil, team: onCaller && tasks == 1 ? callersTeam : 1)
      func noticesCancellation() -> Bool {
        // Only on the caller's thread does `Task.isCancelled` refer to the Swift task that asked for the
        // evaluation.
        if onCaller && Task.isCancelled { isCancelled.store(true, ordering: .relaxed) }
        return isCancelled.load(ordering: .relaxed)
      }
      context.withCurrent {
        while true {
          let ticket = next.add(1, ordering: .relaxed).oldValue
          guard ticket < tasks else { break }
          let task = order?[ticket] ?? ticket
          guard task < firstFailed.load(ordering: .relaxed) else { continue }
          func shouldStop() -> Bool {
            guard noticesCancellation() else { return task > firstFailed.load(ordering: .relaxed) }
            firstInterrupted.min(task, ordering: .relaxed)
            return true
          }
          if shouldStop() { continue }
          do { try body(task, context, shouldStop) } catch {
            firstFailed.min(task, ordering: .relaxed)
            failure.withLock { if $0 == nil || task < $0?.task ?? 0 { $0 = (task, error) } }
          }
        }
      }
      if callersPool == nil { BufferPool.handBack(pool) }
    }

    let caller = pthread_self()
    Self.perform(onThreads: max(min(threads, tasks), 1)) {
      work(onCaller: pthread_equal(pthread_self(), caller) != 0)
    }
    if let failure = failure.withLock({ $0 }),
      failure.task < firstInterrupted.load(ordering: .relaxed)
    {
      throw failure.error
    }
    try Task.checkCancellation()
  }

  /// Calls `work` so many times, on this thread and on those that help, and waits.
  private static func perform(onThreads count: Int, _ work: @Sendable () -> Void) {
    typealias Work = @Sendable () -> Void
    withoutActuallyEscaping(work) { work in
      withUnsafePointer(to: work) { pointer in
        coix_share(count, Int32(clamping: count), UnsafeMutableRawPointer(mutating: pointer)) { pointer, _ in
          pointer?.assumingMemoryBound(to: Work.self).pointee()
        }
      }
    }
  }

  private func taskOrder(_ tasks: Int) -> [Int]? {
    guard let shuffleSeed else { return nil }
    // Fisher and Yates, with a linear congruential generator (Knuth, MMIX).
    var state = shuffleSeed
    var order = Array(0..<tasks)
    for index in stride(from: tasks - 1, to: 0, by: -1) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      order.swapAt(index, Int((state >> 33) % UInt64(index + 1)))
    }
    return order
  }
}
