import Coix
import Testing

/// Compares a gradient with central differences, one parameter's number after the other.
///
/// With Richardson's extrapolation,
///
/// ```
/// D(h) = (f(x + h) - f(x - h)) / 2h,  derivative = (4 D(h/2) - D(h)) / 3,  h = 1/32
/// ```
///
/// the truncation error is h⁴ / 480 = 2e-9 times the fifth derivative. f is one number in single precision,
/// made of sums in double: its rounding (a few units of 6e-8 |f|) is magnified by 8 / 3h < 90. The bound is
/// 1e-3 |derivative| + 1e-4 (1 + |f|).
///
/// - Parameters:
///   - parameters: where.
///   - function: the number, and decisions that were taken on the way to it (ancestors, say). A derivative is
///     only defined where small steps don't change those, so that is an issue of its own.
///   - loss: another number, whose gradient is to be the function's: a surrogate.
func expectGradient<Parameters: TensorTree>(
  at parameters: Parameters, ofLoss loss: ((Parameters) throws -> Tensor)? = nil,
  sourceLocation: SourceLocation = #_sourceLocation,
  _ function: (Parameters) throws -> (value: Tensor, decisions: [Float])
) throws {
  let (result, decisions) = try valueWithGradient(at: parameters) { parameters in
    let (value, decisions) = try function(parameters)
    return (try loss?(parameters) ?? value, decisions)
  }
  let plain = try function(parameters).value.scalar
  #expect(plain.isFinite, sourceLocation: sourceLocation)
  #expect(
    loss != nil || plain.bitPattern == result.value.bitPattern, "the value with and without a gradient",
    sourceLocation: sourceLocation)
  let gradients = result.gradient.namedTensors
  for (position, (name, gradient)) in gradients.enumerated() {
    for element in 0..<gradient.shape.elementCount {
      func value(_ shift: Float) throws -> Double {
        let moved = try function(parameters.moved(position, element, by: shift))
        #expect(
          moved.decisions == decisions, "\(name)[\(element)]: a step crosses a boundary; pick another seed",
          sourceLocation: sourceLocation)
        return Double(moved.value.scalar)
      }
      let step: Float = 1 / 32
      let coarse = (try value(step) - value(-step)) / Double(2 * step)
      let fine = (try value(step / 2) - value(-step / 2)) / Double(step)
      let expected = (4 * fine - coarse) / 3
      let found = Double(gradient.scalars[element])
      let bound = 1e-3 * expected.magnitude + 1e-4 * (1 + Double(plain.magnitude))
      #expect(
        (found - expected).magnitude <= bound,
        "\(name)[\(element)]: gradient \(found), differences \(expected)",
        sourceLocation: sourceLocation)
    }
  }
}

extension TensorTree {
  /// A copy with one element of one tensor moved.
  fileprivate func moved(_ position: Int, _ element: Int, by shift: Float) throws -> Self {
    var next = 0
    return try mapTensors { tensor in
      defer { next += 1 }
      guard next == position else { return tensor }
      var scalars = tensor.scalars
      scalars[element] += shift
      return Tensor(scalars, shape: tensor.shape)
    }
  }
}
