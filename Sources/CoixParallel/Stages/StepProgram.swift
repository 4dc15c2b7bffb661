import CoixKernels
import Foundation

/// A function of tensors and keys that has been recorded whole: operations, and the calls between them:
/// stages of many chunks, exchanges between ranks.
///
/// It has memory of its own for its inputs, and one arena for what it computes; a run allocates nothing but its
/// results. Some inputs are its *state*: each run leaves their new values there for the next one.
package final class StepProgram {
  /// An output: where its numbers are, and its shape.
  private struct Output {
    let pointer: UnsafeMutablePointer<Float>
    let shape: Shape
  }

  private let operations: [Operation]
  private let calls: [any RecordedCall]
  private let arena: UnsafeMutableRawPointer
  /// The arena's bytes, where they are addresses of which each rank touches its part.
  private let mappedBytes: Int?
  private let owners: [MemoryOwner]
  private let forms: [InputForm]
  private let inputs: [Tensor]
  private let keys: [UnsafeMutablePointer<coix_key>]
  private let outputs: [Output]
  private let stateCount: Int
  /// The threads that copy what goes in and comes out.
  private let team: Int

  /// What must be the same of an input for the recording to hold.
  private struct InputForm: Equatable {
    let shape: Shape
    let plate: String?
    let rows: Int

    /// nil for an input that cannot be one of a recording.
    init?(_ tensor: Tensor) {
      guard !tensor.isBatched, !tensor.isPoisoned, tensor.storage.preimage == nil, tensor.storage.file == nil
      else {
        return nil
      }
      shape = tensor.shape
      let mapping = tensor.storage.mapping
      guard mapping?.index == nil, mapping?.axes ?? .all == .all else { return nil }
      plate = mapping?.plate
      rows = mapping?.sourceRows ?? 0
    }

    /// How many numbers the input has.
    var count: Int { shape.elementCount * (plate == nil ? 1 : rows) }
  }

  /// The results of a function, and a program for it; nil if the function cannot be recorded, since it reads
  /// numbers that it then decides by, for example, or since its evaluations' memory budget has no room for all
  /// that a recorded step keeps.
  ///
  /// - Parameters:
  ///   - inputs: the function's arguments. The first of them are the state.
  ///   - stateCount: how many they are. So many of the first results are their new values.
  ///   - body: the function. It is called once, and once more where the budget refuses a recorded step.
  /// - Throws: what `body` throws.
  package static func record(
    _ inputs: [Tensor], stateCount: Int = 0, keys: [PRNGKey], workers: Workers,
    _ body: ([Tensor], [PRNGKey]) throws -> [Tensor]
  ) throws -> (results: [Tensor], program: StepProgram?) {
    let forms = inputs.compactMap(InputForm.init)
    guard forms.count == inputs.count, ExecutionContext.current == nil else {
      return (try body(inputs, keys), nil)
    }
    do {
      return try recorded(inputs, forms, stateCount: stateCount, keys: keys, workers: workers, body)
    } catch CoixError.memoryBudget {
      // By itself, an evaluation need not keep everything.
      return (try body(inputs, keys), nil)
    }
  }

  private static func recorded(
    _ inputs: [Tensor], _ forms: [InputForm], stateCount: Int, keys: [PRNGKey], workers: Workers,
    _ body: ([Tensor], [PRNGKey]) throws -> [Tensor]
  ) throws -> (results: [Tensor], program: StepProgram?) {
    let pool = BufferPool.borrow()
    defer { BufferPool.handBack(pool) }
    let context = ExecutionContext(pool: pool, tape: nil, team: workers.team, isCaller: true)
    let recording = Recording(discardsUnread: true)
    context.recording = recording
    defer { recording.finish() }
    return try context.withCurrent {
      let own = try zip(inputs, forms).map { try ownCopy(of: $0, $1, context.team) }
      let ownKeys = keys.compactMap { $0.asInput(of: recording) }
      guard ownKeys.count == keys.count else { throw Storage.lastRefusal }
      let results = try body(own, ownKeys.map(\.key)).map { try $0.validated().detached }
      try context.throwFailure()
      context.recording = nil
      // Copies would lose what bijectors remember, and all rows but the first of what is mapped over a plate.
      let isCopied = !results.contains { $0.storage.preimage != nil || $0.isMapped }
      let program =
        isCopied
        ? StepProgram(
          recording, forms, own, stateCount: stateCount, keys: ownKeys.map(\.address), results,
          team: context.team) : nil
      let isReplayed = try areAgreed(program, of: recording)
      return (
        isCopied ? try results.map { try copy(of: $0.pointer, $0.shape, context.team) } : results,
        isReplayed ? program : nil
      )
    }
  }

  /// Whether all ranks that share the stages have a program, and programs that exchange the same.
  private static func areAgreed(_ program: StepProgram?, of recording: Recording) throws -> Bool {
    guard let ranks = recording.calls.first(where: { $0.ranks.count > 1 })?.ranks else { return true }
    let isSame = try ranks.share(.recording, size: recording.calls.count) {
      guard let program else { return 0 }
      var form = RankForm()
      for call in program.calls { call.add(to: &form) }
      return form.value
    }
    return isSame && program != nil
  }

  /// A copy of an input, in memory that only the program has.
  private static func ownCopy(of input: Tensor, _ form: InputForm, _ team: Int) throws(CoixError) -> Tensor {
    let copy = try copy(of: input.pointer, Shape(form.count), team)
    let whole =
      form.plate == nil
      ? copy.viewed(as: form.shape) : copy.viewed(as: Shape(form.rows).appending(form.shape))
    return form.plate.map { whole.mapped(plate: $0) } ?? whole
  }

  private static func copy(
    of source: UnsafeMutablePointer<Float>, _ shape: Shape, _ team: Int
  ) throws(CoixError) -> Tensor {
    guard let copy = Tensor(undefined: shape) else { throw Storage.lastRefusal }
    copy.write { coix_copy_whole(source, $0, shape.elementCount, Int32(clamping: team)) }
    return copy
  }

  private init?(
    _ recording: Recording, _ forms: [InputForm], _ inputs: [Tensor], stateCount: Int,
    keys: [UnsafeMutablePointer<coix_key>], _ results: [Tensor], team: Int
  ) {
    let varying = inputs.map { UnsafeRawPointer($0.pointer) } + keys.map { UnsafeRawPointer($0) }
    var values = RecordedValues(recording, variation: .inputs(varying))
    let addresses = Set(inputs.map(\.pointer))
    let stateAddresses = Set(inputs.prefix(stateCount).map(\.pointer))
    guard values.areComplete, results.allSatisfy({ !$0.isBatched }),
      results.count >= stateCount,
      // A new state that is another input as it came in would need an order of copies.
      zip(results, inputs).prefix(stateCount).allSatisfy({
        $0.shape == $1.shape && ($0.pointer == $1.pointer || !addresses.contains($0.pointer))
      }),
      // A result that is the old state would be overwritten.
      !results.dropFirst(stateCount).contains(where: { stateAddresses.contains($0.pointer) })
    else { return nil }
    let wanted = results.map { values.number(of: $0.pointer) }
    let isLive = values.liveOperations(wanted: wanted)
    let live = recording.operations.indices.filter {
      isLive[$0] && (values.varies($0) || recording.operations[$0].isEntry)
    }
    // What is the same each time, whose memory the recording may have given back.
    let constant = recording.operations.indices.filter {
      isLive[$0] && (!values.varies($0) || recording.operations[$0].isEntry)
    }.map(values.operation)
    guard coix_execute(constant, constant.count, nil) == constant.count else { return nil }
    // Ranks touch their own rows alone, and take memory for these, page by page.
    let rankCount = recording.calls.reduce(1) { max($0, $1.ranks.count) }
    let isShared = rankCount > 1
    let layout = values.layout(
      of: isLive.indices.map { isLive[$0] && values.varies($0) }, wanted: wanted, isShared: isShared)
    // A step that is replayed has no more memory than one that is evaluated.
    guard layout.bytes / rankCount <= recording.budget else { return nil }
    let relocatable = values.relocated(live, layout)
    guard let arena = isShared ? Memory.addresses(bytes: layout.bytes) : Memory.buffer(bytes: layout.bytes)
    else { return nil }
    mappedBytes = isShared ? layout.bytes : nil
    var operations = relocatable.placed(in: arena)
    var outputs = results.map { result in
      let address =
        values.address(of: result.pointer, layout, in: arena) ?? UnsafeMutableRawPointer(result.pointer)
      return Output(pointer: address.assumingMemoryBound(to: Float.self), shape: result.shape)
    }
    // An optimiser's step that comes last writes the new state in the place of the old one.
    let lastGuard = live.last { recording.operations[$0].isGuard } ?? -1
    let positions = Dictionary(uniqueKeysWithValues: live.enumerated().map { ($1, $0) })
    for number in 0..<stateCount {
      guard wanted.count(where: { $0 == wanted[number] }) == 1,
        let (writer, pointer) = values.soleMention(of: wanted[number], in: isLive), writer > lastGuard,
        recording.operations[writer].worksInPlace, let position = positions[writer],
        values.lastMention(of: values.number(of: inputs[number].pointer), in: isLive) ?? 0 <= writer
      else { continue }
      operations[position].setPointer(pointer, to: inputs[number].pointer)
      outputs[number] = Output(pointer: inputs[number].pointer, shape: outputs[number].shape)
    }
    self.outputs = outputs
    for (output, input) in zip(outputs, inputs).prefix(stateCount) where output.pointer != input.pointer {
      operations.append(
        coix_op_copy(output.pointer, 0, 1, input.pointer, 0, 1, input.shape.elementCount))
    }
    self.operations = operations
    self.arena = arena
    self.forms = forms
    self.inputs = inputs
    self.stateCount = stateCount
    self.keys = keys
    self.team = team
    calls = recording.calls
    for call in calls {
      call.move { values.address(of: $0, layout, in: arena) }
    }
    owners =
      recording.owners + recording.keyOwners
      + values.fixedValues(of: isLive, layout, wanted: wanted).map { recording.buffers[$0].owner }
      + results.map(\.storage).filter { !recording.hasBuffer(at: $0.address) }
  }

  deinit {
    if let mappedBytes { munmap(arena, max(mappedBytes, 1)) } else { free(arena) }
  }

  /// Whether the program is for inputs of these shapes.
  package func fits(_ inputs: [Tensor]) -> Bool {
    inputs.count == forms.count && zip(inputs, forms).allSatisfy { InputForm($0) == $1 }
  }

  /// The same of the inputs behind the state.
  package func fitsBehindState(_ inputs: [Tensor]) -> Bool {
    inputs.count == forms.count - stateCount
      && zip(inputs, forms.dropFirst(stateCount)).allSatisfy { InputForm($0) == $1 }
  }

  /// The state.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func state() throws(CoixError) -> [Tensor] {
    var state: [Tensor] = []
    for input in inputs.prefix(stateCount) {
      state.append(try Self.copy(of: input.pointer, input.shape, team))
    }
    return state
  }

  /// Puts another state in the place of the program's; the shapes must be the same.
  package func setState(_ state: [Tensor]) {
    for (own, given) in zip(inputs, state).prefix(stateCount) {
      own.pointer.update(from: given.pointer, count: given.shape.elementCount)
    }
  }

  /// Runs the program with its state, and with these other inputs and keys, of shapes that fit.
  ///
  /// - Returns: whether it has run to the end. If not, the numbers are such that the function would have taken
  ///   another way; the state is as it was.
  package func run(_ others: [Tensor], keys: [PRNGKey]) throws -> Bool {
    for (index, given) in others.enumerated() {
      let (own, count) = (inputs[stateCount + index], forms[stateCount + index].count)
      coix_copy_whole(given.pointer, own.pointer, count, Int32(clamping: team))
    }
    for (own, key) in zip(self.keys, keys) { own.pointee = coix_key(word0: key.word0, word1: key.word1) }
    return try operations.withUnsafeBufferPointer { operations in
      guard let first = operations.baseAddress else { return true }
      var next = 0
      while true {
        next += coix_execute(first + next, operations.count - next, nil)
        if next == operations.count { return true }
        guard first[next].isCall, try calls[first[next].callNumber].run() else { return false }
        next += 1
      }
    }
  }

  /// The first number of a result that is not part of the state.
  package func number(_ result: Int) -> Float { outputs[stateCount + result].pointer.pointee }

  /// The results of the last run, without the state.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func results() throws(CoixError) -> [Tensor] {
    var results: [Tensor] = []
    for output in outputs.dropFirst(stateCount) {
      results.append(try Self.copy(of: output.pointer, output.shape, team))
    }
    return results
  }
}
