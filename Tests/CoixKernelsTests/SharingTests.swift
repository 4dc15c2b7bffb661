import CoixKernels
import Foundation
import Synchronization
import Testing

/// Work that threads share: every part once, whoever helps, also within another's part and beside other callers.
@Suite(.serialized) struct SharingTests {
  init() {
    // Those of the runtime would do, if it were here; these look for the same work.
    coix_set_helper_source { count in
      for _ in 0..<count { Thread.detachNewThread { coix_help() } }
    }
  }

  /// Calls `work` with the number of each part, on up to `team` threads.
  private static func share(_ parts: Int, team: Int32, _ work: @Sendable (Int) -> Void) {
    typealias Work = @Sendable (Int) -> Void
    withoutActuallyEscaping(work) { work in
      withUnsafePointer(to: work) { pointer in
        coix_share(parts, team, UnsafeMutableRawPointer(mutating: pointer)) { pointer, part in
          pointer?.assumingMemoryBound(to: Work.self).pointee(part)
        }
      }
    }
  }

  private final class Counts: Sendable {
    private let counts: Mutex<[Int]>
    init(_ count: Int) { counts = Mutex([Int](repeating: 0, count: count)) }
    func add(_ index: Int) { counts.withLock { $0[index] += 1 } }
    var all: [Int] { counts.withLock { $0 } }
  }

  @Test(arguments: [0, 1, 2, 3, 100, 5_000], [0, 1, 2, 3, 64] as [Int32])
  func eachPartRunsOnce(_ parts: Int, _ team: Int32) {
    for _ in 0..<20 {
      let runs = Counts(parts)
      Self.share(parts, team: team) { runs.add($0) }
      #expect(runs.all == [Int](repeating: 1, count: parts))
    }
  }

  @Test func aPartMaySharePartsOfItsOwn() {
    let runs = Counts(12 * 50)
    Self.share(12, team: 3) { outer in
      Self.share(50, team: 3) { inner in runs.add(outer * 50 + inner) }
    }
    #expect(runs.all == [Int](repeating: 1, count: 12 * 50))
  }

  @Test func severalCallersAtATime() {
    let (callers, parts) = (8, 300)
    let runs = Counts(callers * parts)
    let done = DispatchGroup()
    for caller in 0..<callers {
      done.enter()
      Thread.detachNewThread {
        for part in 0..<3 {
          Self.share(parts / 3, team: 4) { runs.add(caller * parts + part * parts / 3 + $0) }
        }
        done.leave()
      }
    }
    done.wait()
    #expect(runs.all == [Int](repeating: 1, count: callers * parts))
  }

  /// A part that waits for another one ends, since another thread takes that one; sooner or later, if others share work at the
  /// same time. Where the process has one core only, nobody helps, and parts must not wait for each other.
  @Test func partsRunAtTheSameTime() throws {
    guard coix_cores() > 1 else { return }
    let isTogether = (0..<600).contains { _ in
      let arrived = Atomic<Int>(0)
      Self.share(2, team: 2) { _ in
        arrived.add(1, ordering: .relaxed)
        let end = Date(timeIntervalSinceNow: 0.1)
        while arrived.load(ordering: .relaxed) < 2, Date() < end { usleep(100) }
      }
      return arrived.load(ordering: .relaxed) == 2
    }
    #expect(isTogether)
  }

  /// Helpers without work leave, so that the threads that they came from are free again.
  @Test func helpersLeave() {
    func haveLeft() -> Bool {
      let end = Date(timeIntervalSinceNow: 60)
      while Date() < end {
        if coix_helpers_at_hand() == 0 { return true }
        usleep(100)
      }
      return false
    }
    Self.share(1_000, team: 2) { _ in usleep(10) }
    #expect(haveLeft())
    Self.share(1_000, team: 2) { _ in usleep(10) }
    coix_dismiss_helpers()
    #expect(haveLeft())
  }

  @Test func thereAreCores() {
    #expect((1...ProcessInfo.processInfo.processorCount).contains(Int(coix_cores())))
  }
}
