/// How ranks exchange bytes.
///
/// Every rank calls the same methods with the same sizes, one after another: see ``Ranks``, which sees to that. All of them
/// wait for the other ranks, with a time-out. `send` and `receive` are for two of them.
protocol RankTransport: Sendable {
  var index: Int { get }
  var count: Int { get }
  /// As many bytes of each rank, to all ranks.
  func gather(_ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawPointer) throws(CoixError)
  /// The same in place: `counts[r]` elements of `unit` bytes of rank r, one rank after another.
  func gather(parts all: UnsafeMutableRawPointer, counts: [Int], unit: Int) throws(CoixError)
  /// A rank's bytes, to all others.
  func broadcast(_ data: UnsafeMutableRawBufferPointer, from root: Int) throws(CoixError)
  func send(_ data: UnsafeRawBufferPointer, to rank: Int) throws(CoixError)
  func receive(_ data: UnsafeMutableRawBufferPointer, from rank: Int) throws(CoixError)
  /// To each other rank the bytes of its number, and from each as many as there is room for.
  func swap(_ outgoing: [UnsafeRawBufferPointer], _ incoming: [UnsafeMutableRawBufferPointer])
    throws(CoixError)
  /// After a time-out, the ranks that don't wait for others; none where nobody has waited too long.
  func silent() -> [Int]
}
