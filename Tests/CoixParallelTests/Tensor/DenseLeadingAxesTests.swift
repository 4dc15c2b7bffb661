import TestSupport
import Testing

@testable import CoixParallel

/// Dense layers over inputs that lie along further axes in front: the same numbers and gradients as one layer
/// for each.
@Suite struct DenseLeadingAxesTests {
  static let kernel = Tensor([1, -2, 3, 0.5, 0.25, -1], shape: [2, 3])
  static let bias = Tensor([0.5, -0.5, 0.1])

  private func layer(_ x: Tensor, _ kernel: Tensor = kernel, _ bias: Tensor = bias) -> Tensor {
    dense(x, kernel: kernel, bias: bias, activation: .tanh)
  }

  /// One call for each input.
  private func oneByOne(_ x: Tensor, _ kernel: Tensor, _ bias: Tensor) -> Tensor {
    let flat = x.reshaped(to: [x.shape.elementCount / 2, 2])
    let rows = (0..<flat.shape[0]).map { layer(flat[$0], kernel, bias) }
    return Tensor.stack(rows).reshaped(to: Shape(x.shape.dropLast() + [3]))
  }

  @Test(arguments: [[2], [1, 2], [5, 2], [3, 4, 2]] as [Shape]) func values(_ shape: Shape) {
    var random = SplitMix(seed: 9)
    let x = Tensor(random.floats(shape.elementCount, in: -2...2), shape: shape)
    #expect(layer(x).shape == Shape(shape.dropLast() + [3]))
    #expect(distance(layer(x).scalars, oneByOne(x, Self.kernel, Self.bias).scalars.map(Double.init)) < 1e-6)
    inChunk(rows: 21) { chunk in
      let rows = chunk.batched(random.floats(21 * shape.elementCount, in: -2...2), shape)
      let expected = chunk.values(oneByOne(rows, Self.kernel, Self.bias)).map(Double.init)
      #expect(distance(chunk.values(layer(rows)), expected) < 1e-6)
    }
  }

  @Test(arguments: [[5, 2], [3, 4, 2]] as [Shape]) func gradientsOfAll(_ shape: Shape) throws {
    var random = SplitMix(seed: 10)
    let x = Tensor(random.floats(shape.elementCount, in: -2...2), shape: shape)
    let weights = random.floats(shape.elementCount / 2 * 3, in: -1...1)
    let inputs = [x, Self.kernel, Self.bias]
    let found = try gradients(of: { layer($0[0], $0[1], $0[2]) }, at: inputs, weights: weights)
    let expected = try gradients(of: { oneByOne($0[0], $0[1], $0[2]) }, at: inputs, weights: weights)
    for (one, other) in zip(found, expected) { #expect(distance(one, other.map(Double.init)) < 1e-5) }
  }

  @Test func noInputs() { #expect(layer(.zeros([0, 2])).shape == [0, 3]) }

  @Test func whatDoesNotFit() {
    #expect(
      layer(.zeros([4, 3])).failure?.description
        == "dense: needs x [..., in], kernel [in, out] and bias [out], kernel and bias the same for all particles "
        + "(shapes [4, 3], [2, 3], [3])")
    #expect(layer(1).failure != nil)
  }
}
