/// The program with `_PREV_` appended to the names of its sites, which marks them as auxiliary.
///
/// `compose` and ``extend(_:_:)`` do it by themselves. An evaluation takes off suffixes that all versions of a variable
/// have in common, so that alone this changes a trace only by a flag.
public func suffix<Program: InferenceProgram>(_ program: Program) -> Program.SameLevel {
  program.treatingSites("suffix") { $0.suffixes += 1 }
}
