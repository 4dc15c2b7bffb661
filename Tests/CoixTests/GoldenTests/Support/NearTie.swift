import Coix
import Foundation

/// How near a discrete decision of a sampler was to going the other way: the relative distance of what was
/// compared, for each element. Where it is below ``limit``, rounding decides.
///
/// Written element by element from the algorithms' description, apart from the package's own samplers.
enum NearTie {
  static let limit: Float = 1e-6

  private static func distance(_ a: Float, _ b: Float) -> Float {
    (a - b).magnitude / max(a.magnitude, b.magnitude, .leastNormalMagnitude)
  }

  /// The best score against the second best.
  static func categorical(_ draw: Draw, _ logits: Tensor, _ axis: Int) -> [Float] {
    let rank = logits.shape.rank
    let fromEnd = axis < 0 ? axis : axis - rank
    var sizes = Array(draw.shape)
    sizes.insert(logits.shape[rank + fromEnd], at: sizes.count + 1 + fromEnd)
    let scores = Draw(key: draw.key, shape: Shape(sizes)).gumbel() + logits
    let best = scores.max(axis: fromEnd, keepingAxes: true)
    let second = select(scores .== best, Tensor(-.infinity), scores).max(axis: fromEnd)
    return zip(best.squeezingAxis(at: fromEnd).scalars, second.scalars).map(distance)
  }

  /// The acceptance tests of Marsaglia and Tsang's method.
  static func gamma(_ draw: Draw, _ alpha: Tensor) -> [Float] {
    let alphas = alpha.broadcast(to: draw.shape).scalars
    return zip(draw.key.split(into: alphas.count), alphas).map(gammaMargin)
  }

  static func beta(_ draw: Draw, _ a: Tensor, _ b: Tensor) -> [Float] {
    let (keyA, keyB) = draw.key.split()
    return zip(gamma(draw.with(key: keyA), a), gamma(draw.with(key: keyB), b)).map(min)
  }

  /// For each component the least margin of its vector.
  static func dirichlet(_ draw: Draw, _ alpha: Tensor) -> [Float] {
    let components = alpha.shape.last ?? 1
    let margins = gamma(draw.appendingAxis(components), alpha)
    return margins.indices.map { index in
      let start = index / components * components
      return margins[start..<start + components].min() ?? 0
    }
  }

  private static func number(_ key: PRNGKey) -> Draw { Draw(key: key, shape: .scalar) }

  private static func gammaMargin(_ key: PRNGKey, _ alpha: Float) -> Float {
    let third = Float(1) / 3
    let d = (alpha >= 1 ? alpha : alpha + 1) - third
    let c = third / d.squareRoot()
    var key = key.split().0
    var least = Float.infinity
    while true {
      let keys = key.split(into: 3)
      key = keys[0]
      var stream = KeyStream(keys[1])
      var x: Float
      repeat {
        x = number(stream.next()).normal().scalar
        least = min(least, (1 + x * c).magnitude)
      } while 1 + x * c <= 0
      let square = x * x
      let volume = (1 + x * c) * (1 + x * c) * (1 + x * c)
      let u = number(keys[2]).uniform().scalar
      let squeeze = 1 - 0.0331 * square * square
      let bound = square / 2 + d * (1 - volume + Foundation.log(volume))
      // The second test counts only where the first one leaves it open.
      if u < squeeze { return min(least, max(distance(u, squeeze), distance(Foundation.log(u), bound))) }
      least = min(least, distance(Foundation.log(u), bound))
      if !(Foundation.log(u) >= bound) { return least }
    }
  }

  /// The tests of Knuth's and Hörmann's methods.
  static func poisson(_ draw: Draw, _ rate: Tensor) -> [Float] {
    let rates = rate.broadcast(to: draw.shape).scalars
    var margins = rates.map { _ in Float.infinity }
    var open = rates.map { _ in true }
    var logProducts = rates.map { _ in Float(0) }
    var stream = KeyStream(draw.key)
    while rates.indices.contains(where: { rates[$0] < 10 && open[$0] }) {
      let numbers = draw.with(key: stream.next()).uniform().scalars
      for index in rates.indices where rates[index] < 10 && open[index] {
        logProducts[index] += Foundation.log(numbers[index])
        margins[index] = min(margins[index], distance(logProducts[index], -rates[index]))
        open[index] = logProducts[index] > -rates[index]
      }
    }
    // Rejection goes on for all elements together, so that every element's margins count for each.
    var key = draw.key
    while rates.indices.contains(where: { rates[$0] >= 10 && open[$0] }) {
      let keys = key.split(into: 3)
      key = keys[0]
      let u = draw.with(key: keys[1]).uniform().scalars
      let v = draw.with(key: keys[2]).uniform().scalars
      var round = Float.infinity
      for index in rates.indices where rates[index] >= 10 {
        let (margin, isAccepted) = rejection(rates[index], u[index] - 0.5, v[index])
        round = min(round, margin)
        if isAccepted { open[index] = false }
      }
      for index in rates.indices where rates[index] >= 10 { margins[index] = min(margins[index], round) }
    }
    return margins
  }

  private static func rejection(_ rate: Float, _ u: Float, _ v: Float) -> (margin: Float, isAccepted: Bool) {
    let b = 0.931 + 2.53 * rate.squareRoot()
    let a = -0.059 + 0.02483 * b
    let shifted = 0.5 - u.magnitude
    let position = (2 * a / shifted + b) * u + rate + 0.43
    let k = position.rounded(.down)
    let s = Foundation.log(v * (1.1239 + 1.1328 / (b - 3.4)) / (a / (shifted * shifted) + b))
    let t = -rate + k * Foundation.log(rate) - Float(Foundation.lgamma(Double(k + 1)))
    let squeeze = 0.9277 - 3.6224 / (b - 2)
    let margin = [
      distance(position, position.rounded()), distance(s, t), distance(v, squeeze), distance(shifted, 0.07),
      distance(shifted, 0.013), distance(v, shifted),
    ].min()
    let isInside = shifted >= 0.07 && v <= squeeze
    let isOutside = k < 0 || shifted < 0.013 && v > shifted
    return (margin ?? 0, isInside || !isOutside && s <= t)
  }
}
