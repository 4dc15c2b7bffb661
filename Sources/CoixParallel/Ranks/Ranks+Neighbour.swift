import CoixMPI
import Foundation
import Synchronization

/// How it is noticed that a rank is killed, or crashes: it can say nothing itself any more.
extension Ranks {
  /// Whether this process is about to exit.
  private static let isLeaving = Atomic<Bool>(false)

  /// From now on, the end of others is none that has to be told.
  static func stopWatching() { isLeaving.store(true, ordering: .relaxed) }

  /// Watches the rank before this one on the same host, and lets the next one watch this one: where the launcher is MPICH's. Others
  /// name a rank that is killed.
  ///
  /// - Throws: what ranks throw.
  func watchNeighbour() throws {
    let processes = try gather([ProcessInfo.processInfo.processIdentifier, coix_mpi_launcher_file()])
    guard processes.allSatisfy({ $0[1] >= 0 }) else { return }
    coix_mpi_let_watch(processes[neighbour(after: 1)][0])
    try meet(at: .agreement)
    let previous = neighbour(after: -1)
    guard previous != index else { return }
    let thread = Thread { [self] in
      let end = coix_mpi_watch(processes[previous][0], processes[previous][1])
      if let end, !Self.isLeaving.load(ordering: .relaxed) {
        complain("\(String(cString: end)), and the others end, too", of: previous)
      }
      coix_mpi_let_go()
      guard end != nil else { return }
      // The launcher ends the job. If it doesn't, this rank does.
      Thread.sleep(forTimeInterval: 3)
      coix_mpi_abort(70)
    }
    thread.name = "watch"
    thread.start()
  }

  /// The rank so many places further among those of this host, in a circle.
  private func neighbour(after steps: Int) -> Int {
    let neighbours = hosts.indices.filter { hosts[$0] == host }
    let place = (neighbours.firstIndex(of: index) ?? 0) + steps + neighbours.count
    return neighbours[place % neighbours.count]
  }
}
