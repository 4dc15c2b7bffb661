/// A place on the tape of a gradient computation, from which on nodes can be forgotten and recorded again.
package struct TapeMark {
  private let tape: Tape
  private let node: Int32

  /// The end of the caller's tape as it is now; nil where none records, or where what is computed is recorded as a part of a
  /// step, which keeps all of it.
  package init?() {
    guard let context = ExecutionContext.current, context.isCaller, !context.isRecorded,
      let tape = context.tape
    else { return nil }
    (self.tape, node) = (tape, Int32(tape.count))
  }

  /// Lets go of all that the tape has recorded since the mark, for the backward pass to have it recorded again.
  ///
  /// - Parameter recall: does again what was done since the mark. Its results are those that others have read already.
  package func forget(_ recall: @escaping () throws -> Void) { tape.forget(from: node, recall) }
}
