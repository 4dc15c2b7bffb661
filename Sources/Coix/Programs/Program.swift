import CoixParallel

// The levels of programs. Each is also one of the next: kernel ⊂ primitive ⊂ target ⊂ inference.

/// A program whose evaluation gives properly weighted samples: everything the combinators make.
public protocol InferenceProgram<Input, Output>: Sendable {
  /// What the program takes.
  associatedtype Input: TensorTree
  /// What the program returns.
  associatedtype Output: TensorTree
  /// What combinators that keep a program's level make of this one: ``detach(_:)``, say. A ``Kernel``,
  /// ``Model``, ``Target`` or ``Inference`` unless the program says otherwise.
  associatedtype SameLevel: InferenceProgram<Input, Output> where SameLevel.SameLevel == SameLevel
  /// The program as the combinators see it.
  var node: ProgramNode { get }
  /// A program of the same level and types with another node.
  func replacing(node: ProgramNode) -> SameLevel
}

/// A program with a density that can be evaluated at given values: what ``propose(_:_:loss:detach:)`` takes
/// as target.
public protocol TargetProgram<Input, Output>: InferenceProgram where SameLevel: TargetProgram {}

/// A program made of one closure, which may observe.
public protocol PrimitiveProgram<Input, Output>: TargetProgram where SameLevel: PrimitiveProgram {}

/// A program that only samples, so that its density is normalised.
public protocol KernelProgram<Input, Output>: PrimitiveProgram where SameLevel: KernelProgram {}

/// A program as combinators see it: its types erased.
public struct ProgramNode: Sendable {
  private var link: Link

  init(emitter: some ProgramEmitter) { link = Link(emitter) }

  func emit(into code: inout StageCode, _ place: Place) throws { try link.emitter?.emit(into: &code, place) }

  /// The program's emitter; nil only while the program is being released.
  var emitter: (any ProgramEmitter)? { link.emitter }

  /// The owner of an emitter. Programs may be nested tens of thousands deep. If each released the programs
  /// within it, that would take a stack as deep; instead the outermost one takes those within it apart, one
  /// after another.
  private final class Link: @unchecked Sendable {
    // @unchecked: changes only where nobody else has it.
    var emitter: (any ProgramEmitter)?

    init(_ emitter: any ProgramEmitter) { self.emitter = emitter }

    deinit {
      var pending = takePrograms()
      while var program = pending.popLast() {
        // A program that somebody else has too goes when they let go of it.
        if isKnownUniquelyReferenced(&program.link) { pending += program.link.takePrograms() }
      }
    }

    /// Lets go of the emitter, and hands over the programs within it.
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
  /// Programs within it are not emitted at once but scheduled (``StageCode/run(_:_:)``), and so is what comes
  /// after them (``StageCode/then(_:)``): a program may be nested as deep as memory allows.
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
  /// The register of its input. The program reads it once, and frees the register by that.
  var input: Register
  /// The scope that its sites go to.
  var scope: Scope
  /// Who reads them there.
  var reader = TraceReader.combinator
  /// What plates and combinators around it do to its sites.
  var treatment = SiteTreatment()
}

/// A closure that runs once for each chunk.
struct PrimitiveEmitter: ProgramEmitter {
  /// "kernel" or "model".
  let kind: String
  let body: @Sendable (Recorder, SiteTreatment, Value) throws -> Value
  var programs: [ProgramNode] { [] }

  func emit(into code: inout StageCode, _ place: Place) throws {
    try code.require(place.treatment.plates)
    code.noteRead(place.input)
    let output = code.makeRegister()
    var treatment = place.treatment
    if !treatment.conditions.isEmpty {
      treatment.conditions = try treatment.conditions.mapValues { [code] in
        try code.placed($0, in: place.treatment.plates)
      }
    }
    code.append { [treatment] machine in
      let value = try body(machine.recorder(place.scope), treatment, machine.take(place.input))
      try machine.checkFailure()
      machine.set(output, value)
    }
    code.free(place.input)
    code.output = output
  }

  func outline() -> ProgramOutline { ProgramOutline(kind) }
}

/// A program that only samples.
public struct Kernel<Input: TensorTree, Output: TensorTree>: KernelProgram {
  public typealias SameLevel = Self

  public let node: ProgramNode
}

/// A program that samples and observes.
public struct Model<Input: TensorTree, Output: TensorTree>: PrimitiveProgram {
  public typealias SameLevel = Self

  public let node: ProgramNode
}

/// A program with a density: a joint of models, for instance.
public struct Target<Input: TensorTree, Output: TensorTree>: TargetProgram {
  public typealias SameLevel = Self

  public let node: ProgramNode
}

/// A program whose evaluation gives properly weighted samples.
public struct Inference<Input: TensorTree, Output: TensorTree>: InferenceProgram {
  public typealias SameLevel = Self

  public let node: ProgramNode
}

extension InferenceProgram {
  public func replacing(node: ProgramNode) -> Inference<Input, Output> { Inference(node: node) }
}

extension TargetProgram {
  public func replacing(node: ProgramNode) -> Target<Input, Output> { Target(node: node) }
}

extension PrimitiveProgram {
  public func replacing(node: ProgramNode) -> Model<Input, Output> { Model(node: node) }
}

extension KernelProgram {
  public func replacing(node: ProgramNode) -> Kernel<Input, Output> { Kernel(node: node) }
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
  /// The closure runs once for each chunk of the plate, concurrently, and must be pure: the same sites every
  /// time.
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

  /// The same for a closure with one result: without it, type inference gives up on closures of several
  /// statements.
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

  /// The same for a closure with one tensor as result, for where the others' types cannot be inferred: a
  /// closure of several statements that is an argument within a longer expression.
  @_disfavoredOverload  // A closure without a result would do, too, to the type checker.
  @inlinable
  public init<each A: TensorTree>(
    _ body: @escaping @Sendable (KernelTrace, repeat each A) throws -> Tensor
  ) where Input == Tuple<repeat each A>, Output == Tuple<Tensor> {
    self.init(
      tree: { (trace: KernelTrace, input: Tuple<repeat each A>) throws -> Tuple<Tensor> in
        let arguments = input.values
        return Tuple<Tensor>(try body(trace, repeat each arguments))
      })
  }

  /// The same for a closure with two tensors as results.
  @_disfavoredOverload
  @inlinable
  public init<each A: TensorTree>(
    _ body: @escaping @Sendable (KernelTrace, repeat each A) throws -> (Tensor, Tensor)
  ) where Input == Tuple<repeat each A>, Output == Tuple<Tensor, Tensor> {
    self.init(
      tree: { (trace: KernelTrace, input: Tuple<repeat each A>) throws -> Tuple<Tensor, Tensor> in
        let arguments = input.values
        let results = try body(trace, repeat each arguments)
        return Tuple<Tensor, Tensor>(results.0, results.1)
      })
  }

  /// A kernel from a closure over whole trees, for programs whose arguments are not known when they are
  /// written.
  @_disfavoredOverload  // A trailing closure without a label means the arguments' own types.
  public init(tree body: @escaping @Sendable (KernelTrace, Input) throws -> Output) {
    self.init(
      node: ProgramNode(
        emitter: PrimitiveEmitter(kind: "kernel") { recorder, treatment, input in
          Typed(try body(KernelTrace(recorder: recorder, treatment: treatment), input.typed()))
        }))
  }
}

extension Model {
  /// A model from a closure, written for one particle, that takes and returns tensors (or trees of them).
  ///
  /// The closure runs once for each chunk of the plate, concurrently, and must be pure: the same sites every
  /// time.
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

  /// The same for a closure with one result: without it, type inference gives up on closures of several
  /// statements.
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

  /// The same for a closure with one tensor as result, for where the others' types cannot be inferred: a
  /// closure of several statements that is an argument within a longer expression.
  @_disfavoredOverload  // A closure without a result would do, too, to the type checker.
  @inlinable
  public init<each A: TensorTree>(
    _ body: @escaping @Sendable (ModelTrace, repeat each A) throws -> Tensor
  ) where Input == Tuple<repeat each A>, Output == Tuple<Tensor> {
    self.init(
      tree: { (trace: ModelTrace, input: Tuple<repeat each A>) throws -> Tuple<Tensor> in
        let arguments = input.values
        return Tuple<Tensor>(try body(trace, repeat each arguments))
      })
  }

  /// The same for a closure with two tensors as results.
  @_disfavoredOverload
  @inlinable
  public init<each A: TensorTree>(
    _ body: @escaping @Sendable (ModelTrace, repeat each A) throws -> (Tensor, Tensor)
  ) where Input == Tuple<repeat each A>, Output == Tuple<Tensor, Tensor> {
    self.init(
      tree: { (trace: ModelTrace, input: Tuple<repeat each A>) throws -> Tuple<Tensor, Tensor> in
        let arguments = input.values
        let results = try body(trace, repeat each arguments)
        return Tuple<Tensor, Tensor>(results.0, results.1)
      })
  }

  /// A model from a closure over whole trees, for programs whose arguments are not known when they are
  /// written.
  @_disfavoredOverload  // A trailing closure without a label means the arguments' own types.
  public init(tree body: @escaping @Sendable (ModelTrace, Input) throws -> Output) {
    self.init(
      node: ProgramNode(
        emitter: PrimitiveEmitter(kind: "model") { recorder, treatment, input in
          Typed(try body(ModelTrace(recorder: recorder, treatment: treatment), input.typed()))
        }))
  }
}
