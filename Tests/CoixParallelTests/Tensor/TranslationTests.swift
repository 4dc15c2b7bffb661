import TestSupport
import Testing

@testable import CoixParallel

@Suite struct TranslationTests {
  private static let image = Tensor((1...12).map { Float($0) }, shape: [3, 4])

  /// Whole numbers move pixels.
  @Test func wholeOffsets() {
    let down = Self.image.translated(by: [1, -2], to: (4, 3))
    #expect(down.shape == [4, 3])
    #expect(down.scalars == [0, 0, 0, 3, 4, 0, 7, 8, 0, 11, 12, 0])
    #expect(Self.image.translated(by: [0, 0], to: (3, 4)).scalars == Self.image.scalars)
    #expect(Self.image.translated(by: [5, 0], to: (2, 2)).scalars == [0, 0, 0, 0])
    #expect(Self.image.translated(by: [.infinity, 0], to: (1, 1)).scalars == [0])
  }

  /// Half a pixel has the weights -1/16, 9/16, 9/16, -1/16, scaled to a sum of 1 at the borders.
  @Test func halves() {
    let line = Tensor([1, 2, 4, 8], shape: [1, 4])
    let found = line.translated(by: [0, 0.5], to: (1, 5)).scalars.map(Double.init)
    let expected: [Double] = [
      (1 * 9 - 2) / 8, (9 + 18 - 4) / 17, (-1 + 18 + 36 - 8) / 16, (-2 + 36 + 72) / 17, (8 * 9 - 4) / 8,
    ]
    // The first and the last pixel are half a pixel outside, and still counted.
    #expect(distance(found.map(Float.init), expected) < 1e-6)
    let beyond = line.translated(by: [0, 0.75], to: (1, 1))
    #expect(beyond.scalars == [0])
  }

  /// The interpolation of a quadratic is exact where it does not reach beyond the image.
  @Test func quadratics() {
    func f(_ x: Float) -> Float { 3 - x + 0.25 * x * x }
    let line = Tensor((0..<10).map { f(Float($0)) }, shape: [10, 1])
    let found = line.translated(by: [-2.3, 0], to: (5, 1)).scalars
    #expect(distance(found, (0..<5).map { Double(f(Float($0) + 2.3)) }) < 1e-5)
  }

  @Test func broadcasts() {
    let images = Tensor.stack([Self.image, -Self.image])
    let offsets = Tensor([0, 0, 1, 1, 0, 2], shape: [3, 1, 2])
    let found = images.translated(by: offsets, to: (3, 4))
    #expect(found.shape == [3, 2, 3, 4])
    for (i, offset) in [[0, 0], [1, 1], [0, 2]].map({ Tensor($0.map { Float($0) }) }).enumerated() {
      for k in 0..<2 {
        #expect(found[i][k].scalars == images[k].translated(by: offset, to: (3, 4)).scalars)
      }
    }
    #expect(images.translated(by: .zeros([0, 2, 2]), to: (1, 1)).shape == [0, 2, 1, 1])
  }

  /// Away from whole offsets, where the kernel's second derivative jumps.
  @Test func gradients() throws {
    try expectGradients("one image", [[3, 4], [2]], in: -1...1) {
      $0[0].translated(by: 0.25 + 0.1 * $0[1], to: (4, 3))
    }
    try expectGradients("many offsets", [[3, 3], [2, 2]], in: -1...1) {
      $0[0].translated(by: -1.25 + 0.1 * $0[1], to: (2, 2))
    }
    try expectGradients("many images", [[2, 3, 2], [2]], in: -1...1) {
      $0[0].translated(by: -0.75 + 0.1 * $0[1], to: (3, 4))
    }
  }
}
