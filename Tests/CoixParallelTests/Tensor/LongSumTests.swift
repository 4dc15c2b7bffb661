import TestSupport
import Testing

@testable import CoixParallel

/// Sums over very many elements keep the digits that their documentation states, whatever the operation.
@Suite struct LongSumTests {
  static let count = 10_000_000
  /// A number that single precision does not hold exactly, so that a running sum of it drifts: 1% after a
  /// million.
  static let tenth = Tensor(repeating: 0.1, shape: [count])
  static let sum = Double(Float(0.1)) * Double(count)

  private func error(_ value: Tensor, _ expected: Double) -> Double {
    abs(Double(value.scalar) / expected - 1)
  }

  @Test func sumsAndMeans() {
    #expect(error(Self.tenth.sum(), Self.sum) < 1e-7)
    #expect(error(Self.tenth.mean(), Double(Float(0.1))) < 2e-7)
    #expect(error(Self.tenth.reshaped(to: [Self.count / 2, 2]).sum(axis: 0)[1], Self.sum / 2) < 1e-7)
  }

  @Test(arguments: [100_000, 1_000_000, 10_000_000]) func fusedNormalDensities(_ count: Int) {
    let density = normalLogDensity(.zeros([count]), location: 0, scale: 1, reducing: 1)
    #expect(density.scalar == Float(-0.918_938_533_204_672_74 * Double(count)))
    let apart = normalLogDensity(Tensor(repeating: 0.1, shape: [count]), location: 0, scale: 1, reducing: 1)
    let each = -0.918_938_533_204_672_74 - 0.5 * Double(Float(0.1)) * Double(Float(0.1))
    #expect(error(apart, each * Double(count)) < 65 * 0x1p-24)
  }

  /// Blocks of 64 and what is beyond, for rows in a plate, with a scale for each element.
  @Test(arguments: [64, 65, 200, 1_000]) func densitiesInAPlate(_ count: Int) {
    var random = SplitMix(seed: 5)
    let (x, scales) = (random.floats(count, in: -3...3), random.floats(count, in: 0.5...2))
    let expected = zip(x, scales).reduce(0.0) { sum, pair in
      let (z, s) = (Double(pair.0) / Double(pair.1), Double(pair.1))
      return sum - 0.5 * z * z - 0.918_938_533_204_672_74 - logOf(s)
    }
    for rows in [1, 5, 40] {
      inChunk(rows: rows) { chunk in
        let value = chunk.batched((0..<rows).flatMap { _ in x }, [count])
        for scale in [Tensor(scales), chunk.batched((0..<rows).flatMap { _ in scales }, [count])] {
          let density = normalLogDensity(value, location: 0, scale: scale, reducing: 1)
          for number in chunk.values(density) { #expect(abs(Double(number) / expected - 1) < 4e-6) }
        }
      }
    }
  }

  private func logOf(_ x: Double) -> Double { Double(log(Tensor(Float(x))).scalar) }

  @Test func productsAndTheirGradients() throws {
    let ones = Tensor.ones([Self.count])
    #expect(error(dot(Self.tenth, ones), Self.sum) < 512 * 0x1p-24)
    let layer = dense(
      Self.tenth, kernel: ones.reshaped(to: [Self.count, 1]), bias: [1], activation: .relu)
    #expect(error(layer[0], Self.sum + 1) < 512 * 0x1p-24)
    // The gradient of a matrix that meets ten million vectors.
    let vectors = Self.tenth.reshaped(to: [1, Self.count])
    let found = try gradients(of: { matmul($0[0], vectors).sum() }, at: [Tensor([2], shape: [1, 1])])
    #expect(abs(Double(found[0][0]) / Self.sum - 1) < 512 * 0x1p-24)
  }

  /// One product of vectors for each row.
  @Test func productsOfRows() {
    let count = 100_000
    inChunk(rows: 16) { chunk in
      let rows = chunk.batched([Float](repeating: 1, count: 16), []) * Tensor(repeating: 0.1, shape: [count])
      let product = chunk.values(dot(rows, rows))[0]
      #expect(
        abs(Double(product) / (Double(Float(0.1)) * Double(Float(0.1)) * Double(count)) - 1) < 65 * 0x1p-24)
    }
  }

  @Test func gradientsOfBroadcasts() throws {
    let found = try gradients(of: { ($0[0] * Self.tenth).sum() }, at: [3])
    #expect(abs(Double(found[0][0]) / Self.sum - 1) < 2e-7)
  }

  @Test func runningSums() throws {
    for count in [1_000, 100_000, 1_000_000, 10_000_000] {
      let sums = Tensor(repeating: 1 / Float(count), shape: [count]).cumulativeSum(axis: 0)
      let exact = Double(1 / Float(count)) * Double(count)
      #expect(error(sums[count - 1], exact) < 17 * 6 * 0x1p-24)
    }
    let found = try gradients(
      of: { ($0[0] + Self.tenth).cumulativeSum(axis: 0)[Self.count - 1] * 0.1 }, at: [0])
    #expect(abs(Double(found[0][0]) / Self.sum - 1) < 17 * 6 * 0x1p-24)
  }

  @Test func softmaxes() throws {
    let zeros = Tensor.zeros([Self.count])
    #expect(error(zeros.logSumExp(), 16.118_095_650_958_32) < 1e-7)
    #expect(error(zeros.softmax(axis: 0)[5], 1e-7) < 2e-7)
    #expect(error(zeros.logSoftmax(axis: 0)[5], -16.118_095_650_958_32) < 1e-7)
  }

  /// A log-sum-exp of large numbers is itself rounded by far more than a softmax may be.
  @Test func theGradientOfALogSumExpIsTheSoftmax() throws {
    let found = try gradients(of: { ($0[0] + 1_000_000).logSumExp() }, at: [[0, 0, 0]])
    #expect(distance(found[0], [1 / 3.0, 1 / 3.0, 1 / 3.0]) < 1e-7)
    let impossible = try gradients(of: { $0[0].logSumExp() }, at: [[-.infinity, -.infinity]])
    #expect(impossible == [[0, 0]])
  }

  /// As many gradients as there are positions go to a few elements.
  @Test func gradientsOfPositionsNamedVeryOften() throws {
    let positions = [Int](repeating: 1, count: 100_000)
    let found = try gradients(of: { $0[0].gathered(at: positions).sum() * 0.1 }, at: [[1, 2]])
    #expect(distance(found[0], [0, Double(Float(0.1)) * 100_000]) < 1e-6)
  }
}
