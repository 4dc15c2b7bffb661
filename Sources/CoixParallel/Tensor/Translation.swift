// Images moved by fractions of a pixel.

extension Tensor {
  /// The images, moved by an offset and cut to a size, or filled up to it with zeros:
  ///
  /// ```
  /// result[y, x] = Σ image[i, j] · K(y - offset[0] - i) · K(x - offset[1] - j)
  /// ```
  ///
  /// with the cubic kernel K of Keys, "Cubic convolution interpolation for digital image processing", 1981
  /// (a = -1/2), whose weights are scaled to a sum of 1 where they reach beyond the image. Pixels whose centre is
  /// more than half a pixel outside of the image are 0. JAX's `image.scale_and_translate` with a scale of 1, the
  /// method "cubic" and no antialiasing.
  ///
  /// - Parameters:
  ///   - offset: `[..., 2]`, in pixels: how far down and how far to the right. The axes in front broadcast against
  ///     the images'. Offsets may differ from particle to particle, and have gradients.
  ///   - size: the height and the width of the result.
  /// - Returns: from images `[..., height, width]` the broadcast axes, then the size. Poisoned if the shapes
  ///   don't fit.
  public func translated(by offset: Tensor, to size: (height: Int, width: Int)) -> Tensor {
    if let refusal = refusal("translated") ?? offset.refusal("translated") { return refusal }
    guard shape.rank >= 2, offset.shape.last == 2, size.height > 0, size.width > 0,
      shape[shape.rank - 2] > 0, shape[shape.rank - 1] > 0,
      let batch = Shape.broadcast(Shape(shape.dropLast(2)), Shape(offset.shape.dropLast()))
    else {
      return Tensor.mismatch(
        "translated", [shape, offset.shape, [size.height, size.width]],
        "needs images [..., height, width], offsets [..., 2] and a size, none of them empty")
    }
    let newShape = batch.appending([size.height, size.width])
    if let refusal = Tensor.refusal("translated", toMake: newShape, like: isBatched ? self : offset) {
      return refusal
    }
    guard batch.elementCount > 0 else { return .zeros(newShape) }
    let (height, width) = (shape[shape.rank - 2], shape[shape.rank - 1])
    let images = reshaped(to: [shape.elementCount / (height * width), height, width])
    let offsets = offset.reshaped(to: [offset.shape.elementCount / 2, 2])
    let lines = offsets.selecting(0, axis: 1).cubicWeights(of: height, in: size.height)
    let columns = offsets.selecting(1, axis: 1).cubicWeights(of: width, in: size.width)
      .transposed(permutation: [0, 2, 1])
    let imageShape = Shape(shape.dropLast(2))
    let offsetShape = Shape(offset.shape.dropLast())
    let parts = (0..<batch.elementCount).map { element in
      let place = offsetShape.position(of: element, in: batch)
      let image = images[imageShape.position(of: element, in: batch)]
      return matmul(matmul(lines[place], image), columns[place])
    }
    return Tensor.stack(parts).reshaped(to: newShape)
  }

  /// For each of these offsets, `[n]`, the weights of `input` numbers in a line of `output` interpolated ones:
  /// `[n, output, input]`.
  private func cubicWeights(of input: Int, in output: Int) -> Tensor {
    // The weights depend on the distance i - k between two places alone.
    let offset = expandingAxis(at: 1)
    let distances = Tensor((1 - input..<output).map { Float($0) }) - offset
    let places = (0..<output).flatMap { i in (0..<input).map { k in i - k + input - 1 } }
    let count = shape.elementCount
    let weights = distances.cubicKernel.gathered(at: places, axis: 1).reshaped(to: [count, output, input])
    let sums = weights.sum(axis: 2)
    let centres = Tensor((0..<output).map { Float($0) }) - offset
    let isWithin = (centres .>= -0.5) * (centres .<= Tensor(Float(input) - 0.5))
    let isInside = isWithin * (abs(sums) .> Tensor(1_000 * Float.ulpOfOne))
    let scale = select(isInside, 1 / select(isInside, sums, 1), 0)
    return weights * scale.expandingAxis(at: 2)
  }

  /// The kernel of cubic convolution at each of these distances.
  private var cubicKernel: Tensor {
    let x = abs(self)
    let near = (1.5 * x - 2.5) * x * x + 1
    let far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return select(x .< 1, near, select(x .< 2, far, 0))
  }
}

extension Shape {
  /// The position, among the elements of this shape, of what an element of a shape that it broadcasts to reads.
  fileprivate func position(of element: Int, in broadcast: Shape) -> Int {
    var (rest, position, step) = (element, 0, 1)
    for axis in broadcast.indices.reversed() {
      let own = axis - (broadcast.rank - rank)
      if own >= 0 {
        if self[own] > 1 { position += rest % broadcast[axis] * step }
        step *= self[own]
      }
      rest /= broadcast[axis]
    }
    return position
  }
}
