import CoixParallel

/// How a program is evaluated.
public struct EvaluationOptions: Sendable {
  /// What of the result is merged from the chunks.
  public enum Keep: Sendable {
    /// Output, trace and metrics.
    case everything
    /// Output and metrics.
    case output
    /// The metrics alone: nothing else is merged.
    case metrics
  }

  /// The threads to run on.
  public var workers: Workers
  /// What of the result is wanted.
  public var keep: Keep
  /// Whether inputs, parameters, values and log-probabilities are looked through for NaN and numbers outside of their domain. The
  /// error names the site, the step (a walk through the particles, from 1) and the first particle.
  public var checks: Bool
  /// Whether effective sample sizes and evidence of each step are reported, see ``Evaluation/steps``.
  public var steps: Bool

  /// Options.
  public init(
    workers: Workers = .standard, keep: Keep = .everything, checks: Bool = false, steps: Bool = false
  ) {
    self.workers = workers
    self.keep = keep
    self.checks = checks
    self.steps = steps
  }
}

/// A program that is ready to be called with its input.
public struct Evaluator<Program: InferenceProgram> {
  let program: Program
  let latents: [String: Tensor]
  let key: PRNGKey
  let options: EvaluationOptions

  /// Runs the program.
  ///
  /// - Throws: a `CoixError` that names the site, plate or shapes; what the program's closures throw; `CancellationError`.
  @inlinable
  public func callAsFunction<each A: TensorTree>(_ input: repeat each A) throws -> Evaluation<Program.Output>
  where Program.Input == Tuple<repeat each A> {
    try run(Tuple(repeat each input))
  }

  /// Not with other arguments than those that the program takes.
  @available(*, unavailable, message: "the arguments are not of the types that the program takes, its Input")
  @_disfavoredOverload
  public func callAsFunction<each A: TensorTree>(_ input: repeat each A) throws -> Evaluation<Program.Output>
  {
    throw CoixError.illFormedProgram("the arguments are not of the types that the program takes")
  }

  /// Runs the program on a whole input tree.
  ///
  /// - Throws: as when it is called with the input's parts.
  public func run(_ input: Program.Input) throws -> Evaluation<Program.Output> {
    let settings = EvaluationSettings(
      program: program.node, input: Typed(input), latents: latents, key: key, options: options)
    return try settings.evaluate().evaluation
  }
}

/// Evaluates `program`: `try evaluate(program, seed: 0)(input)`.
///
/// - Parameters:
///   - program: a program of any level.
///   - latents: values for latent sites, by the names that the sites have after suffixing; mapped over a plate, or the same for
///     all particles. A site that a combinator replays has log-probability -inf at any other value than its own. The sites are
///     those that reach the evaluation's trace: ``propose(_:_:loss:detach:)``, say, hands on those of its target. A name that none of
///     them has in this run is an error.
///   - seed: a whole number or any key. The same seed gives the same numbers, on any number of threads.
///   - options: threads, checks, and what of the result is wanted.
public func evaluate<Program: InferenceProgram>(
  _ program: Program, latents: [String: Tensor] = [:], seed: PRNGKey,
  options: EvaluationOptions = EvaluationOptions()
) -> Evaluator<Program> {
  Evaluator(program: program, latents: latents, key: seed, options: options)
}
