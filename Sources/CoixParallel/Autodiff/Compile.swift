/// A function of tensors that runs as it was recorded: see ``compile(workers:checkedEvery:_:)``.
///
/// It is called by one thread at a time.
public final class CompiledFunction<Input: TensorTree, Output: TensorTree> {
  private let body: (Input, PRNGKey) throws -> Output
  private let workers: Workers
  private let checkedEvery: Int?
  /// What has been recorded, each with the names of its input's tensors and the form of its results. The last one
  /// that was used comes first.
  private var recorded: [(program: StepProgram, names: [String], form: Output)] = []
  private static var mostRecorded: Int { 8 }
  private var callCount = 0
  /// How often the function itself has run: for recordings, for checks, and where no recording holds.
  public private(set) var runCount = 0

  init(workers: Workers, checkedEvery: Int?, _ body: @escaping (Input, PRNGKey) throws -> Output) {
    self.workers = workers
    self.checkedEvery = checkedEvery
    self.body = body
  }

  /// The function's result.
  ///
  /// - Throws: what the function throws; ``CoixError/memory(what:bytes:)``;
  ///   ``CoixError/illFormedProgram(_:)`` if a check finds that a recording does not give the function's numbers.
  public func callAsFunction(_ input: Input, key: some RandomSeed) throws -> Output {
    try Task.checkCancellation()
    // Within another recording or a gradient, the function is a part of that.
    guard ExecutionContext.current == nil else {
      runCount += 1
      return try body(input, key.prngKey)
    }
    let key = key.prngKey
    return try workers.ranks.evaluating(with: key) { try run(input, key) }
  }

  /// The function's result, outside of other recordings and gradients.
  private func run(_ input: Input, _ key: PRNGKey) throws -> Output {
    let (inputs, names) = (input.flattened, input.namedTensors.map(\.name))
    callCount += 1
    if let index = recorded.firstIndex(where: { $0.names == names && $0.program.fits(inputs) }) {
      let found = recorded[index]
      if index > 0 { recorded.swapAt(0, index) }
      if try found.program.run(inputs, keys: [key]) {
        let output = try found.form.replacingTensors(by: found.program.results())
        if let checkedEvery, callCount.isMultiple(of: checkedEvery) { try check(output, input, key) }
        return output
      }
      runCount += 1
      return try body(input, key)
    }
    var form: Output?
    let (results, program) = try StepProgram.record(inputs, keys: [key], workers: workers) { inputs, keys in
      runCount += 1
      let output = try body(try input.replacingTensors(by: inputs), keys[0])
      form = output
      return output.flattened
    }
    guard let form else { throw CoixError.illFormedProgram("compile: the function was not called") }
    if let program {
      recorded.insert((program, names, try form.mapTensors(\.detached)), at: 0)
      if recorded.count > Self.mostRecorded { recorded.removeLast() }
    }
    return try form.replacingTensors(by: results)
  }

  private func check(_ output: Output, _ input: Input, _ key: PRNGKey) throws {
    runCount += 1
    try requireSameBits(output.namedTensors, try body(input, key).flattened)
  }
}

/// Throws unless what a recording has computed are the numbers that the function itself gives.
package func requireSameBits(_ replayed: [(name: String, tensor: Tensor)], _ own: [Tensor]) throws {
  for ((name, replayed), own) in zip(replayed, own) where !replayed.hasBits(of: own) {
    throw CoixError.illFormedProgram(
      "compile: \(name.isEmpty ? "the result" : "\"\(name)\"") is not what the function itself gives; it depends "
        + "on something that is neither an argument nor a constant")
  }
}

/// A function that is recorded when it is first called, and afterwards replayed without running Swift code.
///
/// ```swift
/// let step = compile { (vae: VAE, key: PRNGKey) in
///   try valueWithGradient(at: vae) { vae in
///     try evaluate(vae.inference(plate), seed: key, options: options)(data).metrics.loss
///   }
/// }
/// let first = try step(vae, key: 1)  // records
/// let second = try step(vae, key: 2)  // replays: the same bits, sooner
/// ```
///
/// All that happens within is recorded: keys, evaluations with their stages and barriers, gradients, an
/// optimiser's update. The arguments' numbers and the key may be others at each call; everything else is a constant:
/// what the function captures, and what of its input is no tensor, such as a number of layers. A call with other
/// shapes records anew. Where a recording cannot hold, the
/// function itself runs, each time: if it reads a tensor's numbers, to decide by them, if a resampling depends on
/// the effective sample size, if a gradient is infinite, or if all that a recorded step keeps exceeds an evaluation's
/// memory budget.
///
/// - Parameters:
///   - workers: the threads for tensor operations outside of evaluations; usually the same workers as the
///     evaluations'.
///   - checkedEvery: every so many calls the function itself runs, too, and the bits are compared. nil for never.
///   - body: the function of an input and a key. The input may be a ``Tuple`` of several trees.
/// - Returns: a function with the same results, bit for bit.
public func compile<Input: TensorTree, Output: TensorTree>(
  workers: Workers = .standard, checkedEvery: Int? = nil,
  _ body: @escaping (Input, PRNGKey) throws -> Output
) -> CompiledFunction<Input, Output> {
  CompiledFunction(workers: workers, checkedEvery: checkedEvery.map { max($0, 1) }, body)
}

extension TensorTree {
  /// The tree with other tensors in the place of its own, in order.
  package func replacingTensors(by tensors: [Tensor]) throws -> Self {
    var position = 0
    return try mapTensors { own in
      defer { position += 1 }
      return position < tensors.count ? tensors[position] : own
    }
  }
}

extension Tensor {
  /// Whether a uniform tensor has the shape and the bits of another one.
  func hasBits(of other: Tensor) -> Bool {
    shape == other.shape
      && withScalars { own in
        other.withScalars { others in
          own.count == others.count && zip(own, others).allSatisfy { $0.bitPattern == $1.bitPattern }
        }
      }
  }
}
