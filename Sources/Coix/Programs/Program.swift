import CoixParallel

// The levels of programs. Each is also one of the next: kernel ⊂ primitive ⊂ target ⊂ inference.

/// A program whose evaluation gives properly weighted samples: everything the combinators make.
public protocol InferenceProgram<Input, Output>: Sendable {
  /// What the program takes.
  associatedtype Input: TensorTree
  /// What the program returns.
  associatedtype Output: TensorTree
  /// The program as the combinators see it.
  var node: ProgramNode { get }
}

/// A program with a density that can be evaluated at given values: what ``propose(_:_:loss:detach:)`` takes as target.
public protocol TargetProgram<Input, Output>: InferenceProgram {}

/// A program made of one closure, which may observe.
public protocol PrimitiveProgram<Input, Output>: TargetProgram {}

/// A program that only samples, so that its density is normalised.
public protocol KernelProgram<Input, Output>: PrimitiveProgram {}

/// A program as combinators see it: its types erased.
public struct ProgramNode: Sendable {
  private var link: Link

  init(emitter: some ProgramEmitter) { link = Link(emitter) }

  func emit(into code: inout StageCode, _ place: Place) throws { try link.emitter?.emit(into: &code, place) }

  /// The program's emitter, which only a program that is being let go of lacks.
  var emitter: (any ProgramEmitter)? { link.emitter }

  /// What keeps a program alive. Programs are nested as deep as there are steps, so that the last one to go lets go of those within it
  /// one after another: if each did so for its own, that would take a stack as deep.
  private final class Link: @unchecked Sendable {
    // @unchecked: changes only where nobody else has it.
    var emitter: (any ProgramEmitter)?

    init(_ emitter: any ProgramEmitter) { self.emitter = emitter }

    deinit {
      var pending = takePrograms()
      while var program = pending.popLast() {
        // One that others have, too, goes with them.
        if isKnownUniquelyReferenced(&program.link) { pending += program.link.takePrograms() }
      }
    }

    /// Lets go of the emitter, and hands over what was within it.
    func takePrograms() -> [ProgramNode] {
      defer { emitter = nil }
      return emitter?.programs ?? []
    }
  }
}

/// What a combinator is made of: it adds its instructions to the stages of an evaluation.
protocol ProgramEmitter: Sendable {
  /// Adds the program's instructions, and leaves its output's register in ``StageCode/output``.
  ///
  /// Programs within it are not emitted at once but scheduled (``StageCode/run(_:_:)``), and so is what comes after them
  /// (``StageCode/then(_:)``): a program may be nested as deep as memory allows.
  func emit(into code: inout StageCode, _ place: Place) throws

  /// The programs within it.
  var programs: [ProgramNode] { get }

  /// What the program is and which programs it is made of, for diagrams.
  ///
  /// - Throws: what a closure that makes programs throws.
  func outline() throws -> ProgramOutline
}

/// Where a program stands in an evaluation.
struct Place: Sendable {
  /// Where its input is. The program reads it once, and thereby frees the register.
  var input: Register
  /// The scope that its sites go to.
  var scope: Scope
  /// What surrounding combinators do to its sites.
  var handlers = Handlers()
}

/// A closure that runs once for each chunk.
struct PrimitiveEmitter: ProgramEmitter {
  /// "kernel" or "model".
  let kind: String
  let body: @Sendable (Recorder, Handlers, Value) throws -> Value
  var programs: [ProgramNode] { [] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    try code.require(place.handlers.plates)
    code.noteRead(place.input)
    let output = code.makeRegister()
    var handlers = place.handlers
    handlers.conditions = try handlers.conditions.mapValues {
      try EvaluationRun.place($0, place.handlers.plates)
    }
    code.append { [handlers] machine in
      let value = try body(machine.recorder(place.scope), handlers, machine.take(place.input))
      try machine.checkFailure()
      machine.set(output, value)
    }
    code.free(place.input)
    code.output = output
  }

  func outline() -> ProgramOutline { ProgramOutline(kind) }
}

/// A program inside of a plate.
struct PlateEmitter: ProgramEmitter {
  let plate: Plate
  let program: ProgramNode
  var programs: [ProgramNode] { [program] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    var inside = place
    inside.handlers.plates.append(plate)
    code.run(program, inside)
  }

  func outline() -> ProgramOutline {
    ProgramOutline("plate \(plate.description)", [.init(program)])
  }
}

/// A program that only samples.
public struct Kernel<Input: TensorTree, Output: TensorTree>: KernelProgram {
  public let node: ProgramNode
}

/// A program that samples and observes.
public struct Model<Input: TensorTree, Output: TensorTree>: PrimitiveProgram {
  public let node: ProgramNode
}

/// A program with a density: a joint of models, for instance.
public struct Target<Input: TensorTree, Output: TensorTree>: TargetProgram {
  public let node: ProgramNode
}

/// A program that gives properly weighted samples.
public struct Inference<Input: TensorTree, Output: TensorTree>: InferenceProgram {
  public let node: ProgramNode
}

extension Target {
  /// A kernel, model or target as a target: so that they fit into one list.
  public init(_ program: some TargetProgram<Input, Output>) { node = program.node }
}

extension Inference {
  /// Any program as an inference program.
  public init(_ program: some InferenceProgram<Input, Output>) { node = program.node }
}

extension Kernel {
  /// A kernel from a closure, written for one particle, that takes and returns tensors (or trees of them).
  ///
  /// The closure runs once for each chunk of the plate, concurrently, and must be pure: the same sites every time.
  @inlinable  // so that the tuples' types are known where programs are written
  public init<each A: TensorTree, each B: TensorTree>(
    _ body: @escaping @Sendable (KernelTrace, repeat each A) throws -> (repeat each B)
  ) where Input == Tuple<repeat each A>, Output == Tuple<repeat each B> {
    self.init(
      tree: { (trace: KernelTrace, input: Tuple<repeat each A>) throws -> Tuple<repeat each B> in
        let arguments = input.values
        let results = try body(trace, repeat each arguments)
        return Tuple<repeat each B>(repeat each results)
      })
  }

  /// The same for a closure with one result: without it, type inference gives up on closures of several statements.
  @inlinable
  public init<each A: TensorTree, B: TensorTree>(
    _ body: @escaping @Sendable (KernelTrace, repeat each A) throws -> B
  ) where Input == Tuple<repeat each A>, Output == Tuple<B> {
    self.init(
      tree: { (trace: KernelTrace, input: Tuple<repeat each A>) throws -> Tuple<B> in
        let arguments = input.values
        return Tuple<B>(try body(trace, repeat each arguments))
      })
  }

  /// A kernel from a closure over whole trees, for programs whose arguments are not known when they are written.
  @_disfavoredOverload  // A trailing closure without a label means the arguments' own types.
  public init(tree body: @escaping @Sendable (KernelTrace, Input) throws -> Output) {
    self.init(
      node: ProgramNode(
        emitter: PrimitiveEmitter(kind: "kernel") { recorder, handlers, input in
          Typed(try body(KernelTrace(recorder: recorder, handlers: handlers), input.typed()))
        }))
  }
}

extension Model {
  /// A model from a closure, written for one particle, that takes and returns tensors (or trees of them).
  ///
  /// The closure runs once for each chunk of the plate, concurrently, and must be pure: the same sites every time.
  @inlinable  // so that the tuples' types are known where programs are written
  public init<each A: TensorTree, each B: TensorTree>(
    _ body: @escaping @Sendable (ModelTrace, repeat each A) throws -> (repeat each B)
  ) where Input == Tuple<repeat each A>, Output == Tuple<repeat each B> {
    self.init(
      tree: { (trace: ModelTrace, input: Tuple<repeat each A>) throws -> Tuple<repeat each B> in
        let arguments = input.values
        let results = try body(trace, repeat each arguments)
        return Tuple<repeat each B>(repeat each results)
      })
  }

  /// The same for a closure with one result: without it, type inference gives up on closures of several statements.
  @inlinable
  public init<each A: TensorTree, B: TensorTree>(
    _ body: @escaping @Sendable (ModelTrace, repeat each A) throws -> B
  ) where Input == Tuple<repeat each A>, Output == Tuple<B> {
    self.init(
      tree: { (trace: ModelTrace, input: Tuple<repeat each A>) throws -> Tuple<B> in
        let arguments = input.values
        return Tuple<B>(try body(trace, repeat each arguments))
      })
  }

  /// A model from a closure over whole trees, for programs whose arguments are not known when they are written.
  @_disfavoredOverload  // A trailing closure without a label means the arguments' own types.
  public init(tree body: @escaping @Sendable (ModelTrace, Input) throws -> Output) {
    self.init(
      node: ProgramNode(
        emitter: PrimitiveEmitter(kind: "model") { recorder, handlers, input in
          Typed(try body(ModelTrace(recorder: recorder, handlers: handlers), input.typed()))
        }))
  }
}

extension Plate {
  /// The kernel, for each row of the plate.
  public func callAsFunction<I, O>(_ program: some KernelProgram<I, O>) -> Kernel<I, O> {
    Kernel(node: node(program))
  }

  /// The model, for each row of the plate.
  public func callAsFunction<I, O>(_ program: some PrimitiveProgram<I, O>) -> Model<I, O> {
    Model(node: node(program))
  }

  /// The target, for each row of the plate.
  public func callAsFunction<I, O>(_ program: some TargetProgram<I, O>) -> Target<I, O> {
    Target(node: node(program))
  }

  /// Not for inference programs.
  @available(
    *, unavailable,
    message: "a plate goes around kernels, models and targets: put those of the inference program into it"
  )
  public func callAsFunction<I, O>(_ program: some InferenceProgram<I, O>) -> Inference<I, O> {
    Inference(node: node(program))
  }

  func node(_ program: some InferenceProgram) -> ProgramNode {
    ProgramNode(emitter: PlateEmitter(plate: self, program: program.node))
  }
}
