import Coix
import Foundation
import Testing

/// Bijectors: the inverse, the volume change against a numerical Jacobian, gradients against differences,
/// NumPyro's numbers.
@Suite struct BijectorTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bijector: any Bijector
    /// The domain's event; numbers are tried as vectors of three.
    let size: Int
    /// Which components of an image are free coordinates; nil for all.
    var coordinates: [Int]?

    init(_ name: String, _ bijector: any Bijector, size: Int = 3, coordinates: [Int]? = nil) {
      (testDescription, self.bijector, self.size, self.coordinates) = (name, bijector, size, coordinates)
    }

    /// log |det|, summed over the vector for maps of numbers.
    func volume(_ x: Tensor) -> Tensor {
      bijector.logDeterminant(from: x, to: bijector.forward(x)).sum()
    }
    func image(_ x: Tensor) -> Tensor {
      let y = bijector.forward(x).flattened()
      return coordinates.map { coordinates in Tensor.concatenate(coordinates.map { y[$0..<$0 + 1] }) } ?? y
    }
  }

  static let cases = [
    Case("Exp", Exp()), Case("Affine", Affine([1, 2, 3], [0.5, -2, 1])), Case("Sigmoid", Sigmoid()),
    Case("Softplus", Softplus()), Case("Tanh", Tanh()),
    Case("SoftmaxCentered", SoftmaxCentered(), coordinates: [0, 1, 2]), Case("Ordered", Ordered()),
    Case("LowerCholesky", LowerCholesky(), coordinates: [0, 2, 3]),
    Case("LowerCholesky of three rows", LowerCholesky(), size: 6, coordinates: [0, 3, 4, 6, 7, 8]),
    Case("Affine, Exp", Affine(0.5, 2).then(Exp())), Case("Ordered, Sigmoid", Ordered().then(Sigmoid())),
    Case("Affine, LowerCholesky", Affine(0, [1, 2, 3]).then(LowerCholesky()), coordinates: [0, 2, 3]),
    Case("Tanh, Affine, Ordered", Tanh().then(Affine(1, 3)).then(Ordered())),
  ]

  /// Some points: near 0, and a few units away.
  private func points(_ size: Int) -> [Tensor] {
    (0..<5).map { Draw(key: PRNGKey(seed: $0), shape: [size]).normal() * 0.7 }
  }

  @Test(arguments: cases)
  func inverses(_ test: Case) {
    for x in points(test.size) {
      let y = test.bijector.forward(x)
      #expect(y.failure == nil && test.bijector.codomainShape(for: x.shape) == y.shape)
      #expect(test.bijector.contains(y).scalars.allSatisfy { $0 == 1 })
      for (found, expected) in zip(test.bijector.inverse(y).scalars, x.scalars) {
        #expect(abs(found - expected) < 1e-4 * (1 + abs(expected)))
      }
    }
    // Parts are mapped one by one.
    let two = Tensor.stack(Array(points(test.size).prefix(2)))
    let parts = (0..<2).flatMap { test.bijector.forward(two[$0]).scalars }
    #expect(zip(test.bijector.forward(two).scalars, parts).allSatisfy { abs($0 - $1) < 1e-5 })
    #expect(test.bijector.codomainShape(for: two.shape) == test.bijector.forward(two).shape)
  }

  @Test(arguments: cases)
  func volumesAreThoseOfTheJacobian(_ test: Case) {
    for x in points(test.size) {
      let h: Float = 1.0 / 128
      let columns = (0..<test.size).map { column -> [Double] in
        let step = Tensor((0..<test.size).map { $0 == column ? h : 0 })
        let (above, below) = (test.image(x + step).scalars, test.image(x - step).scalars)
        return zip(above, below).map { Double($0 - $1) / Double(2 * h) }
      }
      let expected = logDeterminant(columns)
      #expect(abs(Double(test.volume(x).scalar) - expected) < 2e-3 * (1 + abs(expected)))
    }
  }

  /// log |det| by Gauss's elimination with pivots.
  private func logDeterminant(_ matrix: [[Double]]) -> Double {
    var rows = matrix
    var sum = 0.0
    for k in rows.indices {
      if let pivot = (k..<rows.count).max(by: { abs(rows[$0][k]) < abs(rows[$1][k]) }) {
        rows.swapAt(k, pivot)
      }
      sum += log(abs(rows[k][k]))
      for i in k + 1..<rows.count {
        let factor = rows[i][k] / rows[k][k]
        for j in k..<rows.count { rows[i][j] -= factor * rows[k][j] }
      }
    }
    return sum
  }

  @Test(arguments: cases)
  func gradients(_ test: Case) throws {
    let functions: [@Sendable (Tensor) -> Tensor] = [
      { test.volume($0) }, { (test.image($0) * 0.5).squared.sum() },
      { x in
        let y = test.bijector.forward(x)
        return test.bijector.inverse(y).squared.sum()
      },
    ]
    for x in points(test.size) {
      for function in functions {
        let gradient = try valueWithGradient(at: x) { function($0) }.gradient.scalars
        for element in 0..<test.size {
          let h: Float = 1.0 / 64
          let step = Tensor((0..<test.size).map { $0 == element ? h : 0 })
          let difference = (function(x + step).scalar - function(x - step).scalar) / (2 * h)
          #expect(abs(gradient[element] - difference) < 5e-3 * (1 + abs(difference)))
        }
      }
    }
  }

  /// `t.ExpTransform()` and so on at [0.3, -1.2, 0.5]: the images and `log_abs_det_jacobian`. Tanh and the
  /// centred softmax, which NumPyro has not, are checked by the Jacobian alone.
  @Test func agreesWithNumPyro() {
    func check(_ bijector: some Bijector, _ images: [Float], _ volumes: [Float]) {
      let x = Tensor([0.3, -1.2, 0.5])
      let y = bijector.forward(x)
      let found = y.scalars + bijector.logDeterminant(from: x, to: y).scalars
      #expect(found.count == images.count + volumes.count)
      for (found, expected) in zip(found, images + volumes) {
        #expect(abs(found - expected) < 2e-6 * (1 + abs(expected)))
      }
    }
    check(Exp(), [1.349_858_9, 0.301_194_2, 1.648_721_2], [0.3, -1.2, 0.5])
    check(Affine(1, -2), [0.4, 3.4, 0], [0.693_147_2, 0.693_147_2, 0.693_147_2])
    check(Sigmoid(), [0.574_442_5, 0.231_475_2, 0.622_459_35], [-1.408_710_5, -1.726_564_9, -1.448_154])
    check(Softplus(), [0.854_355_3, 0.263_282_45, 0.974_077], [-0.554_355_3, -1.463_282_5, -0.474_077])
    check(Ordered(), [0.3, 0.601_194_2, 2.249_915_4], [-0.7])
    check(LowerCholesky(), [0.301_194_2, 0, 0.3, 1.648_721_2], [-0.7])
  }

  @Test func ranks() {
    let composed = Affine(0, 1).then(LowerCholesky())
    #expect(composed.domainRank == 1 && composed.codomainRank == 2)
    #expect(composed.codomainShape(for: [5, 6]) == [5, 3, 3])
    let reversed = LowerCholesky().then(Exp())
    #expect(reversed.domainRank == 1 && reversed.codomainRank == 2)
    #expect(LowerCholesky().codomainShape(for: [4]) == nil)
    #expect(SoftmaxCentered().codomainShape(for: []) == nil)
    let joined = Normal(.zeros([2, 3]), 1).transformed(by: Ordered())
    #expect(joined.batchShape == [2] && joined.eventShape == [3])
    let parts = Normal(.zeros([2, 3]), 1).event(2).transformed(by: Ordered())
    #expect(parts.batchShape == [] && parts.eventShape == [2, 3])
    let y = Tensor([0, 1, 2, 3, 4, 5], shape: [2, 3])
    #expect(abs(parts.logProb(of: y).scalar - joined.logProb(of: y).sum().scalar) < 1e-5)
    #expect(joined.event(1).logProb(of: y).shape == [])
    // One part outside of the codomain is enough.
    #expect(parts.logProb(of: Tensor([0, 1, 2, 3, 4, 3], shape: [2, 3])).scalar == -.infinity)
  }
}
