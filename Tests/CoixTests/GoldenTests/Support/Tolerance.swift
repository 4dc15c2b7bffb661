/// How far a number may be from the one that a golden file gives.
enum Tolerance: Sendable {
  case exact
  /// |a - b| <= t (1 + |b|).
  case mixed(Float)
  /// |a - b| <= t (1 + |b|) + r, where r is the rounding of terms that the reference subtracts from each other.
  case mixedAndRounding(Float, Float)
  /// |a - b| <= t |b|, or less than the least normal float: the reference's processor takes such numbers for 0.
  case relative(Float)
  /// |a - b| <= t.
  case absolute(Float)

  func allowance(for expected: Float) -> Float {
    switch self {
    case .exact: 0
    case .mixed(let t): t * (1 + expected.magnitude)
    case .mixedAndRounding(let t, let rounding): t * (1 + expected.magnitude) + rounding
    case .relative(let t): Swift.max(t * expected.magnitude, .leastNormalMagnitude)
    case .absolute(let t): t
    }
  }

  /// Whether a number is near enough. NaN is near NaN only, an infinity itself.
  func accepts(_ found: Float, _ expected: Float) -> Bool {
    if expected.isNaN || found.isNaN { return expected.isNaN && found.isNaN }
    if expected.isInfinite || found.isInfinite { return expected == found }
    return (found - expected).magnitude <= allowance(for: expected)
  }

  // As recommended with the golden files: judgements, wider than the reference's own noise.

  /// Uniform numbers on other ranges than [0, 1): one rounding.
  static let uniformRange = Tolerance.mixed(2e-7)
  /// Draws that transform a uniform number.
  static let draw = Tolerance.mixed(3e-6)
  /// Draws made of gamma draws, and Cauchy's.
  static let gammaDraw = Tolerance.relative(2e-5)
  static let logDensity = Tolerance.mixed(5e-6)
  static let densityGradient = Tolerance.mixed(2e-5)
  /// Pathwise gradients through gamma draws.
  static let gammaDrawGradient = Tolerance.mixed(1e-3)
  static let loss = Tolerance.mixed(5e-6)
  /// Values of traces and outputs.
  static let value = Tolerance.mixed(5e-6)
  /// Log-probabilities, log-weights and metrics of programs.
  static let metric = Tolerance.mixed(2e-5)
  /// The autoencoder's losses.
  static let trainingLoss = Tolerance.mixed(2e-5)
  /// Its parameters after some steps.
  static func parameters(afterSteps steps: Int) -> Tolerance {
    .mixed(steps <= 1 ? 5e-6 : steps <= 10 ? 1e-5 : 1e-4)
  }
  /// The annealed sampler's metrics, by the file's group.
  static func annealing(_ group: String) -> Tolerance { .mixed(group == "anneal" ? 5e-5 : 1e-4) }
  /// The losses of its training.
  static let annealingLoss = Tolerance.mixed(1e-4)
  /// The bouncing digits' values, log-probabilities and metrics.
  static let bouncingDigits = Tolerance.mixed(5e-5)
}
