import CoixParallel

/// The program with `_PREV_` appended to the names of its sites, which marks them as auxiliary.
///
/// `compose` and ``extend(_:_:)`` do it by themselves. An evaluation takes off suffixes that all versions of a variable
/// have in common, so that alone this changes a trace only by a flag.
public func suffix<I, O>(_ program: some KernelProgram<I, O>) -> Kernel<I, O> {
  Kernel(node: .handling("suffix", program) { $0.suffixes += 1 })
}

/// The same for a model.
public func suffix<I, O>(_ program: some PrimitiveProgram<I, O>) -> Model<I, O> {
  Model(node: .handling("suffix", program) { $0.suffixes += 1 })
}

/// The same for a target.
public func suffix<I, O>(_ program: some TargetProgram<I, O>) -> Target<I, O> {
  Target(node: .handling("suffix", program) { $0.suffixes += 1 })
}

/// The same for an inference program.
public func suffix<I, O>(_ program: some InferenceProgram<I, O>) -> Inference<I, O> {
  Inference(node: .handling("suffix", program) { $0.suffixes += 1 })
}
