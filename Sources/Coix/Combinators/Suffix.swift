/// The program with `_PREV_` appended to the names of its sites, which marks them as auxiliary.
///
/// `compose` and ``extend(_:_:)`` do it by themselves. An evaluation takes off the suffixes that all versions
/// of a variable have in common. Used alone, this combinator therefore leaves the names in the trace as they
/// are, and only flags the sites (``Site/isSuffixed``).
public func suffix<Program: InferenceProgram>(_ program: Program) -> Program.SameLevel {
  program.treatingSites("suffix") { $0.suffixes += 1 }
}
