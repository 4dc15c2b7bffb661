import CoixMPI
import Foundation

/// How the death of a rank is noticed: one that is killed, or crashes, can say nothing any more.
extension Ranks {
  /// Has the next rank of the same host watch this one from now on, and watches the one before.
  ///
  /// Launchers end processes in the order of ranks: where one ends all of them, a rank is about to end itself when it notices the
  /// end of the one before, and says nothing.
  ///
  /// - Throws: ``CoixError/ranks(_:)``.
  func watchNeighbour() throws {
    let numbers = try gather([coix_mpi_listen()]).map { $0.first ?? -1 }
    let next = neighbour(after: 1)
    guard next != index else { return }
    if numbers[next] >= 0 { coix_mpi_call(numbers[next]) }
    let previous = neighbour(after: -1)
    let thread = Thread { [self] in
      guard let end = coix_mpi_watch() else { return }
      complain("\(String(cString: end)), and the others end, too", of: previous)
      coix_mpi_let_go()
      // Launchers have their own way of ending a job; one that has none leaves it to this rank.
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
