import TestSupport
import Testing

@testable import CoixParallel

/// What a result does not depend on has gradient 0, also where a derivative on the way is infinite or NaN.
@Suite struct ZeroSeedTests {
  /// A function whose derivative is infinite or NaN at a point.
  struct Edge: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let point: Float
    let body: @Sendable (Tensor) -> Tensor
    init(_ name: String, at point: Float, _ body: @escaping @Sendable (Tensor) -> Tensor) {
      (testDescription, self.point, self.body) = (name, point, body)
    }
  }

  static let edges: [Edge] = [
    Edge("log", at: 0) { log($0) }, Edge("log of NaN", at: .nan) { log($0) },
    Edge("log1p", at: -1) { log1p($0) }, Edge("sqrt", at: 0) { sqrt($0) },
    Edge("sqrt of NaN", at: -1) { sqrt($0) },
    Edge("reciprocal", at: 0) { $0.reciprocal }, Edge("exp", at: 1_000) { exp($0) },
    Edge("expm1", at: 1_000) { expm1($0) }, Edge("square", at: .infinity) { $0.squared },
    Edge("erfInverse", at: 1) { erfInverse($0) }, Edge("normalQuantile", at: 0) { normalQuantile($0) },
    Edge("logGamma", at: 0) { logGamma($0) }, Edge("digamma", at: 0) { digamma($0) },
    Edge("pow", at: 0) { pow($0, 0.5) }, Edge("pow of tensors", at: 0) { pow($0, [0.5, 0.5]) },
    Edge("exponent", at: .nan) { pow(2, $0) }, Edge("divisor", at: 0) { 1 / $0 },
    Edge("dividend", at: 1) { $0 / 0 }, Edge("factor", at: 1) { $0 * .infinity },
    Edge("NaN", at: 1) { $0 * .nan },
    Edge("log of softmax", at: -.infinity) { log($0.softmax(axis: 0)) },
    Edge("log of maximum", at: -1) { log(maximum($0, 0)) },
    Edge("tanh of NaN", at: .nan) { tanh($0) }, Edge("softplus of NaN", at: .nan) { softplus($0) },
    Edge("abs of NaN", at: .nan) { abs($0) }, Edge("logGamma of NaN", at: .nan) { logGamma($0) },
    Edge("logNormalCDF", at: -.infinity) { logNormalCDF($0) },
    Edge("logBesselI0Scaled of NaN", at: .nan) { logBesselI0Scaled($0) },
    Edge("softmax of NaN", at: .nan) { $0.softmax(axis: 0) },
    Edge("logSoftmax of NaN", at: .nan) { $0.logSoftmax(axis: 0) },
    Edge("logSumExp of NaN", at: .nan) { $0.logSumExp() + Tensor.zeros([2]) },
    Edge("logSumExp", at: .infinity) { $0.logSumExp() + Tensor.zeros([2]) },
    Edge("max of NaN", at: .nan) { $0.max() + Tensor.zeros([2]) },
    Edge("min of NaN", at: .nan) { $0.min() + Tensor.zeros([2]) },
    Edge("cumulativeSum of NaN", at: .nan) { $0.cumulativeSum(axis: 0) },
    Edge("dot of NaN", at: .nan) { dot($0, $0) + Tensor.zeros([2]) },
    Edge("matmul of NaN", at: .nan) { matmul($0, Tensor([1, 2, 3, 4], shape: [2, 2])) },
    Edge("outer product of NaN", at: .nan) {
      matmul($0.expandingAxis(at: 1), $0.expandingAxis(at: 0)).sum(axis: 0)
    },
    Edge("dense of NaN", at: .nan) { dense($0, kernel: .ones([2, 2]), bias: nil, activation: .tanh) },
    Edge("conv2d of NaN", at: .nan) { conv2d($0.expandingAxis(at: 0), .ones([1, 1])).squeezingAxis(at: 0) },
    Edge("conv2d by NaN", at: .nan) {
      conv2d(.ones([1, 3]), $0.expandingAxis(at: 0)).squeezingAxis(at: 0)
    },
    Edge("conv2d of NaN by NaN", at: .nan) {
      conv2d($0.expandingAxis(at: 0), $0.expandingAxis(at: 0)).squeezingAxis(at: 0) + Tensor.zeros([2])
    },
    Edge("solve of NaN", at: .nan) { solveLowerTriangular(.identity(2), $0) },
    Edge("solve by NaN", at: .nan) { solveLowerTriangular(Tensor.identity(2) * $0, $0) },
    Edge("cholesky of NaN", at: .nan) { cholesky(Tensor.identity(2) * $0).sum(axis: 0) },
    Edge("gamma draws of NaN", at: .nan) { Draw(key: PRNGKey(1), shape: [2]).gamma($0) },
  ]

  @Test(arguments: edges) func branchesNotChosen(_ edge: Edge) throws {
    // The second element is chosen from elsewhere; the first has the function of a harmless number.
    let found = try gradients(
      of: { select([1, 0], edge.body($0[0]), $0[0] * 3) }, at: [[0.5, edge.point]], weights: [0, 1])
    #expect(found[0][0] == 0)
    #expect(found[0][1] == 3)
    // In single vectors of lanes and in whole ones.
    inChunk(rows: 40, tape: Tape()) { chunk in
      guard let tape = chunk.context.tape else { return }
      let x = chunk.batched((0..<80).map { $0 % 2 == 0 ? 0.5 : edge.point }, [2])
      let node = tape.append(shape: [2], stride: x.stride, .none)
      let y = select(0, edge.body(x.tracked(node: node, tape: tape.id)), 1)
      tape.add(chunk.seed([Float](repeating: 1, count: 80), [2]), to: y.node)
      #expect(throws: Never.self) { try tape.pullBack() }
      if let gradient = tape.gradient(of: node) { #expect(chunk.values(gradient).allSatisfy { $0 == 0 }) }
    }
  }

  /// A normal density of NaN or of a scale of 0 that does not count, as under a mask.
  @Test func densitiesNotChosen() throws {
    let mask: Tensor = [1, 0, 1, 0]
    let values: Tensor = [1, .nan, 2, 1]
    let found = try gradients(
      of: { select(mask, normalLogDensity(values, location: $0[0], scale: $0[1], reducing: 0), 0) },
      at: [0, [1, 1, 1, 0]])
    #expect(found[0] == [3])
    #expect(found[1] == [0, 0, 3, 0])
  }

  /// Rows of NaN, under a mask, in a layer: the gradients are those with any other numbers in their place.
  @Test(arguments: [(2, 3), (40, 3), (3, 40), (40, 50)])
  func rowsNotChosenInALayer(_ inputs: Int, _ outputs: Int) throws {
    var generator = SplitMix(seed: 3)
    let rows = 21
    let numbers = generator.floats(rows * inputs)
    let layer = [
      Tensor(generator.floats(inputs * outputs), shape: [inputs, outputs]),
      Tensor(generator.floats(outputs)),
    ]
    let mask = Tensor((0..<rows).map { $0 % 4 == 1 ? 0 : 1 }, shape: [rows, 1])
    func x(_ standIn: Float) -> Tensor {
      Tensor(numbers.indices.map { $0 / inputs % 4 == 1 ? standIn : numbers[$0] }, shape: [rows, inputs])
    }
    for activation in Activation.allCases {
      func found(_ standIn: Float) throws -> [[Float]] {
        try gradients(
          of: { select(mask, dense($0[2], kernel: $0[0], bias: $0[1], activation: activation), 0) },
          at: layer + [x(standIn)])
      }
      #expect(try found(.nan) == found(0.5), "\(activation)")
      #expect(try found(.infinity) == found(0.5), "\(activation)")
      // Where it counts, NaN stays.
      let counted = try gradients(
        of: { dense($0[2], kernel: $0[0], bias: $0[1], activation: activation) }, at: layer + [x(.nan)])
      #expect(counted[0].contains(where: \.isNaN) || activation == .relu)
    }
  }

  /// The same for rows of a matrix, columns of another, and for particles of a chunk.
  @Test func productsNotChosen() throws {
    func a(_ standIn: Float) -> Tensor {
      Tensor([1, 2, 3, standIn, standIn, standIn, 4, 5, 6], shape: [3, 3])
    }
    func b(_ standIn: Float) -> Tensor { Tensor([1, standIn, 2, standIn, 3, standIn], shape: [3, 2]) }
    let mask = Tensor([1, 0, 0, 0, 1, 0], shape: [3, 2])
    func found(_ standIn: Float) throws -> [[Float]] {
      try gradients(of: { select(mask, matmul($0[0], $0[1]), 0) }, at: [a(standIn), b(standIn)])
    }
    let counted = try found(.nan)
    #expect(counted == (try found(2)))
    #expect(counted[0][0...2] == [1, 2, 3])
  }

  /// An infinite gradient does not pass to what was not the extreme.
  @Test func extremes() throws {
    #expect(try gradients(of: { sqrt(maximum($0[0], 0)) }, at: [[-1, 4]]) == [[0, 0.25]])
    #expect(try gradients(of: { log($0[0].clamped(to: 0...1)) }, at: [[-1, 0.5, 2]]) == [[0, 2, 0]])
    #expect(try gradients(of: { sqrt(minimum($0[0], 0) + 0) }, at: [[1]]) == [[0]])
    #expect(try gradients(of: { sqrt($0[0].max()) }, at: [[-1, 0]]) == [[0, .infinity]])
    #expect(try gradients(of: { sqrt($0[0].min()) }, at: [[0, 1]]) == [[.infinity, 0]])
  }

  @Test func powersAtTheirEdges() throws {
    let bases: Tensor = [0, 0, 2, .infinity]
    let exponents: Tensor = [1, 2, 0, -1]
    let found = try gradients(of: { pow($0[0], $0[1]) }, at: [bases, exponents])
    #expect(found[0] == [1, 0, 0, 0])
    #expect(distance(found[1], [0, 0, 0.693_147_180_559_945, 0]) < 1e-6)
    #expect(try gradients(of: { pow($0[0], 0) }, at: [[0, .infinity, 3]]) == [[0, 0, 0]])
  }

  /// Where it counts, an infinite derivative stays infinite.
  @Test func whatCountsIsNotHidden() throws {
    #expect(try gradients(of: { log($0[0]) }, at: [[0]]) == [[.infinity]])
    #expect(try gradients(of: { sqrt($0[0]) }, at: [[0]]) == [[.infinity]])
    #expect(try gradients(of: { $0[0] * .nan }, at: [1])[0][0].isNaN)
  }
}
