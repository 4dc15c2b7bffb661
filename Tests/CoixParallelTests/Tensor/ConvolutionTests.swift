import CoixKernels
import TestSupport
import Testing

@testable import CoixParallel

@Suite struct ConvolutionTests {
  /// By definition, in double.
  private static func convolution(_ image: [Float], _ size: (Int, Int), _ kernel: [Float], _ part: (Int, Int))
    -> [Double]
  {
    let (height, width) = (size.0 - part.0 + 1, size.1 - part.1 + 1)
    return (0..<height * width).map { place in
      var sum = 0.0
      for u in 0..<part.0 {
        for v in 0..<part.1 {
          let (y, x) = (place / width + part.0 - 1 - u, place % width + part.1 - 1 - v)
          sum += Double(image[y * size.1 + x]) * Double(kernel[u * part.1 + v])
        }
      }
      return sum
    }
  }

  @Test func values() {
    let image = Tensor((1...9).map { Float($0) }, shape: [3, 3])
    #expect(conv2d(image, Tensor([1, 0, 0, 0], shape: [2, 2])).scalars == [5, 6, 8, 9])
    #expect(conv2d(image, Tensor([1, 2, 3, 4], shape: [2, 2])).scalars == [23, 33, 53, 63])
    #expect(conv2d(image, Tensor([2], shape: [1, 1])).scalars == image.scalars.map { 2 * $0 })
    #expect(conv2d(image, image).scalars == [165])
    // Two images with one kernel, one image with two kernels.
    let two = conv2d(Tensor.stack([image, -image]), .ones([2, 2]))
    #expect(two.shape == [2, 2, 2] && two.scalars == [12, 16, 24, 28, -12, -16, -24, -28])
    let kernels = conv2d(image, Tensor.stack([.ones([3, 3]), -Tensor.ones([3, 3])]))
    #expect(kernels.shape == [2, 1, 1] && kernels.scalars == [45, -45])
    #expect(conv2d(.zeros([0, 3, 3]), .ones([2, 2])).shape == [0, 2, 2])
  }

  /// Sizes on both sides of what registers hold, and row counts on both sides of whole vectors.
  @Test(arguments: [1, 5, 16, 19, 40]) func rows(_ rows: Int) {
    for (size, part) in [((3, 4), (1, 1)), ((9, 23), (3, 4)), ((12, 9), (12, 9)), ((7, 40), (2, 17))] {
      inChunk(rows: rows) { chunk in
        var generator = SplitMix(seed: 3)
        let (count, partCount) = (size.0 * size.1, part.0 * part.1)
        let images = generator.gridFloats(rows * count, in: -1...1)
        let kernels = generator.gridFloats(rows * partCount, in: -1...1)
        let (imageShape, kernelShape): (Shape, Shape) = ([size.0, size.1], [part.0, part.1])
        let outputs = (size.0 - part.0 + 1) * (size.1 - part.1 + 1)
        for isShared in [false, true] {
          let kernel =
            isShared
            ? Tensor(kernels[..<partCount], shape: kernelShape) : chunk.batched(kernels, kernelShape)
          let found = chunk.values(conv2d(chunk.batched(images, imageShape), kernel))
          for row in [0, rows / 2, rows - 1] {
            let first = isShared ? 0 : row * partCount
            let own = Array(kernels[first..<first + partCount])
            let image = Array(images[row * count..<(row + 1) * count])
            let expected = Self.convolution(image, size, own, part)
            let values = Array(found[row * outputs..<(row + 1) * outputs])
            #expect(distance(values, expected) < 1e-5)
            // Alone, a row has the same bits.
            let alone = conv2d(Tensor(image, shape: imageShape), Tensor(own, shape: kernelShape))
            #expect(values.map(\.bitPattern) == alone.scalars.map(\.bitPattern))
          }
        }
      }
    }
  }

  @Test func gradients() throws {
    try expectGradients("conv2d", [[4, 5], [2, 3]], in: -1...1) { conv2d($0[0], $0[1]) }
    try expectGradients("wide", [[2, 20], [2, 9]], in: -1...1) { conv2d($0[0], $0[1]) }
    try expectGradients("many kernels", [[3, 3], [2, 2, 2]], in: -1...1) { conv2d($0[0], $0[1]) }
    try expectGradients("many images", [[2, 3, 3], [3, 3]], in: -1...1) { conv2d($0[0], $0[1]) }
  }

  @Test func emptyImagesAndKernelsArePoison() {
    for (image, kernel) in [
      ([3, 0, 8], [1, 1]), ([0, 8], [1, 1]), ([8, 0], [1, 1]), ([8, 8], [0, 1]), ([8, 8], [1, 0]),
    ]
      as [(Shape, Shape)]
    {
      #expect(conv2d(.zeros(image), .zeros(kernel)).failure != nil, "\(image) \(kernel)")
    }
    #expect(conv2d(.zeros([0, 8, 8]), .zeros([3, 3])).shape == [0, 6, 6], "no images are no mistake")
  }

  /// A team gives the bits of one thread.
  @Test func teams() {
    var generator = SplitMix(seed: 4)
    let shape = coix_correlation(
      height: 30, width: 31, kernel_height: 12, kernel_width: 9, top: 2, left: 3, flips: 0)
    let (image, kernel) = (generator.floats(30 * 31 * 48), generator.floats(12 * 9 * 48))
    func out(_ team: Int32) -> [UInt32] {
      var out = [Float](repeating: 0, count: 23 * 29 * 48)
      coix_op_correlate(image, kernel, 1, &out, shape, 1, 48, team).run()
      return out.map(\.bitPattern)
    }
    #expect(out(1) == out(2))
    #expect(out(1) == out(7))
  }
}
