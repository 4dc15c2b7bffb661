import CoixKernels

/// The log-density of normal distributions, summed over the last axes, in one pass.
///
/// Σ -½((x - μ)/σ)² - log(√(2π) σ), over the last `reducing` axes of the broadcast shape.
///
/// - Parameters:
///   - x: the values; broadcast against `location` and `scale`.
///   - reducing: how many axes, from the last, are summed over.
/// - Returns: the broadcast event shape without its last `reducing` axes.
package func normalLogDensity(_ x: Tensor, location: Tensor, scale: Tensor, reducing: Int) -> Tensor {
  let name = "Normal.logProb"
  if let refusal = x.refusal(name) ?? location.refusal(name) ?? scale.refusal(name) { return refusal }
  if Tensor.differInRows(x, location, scale) {
    return normalLogDensity(
      x.inAllRows, location: location.inAllRows, scale: scale.inAllRows, reducing: reducing)
  }
  guard let parameters = Shape.broadcast(location.shape, scale.shape),
    let shape = Shape.broadcast(x.shape, parameters),
    (0...shape.rank).contains(reducing)
  else { return Tensor.mismatch(name, [x.shape, location.shape, scale.shape], "the shapes don't broadcast") }
  // The kernel takes operands with one value for each element, or with a single value for all of them.
  func fitted(_ operand: Tensor) -> Tensor {
    operand.shape == shape || operand.shape.elementCount == 1 ? operand : operand.broadcast(to: shape)
  }
  let x = fitted(x)
  let location = fitted(location)
  let scale = fitted(scale)
  let batched = x.isBatched ? x : location.isBatched ? location : scale
  let groups = shape.product(0..<shape.rank - reducing)
  let elements = shape.product(shape.rank - reducing..<shape.rank)
  let rows = batched.rowCount
  let density = shape.leading(shape.rank - reducing)
  if let refusal = Tensor.refusal(name, toMake: density, like: batched) { return refusal }
  guard let result = Tensor(undefined: density, like: batched) else { return .outOfMemory }
  coix_op_normal_log_density(
    x.pointer, x.elementStride(in: shape), x.rowStride, location.pointer, location.elementStride(in: shape),
    location.rowStride, scale.pointer, scale.elementStride(in: shape), scale.rowStride, result.pointer,
    groups,
    elements, rows
  ).run()
  guard x.node >= 0 || location.node >= 0 || scale.node >= 0, let tape = ExecutionContext.current?.tape else {
    return result
  }
  let nodes = (tape.node(of: x), tape.node(of: location), tape.node(of: scale))
  return tape.record(
    result,
    .three(nodes.0, nodes.1, nodes.2) { gradient, isWanted in
      let dx = isWanted.0 ? Tensor(undefined: shape, like: batched) : nil
      let dlocation = isWanted.1 ? Tensor(undefined: shape, like: batched) : nil
      let dscale = isWanted.2 ? Tensor(undefined: shape, like: batched) : nil
      coix_op_normal_log_density_backward(
        gradient.pointer, x.pointer, x.elementStride(in: shape), x.rowStride, location.pointer,
        location.elementStride(in: shape), location.rowStride, scale.pointer, scale.elementStride(in: shape),
        scale.rowStride, dx?.pointer, dlocation?.pointer, dscale?.pointer, groups, elements, rows
      ).run()
      guard Tape.isRecording else { return (dx, dlocation, dscale) }
      let kept = Shape(shape.indices.map { $0 < shape.rank - reducing ? shape[$0] : 1 })
      let (seed, z) = (gradient.reshaped(to: kept), (x - location) / scale)
      return (
        dx?.differentiated { seed.seed(times: -z / scale) },
        dlocation?.differentiated { seed.seed(times: z / scale) },
        dscale?.differentiated { seed.seed(times: (z.squared - 1) / scale) }
      )
    })
}

extension Tensor {
  /// The distance in floats from one element to the next, for an operand that has `shape` or one element; 0
  /// for one element.
  func elementStride(in shape: Shape) -> Int {
    self.shape.elementCount == 1 && shape.elementCount != 1 ? 0 : rowCount
  }
  /// 1 for a batched operand, 0 for a uniform one.
  var rowStride: Int { isBatched ? 1 : 0 }
}
