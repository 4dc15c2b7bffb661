import TestSupport

@testable import CoixParallel

/// A function of tensors that runs in a stage, by the program in each chunk and replayed.
struct ReplayCase: Sendable, CustomStringConvertible {
  /// What an input of the function varies over.
  enum Role: CaseIterable, Sendable {
    case uniform, rows
    /// Rows through an index, as after a resampling.
    case gathered
    /// Of nested plates.
    case particles, instances
  }

  let description: String
  let shapes: [Shape]
  /// Where inputs are drawn from.
  let domain: ClosedRange<Float>
  /// Inputs that must be the same for all rows.
  let uniform: Set<Int>
  /// Whether the operations that run depend on the chunk's numbers: then a chunk may have to be run by the
  /// program after all.
  let isGuarded: Bool
  let function: @Sendable ([Tensor]) -> Tensor

  init(
    _ description: String, _ shapes: [Shape], in domain: ClosedRange<Float> = -2...2, uniform: Set<Int> = [],
    isGuarded: Bool = false, _ function: @escaping @Sendable ([Tensor]) -> Tensor
  ) {
    (self.description, self.shapes, self.domain) = (description, shapes, domain)
    (self.uniform, self.isGuarded, self.function) = (uniform, isGuarded, function)
  }

  /// All combinations of few roles for few inputs; else some in which all inputs have one role, and some in
  /// which they differ.
  func combinations(of roles: [Role]) -> [[Role]] {
    let all: [[Role]]
    if shapes.count <= 2 && roles.count <= 3 {
      all = shapes.reduce([[]]) { combinations, _ in
        combinations.flatMap { start in roles.map { start + [$0] } }
      }
    } else {
      all = roles.indices.flatMap { shift in
        [shapes.indices.map { _ in roles[shift] }, shapes.indices.map { roles[($0 + shift) % roles.count] }]
      }
    }
    return legal(all)
  }

  /// As many combinations as there are roles: each input has each of them once, and each next input the next role.
  func rotations(of roles: [Role]) -> [[Role]] {
    legal(
      roles.indices.map { shift in shapes.indices.map { roles[($0 + shift) % roles.count] } })
  }

  private func legal(_ all: [[Role]]) -> [[Role]] {
    Array(
      Set(all.map { roles in roles.indices.map { uniform.contains($0) ? Role.uniform : roles[$0] } }))
  }
}

extension ReplayCase {
  // MARK: Of one tensor

  static let elementwise: [ReplayCase] = [
    ReplayCase("-", [[3]]) { -$0[0] }, ReplayCase("magnitude", [[3]]) { $0[0].magnitude },
    ReplayCase("squared", [[3]]) { $0[0].squared }, ReplayCase("reciprocal", [[3]]) { $0[0].reciprocal },
    ReplayCase("sign", [[3]]) { $0[0].sign }, ReplayCase("floor", [[3]]) { $0[0].floor },
    ReplayCase("exp", [[3]]) { exp($0[0]) }, ReplayCase("expm1", [[3]]) { expm1($0[0]) },
    ReplayCase("log", [[3]], in: 0.25...4) { log($0[0]) },
    ReplayCase("log1p", [[3]], in: 0...4) { log1p($0[0]) },
    ReplayCase("sqrt", [[3]], in: 0.25...4) { sqrt($0[0]) }, ReplayCase("tanh", [[3]]) { tanh($0[0]) },
    ReplayCase("sigmoid", [[3]]) { sigmoid($0[0]) }, ReplayCase("softplus", [[3]]) { softplus($0[0]) },
    ReplayCase("logSigmoid", [[3]]) { logSigmoid($0[0]) }, ReplayCase("relu", [[3]]) { relu($0[0]) },
    ReplayCase("sin", [[3]]) { sin($0[0]) }, ReplayCase("cos", [[3]]) { cos($0[0]) },
    ReplayCase("logGamma", [[3]], in: 0.25...4) { logGamma($0[0]) },
    ReplayCase("digamma", [[3]], in: 0.25...4) { digamma($0[0]) },
    ReplayCase("erfInverse", [[3]], in: -0.875...0.875) { erfInverse($0[0]) },
    ReplayCase("normalCDF", [[3]]) { normalCDF($0[0]) },
    ReplayCase("logNormalCDF", [[3]]) { logNormalCDF($0[0]) },
    ReplayCase("normalQuantile", [[3]], in: 0.125...0.875) { normalQuantile($0[0]) },
    ReplayCase("logBesselI0Scaled", [[3]]) { logBesselI0Scaled($0[0]) },
    ReplayCase("clamped", [[3]]) { $0[0].clamped(to: -1...1) },
    ReplayCase("pow by a number", [[3]], in: 0.25...4) { pow($0[0], 2.5) },
    ReplayCase("stopGradient", [[3]]) { $0[0] * stopGradient($0[0]) },
    ReplayCase("a scalar of numbers out of a domain", [[]]) {
      log($0[0]) + sqrt($0[0]) + 1 / ($0[0] - $0[0])
    },
  ]

  static let reductions: [ReplayCase] = [
    ReplayCase("sum", [[3, 4]]) { $0[0].sum() }, ReplayCase("sum, axis 0", [[3, 4]]) { $0[0].sum(axis: 0) },
    ReplayCase("sum, axis -1", [[3, 4]]) { $0[0].sum(axis: -1, keepingAxes: true) },
    ReplayCase("sum, axes", [[3, 4, 2]]) { $0[0].sum(axes: [0, 2]) },
    ReplayCase("mean", [[3, 4]]) { $0[0].mean() },
    ReplayCase("mean, axis", [[3, 4]]) { $0[0].mean(axis: 0) },
    ReplayCase("mean, axes", [[3, 4, 2]]) { $0[0].mean(axes: [1, 2]) },
    ReplayCase("max", [[3, 4]]) { $0[0].max() }, ReplayCase("max, axis", [[3, 4]]) { $0[0].max(axis: 1) },
    ReplayCase("min", [[3, 4]]) { $0[0].min() },
    ReplayCase("min, axis", [[3, 4]]) { $0[0].min(axis: 0, keepingAxes: true) },
    ReplayCase("argmax", [[3, 4]]) { $0[0].argmax(axis: 1) },
    ReplayCase("logSumExp", [[3, 4]]) { $0[0].logSumExp() },
    ReplayCase("logSumExp, axis", [[3, 4]]) { $0[0].logSumExp(axis: 0) },
    ReplayCase("softmax", [[3, 4]]) { $0[0].softmax(axis: 1) },
    ReplayCase("softmax, axis 0", [[3, 4]]) { $0[0].softmax(axis: 0) },
    ReplayCase("logSoftmax", [[3, 4]]) { $0[0].logSoftmax(axis: 1) },
    ReplayCase("cumulativeSum", [[3, 4]]) { $0[0].cumulativeSum(axis: 1) },
    ReplayCase("cumulativeSum, axis 0", [[3, 4]]) { $0[0].cumulativeSum(axis: 0) },
  ]

  static let shaping: [ReplayCase] = [
    ReplayCase("reshaped", [[3, 4]]) { $0[0].reshaped(to: [2, 6]) * Tensor([1, 2, 3, 4, 5, 6]) },
    ReplayCase("flattened", [[3, 4]]) { $0[0].flattened() },
    ReplayCase("expandingAxis", [[3]]) { $0[0].expandingAxis(at: 1) * Tensor([1, 2]) },
    ReplayCase("squeezingAxis", [[3, 1]]) { $0[0].squeezingAxis(at: 1) },
    ReplayCase("broadcast", [[3]]) { $0[0].broadcast(to: [2, 3]) },
    ReplayCase("broadcast of a scalar", [[]]) { $0[0].broadcast(to: [2, 3]) },
    ReplayCase("broadcast of inner axes", [[3, 1]]) { $0[0].broadcast(to: [2, 3, 4]) },
    ReplayCase("transposed", [[3, 4]]) { $0[0].transposed() },
    ReplayCase("transposed by permutation", [[2, 3, 4]]) { $0[0].transposed(permutation: [2, 0, 1]) },
    ReplayCase("transposed, outer axes", [[2, 3, 4]]) { $0[0].transposed(permutation: [1, 0, 2]) },
    ReplayCase("transposed, four axes", [[2, 3, 2, 2]]) { $0[0].transposed(permutation: [3, 1, 0, 2]) },
    ReplayCase("sliced", [[5, 2]]) { $0[0].sliced(axis: 0, 1..<4) },
    ReplayCase("sliced, last axis", [[2, 5]]) { $0[0].sliced(axis: -1, 1..<3) },
    ReplayCase("sliced to nothing", [[3]]) { $0[0].sliced(axis: 0, 1..<1).sum() + $0[0].sum() },
    ReplayCase("sliced to nothing at the end", [[2, 3]]) {
      $0[0].sliced(axis: 1, 3..<3).sum(axis: 1) + $0[0].sliced(axis: 0, 2..<2).sum(axis: 0).sum()
        + $0[0].sum(axis: 1)
    },
    ReplayCase("nothing joined", [[2, 3]]) {
      .concatenate([$0[0].sliced(axis: 1, 3..<3), $0[0].sliced(axis: 1, 0..<0)], axis: 1).sum() + $0[0]
    },
    ReplayCase("functions of nothing", [[3]]) {
      let x = $0[0].sliced(axis: 0, 0..<0)
      let density = logDensity(.gamma, exp(x), 1, 2) + select(x .> 0, x, 0) + maximum(x, 1)
      return dot(x, density) + density.cumulativeSum(axis: 0).sum() + $0[0].sum()
    },
    ReplayCase("zeros beside numbers", [[3]]) { .concatenate([$0[0], .zeros([2])]) },
    ReplayCase("nothing beside numbers", [[3]]) { .concatenate([.zeros([0]), $0[0], .zeros([0])]) },
    ReplayCase("a part that is nothing", [[3]]) { .concatenate([$0[0].sliced(axis: 0, 0..<0), $0[0]]) },
    ReplayCase("selecting", [[2, 5]]) { $0[0].selecting(3, axis: 1) },
    ReplayCase("[1]", [[3, 2]]) { $0[0][1] },
    ReplayCase("[1..<3]", [[3, 2]]) { $0[0][1..<3] }, ReplayCase("diagonal", [[3, 3]]) { $0[0].diagonal },
    ReplayCase("gathered at numbers", [[4, 2]]) { $0[0].gathered(at: [3, 0, 3, 3], axis: 0) },
    ReplayCase("gathered at numbers, last axis", [[2, 4]]) { $0[0].gathered(at: [2, 2, 0], axis: 1) },
    ReplayCase("lastAxisFirst", [[2, 3, 4]]) { $0[0].lastAxisFirst.firstAxisLast },
    ReplayCase("identity", [[3, 3]]) { $0[0] * .identity(3) + .lowerTriangle(3) },
    ReplayCase("zeros and ones", [[3]]) { $0[0] + .zeros([3]) * 2 + .ones([2, 3]) },
    ReplayCase("oneHot", [[3]], in: 0...3) { $0[0].floor.oneHot(depth: 4) },
  ]

  // MARK: Of several tensors

  /// Each function of two tensors for shapes that are equal, scalar, of lower rank, and broadcast on both
  /// sides.
  private static func broadcast(
    _ name: String, in domain: ClosedRange<Float> = -2...2,
    _ function: @escaping @Sendable (Tensor, Tensor) -> Tensor
  ) -> [ReplayCase] {
    let shapes: [[Shape]] = [
      [[], []], [[3], [3]], [[3], []], [[], [2, 3]], [[2, 3], [3]], [[3, 1], [1, 2]], [[2, 1, 3], [4, 1]],
    ]
    return shapes.map { shapes in
      ReplayCase("\(name) of \(shapes)", shapes, in: domain) { function($0[0], $0[1]) }
    }
  }

  static let arithmetic: [ReplayCase] = [
    broadcast("+") { $0 + $1 }, broadcast("-") { $0 - $1 }, broadcast("*") { $0 * $1 },
    broadcast("/", in: 0.5...2) { $0 / $1 }, broadcast("maximum") { maximum($0, $1) },
    broadcast("minimum") { minimum($0, $1) }, broadcast("pow", in: 0.25...2) { pow($0, $1) },
    broadcast("normalLogDensity", in: 0.25...2) {
      normalLogDensity($0, location: $1, scale: $0 + 1, reducing: 0)
    },
    broadcast("logBeta", in: 0.25...2) { logBeta($0, $1) }, broadcast("select") { select($0 .> 0, $1, $0) },
  ].flatMap { $0 }

  static let comparisons: [ReplayCase] = [
    ReplayCase(".<", [[3], [3]], in: -1...1) { ($0[0].floor .< $0[1].floor) * $0[0] },
    ReplayCase(".<=", [[3], [3]], in: -1...1) { ($0[0].floor .<= $0[1].floor) * $0[0] },
    ReplayCase(".>", [[3], [2, 1]], in: -1...1) { ($0[0].floor .> $0[1].floor) * $0[0] },
    ReplayCase(".>=", [[3], []], in: -1...1) { ($0[0].floor .>= $0[1].floor) * $0[0] },
    ReplayCase(".==", [[3], [3]], in: -1...1) { ($0[0].floor .== $0[1].floor) * $0[0] },
    ReplayCase(".!=", [[3], [3]], in: -1...1) { ($0[0].floor .!= $0[1].floor) * $0[0] },
    ReplayCase("compared with numbers", [[3]]) {
      ($0[0] .< 1) * ($0[0] .<= 1) + ($0[0] .> 0) + ($0[0] .>= 0) * ($0[0] .== 0) * ($0[0] .!= 0)
    },
    ReplayCase("select of three", [[3], [], [2, 3]]) { select($0[0] .> 0, $0[1], $0[2]) },
    ReplayCase("select by rows", [[], [3], [3]]) { select($0[0] .> 0, $0[1], $0[2]) },
    ReplayCase("numbers beside tensors", [[3]]) { 1 / (3 - $0[0] / 2) * 2 + ($0[0] - 1) },
    ReplayCase("in place", [[3], [3]]) {
      var x = $0[0]
      x += $0[1]
      x *= $0[0]
      x -= $0[1]
      x /= 2
      return x
    },
    ReplayCase("one tensor many times", [[3], []]) { x in
      (0..<5).reduce(x[0] * x[1]) { sum, _ in sum + x[0] * x[1] + x[1] }
    },
  ]

  static let joining: [ReplayCase] = [
    ReplayCase("concatenate", [[2, 3], [1, 3]]) { .concatenate([$0[0], $0[1], $0[0]]) },
    ReplayCase("concatenate, last axis", [[2, 3], [2, 1]]) { .concatenate([$0[1], $0[0]], axis: -1) },
    ReplayCase("stack", [[3], [3]]) { .stack([$0[0], $0[1]]) },
    ReplayCase("stack, last axis", [[3], [3]]) { .stack([$0[0], $0[1], 2 * $0[0]], axis: -1) },
    ReplayCase("gathered by rows", [[4, 2], []], in: -0.5...3.5) { $0[0].gathered(at: $0[1]) },
    ReplayCase("gathered along an inner axis", [[2, 4, 3], []], in: -0.5...3.5) {
      $0[0].gathered(at: $0[1].detached, axis: 1)
    },
    ReplayCase("gathered at several positions", [[4, 2], [3]], in: 0...3) { $0[0].gathered(at: $0[1]) },
    ReplayCase("gathered at positions in two axes", [[2, 4], [2, 2]], in: 0...3) {
      $0[0].gathered(at: $0[1], axis: 1)
    },
    ReplayCase("gathered at a constant index", [[4, 2]]) { $0[0].gathered(at: Tensor([1, 1, 3])) },
    ReplayCase("a table", [[5], [3]], in: 0...4, uniform: [0]) { $0[0].gathered(at: $0[1].floor) },
    ReplayCase("rows", [[4, 2], []], uniform: [0]) { $0[0].detached.rows(at: [2, 0, 2]) * $0[1] },
    ReplayCase("sampledRows", [[4, 2], []], uniform: [0]) { $0[0].detached.sampledRows(3, key: 5) * $0[1] },
  ]

  static let products: [ReplayCase] =
    [
      ReplayCase("matmul of matrices", [[2, 3], [3, 4]]) { matmul($0[0], $0[1]) },
      ReplayCase("matmul of a vector and a matrix", [[3], [3, 4]]) { matmul($0[0], $0[1]) },
      ReplayCase("matmul of a matrix and a vector", [[2, 3], [3]]) { matmul($0[0], $0[1]) },
      ReplayCase("matmul of vectors", [[3], [3]]) { matmul($0[0], $0[1]) },
      ReplayCase("matmul of one column", [[4, 1], [1, 2]]) { matmul($0[0], $0[1]) },
      ReplayCase("matmul over nothing", [[2, 3], [3, 2]]) {
        matmul($0[0].sliced(axis: 1, 0..<0), $0[1].sliced(axis: 0, 0..<0)) + $0[0].sum()
      },
      ReplayCase("dot", [[3], [3]]) { dot($0[0], $0[1]) },
      ReplayCase("conv2d", [[4, 5], [2, 3]]) { conv2d($0[0], $0[1]) },
      ReplayCase("conv2d of several", [[2, 3, 3], [2, 2]]) { conv2d($0[0], $0[1]) },
      ReplayCase("conv2d with one kernel", [[3, 4], [2, 2]], uniform: [1]) { conv2d($0[0], $0[1]) },
      ReplayCase("translated", [[3, 4], [2, 2]]) { $0[0].translated(by: $0[1], to: (2, 5)) },
      ReplayCase("solveLowerTriangular", [[3, 3], [3]], in: 0.25...2) {
        solveLowerTriangular($0[0] * .lowerTriangle(3) + .identity(3), $0[1])
      },
      ReplayCase("solveLowerTriangular of several", [[2, 3, 3], [3]], in: 0.25...2) {
        solveLowerTriangular($0[0] * .lowerTriangle(3) + .identity(3), $0[1])
      },
      ReplayCase("cholesky", [[3, 3]]) { cholesky(matmul($0[0], $0[0].transposed()) + 2 * .identity(3)) },
      ReplayCase("cholesky of a matrix that has none", [[2, 2]], isGuarded: true) { cholesky($0[0]) },
      ReplayCase("two layers", [[3], [3, 4], [4], [4, 2]], uniform: [1, 2, 3]) {
        dense(dense($0[0], kernel: $0[1], bias: $0[2], activation: .relu), kernel: $0[3], bias: nil)
      },
    ]
    + Activation.allCases.flatMap { activation in
      [
        ReplayCase("dense, \(activation)", [[3], [3, 2], [2]], uniform: [1, 2]) {
          dense($0[0], kernel: $0[1], bias: $0[2], activation: activation)
        },
        ReplayCase("dense without bias, \(activation)", [[4, 3], [3, 2]], uniform: [1]) {
          dense($0[0], kernel: $0[1], bias: nil, activation: activation)
        },
      ]
    }

  static let densities: [ReplayCase] = [
    ReplayCase("Normal", [[3], [], [3]], in: 0.25...2) {
      normalLogDensity($0[0], location: $0[1], scale: $0[2], reducing: 0)
    },
    ReplayCase("Normal, reducing", [[2, 3], [3], [2, 1]], in: 0.25...2) {
      normalLogDensity($0[0], location: $0[1], scale: $0[2], reducing: 1)
    },
    ReplayCase("Normal, reducing all", [[2, 3], [], []], in: 0.25...2) {
      normalLogDensity($0[0], location: $0[1], scale: $0[2], reducing: 2)
    },
    ReplayCase("gamma", [[3], [], [3]], in: 0.25...2) { logDensity(.gamma, $0[0], $0[1], $0[2]) },
    ReplayCase("inverseGamma", [[3], [2, 1], []], in: 0.25...2) {
      logDensity(.inverseGamma, $0[0], $0[1], $0[2])
    },
    ReplayCase("beta", [[3], [3], []], in: 0.25...0.75) { logDensity(.beta, $0[0], $0[1], $0[2]) },
    ReplayCase("poisson", [[3], []], in: 0.25...4) { logDensity(.poisson, $0[0].floor, $0[1]) },
    ReplayCase("binomial", [[3], [3]], in: 0.25...0.75) {
      logDensity(.binomial, ($0[0] * 8).floor, 8, $0[1])
    },
    ReplayCase("binomialLogits", [[3], []], in: 0.25...0.75) {
      logDensity(.binomialLogits, ($0[0] * 8).floor, 8, $0[1])
    },
    ReplayCase("negativeBinomial", [[3], [], [3]], in: 0.25...0.75) {
      logDensity(.negativeBinomial, ($0[0] * 8).floor, $0[1], $0[2])
    },
    ReplayCase("negativeBinomialLogits", [[3], [], [3]], in: 0.25...0.75) {
      logDensity(.negativeBinomialLogits, ($0[0] * 8).floor, $0[1], $0[2])
    },
    ReplayCase("negativeBinomialMean", [[3], [], [3]], in: 0.25...4) {
      logDensity(.negativeBinomialMean, $0[0].floor, $0[1], $0[2])
    },
    ReplayCase("studentT", [[3], [], [3], []], in: 0.5...2) {
      logDensity(.studentT, $0[0], $0[1], $0[2], $0[3])
    },
    ReplayCase("cauchy", [[3], [], [3]], in: 0.5...2) { logDensity(.cauchy, $0[0], $0[1], $0[2]) },
    ReplayCase("halfCauchy", [[3], []], in: 0.5...2) { logDensity(.halfCauchy, $0[0], $0[1]) },
    ReplayCase("weibull", [[3], [], [3]], in: 0.5...2) { logDensity(.weibull, $0[0], $0[1], $0[2]) },
    ReplayCase("laplace", [[3], [], [3]], in: 0.5...2) { logDensity(.laplace, $0[0], $0[1], $0[2]) },
    ReplayCase("uniform", [[3], [], [3]]) { logDensity(.uniform, $0[0], $0[1] - 2, $0[2] + 2) },
    ReplayCase("truncatedNormal", [[3], [], [3], [], [3]], in: 0.5...1) {
      logDensity(.truncatedNormal, $0[0], $0[1], $0[2], $0[3] - 1, $0[4] + 1)
    },
    ReplayCase("truncatedNormalDraw", [[3], [], [3], [], [3]], in: 0.5...0.75) {
      truncatedNormalDraw(
        $0[0], uniform: $0[0].detached, location: $0[1], scale: $0[2], low: $0[3] - 1, high: $0[4] + 1)
    },
    ReplayCase("dirichlet", [[3], [3]], in: 0.25...2) {
      vectorLogDensity(.dirichlet, $0[0].softmax(axis: -1), $0[1])
    },
    ReplayCase("dirichlet, broadcast", [[2, 3], [3]], in: 0.25...2) {
      vectorLogDensity(.dirichlet, $0[0].softmax(axis: -1), $0[1])
    },
    ReplayCase("multinomial", [[3], [2, 3]], in: 0.25...4) {
      vectorLogDensity(.multinomial, $0[0].floor, $0[1].softmax(axis: -1))
    },
    ReplayCase("multinomialLogits", [[3], [3]], in: 0.25...4) {
      vectorLogDensity(.multinomialLogits, $0[0].floor, $0[1])
    },
  ]

  static let draws: [ReplayCase] = [
    ReplayCase("draw of uniform", [[3]]) { $0[0] * Draw(key: 3, shape: [3]).uniform(low: -1, high: 2) },
    ReplayCase("draw of normal", [[3]]) { $0[0] + Draw(key: 3, shape: [3]).normal() },
    ReplayCase("draw of gumbel", [[3]]) { $0[0] + Draw(key: 3, shape: [3]).gumbel() },
    ReplayCase("draw of normal with parameters", [[3], []]) {
      Draw(key: 3, shape: [2, 3]).normal(location: $0[0], scale: exp($0[1]))
    },
    ReplayCase("draw of exponential", [[3]]) { $0[0] * Draw(key: 3, shape: [3]).exponential() },
    ReplayCase("draw of laplace", [[3]]) { $0[0] * Draw(key: 3, shape: [3]).laplace() },
    ReplayCase("draw of cauchy", [[3]]) { $0[0] * Draw(key: 3, shape: [3]).cauchy() },
    ReplayCase("draw of truncatedNormal", [[3]]) {
      $0[0] * Draw(key: 3, shape: [3]).truncatedNormal(lower: -1, upper: .infinity)
    },
    ReplayCase("draw of bernoulli", [[3]], in: 0...1) { $0[0] * Draw(key: 3, shape: [3]).bernoulli($0[0]) },
    ReplayCase("draw of categorical", [[3]]) { Draw(key: 3, shape: [2]).categorical(logits: $0[0]) },
    ReplayCase("draw of categorical along an axis", [[3, 2]]) {
      Draw(key: 3, shape: [2]).categorical(logits: $0[0], axis: 0)
    },
    ReplayCase("draw of categories", [[3], []], in: 0...1) {
      $0[0].categoryBounds().categories(of: Draw(key: 3, shape: [2]).uniform()) * $0[1]
    },
    ReplayCase("draw of gamma", [[3], []], in: 0.25...3) { Draw(key: 3, shape: [3]).gamma($0[0]) * $0[1] },
    ReplayCase("draw of logGamma", [[], []], in: 0.25...3) {
      Draw(key: 3, shape: [2]).logGamma($0[0]) * $0[1]
    },
    ReplayCase("draw of beta", [[3], []], in: 0.25...3) { Draw(key: 3, shape: [3]).beta($0[0], $0[1]) },
    ReplayCase("draw of dirichlet", [[3]], in: 0.25...3) { Draw(key: 3, shape: [2]).dirichlet($0[0]) },
    ReplayCase("draw of studentT", [[3]], in: 2...5) {
      Draw(key: 3, shape: [3]).studentT(degreesOfFreedom: $0[0])
    },
    ReplayCase("draw of binomial", [[3], []], in: 0...1) {
      Draw(key: 3, shape: [3]).binomial(($0[0] * 30).floor, $0[1])
    },
    ReplayCase("draw of poisson", [[3]], in: 0.25...20, isGuarded: true) {
      Draw(key: 3, shape: [3]).poisson($0[0])
    },
    ReplayCase("draw of vonMises", [[3]], in: 0.25...4, isGuarded: true) {
      Draw(key: 3, shape: [3]).vonMises($0[0])
    },
    ReplayCase("repeated draws", [[3]]) { $0[0] * Draw(key: 3, shape: [3]).repeated(2).normal() },
    ReplayCase("some of repeated draws", [[3]]) { $0[0] * Draw(key: 3, shape: [3]).repeated(1..<3).normal() },
    ReplayCase("draws with an inner axis", [[3]]) {
      $0[0] * Draw(key: 3, shape: [2]).appendingAxis(3).normal()
    },
    ReplayCase("draws in another order", [[3]]) {
      $0[0] * Draw(key: 3, shape: [2, 3], strides: [1, 2], rowStride: 6).uniform()
    },
    ReplayCase("several keys", [[3]]) {
      let keys = PRNGKey(3).split(into: 3)
      return $0[0] * keys.map { Draw(key: $0, shape: [3]).normal() }.reduce(0, +)
    },
    ReplayCase("draws for each particle", [[3], []]) {
      $0[0] * Draw(key: 3, shape: [3], forParameters: []).normal() + $0[1]
    },
    ReplayCase("local draws", [[3]]) { $0[0] * Draw(key: 3, shape: [3], isLocal: true).uniform() },
  ]

  static let all =
    elementwise + reductions + shaping + arithmetic + comparisons + joining + products + densities + draws
}
