import CoixMPI
import Foundation

/// How ranks exit, and what is said of it.
extension Ranks {
  /// What a rank of MPI does when its process exits: a process that ends without the others would leave them waiting.
  static func exits(_ status: Int32) {
    stopWatching()
    // A thread that holds the lock is at a meeting, and will not come back from there.
    guard let ranks = joined.withLockIfAvailable({ $0 }) ?? nil else {
      coix_mpi_abort(status == 0 ? 70 : status)
    }
    ranks.exit(status)
  }

  private func exit(_ status: Int32) {
    var (status, reason) = (status, "")
    if status == 0 {
      guard let failure = failureAtEnd() else {
        _ = coix_mpi_finish()
        return
      }
      waitForFirst()
      complain("\(failure)")
      status = 70
    } else if let cause = state.withLockIfAvailable({ $0.cause(of: status) }) ?? nil {
      // All ranks have the same cause, and exit; the rank that it comes from says so, and ends them.
      if cause.rank == index { reason = ": \(cause.text)" } else { Thread.sleep(forTimeInterval: 10) }
    } else {
      waitForFirst()
    }
    complain("ends with status \(status), and so do the others\(reason)")
    coix_mpi_abort(status)
  }

  /// Why this rank cannot leave quietly; nil where all ranks have come to the end.
  private func failureAtEnd() -> (any Error)? {
    guard let known = state.withLockIfAvailable({ $0.failure }) else {
      return CoixError.ranks("it exits in the middle of a meeting")
    }
    if let known { return known }
    do {
      try meet(at: .end)
      return nil
    } catch {
      return error
    }
  }

  private func complain(_ text: String) { complain(text, of: index) }

  /// Says on standard error what has become of a rank.
  func complain(_ text: String, of rank: Int) {
    FileHandle.standardError.write(Data("rank \(rank) of \(count) (\(hosts[rank])): \(text)\n".utf8))
  }

  /// Waits, once, on all ranks but the first. Where all have the same error, each by itself, the first one says it at once, and ends
  /// the others meanwhile.
  private func waitForFirst() {
    guard !isFirst else { return }
    let isDone = hasWaitedForFirst.withLock { hasWaited in
      defer { hasWaited = true }
      return hasWaited
    }
    if !isDone { Thread.sleep(forTimeInterval: 3) }
  }

  /// Whether this process is to say the error that ends it: once for all ranks, if all have it.
  ///
  /// ```swift
  /// do { try run() } catch {
  ///   if Ranks.reports(error) { print("Error: \(error)") }
  ///   exit(1)
  /// }
  /// ```
  ///
  /// An error that ranks have told each other is said when they exit, by the rank that it comes from, with its name and its host; then
  /// this is false. What all ranks find by themselves, such as a missing file, the first one reports, and its exit ends the others. To
  /// let it do so, this waits for three seconds on other ranks, and then is true: their error is their own. A process alone always
  /// reports.
  public static func reports(_ error: any Error) -> Bool {
    guard let ranks = joined.withLock({ $0 }), ranks.count > 1 else { return true }
    let wasTold = ranks.state.withLockIfAvailable { state in
      // Those through whose hands it has gone since may have added where it happened.
      state.told?.error = "\(error)"
      return state.told != nil
    }
    if wasTold ?? false { return false }
    ranks.waitForFirst()
    return true
  }
}

extension Ranks.State {
  /// The rank because of which all ranks exit with a status, and why; nil if it isn't one rank alone.
  func cause(of status: Int32) -> (rank: Int, text: String)? {
    if let told { return (told.rank, told.error) }
    guard let signalled, status == 128 + signalled.signal else { return nil }
    let name = strsignal(signalled.signal).map { " (\(String(cString: $0)))" } ?? ""
    return (signalled.rank, "it received signal \(signalled.signal)\(name)")
  }
}
