import CoixParallel
import Foundation

/// All runs of a program that has finitely many: exact evidence, posterior and expectations, to compare
/// estimates with.
public struct Enumeration<Output: TensorTree>: Sendable {
  /// A value for each latent site, and what the program makes of it.
  public struct Assignment: Sendable {
    /// What the program returns.
    public let output: Output
    /// The sites, latent and observed.
    public let trace: Trace
    /// The log-probability of all sites together, a single number; a constant -inf for an impossible
    /// assignment.
    public let logJoint: Tensor
  }

  /// The runs, in an order in which the last site's value changes fastest and the first one's slowest.
  public let assignments: [Assignment]

  /// The log-probabilities of the assignments. They, and what is computed from them, can be differentiated
  /// within `valueWithGradient(at:_:)`.
  public var logJoint: Tensor { Tensor.stack(assignments.map(\.logJoint)) }

  /// log p(observations): logsumexp of ``logJoint``.
  public var logEvidence: Tensor { logJoint.logSumExp() }

  /// p(assignment | observations): softmax of ``logJoint``. NaN if all assignments are impossible.
  public var probabilities: Tensor { logJoint.softmax(axis: 0) }

  /// The posterior expectation of a function of assignments to numbers or tensors, element by element.
  ///
  /// The function is asked only of assignments that are possible: what it is elsewhere does not count, nor
  /// does its gradient.
  ///
  /// - Throws: what `function` throws.
  public func expectation(of function: (Assignment) throws -> Tensor) rethrows -> Tensor {
    let probabilities = self.probabilities
    var sum: Tensor?
    for (index, assignment) in assignments.enumerated() {
      let probability = probabilities.selecting(index, axis: 0)
      guard probability.scalar != 0 else { continue }
      let term = try probability * function(assignment)
      sum = sum.map { $0 + term } ?? term
    }
    return sum ?? .nan
  }
}

/// A finite program that is ready to be called with its input.
public struct Enumerator<Program: InferenceProgram> {
  let program: Program
  let latents: [String: Tensor]
  let key: PRNGKey
  let limit: Int

  /// Runs the program under every assignment.
  ///
  /// - Throws: `CoixError.site(name:reason:)` for a site without finite support, and for a value that is
  ///   given to a site that no run has; `CoixError.tooManyAssignments(limit:)`;
  ///   `CoixError.illFormedProgram(_:)` for a program within a plate; what its evaluation throws.
  @inlinable
  public func callAsFunction<each A: TensorTree>(_ input: repeat each A) throws -> Enumeration<Program.Output>
  where Program.Input == Tuple<repeat each A> {
    try run(Tuple(repeat each input))
  }

  /// Runs the program on a whole input tree.
  ///
  /// - Throws: as when it is called with the input's parts.
  public func run(_ input: Program.Input) throws -> Enumeration<Program.Output> {
    var assignments: [Enumeration<Program.Output>.Assignment] = []
    var path: SupportPath? = SupportPath(limit: limit)
    var names: Set<String> = []
    let input = Typed(input)
    while let following = path {
      guard assignments.count < limit else { throw CoixError.tooManyAssignments(limit: limit) }
      try Task.checkCancellation()
      let (evaluation, taken): (Evaluation<Program.Output>, SupportPath?) = try EvaluationSettings(
        program: program.node, input: input, latents: latents, key: key, path: following
      ).evaluate()
      let logJoint = Self.logJoint(evaluation.trace)
      assignments.append(.init(output: evaluation.output, trace: evaluation.trace, logJoint: logJoint))
      names = taken?.names ?? []
      path = taken?.next
    }
    try Recorder.requireSites(of: latents.keys.sorted(), among: names.sorted())
    return Enumeration(assignments: assignments)
  }
}

extension Enumerator {
  /// The log-probability of all sites. A constant -inf for a run that its own choices make impossible,
  /// whatever the other sites and gradients have become there.
  private static func logJoint(_ trace: Trace) -> Tensor {
    let terms = trace.sites.map { (isObserved: $0.isObserved, logProb: $0.logProb.sum()) }
    let isImpossible = terms.contains { !$0.isObserved && $0.logProb.scalar == -.infinity }
    let sum = terms.reduce(Tensor(0)) { $0 + $1.logProb }
    // 0 · ∞ would be the gradient of what has no probability.
    return isImpossible || sum.scalar == -.infinity ? Tensor(-.infinity) : sum
  }
}

/// Runs a finite program under every joint assignment of its latent sites: `try enumerate(program)(input)`.
///
/// The sites' distributions need a ``Distribution/finiteSupport``. A later site's may depend on earlier
/// values. The program stands outside of plates, and is evaluated once for each assignment.
///
/// - Parameters:
///   - program: a kernel, model or target.
///   - latents: sites that are not enumerated but have these values. Each must be a latent site of some run.
///   - seed: for programs that draw random numbers by keys of their own.
///   - limit: the greatest number of assignments.
public func enumerate<Program: TargetProgram>(
  _ program: Program, latents: [String: Tensor] = [:], seed: some RandomSeed = 0, limit: Int = 100_000
) -> Enumerator<Program> {
  Enumerator(program: program, latents: latents, key: seed.prngKey, limit: limit)
}

/// The same for a program whose level is known only when it runs.
///
/// - Throws: `CoixError.illFormedProgram(_:)` for an inference program, which has no density.
public func enumerate(
  _ program: AnyProgram, latents: [String: Tensor] = [:], seed: some RandomSeed = 0, limit: Int = 100_000
) throws -> Enumerator<AnyProgram> {
  try program.requireDensity(for: "enumerate")
  return Enumerator(program: program, latents: latents, key: seed.prngKey, limit: limit)
}
