import CoixKernels
import TestSupport
import Testing

@Suite struct CorrelationTests {
  /// By definition, in double.
  private func correlation(
    _ image: [Float], _ kernel: [Float], _ shape: coix_correlation, _ outer: Int, _ rows: Int,
    _ kernelRows: Int
  ) -> [Double] {
    let (height, width) = (shape.height + 2 * shape.top, shape.width + 2 * shape.left)
    let (resultHeight, resultWidth) = (height - shape.kernel_height + 1, width - shape.kernel_width + 1)
    var result = [Double](repeating: 0, count: outer * resultHeight * resultWidth * rows)
    for place in result.indices {
      let (row, o) = (place % rows, place / rows / resultWidth / resultHeight)
      var (y, x) = (place / rows / resultWidth % resultHeight, place / rows % resultWidth)
      if Int(shape.flips) & COIX_FLIP_RESULT != 0 { (y, x) = (resultHeight - 1 - y, resultWidth - 1 - x) }
      for u in 0..<shape.kernel_height {
        for v in 0..<shape.kernel_width {
          let (line, column) = (y + u - shape.top, x + v - shape.left)
          guard 0..<shape.height ~= line, 0..<shape.width ~= column else { continue }
          var tap = u * shape.kernel_width + v
          if Int(shape.flips) & COIX_FLIP_KERNEL != 0 {
            tap = shape.kernel_height * shape.kernel_width - 1 - tap
          }
          let pixel = (o * shape.height + line) * shape.width + column
          let element = o * shape.kernel_height * shape.kernel_width + tap
          result[place] +=
            Double(image[pixel * rows + row]) * Double(kernel[element * kernelRows + row % kernelRows])
        }
      }
    }
    return result
  }

  /// All flips, kernels as large as image and zeros allow, and any number of rows; results of sizes on both sides of
  /// what registers hold.
  @Test(arguments: 0..<4) func sums(flips: Int32) {
    var random = SplitMix(seed: UInt64(flips) + 1)
    func size(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    for _ in 0..<150 {
      var shape = coix_correlation(
        height: size(1...9), width: size(1...24), kernel_height: 1, kernel_width: 1, top: size(0...3),
        left: size(0...4), flips: flips)
      shape.kernel_height = size(1...shape.height + 2 * shape.top)
      shape.kernel_width = size(1...shape.width + 2 * shape.left)
      let (outer, rows, isShared) = (size(1...2), size(1...40), size(0...1) == 1)
      let kernelRows = isShared ? 1 : rows
      let image = random.floats(outer * shape.height * shape.width * rows, in: -1...1)
      let kernel = random.floats(outer * shape.kernel_height * shape.kernel_width * kernelRows, in: -1...1)
      let expected = correlation(image, kernel, shape, outer, rows, kernelRows)
      func found(_ team: Int32) -> [Float] {
        output(expected.count) {
          coix_correlate(image, kernel, isShared ? 0 : 1, $0, shape, outer, rows, team)
        }
      }
      let result = found(1)
      // Terms are at most 1.
      let terms = Double(shape.kernel_height * shape.kernel_width)
      let bound = Double(shape.kernel_height + shape.kernel_width) * 0x1p-24 * terms
      #expect(zip(result, expected).allSatisfy { abs(Double($0) - $1) <= bound }, "\(shape), \(rows) rows")
      #expect(sameBits(result, found(3)))
    }
  }

  /// Numbers outside of the image are left out, not multiplied by 0.
  @Test func infiniteKernels() {
    let shape = coix_correlation(
      height: 1, width: 9, kernel_height: 1, kernel_width: 3, top: 0, left: 2, flips: 0)
    let image = [Float](repeating: 1, count: 9 * 17)
    let kernel: [Float] = [.infinity, 0, 0]
    let result = output(11 * 17) { coix_correlate(image, kernel, 0, $0, shape, 1, 17, 1) }
    #expect(result == (0..<11 * 17).map { $0 / 17 < 2 ? 0 : .infinity })
  }
}
