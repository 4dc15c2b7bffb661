/// Something between the operations of a recorded step: a stage of many chunks, or an exchange between ranks.
protocol RecordedCall: AnyObject {
  /// The addresses in the step's memory that a run reads, and those that it writes.
  var reads: [UnsafeRawPointer] { get }
  var writes: [UnsafeMutableRawPointer] { get }
  /// The ranks that run it together.
  var ranks: Ranks { get }
  /// Whether a run may find that the step must take another way. What decides nothing, and writes nothing that anybody needs, is left out.
  var decides: Bool { get }
  /// Leaves out what nobody needs; by default nothing.
  ///
  /// - Parameter isNeeded: whether something that a run writes is.
  func narrow(_ isNeeded: (UnsafeRawPointer) -> Bool)
  /// Changes the addresses of what has moved, for the runs to come.
  ///
  /// - Parameter target: the new address of an address; nil for what stays.
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?)
  /// Adds what ranks exchange at each run.
  func add(to form: inout RankForm)
  /// Runs it; returns false where the step must take another way than the recorded one.
  func run() throws -> Bool
}

extension RecordedCall {
  var decides: Bool { false }
  func narrow(_ isNeeded: (UnsafeRawPointer) -> Bool) {}
}

extension UnsafeMutablePointer {
  /// Becomes the new address of what has moved; see ``RecordedCall/move(_:)``.
  mutating func follow(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    guard let address = target(UnsafeRawPointer(self)) else { return }
    self = address.assumingMemoryBound(to: Pointee.self)
  }
}
