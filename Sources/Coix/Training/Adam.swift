import CoixParallel
import Foundation

/// Adam: steps scaled by running moments of the gradient.
///
/// Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
public struct Adam<Parameters: TensorTree>: Optimizer {
  /// The step size α.
  public var learningRate: Float
  /// The decay of the first moment, β₁.
  public let beta1: Double
  /// The decay of the second moment, β₂.
  public let beta2: Double
  /// What keeps the quotient finite, ε.
  public let epsilon: Float
  public private(set) var stepCount = 0
  public private(set) var skippedCount = 0
  private var firstMoments: [Tensor]
  private var secondMoments: [Tensor]

  /// Adam for parameters of the given structure.
  public init(
    for parameters: Parameters, learningRate: Float = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Float = 1e-8
  ) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    firstMoments = parameters.namedTensors.map { .zeros($0.tensor.shape) }
    secondMoments = firstMoments
  }

  @discardableResult
  public mutating func update(_ parameters: inout Parameters, along gradient: Parameters) throws -> Bool {
    let gradients = gradient.flattened
    guard gradients.count == firstMoments.count,
      gradients.indices.allSatisfy({ gradients[$0].shape == firstMoments[$0].shape })
    else {
      throw CoixError.shape(
        operation: "Adam", shapes: gradients.map(\.shape), reason: "not what the optimiser was made for")
    }
    guard gradients.allSatisfy(\.isFinite) else {
      skippedCount += 1
      return false
    }
    let step = stepCount + 1
    // As optax has it, in float: for the first steps that tells in the fifth digit.
    func correction(_ beta: Double) -> Float { 1 - Float(pow(Double(Float(beta)), Double(step))) }
    let (correction1, correction2) = (correction(beta1), correction(beta2))
    try parameters.update(with: gradients, "Adam") { parameter, gradient, position in
      adamStep(
        &parameter, gradient, &firstMoments[position], &secondMoments[position], learningRate, beta1, beta2,
        epsilon, correction1, correction2)
    }
    stepCount = step
    return true
  }
}
