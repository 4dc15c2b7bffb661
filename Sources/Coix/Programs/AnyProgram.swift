import CoixParallel

/// A program whose level and types are known only when it runs: for programs that are put together at run
/// time.
///
/// Its combinators check what the compiler checks for typed programs, and throw where it would refuse. Values
/// go from program to program as lists of tensors.
public struct AnyProgram: InferenceProgram {
  /// What a program may do; each level is also one of the next.
  public enum Level: Int, Comparable, Sendable {
    case kernel, primitive, target, inference

    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
  }

  public typealias Input = [Tensor]
  public typealias Output = [Tensor]

  public let node: ProgramNode
  /// What the program may do.
  public let level: Level

  init(_ emitter: some ProgramEmitter, _ level: Level) {
    self.init(ProgramNode(emitter: emitter), level)
  }

  init(_ node: ProgramNode, _ level: Level) {
    self.node = node
    self.level = level
  }

  public func replacing(node: ProgramNode) -> AnyProgram { AnyProgram(node, level) }

  /// A kernel with its types erased.
  public init(_ program: some KernelProgram<[Tensor], [Tensor]>) { self.init(program.node, .kernel) }
  /// A model with its types erased.
  public init(_ program: some PrimitiveProgram<[Tensor], [Tensor]>) {
    self.init(program.node, .primitive)
  }
  /// A target with its types erased.
  public init(_ program: some TargetProgram<[Tensor], [Tensor]>) { self.init(program.node, .target) }
  /// The same program.
  public init(_ program: AnyProgram) { self = program }
  /// An inference program with its types erased.
  public init(_ program: some InferenceProgram<[Tensor], [Tensor]>) {
    self.init(program.node, .inference)
  }

  /// Throws unless the program's density can be evaluated.
  func requireDensity(for combinator: String) throws {
    try require(
      level <= .target,
      "\(combinator) needs a target with a density; an inference program has none to evaluate")
  }

  /// Throws, with the reason, unless a condition holds.
  func require(_ condition: Bool, _ reason: String) throws {
    guard condition else { throw CoixError.illFormedProgram(reason) }
  }
}
