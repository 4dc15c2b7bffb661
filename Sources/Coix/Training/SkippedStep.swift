/// Why an optimiser has not taken a step.
public struct SkippedStep: Hashable, Sendable, Codable {
  /// A reason for skipping a step.
  public enum Cause: String, Hashable, Sendable, Codable {
    /// The gradient is not finite.
    case gradient
    /// The gradient's square is not finite, which would spoil the moments of all later steps.
    case squaredGradient
    /// A parameter was not finite before the step: no step can change that.
    case parameter
    /// A parameter would not be finite after the step.
    case result
  }

  /// The reason for skipping the step.
  public let cause: Cause
  /// The parameter's name in its tree, as in `TensorTree.namedTensors`, for example "encoder.bias"; empty for
  /// a tree that is a single tensor.
  public let name: String
  /// The first number that caused the skip, in the gradient or in the parameter.
  public let value: Float

  /// A skipped step, for optimisers of your own.
  public init(cause: Cause, name: String, value: Float) {
    self.cause = cause
    self.name = name
    self.value = value
  }
}

extension SkippedStep: CustomStringConvertible {
  public var description: String {
    let parameter = name.isEmpty ? "the parameter" : "parameter \"\(name)\""
    let value = value.withoutSignOfNaN
    return switch cause {
    case .gradient: "the gradient of \(parameter) is \(value)"
    case .squaredGradient: "the gradient of \(parameter) is \(value), the square of which overflows"
    case .parameter: "\(parameter) was \(value) already"
    case .result: "\(parameter) would become \(value)"
    }
  }
}
