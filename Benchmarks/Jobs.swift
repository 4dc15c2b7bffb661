import Coix
import ExampleModels

/// An evaluation.
struct EvaluationJob: Job {
  private let compute: () throws -> Summary
  private(set) var result: Summary?

  /// What the evaluation gives.
  struct Summary: TensorTree {
    var logWeight: Tensor
    var ess: Tensor?
    var logZ: Tensor?
    var output: [Tensor]

    /// Those metrics that have been computed, and an output.
    init(_ metrics: Metrics, output: [Tensor] = []) {
      logWeight = metrics.logWeight
      ess = try? metrics.ess
      logZ = try? metrics.logZ
      self.output = output
    }

    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("logWeight", &logWeight)
      try visitor.visit("ess", &ess)
      try visitor.visit("logZ", &logZ)
      try visitor.visit("output", &output)
    }
  }

  /// An evaluation that is recorded the first time and replayed afterwards: the peers compile theirs, too.
  init(compiledFor workers: Workers, evaluate: @escaping (PRNGKey) throws -> Summary) {
    let evaluation = compile(workers: workers) { (_: Tuple<>, key) in try evaluate(key) }
    compute = { try evaluation(Tuple(), key: 0) }
  }

  /// An evaluation that runs the program each time, as its peer does.
  init(evaluate: @escaping (PRNGKey) throws -> Summary) { compute = { try evaluate(0) } }

  mutating func run() throws {
    result = nil  // its memory can be had again
    result = try compute()
  }

  func addResult(to digest: inout Digest) { digest.add(result) }
}

/// A loss and its gradient, recorded the first time and replayed afterwards: the peers compile theirs, too.
struct GradientJob<Parameters: TensorTree>: Job {
  private let parameters: Parameters
  private let compute: CompiledFunction<Parameters, ValueWithGradient<Parameters>>
  private(set) var result: ValueWithGradient<Parameters>?

  /// The loss at some parameters.
  init(at parameters: Parameters, workers: Workers, loss: @escaping (Parameters, PRNGKey) throws -> Tensor) {
    self.parameters = parameters
    compute = compile(workers: workers) { parameters, key in
      try valueWithGradient(at: parameters, workers: workers) { try loss($0, key) }
    }
  }

  mutating func run() throws { result = try compute(parameters, key: 0) }

  func addResult(to digest: inout Digest) throws {
    digest.add(result?.value ?? .nan)
    digest.add(result?.gradient)
  }
}

/// One step of training after another: a loss with its gradient, and Adam's step.
struct TrainingJob<Parameters: TensorTree>: Job {
  private let training: CompiledTraining<Adam<Parameters>, Tuple<>>
  /// The last step's, before it was taken.
  private(set) var loss: Float = .nan
  private var step = 0

  /// Training by the loss of parameters for a step's key.
  init(
    _ parameters: Parameters, workers: Workers, loss: @escaping (Parameters, PRNGKey) throws -> Tensor
  ) {
    training = CompiledTraining(parameters, by: Adam(for: parameters), workers: workers, loss: loss)
  }

  var parameters: Parameters { get throws { try training.parameters } }

  mutating func run() throws {
    step += 1
    loss = try training.step(key: PRNGKey(seed: 0).folded(in: step))
  }

  func addResult(to digest: inout Digest) throws {
    digest.add(loss)
    digest.add(try parameters)
  }
}

/// Something that gives a tensor.
struct TensorJob: Job {
  private let compute: () throws -> Tensor
  private(set) var result: Tensor?

  init(_ compute: @escaping () throws -> Tensor) { self.compute = compute }

  mutating func run() throws {
    result = nil  // its memory can be had again
    result = try compute()
  }

  func addResult(to digest: inout Digest) throws { digest.add(result) }
}
