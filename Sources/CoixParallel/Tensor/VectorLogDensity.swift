import CoixKernels

/// A family of distributions of vectors for which one kernel computes the log-density and its gradients in
/// double, in one pass; see ``LogDensityFamily``.
package struct VectorLogDensityFamily: Sendable {
  let kernel: coix_simplex_density

  private init(_ kernel: coix_simplex_density) { self.kernel = kernel }

  /// The value has probabilities whose sum is 1 up to 1e-6; the parameter has concentrations.
  package static let dirichlet = Self(COIX_DIRICHLET_DENSITY)
  /// The value has counts, whose sum is the number of trials; the parameter has probabilities.
  package static let multinomial = Self(COIX_MULTINOMIAL_DENSITY)
  /// The value has counts, whose sum is the number of trials; the parameter has unnormalised
  /// log-probabilities, which may be -inf.
  package static let multinomialLogits = Self(COIX_MULTINOMIAL_LOGITS_DENSITY)
}

/// A family's log-density of the vectors along the last axis. The last axes of value and parameter have the
/// same size; the axes before them broadcast.
///
/// Outside of support and domain, and for gradients, the rules of ``logDensity(_:_:)`` hold.
///
/// - Returns: the broadcast shape without its last axis.
package func vectorLogDensity(_ family: VectorLogDensityFamily, _ value: Tensor, _ parameter: Tensor)
  -> Tensor
{
  let name = "logProb"
  if let refusal = value.refusal(name) ?? parameter.refusal(name) { return refusal }
  if Tensor.differInRows(value, parameter) {
    return vectorLogDensity(family, value.inAllRows, parameter.inAllRows)
  }
  guard let shape = Shape.broadcast(value.shape, parameter.shape), let count = shape.last,
    value.shape.last == count, parameter.shape.last == count
  else { return Tensor.mismatch(name, [value.shape, parameter.shape], "needs vectors of one length") }
  let batched = value.isBatched ? value : parameter
  let density = shape.leading(shape.rank - 1)
  if let refusal = Tensor.refusal(name, toMake: shape, like: batched) { return refusal }
  let (x, y) = (value.broadcast(to: shape), parameter.broadcast(to: shape))
  func operand(_ tensor: Tensor) -> coix_operand {
    coix_operand(data: tensor.pointer, outer_stride: tensor.rowCount, row_stride: tensor.rowStride)
  }
  let (groups, rows) = (density.elementCount, batched.rowCount)
  guard let result = Tensor(undefined: density, like: batched) else { return .outOfMemory }
  coix_op_simplex_log_density(family.kernel, operand(x), operand(y), result.pointer, groups, count, rows)
    .run()
  guard x.node >= 0 || y.node >= 0, let tape = ExecutionContext.current?.tape else { return result }
  return tape.record(
    result,
    .several([tape.node(of: x), tape.node(of: y)]) { gradient, isWanted in
      let slopes = isWanted.map { $0 ? Tensor(undefined: shape, like: batched) : nil }
      coix_op_simplex_log_density_backward(
        family.kernel, gradient.pointer, operand(x), operand(y), slopes[0]?.pointer, slopes[1]?.pointer,
        groups, count, rows
      ).run()
      return Tensor.differentiated(slopes, as: family.formula, of: [x, y], seed: gradient, where: result)
    })
}
