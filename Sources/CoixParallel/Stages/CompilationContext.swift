/// What a step that keeps a state of its own needs to know of what is going on around it.
package enum CompilationContext {
  /// Whether something is being computed around the caller: a recording, which cannot be replayed then, or a
  /// gradient.
  package static func refuseWithin() -> Bool {
    guard let context = ExecutionContext.current else { return false }
    context.recording?.refuse()
    return true
  }
}
