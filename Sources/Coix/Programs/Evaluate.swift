import CoixParallel

/// How a program is evaluated.
public struct EvaluationOptions: Sendable {
  /// Which parts of the result are wanted. What is not wanted is not collected from the chunks, which saves
  /// time and memory.
  public enum Keep: Sendable {
    /// Output, trace and metrics.
    case everything
    /// Output and metrics.
    case output
    /// The metrics alone.
    case metrics
  }

  /// How the particles' chunks are computed. The result is the same, bit for bit.
  public enum Execution: Sendable {
    /// What the program computes in its first chunks is recorded, and replayed on the others: the program's
    /// closures run a few times only. Where that is not possible, they run for each chunk: for few particles,
    /// with checks, and where a program's operations depend on its numbers.
    case replayed
    /// The program's closures run for each chunk. This finds closures that do something else each time.
    case eager
  }

  /// The threads to run on.
  public var workers: Workers
  /// Which parts of the result are wanted.
  public var keep: Keep
  /// Whether inputs, parameters, values and log-probabilities are searched for NaN and for numbers outside of
  /// their domain. The error names the site, the stage (a walk through the particles, counted from 1) and the
  /// first particle. Within `valueWithGradient` the gradients on their way back are searched for numbers
  /// that are not finite, too.
  public var checks: Bool
  /// Whether the effective sample sizes and the evidence of each step are reported; see ``Evaluation/steps``.
  public var steps: Bool

  /// How the particles' chunks are computed.
  public var execution: Execution

  /// Which rows of a result each rank has, where several ranks share the particles.
  public enum ResultRows: Sendable {
    /// All of them. Each rank can use the result as one rank can.
    case all
    /// Those of its own particles, ``Evaluation/rows``, of outputs, values of sites, log-probabilities and log-weights: the memory that a
    /// rank needs for them falls with the number of ranks. Metrics are those of all particles. With one rank, in nested plates and
    /// for few particles, each rank has all rows.
    case own
  }

  /// Which rows of a result each rank has. Within `valueWithGradient` it must be all.
  public var resultRows: ResultRows

  /// Which results go to files, `RowFile.npy(path)`, whatever ``keep`` says, and are not in memory: each a
  /// ``RowResult``. What is computed of them (evidence, effective sample size) is the same, bit for bit. In
  /// the evaluation's result they are poisoned tensors, whose error names the file.
  ///
  /// Ranks write each file together, at one path, in a folder that all of them share: each its rows of a flat
  /// plate. What all ranks have as a whole, such as the rows of nested plates, the first of them writes.
  ///
  /// A file is refused if the input or given values are mapped from its rows. Evaluations within
  /// `valueWithGradient` or `compile` cannot have files.
  public var files: [RowResult: RowFile]

  /// How much memory the evaluation may take, in bytes, at least 1.
  ///
  /// nil: what `COIX_MEMORY_BUDGET` in the environment says when the process first asks for it, as a number of
  /// bytes or with one of the suffixes K, M, G, T, which count by 1,024 (`512M`, `1.5G`; `GB` and `GiB` are `G`);
  /// without it, or if it is empty, three quarters of the machine's memory, or of what the process's control
  /// group may have if that is less.
  ///
  /// Within `valueWithGradient` the budget decides what is kept for the way back and what is computed again:
  /// tapes, which may take an eighth of it, and what lies between the steps of a program with several
  /// resamplings. The result is the same, bit for bit. In `compile` and `train`, a step that has no room for all
  /// of that is not recorded, but evaluated each time.
  ///
  /// What cannot fit is refused: `CoixError.memoryBudget(what:bytes:budget:)`, with the least budget that would
  /// do. A program without resamplings walks through its particles once. The first chunk of the walk shows what
  /// a row leaves behind, and the error comes before any other chunk runs. A program with resamplings walks
  /// several times. A trial of it, with two rows of each plate, shows what its rows leave behind, and the error
  /// comes before the first walk. For the trial, each closure runs once more, or twice within a gradient.
  ///
  /// There is no trial if 1 MiB for each row of each walk would fit, or 4 KiB where neither this nor the environment
  /// says how much. Rows may leave more than that; the error then comes when the walk begins that has no room. Whether particles will be resampled under a condition is not known
  /// before: counted is what there is in both cases together.
  ///
  /// Counted are the input and given values, unless they are in files; what leaves the walk for memory, for all
  /// rows; what is still needed of earlier walks, and the numbers of ancestors; with a gradient, also the
  /// gradients of what leaves the walk, and the eighth for tapes. Not counted are parameters, a chunk's own
  /// tensors (some megabytes for each thread), results in files, and what objectives and a caller's own
  /// functions compute of whole plates.
  public var memoryBudget: Int?

  /// Options.
  public init(
    workers: Workers = .standard, keep: Keep = .everything, checks: Bool = false, steps: Bool = false,
    execution: Execution = .replayed, resultRows: ResultRows = .all, files: [RowResult: RowFile] = [:],
    memoryBudget: Int? = nil
  ) {
    self.workers = workers
    self.keep = keep
    self.checks = checks
    self.steps = steps
    self.execution = execution
    self.resultRows = resultRows
    self.files = files
    self.memoryBudget = memoryBudget
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
  /// - Throws: a `CoixError` that names the site, plate or shapes; what the program's closures throw;
  ///   `CancellationError`.
  @inlinable
  public func callAsFunction<each A: TensorTree>(_ input: repeat each A) throws -> Evaluation<Program.Output>
  where Program.Input == Tuple<repeat each A> {
    try run(Tuple(repeat each input))
  }

  /// Refuses arguments of other types than the program takes, with a message that says so.
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
///   - latents: values for latent sites, by name; mapped over a plate, or the same for all particles. The
///     names are those that the sites have in the evaluation's trace, `_PREV_` included, and only sites that
///     reach the trace can be given a value: ``propose(_:_:loss:detach:)``, for example, hands on those of
///     its target. A name that no such site has is an error. A site that a combinator replays, as `propose`
///     does, keeps all of its probability at its own value: at any other value its log-probability is -inf.
///   - seed: a whole number or any key. The same seed gives the same numbers, on any number of threads.
///   - options: threads, checks, and which parts of the result are wanted.
public func evaluate<Program: InferenceProgram>(
  _ program: Program, latents: [String: Tensor] = [:], seed: some RandomSeed,
  options: EvaluationOptions = EvaluationOptions()
) -> Evaluator<Program> {
  Evaluator(program: program, latents: latents, key: seed.prngKey, options: options)
}
