import CoixKernels
import Foundation
import TestSupport
import Testing

/// A dense layer with random numbers, and the plain loops that its kernels must agree with.
struct DenseLayer {
  let inputs: Int
  let outputs: Int
  let rows: Int
  let activation: coix_activation
  let x: [Float]
  let kernel: [Float]
  let bias: [Float]
  let dy: [Float]

  init(_ inputs: Int, _ outputs: Int, rows: Int, _ activation: coix_activation, seed: UInt64 = 1) {
    var random = SplitMix(seed: seed)
    (self.inputs, self.outputs, self.rows, self.activation) = (inputs, outputs, rows, activation)
    x = random.floats(inputs * rows)
    kernel = random.floats(inputs * outputs, in: -1...1).map { $0 / Float(max(inputs, 1)).squareRoot() }
    bias = random.floats(outputs)
    dy = random.floats(outputs * rows)
  }

  func forward(bias: [Float]? = nil, team: Int32 = 1) -> [Float] {
    output(outputs * rows) {
      coix_dense_forward(x, kernel, bias, $0, inputs, outputs, rows, activation, team)
    }
  }

  func forwardInDouble(bias: [Float]? = nil) -> [Double] {
    var y = [Double](repeating: 0, count: outputs * rows)
    for o in 0..<outputs {
      for r in 0..<rows {
        var sum = bias.map { Double($0[o]) } ?? 0
        for i in 0..<inputs { sum += Double(kernel[i * outputs + o]) * Double(x[i * rows + r]) }
        y[o * rows + r] = activate(sum)
      }
    }
    return y
  }

  struct Gradient {
    var dx: [Float] = []
    var dkernel: [Float] = []
    var dbias: [Float] = []
  }

  func backward(from y: [Float], team: Int32 = 1) -> Gradient {
    var gradient = Gradient()
    gradient.dx = output(inputs * rows) { dx in
      gradient.dkernel = output(inputs * outputs) { dkernel in
        gradient.dbias = output(outputs) { dbias in
          var dz = [Float](repeating: 0, count: outputs * rows)
          coix_dense_backward(
            x, kernel, y, dy, &dz, dx, dkernel, dbias, inputs, outputs, rows, activation, team)
        }
      }
    }
    return gradient
  }

  func backwardInDouble(from y: [Float]) -> (dx: [Double], dkernel: [Double], dbias: [Double]) {
    var dx = [Double](repeating: 0, count: inputs * rows)
    var dkernel = [Double](repeating: 0, count: inputs * outputs)
    var dbias = [Double](repeating: 0, count: outputs)
    for o in 0..<outputs {
      for r in 0..<rows {
        let dz = Double(dy[o * rows + r]) * slope(Double(y[o * rows + r]))
        dbias[o] += dz
        for i in 0..<inputs {
          dx[i * rows + r] += Double(kernel[i * outputs + o]) * dz
          dkernel[i * outputs + o] += Double(x[i * rows + r]) * dz
        }
      }
    }
    return (dx, dkernel, dbias)
  }

  func activate(_ z: Double) -> Double {
    switch activation {
    case COIX_RELU: max(z, 0)
    case COIX_TANH: tanh(z)
    case COIX_SIGMOID: 1 / (1 + exp(-z))
    case COIX_SOFTPLUS: log1p(exp(z))
    default: z
    }
  }

  /// The activation's derivative from its value.
  func slope(_ y: Double) -> Double {
    switch activation {
    case COIX_RELU: y > 0 ? 1 : 0
    case COIX_TANH: 1 - y * y
    case COIX_SIGMOID: y * (1 - y)
    case COIX_SOFTPLUS: -expm1(-y)
    default: 1
    }
  }
}

@Suite struct DenseTests {
  static let activations = [COIX_IDENTITY, COIX_RELU, COIX_TANH, COIX_SIGMOID, COIX_SOFTPLUS]
  /// Few inputs, few outputs, neither, and more than one block of each.
  static let shapes = [
    (1, 1), (2, 32), (32, 2), (3, 5), (4, 3), (5, 4), (7, 13), (1, 9), (9, 1), (33, 40), (7, 150), (300, 5),
    (0, 3),
  ]
  /// Rows on both sides of whole vectors, and the activations to try with them.
  static let sizes = [
    (1, activations), (3, [COIX_RELU]), (15, [COIX_RELU]), (16, [COIX_IDENTITY]), (17, activations),
    (33, [COIX_RELU]), (100, [COIX_RELU]),
  ]

  @Test(arguments: shapes) func forwardIsThePlainLoop(inputs: Int, outputs: Int) {
    for (rows, activations) in Self.sizes {
      for activation in activations {
        let layer = DenseLayer(inputs, outputs, rows: rows, activation)
        #expect(distance(layer.forward(bias: layer.bias), layer.forwardInDouble(bias: layer.bias)) < 2e-6)
      }
      let bare = DenseLayer(inputs, outputs, rows: rows, COIX_IDENTITY)
      #expect(distance(bare.forward(), bare.forwardInDouble()) < 2e-6)
    }
  }

  /// Few outputs of many inputs, of as many rows as a wide tile has and more; and the same of a part that a team leaves over.
  @Test(arguments: [128, 129, 257, 600], [1, 2, 3]) func fewOutputsOfManyInputs(inputs: Int, outputs: Int) {
    for rows in [127, 128, 400, 2_048] {
      let layer = DenseLayer(inputs, outputs, rows: rows, COIX_TANH)
      #expect(distance(layer.forward(bias: layer.bias), layer.forwardInDouble(bias: layer.bias)) < 3e-6)
    }
    let layer = DenseLayer(257, 128 + outputs, rows: 1_023, COIX_IDENTITY)
    let alone = layer.backward(from: [])
    for team: Int32 in [2, 33, 64] {
      let shared = layer.backward(from: [], team: team)
      #expect(sameBits(shared.dx, alone.dx) && sameBits(shared.dkernel, alone.dkernel))
    }
  }

  @Test(arguments: shapes) func backwardIsThePlainLoop(inputs: Int, outputs: Int) {
    for (rows, activations) in Self.sizes + (inputs * outputs < 100 ? [(600, [COIX_RELU])] : []) {
      for activation in activations {
        let layer = DenseLayer(inputs, outputs, rows: rows, activation)
        let y = layer.forward(bias: layer.bias)
        let got = layer.backward(from: y)
        let want = layer.backwardInDouble(from: y)
        #expect(distance(got.dx, want.dx) < 3e-6)
        #expect(distance(got.dkernel, want.dkernel) < 2e-5)
        #expect(distance(got.dbias, want.dbias) < 2e-5)
      }
    }
  }

  /// Whatever is asked for has the same bits as when all is.
  @Test(arguments: [(2, 9), (9, 2), (20, 30)]) func partsOfTheGradientCanBeLeftOut(inputs: Int, outputs: Int)
  {
    for activation in [COIX_IDENTITY, COIX_RELU, COIX_TANH] {
      let layer = DenseLayer(inputs, outputs, rows: 50, activation)
      let y = layer.forward(bias: layer.bias)
      let all = layer.backward(from: y)
      var dz = [Float](repeating: 0, count: outputs * 50)
      let dx = output(inputs * 50) {
        coix_dense_backward(
          nil, layer.kernel, y, layer.dy, &dz, $0, nil, nil, inputs, outputs, 50, activation, 1)
      }
      let dkernel = output(inputs * outputs) {
        coix_dense_backward(
          layer.x, layer.kernel, y, layer.dy, &dz, nil, $0, nil, inputs, outputs, 50, activation, 1)
      }
      let dbias = output(outputs) {
        coix_dense_backward(
          nil, layer.kernel, y, layer.dy, &dz, nil, nil, $0, inputs, outputs, 50, activation, 1)
      }
      #expect(sameBits(dx, all.dx))
      #expect(sameBits(dkernel, all.dkernel))
      #expect(distance(dbias, all.dbias.map(Double.init)) < 1e-6)
    }
  }

  @Test func noRowsGiveZeroGradients() {
    for (inputs, outputs) in [(2, 9), (9, 2), (20, 30)] {
      let gradient = DenseLayer(inputs, outputs, rows: 0, COIX_RELU).backward(from: [])
      #expect(gradient.dkernel == [Float](repeating: 0, count: inputs * outputs))
      #expect(gradient.dbias == [Float](repeating: 0, count: outputs))
    }
  }

  @Test func anIdentityLayerNeedsNoScratch() {
    let layer = DenseLayer(8, 9, rows: 33, COIX_IDENTITY)
    let dx = output(8 * 33) {
      coix_dense_backward(
        layer.x, layer.kernel, nil, layer.dy, nil, $0, nil, nil, 8, 9, 33, COIX_IDENTITY, 1)
    }
    #expect(sameBits(dx, layer.backward(from: layer.forward()).dx))
  }

  /// Few inputs, few outputs, and products that are split by rows and by outputs.
  @Test(arguments: [
    (2, 1_800, 1_030), (1_800, 2, 1_030), (130, 90, 1_030), (90, 130, 1_030), (300, 40, 1_030),
    (300, 700, 70), (128, 512, 300), (512, 128, 300), (40, 50, 20_000),
  ])
  func teamsChangeNoBit(inputs: Int, outputs: Int, rows: Int) {
    let layer = DenseLayer(inputs, outputs, rows: rows, COIX_RELU)
    let y = layer.forward(bias: layer.bias)
    let gradient = layer.backward(from: y)
    for team: Int32 in [2, 3] {
      #expect(sameBits(layer.forward(bias: layer.bias, team: team), y))
      let other = layer.backward(from: y, team: team)
      #expect(sameBits(other.dx, gradient.dx))
      #expect(sameBits(other.dkernel, gradient.dkernel))
      #expect(sameBits(other.dbias, gradient.dbias))
    }
  }

  /// Layers of several blocks of inputs, outputs and rows, and sums of so many terms that parts are added in
  /// double; where secondary threads have small stacks, too.
  @Test(arguments: [(128, 512, 70), (512, 300, 130), (600, 128, 97), (130, 140, 17_000)])
  func wideLayersKeepTheirDigits(inputs: Int, outputs: Int, rows: Int) throws {
    try onSmallStack {
      let layer = DenseLayer(inputs, outputs, rows: rows, COIX_IDENTITY)
      let y = layer.forward(bias: layer.bias)
      let gradient = layer.backward(from: y)
      var random = SplitMix(seed: 2)
      for _ in 0..<200 {
        let i = Int.random(in: 0..<inputs, using: &random)
        let o = Int.random(in: 0..<outputs, using: &random)
        let r = Int.random(in: 0..<rows, using: &random)
        let product = (0..<inputs).map {
          Double(layer.kernel[$0 * outputs + o]) * Double(layer.x[$0 * rows + r])
        }
        #expect(Self.isSum(y[o * rows + r], product + [Double(layer.bias[o])]))
        #expect(
          Self.isSum(
            gradient.dx[i * rows + r],
            (0..<outputs).map { Double(layer.kernel[i * outputs + $0]) * Double(layer.dy[$0 * rows + r]) }))
        #expect(
          Self.isSum(
            gradient.dkernel[i * outputs + o],
            (0..<rows).map { Double(layer.x[i * rows + $0]) * Double(layer.dy[o * rows + $0]) }))
      }
    }
  }

  /// Whether a number is the sum of terms, with the error that `coix_dense_forward` states.
  private static func isSum(_ number: Float, _ terms: [Double]) -> Bool {
    let magnitude = terms.reduce(0) { $0 + abs($1) }
    return abs(Double(number) - terms.reduce(0, +)) <= 512 * 0x1p-24 * magnitude
  }

  /// The same numbers in every row give the same bits in every row, in whole vectors and behind them.
  @Test(arguments: [(2, 32), (32, 2), (40, 50), (300, 270)])
  func rowsDoNotKnowTheirLane(inputs: Int, outputs: Int) {
    let single = DenseLayer(inputs, outputs, rows: 1, COIX_TANH)
    let one = single.forward(bias: single.bias)
    for rows in oddSizes {
      let x = single.x.flatMap { [Float](repeating: $0, count: rows) }
      let y = output(outputs * rows) {
        coix_dense_forward(x, single.kernel, single.bias, $0, inputs, outputs, rows, COIX_TANH, 1)
      }
      #expect(sameBits(y, one.flatMap { [Float](repeating: $0, count: rows) }))
    }
  }

  @Test func notANumberReachesOnlyItsRow() {
    let layer = DenseLayer(20, 30, rows: 40, COIX_RELU)
    var x = layer.x
    x[3 * 40 + 7] = .nan
    let clean = layer.forward()
    let y = output(30 * 40) { coix_dense_forward(x, layer.kernel, nil, $0, 20, 30, 40, COIX_RELU, 1) }
    for o in 0..<30 {
      for r in 0..<40 {
        #expect(r == 7 ? y[o * 40 + r].isNaN : y[o * 40 + r] == clean[o * 40 + r])
      }
    }
  }

  @Test func batchedMatmulIsOneProductARow() {
    let (m, k, n) = (3, 4, 2)
    for rows in oddSizes {
      var random = SplitMix(seed: 5)
      let (a, b) = (random.floats(m * k * rows), random.floats(k * n * rows))
      let got = output(m * n * rows) { coix_batched_matmul(a, b, $0, m, k, n, rows) }
      var want = [Double](repeating: 0, count: m * n * rows)
      for i in 0..<m {
        for j in 0..<n {
          for l in 0..<k {
            for r in 0..<rows {
              want[(i * n + j) * rows + r] +=
                Double(a[(i * k + l) * rows + r]) * Double(b[(l * n + j) * rows + r])
            }
          }
        }
      }
      #expect(distance(got, want) < 1e-6)
    }
  }
}
