import CoixParallel
import Foundation

/// The shape k of a generalised Pareto distribution fitted to the largest weights: for log-weights
/// `[particles, instances…]`, `[instances…]`.
///
/// The weights have finite moments up to order 1 / k. If k is below 0.7 (with fewer than 2,200 particles S,
/// below 1 - 1 / log₁₀ S), their mean is a reliable estimate; if it is above 1, the mean does not exist. k is
/// infinite where nothing can be fitted because fewer than five weights lie above the tail's cutoff, as with
/// equal weights or fewer than 21 particles.
///
/// Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling", 2024: the tail has min(S /
/// 5, 3 √S) particles, and k is shrunk towards 1/2 by a prior worth ten of them. The fit is that of Zhang and
/// Stephens, "A new and efficient estimation method for the generalized Pareto distribution", 2009.
///
/// - Throws: `CoixError.weights(instance:reason:)` where an instance's weights are all -inf, or one is
///   NaN or +inf.
public func paretoK(_ logWeights: Tensor) throws -> Tensor {
  let weights = try LogWeights(logWeights)
  _ = try weights.moments()
  return try weights.forEachInstance { try ParetoTail(weights.logWeights(of: $0))?.fit.shape ?? .infinity }
}

/// Log-weights whose tail is replaced by the expected order statistics of the generalised Pareto distribution
/// fitted to it, each at most as large as the largest was; see ``paretoK(_:)``.
///
/// Weights without a tail to fit stay as they are. The result is a constant.
///
/// - Throws: as ``paretoK(_:)``.
public func paretoSmoothed(_ logWeights: Tensor) throws -> Tensor {
  let weights = try LogWeights(logWeights)
  _ = try weights.moments()
  return try weights.replacing { instance in
    guard let tail = try ParetoTail(weights.logWeights(of: instance)), tail.fit.shape < .infinity else {
      return []
    }
    return zip(tail.particles, tail.smoothed).map { (particle: $0, logWeight: $1) }
  }
}

/// The largest of some weights, and the distribution of what they exceed a cutoff by.
private struct ParetoTail {
  /// The tail's particles, the smallest weight first.
  let particles: [Int]
  let fit: GeneralizedPareto
  private let greatest: Double
  private let cutoff: Double

  /// nil for a tail of less than five.
  ///
  /// - Throws: `CoixError.memory(what:bytes:)`.
  init?(_ logWeights: [Double]) throws {
    let count = logWeights.count
    try Memory.require(2 * count, of: Double.self, for: "the tail of \(count) weights")
    let length = Int(min(0.2 * Double(count), 3 * Double(count).squareRoot()).rounded(.up))
    let sorted = logWeights.sorted()
    guard length < count, let last = sorted.last else { return nil }
    let greatest = last
    // Smaller weights than this are zero beside the largest.
    let least = log(Double.leastNormalMagnitude)
    let logCutoff = max(sorted[count - length - 1] - greatest, least)
    particles = logWeights.indices.filter { logWeights[$0] - greatest > logCutoff }
      .sorted { logWeights[$0] < logWeights[$1] }
    guard particles.count > 4 else { return nil }
    let cutoff = exp(logCutoff)
    self.greatest = greatest
    self.cutoff = cutoff
    fit = GeneralizedPareto(fitting: particles.map { exp(logWeights[$0] - greatest) - cutoff })
  }

  /// The tail's log-weights, smoothed.
  var smoothed: [Double] {
    particles.indices.map { index in
      let level = (Double(index) + 0.5) / Double(particles.count)
      return min(log(fit.quantile(level) + cutoff), 0) + greatest
    }
  }
}

/// A generalised Pareto distribution above 0.
private struct GeneralizedPareto {
  let shape: Double
  let scale: Double

  /// Zhang and Stephens's fit to ascending numbers: the mean over a grid of b = -shape / scale in proportion
  /// to its profile likelihood; the shape is then that of b, shrunk.
  init(fitting excesses: [Double]) {
    let count = Double(excesses.count)
    let points = 30 + Int(count.squareRoot())
    let (largest, quartile) = (
      excesses[excesses.count - 1], excesses[max(Int(count / 4 + 0.5) - 1, 0)]
    )
    func meanLog(_ b: Double) -> Double { excesses.reduce(0) { $0 + log1p(-b * $1) } / count }
    let grid = (1...points).map { point in
      1 / largest + (1 - (Double(points) / (Double(point) - 0.5)).squareRoot()) / (3 * quartile)
    }
    let logLikelihoods = grid.map { b in
      let shape = meanLog(b)
      return count * (log(-b / shape) - shape - 1)
    }
    let greatest = logLikelihoods.filter(\.isFinite).max() ?? 0
    var (sum, total) = (0.0, 0.0)
    for (b, logLikelihood) in zip(grid, logLikelihoods) where logLikelihood.isFinite {
      let weight = exp(logLikelihood - greatest)
      sum += weight * b
      total += weight
    }
    let b = sum / total
    let raw = meanLog(b)
    scale = -raw / b
    let shrunk = (count * raw + 10 * 0.5) / (count + 10)
    shape = shrunk.isFinite ? shrunk : .infinity
  }

  /// The quantile of a level between 0 and 1.
  func quantile(_ level: Double) -> Double {
    abs(shape) < Double.ulpOfOne ? -scale * log1p(-level) : scale * expm1(-shape * log1p(-level)) / shape
  }
}
