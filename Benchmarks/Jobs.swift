import Coix
import ExampleModels

/// An evaluation; the result is its metrics.
struct EvaluationJob: Job {
  private let evaluate: () throws -> Metrics
  private(set) var metrics: Metrics?

  init(_ evaluate: @escaping () throws -> Metrics) { self.evaluate = evaluate }

  mutating func run() throws { metrics = try evaluate() }

  func addResult(to digest: inout Digest) {
    digest.add(metrics?.logWeight)
    digest.add(try? metrics?.ess)
    digest.add(try? metrics?.logZ)
  }
}

/// A value and its gradient.
struct GradientJob<Parameters: TensorTree>: Job {
  private let compute: () throws -> ValueWithGradient<Parameters>
  private(set) var result: ValueWithGradient<Parameters>?

  init(_ compute: @escaping () throws -> ValueWithGradient<Parameters>) { self.compute = compute }

  mutating func run() throws { result = try compute() }

  func addResult(to digest: inout Digest) {
    digest.add(result?.value ?? .nan)
    digest.add(result?.gradient)
  }
}

/// One step of training after another: a loss with its gradient, and Adam's step.
struct TrainingJob<Parameters: TensorTree>: Job {
  /// The loss of a step, counted from 1, and its gradient.
  typealias Gradient = (_ step: Int, _ parameters: Parameters) throws -> ValueWithGradient<Parameters>

  private(set) var parameters: Parameters
  /// The last step's, before it was taken.
  private(set) var loss: Float = .nan
  private var optimizer: Adam<Parameters>
  private var step = 0
  private let gradient: Gradient

  init(_ parameters: Parameters, gradient: @escaping Gradient) {
    self.parameters = parameters
    self.gradient = gradient
    optimizer = Adam(for: parameters)
  }

  mutating func run() throws {
    step += 1
    let result = try gradient(step, parameters)
    try optimizer.update(&parameters, along: result.gradient)
    loss = result.value
  }

  func addResult(to digest: inout Digest) {
    digest.add(loss)
    digest.add(parameters)
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

  func addResult(to digest: inout Digest) { digest.add(result) }
}
