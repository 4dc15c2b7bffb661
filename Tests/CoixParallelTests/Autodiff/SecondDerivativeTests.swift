import Testing

@testable import CoixParallel

/// The gradients of gradients against finite differences, for every combination of batched and uniform
/// operands.
@Suite struct SecondDerivativeTests {
  /// The gradient of the weighted sum of a function's squares with respect to one operand.
  private static func slope(_ function: @escaping ([Tensor]) -> Tensor, _ operand: Int) -> ([Tensor]) ->
    Tensor
  {
    { operands in
      do {
        return try gradient(
          of: { point in
            var operands = operands
            operands[operand] = point
            let values = function(operands).squared
            let weights = (0..<values.shape.elementCount).map { 0.5 + 0.25 * Float($0 % 3) }
            return (values * Tensor(weights, shape: values.shape)).sum()
          }, at: operands[operand])
      } catch {
        return Tensor(failure: error as? CoixError ?? .gradient("\(error)"))
      }
    }
  }

  private func expect(
    _ name: String, _ shapes: [Shape], in domain: ClosedRange<Float> = -1...1, separated: Bool = false,
    _ function: @escaping ([Tensor]) -> Tensor
  ) throws {
    for operand in shapes.indices {
      try expectGradients(
        "\(name), operand \(operand)", shapes, in: domain, separated: separated,
        Self.slope(function, operand))
    }
  }

  @Test func elementwise() throws {
    try expect("-", [[2]]) { -$0[0] }
    try expect("exp", [[2]]) { exp($0[0]) }
    try expect("expm1", [[2]]) { expm1($0[0]) }
    try expect("log", [[2]], in: 1...2) { log($0[0]) }
    try expect("log1p", [[2]], in: 0...1) { log1p($0[0]) }
    try expect("sqrt", [[2]], in: 1...2) { sqrt($0[0]) * $0[0] }
    try expect("tanh", [[2]]) { tanh($0[0]) }
    try expect("sigmoid", [[2]]) { sigmoid($0[0]) }
    try expect("softplus", [[2]]) { softplus($0[0]) }
    try expect("relu", [[3]], separated: true) { relu($0[0] - 0.25) }
    try expect("abs", [[3]], separated: true) { abs($0[0] - 0.25) * $0[0] }
    try expect("squared", [[2]]) { $0[0].squared }
    try expect("reciprocal", [[2]], in: 1...2) { $0[0].reciprocal }
    try expect("sin, cos", [[2]]) { sin($0[0]) + cos($0[0]) }
    try expect("logGamma", [[2]], in: 2...3) { logGamma($0[0]) }
    try expect("erfInverse", [[2]], in: -0.5...0.5) { erfInverse($0[0]) }
    try expect("normalCDF", [[2]]) { normalCDF($0[0]) }
    try expect("logNormalCDF", [[2]]) { logNormalCDF($0[0]) }
    try expect("normalQuantile", [[2]], in: 0.3...0.7) { normalQuantile($0[0]) }
  }

  @Test func arithmetic() throws {
    try expect("*", [[2, 1], [2]]) { $0[0] * $0[1] }
    try expect("/", [[2, 1], [2]], in: 1...2) { $0[0] / $0[1] }
    try expect("+, -", [[2], []]) { $0[0] + $0[1] - $0[0] * $0[1] }
    try expect("pow", [[2], [2]], in: 1...2) { pow($0[0], $0[1]) }
    try expect("pow 2.5", [[2]], in: 1...2) { pow($0[0], 2.5) }
    try expect("maximum", [[3], [3]], separated: true) { maximum($0[0], $0[1]) }
    try expect("minimum", [[3], [3]], separated: true) { minimum($0[0], $0[1]) }
    try expect("select", [[3], [3]]) { select([1, 0, 1], $0[0], $0[1]) }
  }

  @Test func reductionsAndSoftmax() throws {
    try expect("sum", [[2, 3]]) { $0[0].squared.sum(axis: 0) }
    try expect("sums", [[2, 3]]) { $0[0].squared.sum(axes: [0, 1], keepingAxes: true) }
    try expect("mean", [[2, 3]]) { $0[0].mean(axis: -1) }
    try expect("max", [[4]], separated: true) { $0[0].max(axis: 0) }
    try expect("logSumExp", [[2, 3]]) { $0[0].logSumExp(axis: 0) }
    try expect("logSumExp of all", [[2, 3]]) { $0[0].logSumExp(keepingAxes: true) }
    try expect("softmax", [[2, 3]]) { $0[0].softmax(axis: 1) }
    try expect("logSoftmax", [[2, 3]]) { $0[0].logSoftmax(axis: 0) }
    try expect("cumulativeSum", [[4]]) { $0[0].cumulativeSum(axis: 0) }
  }

  @Test func shaping() throws {
    try expect("reshaped", [[2, 3]]) { $0[0].reshaped(to: [3, 2]) * Tensor([1, 2]) }
    try expect("broadcast", [[2, 1]]) { $0[0].broadcast(to: [2, 2]) * Tensor([1, 2]) }
    try expect("transposed", [[2, 3]]) { $0[0].transposed() * Tensor([1, 2]) }
    try expect("sliced", [[4]]) { $0[0].sliced(axis: 0, 1..<3) * $0[0][3] * $0[0].sum() }
    try expect("concatenate", [[2], [1]]) { Tensor.concatenate([$0[0], $0[1], $0[0]]) }
    try expect("stack", [[2], [2]]) { Tensor.stack([$0[0], $0[1]], axis: 1) }
    try expect("gathered", [[3, 2]]) { $0[0].gathered(at: [2, 0, 2]) * $0[0].sum() }
  }

  @Test func gatheredByRow() throws {
    for rows in [1, 17] {
      try inChunk(rows: rows, tape: Tape()) { chunk in
        let index = chunk.batched((0..<rows).map { Float($0 % 3) }, [])
        let x = try #require(chunk.context.tape).record(
          chunk.batched((0..<3 * rows).map { Float($0) / 8 }, [3]), .none)
        let slope = try gradient(of: { $0.gathered(at: index).squared }, at: x)
        let tape = try #require(chunk.context.tape)
        tape.add(chunk.seed(Array(repeating: 1, count: 3 * rows), [3]), to: slope.node)
        try tape.pullBack()
        let second = try #require(tape.gradient(of: x.node))
        #expect(chunk.values(second) == (0..<3 * rows).map { $0 % 3 == $0 / 3 % 3 ? 2 : 0 })
      }
    }
  }

  @Test(arguments: Activation.allCases)
  func dense(_ activation: Activation) throws {
    // Away from the kink of relu: the first output is positive, the second negative.
    let kernel = Tensor([0.3, -0.8, 0.5, -0.2, 0.9, -0.4], shape: [3, 2])
    try expect("dense \(activation)", [[2, 3]], in: 0.25...1) {
      CoixParallel.dense($0[0], kernel: kernel, bias: [0.1, -0.1], activation: activation)
    }
  }

  /// By the layer's own parameters, outside of programs.
  @Test func denseByItsParameters() throws {
    let x = Tensor([0.3, -0.8, 0.5, 0.2], shape: [2, 2])
    let slope = try valueWithGradient(at: Tensor([0.2, 0.7, -0.3, 0.4], shape: [2, 2])) { kernel in
      let slope = try gradient(
        of: { (layer: Tuple<Tensor, Tensor>) in
          CoixParallel.dense(x, kernel: layer.values.0, bias: layer.values.1, activation: .tanh).squared.sum()
        }, at: Tuple(kernel, Tensor([0.1, -0.2])))
      return slope.values.0.squared.sum() + slope.values.1.squared.sum()
    }
    let composed = try valueWithGradient(at: Tensor([0.2, 0.7, -0.3, 0.4], shape: [2, 2])) { kernel in
      let slope = try gradient(
        of: { (layer: Tuple<Tensor, Tensor>) in
          tanh((x.expandingAxis(at: -1) * layer.values.0).sum(axis: 1) + layer.values.1).squared.sum()
        }, at: Tuple(kernel, Tensor([0.1, -0.2])))
      return slope.values.0.squared.sum() + slope.values.1.squared.sum()
    }
    for (own, other) in zip(slope.gradient.scalars, composed.gradient.scalars) {
      #expect(abs(own - other) < 1e-6)
    }
  }

  @Test func products() throws {
    for shapes: [Shape] in [[[2, 3], [3, 2]], [[3], [3, 2]], [[2, 3], [3]], [[3], [3]]] {
      try expect("matmul \(shapes)", shapes) { matmul($0[0], $0[1]) }
    }
  }

  @Test func images() throws {
    try expect("conv2d", [[3, 4], [2, 2]]) { conv2d($0[0], $0[1]) }
    try expect("conv2d of several", [[2, 2, 3], [2, 2]]) { conv2d($0[0], $0[1]) }
    try expect("translated", [[2, 3], [2]]) { $0[0].translated(by: 0.25 + 0.1 * $0[1], to: (3, 2)) }
  }

  @Test func triangular() throws {
    let base = Tensor([2, 0, 0.5, 1.5], shape: [2, 2])
    try expect("solve", [[2, 2], [3, 2]], in: -0.5...0.5) { solveLowerTriangular(base + $0[0], $0[1]) }
    try expect("cholesky", [[3, 2, 2]], in: -0.5...0.5) {
      cholesky(($0[0] + $0[0].transposed(permutation: [0, 2, 1])) / 2 + 3 * Tensor.identity(2))
    }
  }

  @Test func normalDensities() throws {
    try expect("normal", [[2, 3], [3], [2, 1]], in: 1...2) {
      normalLogDensity($0[0], location: $0[1], scale: $0[2], reducing: 1)
    }
    try expect("normal, a number", [[], [], []], in: 1...2) {
      normalLogDensity($0[0], location: $0[1], scale: $0[2], reducing: 0)
    }
  }

  @Test func families() throws {
    try expect("gamma", [[2], [], [2]], in: 1...2) { logDensity(.gamma, $0[0], $0[1], $0[2]) }
    try expect("studentT", [[2], [], [1], []], in: 1...2) {
      logDensity(.studentT, $0[0], 3 * $0[1], $0[2], $0[3])
    }
    try expect("binomialLogits", [[2]]) { logDensity(.binomialLogits, [2, 3], 5, $0[0]) }
    try expect("negativeBinomialLogits", [[2]]) { logDensity(.negativeBinomialLogits, [2, 3], 2.5, $0[0]) }
    try expect("uniform", [[]], in: 1...2) { logDensity(.uniform, 0.5, 0, $0[0]) }
    try expect("dirichlet", [[2, 3]], in: 1...2) {
      vectorLogDensity(.dirichlet, Tensor([0.2, 0.5, 0.3]), $0[0])
    }
    try expect("multinomial", [[3]], in: 1...2) {
      vectorLogDensity(.multinomial, Tensor([2, 1, 3]), $0[0] / $0[0].sum())
    }
  }

  /// Outside of its support a density has gradient 0, and so has that gradient.
  @Test func outsideOfTheSupport() throws {
    let second = try valueWithGradient(at: Tensor([-1, 2])) { x in
      try gradient(of: { logDensity(.gamma, $0, 3, 1).sum() }, at: x).sum()
    }
    #expect(second.gradient.scalars == [0, -0.5])
  }
}
