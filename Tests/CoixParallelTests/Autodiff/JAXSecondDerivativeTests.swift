import Testing

@testable import CoixParallel

/// Second derivatives in JAX's numbers, in double precision: see Tests/Generators/second_derivatives.py.
@Suite struct JAXSecondDerivativeTests {
  private func expect(_ found: [Float], _ expected: [Double], _ name: String, within bound: Double = 2e-5) {
    #expect(found.count == expected.count)
    let largest = expected.map(\.magnitude).max() ?? 0
    for (found, expected) in zip(found, expected) {
      #expect(
        abs(Double(found) - expected) <= bound * Swift.max(largest, 1),
        "\(name): \(found), JAX has \(expected)")
    }
  }

  /// The rows of the Hessian matrix of a function of several numbers.
  private func hessian(at point: [Float], _ function: ([Tensor]) -> Tensor) throws -> [Float] {
    try point.indices.flatMap { row in
      try valueWithGradient(at: point.map { Tensor($0) }) { operands in
        try gradient(of: { function($0) }, at: operands)[row]
      }.gradient.map(\.scalar)
    }
  }

  private static let functions: [String: @Sendable (Tensor) -> Tensor] = [
    "exp": { exp($0) }, "expm1": { expm1($0) }, "log": { log($0) }, "log1p": { log1p($0) },
    "sqrt": { sqrt($0) }, "tanh": { tanh($0) }, "sigmoid": { sigmoid($0) }, "softplus": { softplus($0) },
    "squared": { $0.squared }, "reciprocal": { $0.reciprocal }, "sin": { sin($0) }, "cos": { cos($0) },
    "logGamma": { logGamma($0) }, "erfInverse": { erfInverse($0) }, "normalCDF": { normalCDF($0) },
    "logNormalCDF": { logNormalCDF($0) }, "normalQuantile": { normalQuantile($0) },
    "power": { pow($0, 2.5) }, "selfPower": { pow($0, $0) },
  ]

  @Test(
    arguments: [
      ("exp", [1.34985881, 2.01375271]),
      ("expm1", [1.34985881, 2.01375271]),
      ("log", [-11.1111111, -2.04081633]),
      ("log1p", [-0.591715976, -0.346020761]),
      ("sqrt", [-1.52145155, -0.42686736]),
      ("tanh", [-0.533181878, -0.76723231]),
      ("sigmoid", [-0.036396184, -0.0745787884]),
      ("softplus", [0.244458312, 0.221712873]),
      ("squared", [2.0, 2.0]),
      ("reciprocal", [74.0740741, 5.83090379]),
      ("sin", [-0.295520207, -0.644217687]),
      ("cos", [-0.955336489, -0.764842187]),
      ("logGamma", [12.2453645, 2.83404916]),
      ("erfInverse", [0.496486526, 3.37025589]),
      ("normalCDF", [-0.114416345, -0.218577753]),
      ("logNormalCDF", [-0.566127838, -0.458029325]),
      ("normalQuantile", [-4.33782649, 4.33782649]),
      ("power", [2.05395959, 3.1374751]),
      ("selfPower", [2.35180986, 1.43536265]),
    ] as [(String, [Double])])
  func functions(_ name: String, _ expected: [Double]) throws {
    let function = try #require(Self.functions[name])
    let second = try valueWithGradient(at: Tensor([0.3, 0.7])) { x in
      try gradient(of: { function($0).sum() }, at: x).sum()
    }
    expect(second.gradient.scalars, expected, name)
  }

  private static let densities: [String: @Sendable ([Tensor]) -> Tensor] = [
    "normal": { normalLogDensity($0[0], location: $0[1], scale: $0[2], reducing: 0) },
    "gamma": { logDensity(.gamma, $0[0], $0[1], $0[2]) },
    "inverseGamma": { logDensity(.inverseGamma, $0[0], $0[1], $0[2]) },
    "beta": { logDensity(.beta, $0[0], $0[1], $0[2]) },
    "studentT": { logDensity(.studentT, $0[0], $0[1], $0[2], $0[3]) },
    "cauchy": { logDensity(.cauchy, $0[0], $0[1], $0[2]) },
    "halfCauchy": { logDensity(.halfCauchy, $0[0], $0[1]) },
    "weibull": { logDensity(.weibull, $0[0], $0[1], $0[2]) },
    "laplace": { logDensity(.laplace, $0[0], $0[1], $0[2]) },
    "truncatedNormal": { logDensity(.truncatedNormal, $0[0], $0[1], $0[2], $0[3], $0[4]) },
    "poisson": { logDensity(.poisson, $0[0], $0[1]) },
    "binomial": { logDensity(.binomial, $0[0], $0[1], $0[2]) },
    "negativeBinomial": { logDensity(.negativeBinomial, $0[0], $0[1], $0[2]) },
    "negativeBinomialMean": { logDensity(.negativeBinomialMean, $0[0], $0[1], $0[2]) },
    "logBeta": { logBeta($0[0], $0[1]) },
  ]

  @Test(
    arguments: [
      (
        "normal", [0.4, -0.3, 1.7],
        [
          -0.346020761, 0.346020761, 0.284958274, 0.346020761, -0.346020761, -0.284958274, 0.284958274,
          -0.284958274, 0.170017121,
        ]
      ),
      (
        "gamma", [0.8, 2.5, 1.7],
        [-2.34375, 1.25, -1.0, 1.25, -0.490357756, 0.588235294, -1.0, 0.588235294, -0.865051903]
      ),
      (
        "inverseGamma", [0.8, 2.5, 1.7],
        [-1.171875, -1.25, 1.5625, -1.25, -0.490357756, 0.588235294, 1.5625, 0.588235294, -0.865051903]
      ),
      (
        "beta", [0.3, 2.5, 1.7],
        [
          -18.0952381, 3.33333333, -1.42857143, 3.33333333, -0.221692815, 0.268664941, -1.42857143,
          0.268664941, -0.524567889,
        ]
      ),
      (
        "studentT", [0.8, 3.5, 0.2, 1.7],
        [
          -0.400066074, 0.0138345077, 0.400066074, 0.292821299, 0.0138345077, -0.0134654241, -0.0138345077,
          -0.00488276741, 0.400066074, -0.0138345077, -0.400066074, -0.292821299, 0.292821299, -0.00488276741,
          -0.292821299, 0.189158594,
        ]
      ),
      (
        "cauchy", [0.8, 0.2, 1.7],
        [
          -0.479053254, 0.479053254, 0.386272189, 0.479053254, -0.479053254, -0.386272189, 0.386272189,
          -0.386272189, 0.133032493,
        ]
      ),
      (
        "halfCauchy", [0.8, 1.7],
        [-0.361129613, 0.436565577, 0.436565577, 0.0151088522]
      ),
      (
        "weibull", [0.8, 1.7, 2.5],
        [
          -3.23388106, 0.698142012, 1.41794841, 0.698142012, 0.405099519, -0.667269841, 1.41794841,
          -0.667269841, -0.246314237,
        ]
      ),
      (
        "laplace", [0.8, 0.2, 1.7],
        [0.0, 0.0, 0.346020761, 0.0, 0.0, -0.346020761, 0.346020761, -0.346020761, 0.101770812]
      ),
      (
        "truncatedNormal", [0.8, 0.2, 1.7, -0.5, 2.0],
        [
          -0.346020761, 0.346020761, 0.244249949, 0.0, 0.0, 0.346020761, -0.057416389, -0.0921766022,
          -0.167795149, -0.120809223, 0.244249949, -0.0921766022, 0.0892607578, -0.0169971105, -0.135076236,
          0.0, -0.167795149, -0.0169971105, 0.276740097, -0.108944948, 0.0, -0.120809223, -0.135076236,
          -0.108944948, 0.229754171,
        ]
      ),
      (
        "poisson", [3.0, 1.7],
        [-0.283822956, 0.588235294, 0.588235294, -1.03806228]
      ),
      (
        "binomial", [3.0, 7.0, 0.3],
        [
          -0.505145911, 0.221322956, 4.76190476, 0.221322956, -0.088185941, -1.42857143, 4.76190476,
          -1.42857143, -41.4965986,
        ]
      ),
      (
        "negativeBinomial", [3.0, 2.5, 0.3],
        [
          -0.0844805687, 0.199342387, 3.33333333, 0.199342387, -0.291015369, -1.42857143, 3.33333333,
          -1.42857143, -38.4353741,
        ]
      ),
      (
        "negativeBinomialMean", [3.0, 2.5, 1.7],
        [
          -0.0844805687, -0.0387528511, 0.350140056, -0.0387528511, -0.0554144621, 0.0736961451, 0.350140056,
          0.0736961451, -0.726270901,
        ]
      ),
      (
        "logBeta", [0.8, 2.5],
        [1.9459726, -0.353501542, -0.353501542, 0.136856214]
      ),
    ] as [(String, [Float], [Double])])
  func densities(_ name: String, _ operands: [Float], _ expected: [Double]) throws {
    let density = try #require(Self.densities[name])
    expect(try hessian(at: operands, density), expected, name)
  }

  @Test func dirichlet() throws {
    let value = Tensor([0.2, 0.5, 0.3])
    let rows = try (0..<3).flatMap { row in
      try valueWithGradient(at: Tensor([1.5, 0.7, 2.5])) { parameter in
        try gradient(of: { vectorLogDensity(.dirichlet, value, $0) }, at: parameter)[row]
      }.gradient.scalars
    }
    expect(
      rows,
      [
        -0.697810362, 0.236991839, 0.236991839, 0.236991839, -2.59705732, 0.236991839, 0.236991839,
        0.236991839, -0.253365917,
      ],
      "dirichlet")
  }

  @Test func multinomialLogits() throws {
    let value = Tensor([2.0, 1.0, 3.0])
    let rows = try (0..<3).flatMap { row in
      try valueWithGradient(at: Tensor([0.5, -0.3, 1.2])) { parameter in
        try gradient(of: { vectorLogDensity(.multinomialLogits, value, $0) }, at: parameter)[row]
      }.gradient.scalars
    }
    expect(
      rows,
      [
        -1.23226637, 0.224796837, 1.00746953, 0.224796837, -0.677482078, 0.45268524, 1.00746953, 0.45268524,
        -1.46015477,
      ],
      "multinomialLogits")
  }

  @Test func productOfANetworksHessianAndAVector() throws {
    let kernel = Tensor([0.5, -0.3, 0.8, 0.2, 0.9, -0.6], shape: [2, 3])
    let product = try valueWithGradient(at: Tensor([0.7, -1.1])) { x in
      let slope = try gradient(
        of: { dense($0, kernel: kernel, bias: nil, activation: .tanh).logSumExp().squared }, at: x)
      return dot(slope, [0.4, 0.3])
    }
    expect(product.gradient.scalars, [-0.0290673, 0.11086833], "network")
  }

  @Test func aGaussianAlongItsCovariance() throws {
    let second = try valueWithGradient(at: Tensor(0.4)) { s in
      try gradient(
        of: { s in
          let factor = cholesky(
            Tensor([2, 0.3, 0.3, 1.5], shape: [2, 2]) + s * Tensor([0.5, 0.2, 0.2, -0.1], shape: [2, 2]))
          let z = solveLowerTriangular(factor, [0.6, -0.9])
          return -0.5 * z.squared.sum() - log(factor.diagonal).sum()
        }, at: s)
    }
    expect([second.gradient.scalar], [0.020341636283018202], "Gaussian")
  }
}
