import CoixMPI

/// The ranks of a launcher's job: processes, through MPI.
struct MPITransport: RankTransport {
  let index: Int
  let count: Int

  /// Loads and starts the MPI library.
  ///
  /// - Throws: ``CoixError/ranks(_:)``.
  init(timeout: Duration) throws(CoixError) {
    try Self.check(coix_mpi_start(timeout / .seconds(1)))
    (index, count) = (Int(coix_mpi_rank()), Int(coix_mpi_size()))
  }

  private static func check(_ error: Int32) throws(CoixError) {
    if error != 0 { throw CoixError.ranks(String(cString: coix_mpi_error_text(error))) }
  }

  func gather(_ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawPointer) throws(CoixError) {
    try Self.check(coix_mpi_gather(mine.baseAddress, all, mine.count))
  }

  func gather(parts all: UnsafeMutableRawPointer, counts: [Int], unit: Int) throws(CoixError) {
    try Self.check(coix_mpi_gather_parts(all, counts.map { Int32(clamping: $0) }, unit))
  }

  func broadcast(_ data: UnsafeMutableRawBufferPointer, from root: Int) throws(CoixError) {
    try Self.check(coix_mpi_broadcast(data.baseAddress, data.count, Int32(root)))
  }

  func send(_ data: UnsafeRawBufferPointer, to rank: Int) throws(CoixError) {
    try Self.check(coix_mpi_send(data.baseAddress, data.count, Int32(rank)))
  }

  func receive(_ data: UnsafeMutableRawBufferPointer, from rank: Int) throws(CoixError) {
    try Self.check(coix_mpi_receive(data.baseAddress, data.count, Int32(rank)))
  }

  func swap(_ outgoing: [UnsafeRawBufferPointer], _ incoming: [UnsafeMutableRawBufferPointer])
    throws(CoixError)
  {
    try Self.check(
      coix_mpi_swap(
        outgoing.map(\.baseAddress), outgoing.map(\.count), incoming.map(\.baseAddress), incoming.map(\.count)
      ))
  }

  func silent() -> [Int] {
    var isHere = [UInt8](repeating: 0, count: count)
    return coix_mpi_ask(&isHere) == 0 ? isHere.indices.filter { isHere[$0] == 0 } : []
  }
}
