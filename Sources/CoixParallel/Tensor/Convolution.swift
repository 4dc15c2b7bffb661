import CoixKernels

/// The two-dimensional convolution of images with kernels, where these lie within the image ("valid"):
///
/// ```
/// result[y, x] = Σ image[y + h - 1 - u, x + w - 1 - v] · kernel[u, v]  over u < h, v < w
/// ```
///
/// - Parameters:
///   - image: `[..., height, width]`.
///   - kernel: `[..., h, w]`, with elements and no larger than the image. The axes in front broadcast against the
///     image's. Each particle may have a kernel of its own.
/// - Returns: the broadcast axes, then `[height - h + 1, width - w + 1]`; SciPy's `convolve2d(mode="valid")` of
///   each image. Poisoned if the shapes don't fit. The error of an element, here and in the gradient, is at most
///   (h + w) · 2⁻²⁴ times the sum of its terms' magnitudes, with the sizes of the result for those of the kernel
///   in the kernel's gradient.
public func conv2d(_ image: Tensor, _ kernel: Tensor) -> Tensor {
  if let refusal = image.refusal("conv2d") ?? kernel.refusal("conv2d") { return refusal }
  let (imageRank, kernelRank) = (image.shape.rank, kernel.shape.rank)
  guard imageRank >= 2, kernelRank >= 2,
    (1...2).allSatisfy({ axis in
      let size = kernel.shape[kernelRank - axis]
      return size >= 1 && size <= image.shape[imageRank - axis]
    }),
    let batch = Shape.broadcast(Shape(image.shape.dropLast(2)), Shape(kernel.shape.dropLast(2)))
  else {
    return Tensor.mismatch(
      "conv2d", [image.shape, kernel.shape],
      "needs images [..., height, width] and kernels [..., h, w] that fit into them")
  }
  let imageShape = batch.appending(image.shape.dropping(imageRank - 2))
  let kernelShape = batch.appending(kernel.shape.dropping(kernelRank - 2))
  if let refusal = Tensor.refusal("conv2d", toMake: imageShape, like: image)
    ?? Tensor.refusal("conv2d", toMake: kernelShape, like: kernel)
  {
    return refusal
  }
  return Correlation(flipsKernel: true)(image.broadcast(to: imageShape), kernel.broadcast(to: kernelShape))
}

/// Correlations of images `[..., height, width]` with as many kernels `[..., h, w]`:
///
/// ```
/// result[y, x] = Σ image[y + u - top, x + v - left] · kernel[u, v]
/// ```
///
/// Outside of its bounds an image counts as 0. The gradients of a correlation are correlations, too.
private struct Correlation {
  /// The lines of zeros above and below the image.
  var top = 0
  /// The columns of zeros at its left and right.
  var left = 0
  /// Whether the kernel is read from the last element to the first.
  var flipsKernel = false
  /// Whether the result is written from the last element to the first.
  var flipsResult = false

  func callAsFunction(_ image: Tensor, _ kernel: Tensor) -> Tensor {
    if let refusal = image.refusal("conv2d") ?? kernel.refusal("conv2d") { return refusal }
    if Tensor.differInRows(image, kernel) { return self(image.inAllRows, kernel.inAllRows) }
    if kernel.isBatched && !image.isBatched { return self(image.inEachRow, kernel) }
    let rank = image.shape.rank
    let (height, width) = (image.shape[rank - 2], image.shape[rank - 1])
    let (kernelHeight, kernelWidth) = (kernel.shape[rank - 2], kernel.shape[rank - 1])
    let batch = Shape(image.shape.dropLast(2))
    let shape = batch.appending([height + 2 * top - kernelHeight + 1, width + 2 * left - kernelWidth + 1])
    if let refusal = Tensor.refusal("conv2d", toMake: shape, like: image) { return refusal }
    guard let result = Tensor(undefined: shape, like: image) else { return .outOfMemory }
    coix_op_correlate(
      image.pointer, kernel.pointer, kernel.isBatched ? 1 : 0, result.pointer,
      coix_correlation(
        height: height, width: width, kernel_height: kernelHeight, kernel_width: kernelWidth, top: top,
        left: left,
        flips: Int32((flipsKernel ? COIX_FLIP_KERNEL : 0) | (flipsResult ? COIX_FLIP_RESULT : 0))),
      batch.elementCount, image.rowCount, ExecutionContext.team
    ).run()
    // An element (y, x) of the image takes part in the results (y - u + top, x - v + left); an element (u, v)
    // of the kernel meets image[y + u - top, x + v - left] with result (y, x).
    let ofImage = Correlation(
      top: kernelHeight - 1 - top, left: kernelWidth - 1 - left, flipsKernel: flipsKernel == flipsResult,
      flipsResult: flipsResult)
    let ofKernel = Correlation(top: top, left: left, flipsKernel: flipsResult, flipsResult: flipsKernel)
    return result.recorded(
      from: image, kernel,
      { gradient in gradient.slope(counting: gradient, of: kernel) { ofImage(gradient, $0) } },
      { gradient in
        gradient.slope(counting: gradient, of: image) { ofKernel($0, gradient) }
          .summed(to: kernel.shape, stride: kernel.stride)
      })
  }
}

extension Tensor {
  /// A correlation's gradient, made of that of its result and of the other operand. Where NaN or infinity comes
  /// out, the other operand is 0 for images whose gradients are all 0.
  fileprivate func slope(
    counting gradient: Tensor, of other: Tensor, _ correlation: (Tensor) -> Tensor
  ) -> Tensor {
    let slope = correlation(other)
    guard slope.hasNonfinite else { return slope }
    return correlation(other.zeroed(unless: gradient.anyNonzero(axis: -1).anyNonzero(axis: -2)))
  }
}
