import CoixParallel

/// A learning rate as a function of the number of steps that were taken before: 0 at the first step.
///
/// ```swift
/// Adam(for: vae, learningRate: 1e-3)
/// Adam(for: vae, learningRate: .cosineDecay(from: 1e-3, steps: 10_000))
/// Adam(for: vae, learningRate: .linear(from: 0, to: 1e-3, steps: 100).followed(by: .constant(1e-4), from: 5_000))
/// ```
///
/// A number is a schedule. Schedules are computed by tensor operators, in single precision, from the number of steps in
/// the optimiser's state; a recorded step thus follows them without being recorded anew. Counts go up to 2²⁴, where they
/// stay. A skipped step does not count.
///
/// A schedule with a setting outside of its domain makes the optimiser's first update throw.
public struct Schedule: Sendable {
  private let rate: @Sendable (_ count: Tensor) -> Tensor
  private static var greatestCount: Int { 1 << 24 }

  /// A schedule of your own.
  ///
  /// - Parameter rate: the learning rate for a number of steps, both one number, of shape `[]`. It must be made of tensor
  ///   operators: what it reads by Swift code keeps a step from being recorded.
  public init(_ rate: @escaping @Sendable (_ count: Tensor) -> Tensor) { self.rate = rate }

  /// The learning rate after so many steps, one number; poisoned if a setting is outside of its domain.
  public func callAsFunction(_ count: Tensor) -> Tensor { rate(count) }
}

extension Schedule: ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
  public init(floatLiteral rate: Float) { self = .constant(rate) }
  public init(integerLiteral rate: Int) { self = .constant(Float(rate)) }
}

extension Schedule {
  /// The same rate at each step; `optax.constant_schedule`.
  ///
  /// - Parameter rate: finite, and not negative.
  public static func constant(_ rate: Float) -> Schedule { Schedule { _ in Tensor(rate) } }

  /// A straight line from one rate to another, where it stays: a warm-up, for example. `optax.linear_schedule`.
  ///
  /// - Parameters:
  ///   - first: the rate of the first step: finite, and not negative.
  ///   - last: the rate from step `steps` on: finite, and not negative.
  ///   - steps: from 1 to 2²⁴.
  public static func linear(from first: Float, to last: Float, steps: Int) -> Schedule {
    Schedule("linear", rates: [first, last], steps: steps) { count in
      let rest = 1 - minimum(count, Tensor(Float(steps))) / Float(steps)
      return (first - last) * rest + last
    }
  }

  /// Half a period of a cosine, from a rate down to a fraction of it, where it stays; `optax.cosine_decay_schedule`.
  ///
  /// ```
  /// rate(t) = first * ((1 - alpha) * (1 + cos(π * min(t / steps, 1))) / 2 + alpha)
  /// ```
  ///
  /// Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
  ///
  /// - Parameters:
  ///   - first: the rate of the first step: finite, and not negative.
  ///   - steps: from 1 to 2²⁴.
  ///   - alpha: the last rate as a fraction of the first one: finite, and not negative.
  public static func cosineDecay(from first: Float, steps: Int, alpha: Float = 0) -> Schedule {
    Schedule("cosineDecay", rates: [first, alpha], steps: steps) { count in
      let angle = Float.pi * minimum(count, Tensor(Float(steps))) / Float(steps)
      let height: Tensor = 0.5 * (1 + cos(angle))
      return first * ((1 - alpha) * height + alpha)
    }
  }

  /// A factor for every so many steps, and powers of it in between; `optax.exponential_decay`.
  ///
  /// ```
  /// rate(t) = first * factor^(t / steps)
  /// ```
  ///
  /// - Parameters:
  ///   - first: the rate of the first step: finite, and not negative.
  ///   - factor: positive and finite.
  ///   - steps: from 1 to 2²⁴.
  ///   - isStaircase: whether the rate changes at every `steps`-th step only.
  ///   - bound: the rate at which it stays, a lower bound for a factor less than 1, else an upper one: finite, and not
  ///     negative. nil for none.
  public static func exponentialDecay(
    from first: Float, by factor: Float, every steps: Int, staircase isStaircase: Bool = false,
    to bound: Float? = nil
  ) -> Schedule {
    guard factor > 0, factor.isFinite else {
      return refused("exponentialDecay", "the factor must be positive and finite, is \(factor)")
    }
    return Schedule("exponentialDecay", rates: [first] + (bound.map { [$0] } ?? []), steps: steps) { count in
      // Before its beginning, where `followed(by:from:)` asks for it, too, it is constant.
      let exponent = maximum(count, 0) / Float(steps)
      let rate = first * Tensor.power(Tensor(factor), isStaircase ? exponent.floor : exponent)
      guard let bound else { return rate }
      return factor < 1 ? maximum(rate, Tensor(bound)) : minimum(rate, Tensor(bound))
    }
  }

  /// A rate that is scaled at some steps, and constant between them; `optax.piecewise_constant_schedule`.
  ///
  /// - Parameters:
  ///   - first: the rate of the first step: finite, and not negative.
  ///   - scales: for a number of steps, not negative, what the rate is multiplied by from there on: finite, and not
  ///     negative.
  public static func piecewiseConstant(from first: Float, scaledBy scales: [Int: Float]) -> Schedule {
    let scales = scales.sorted { $0.key < $1.key }
    guard scales.allSatisfy({ (0...greatestCount).contains($0.key) }) else {
      return refused("piecewiseConstant", "a number of steps must be from 0 to 2^24")
    }
    return Schedule("piecewiseConstant", rates: [first] + scales.map(\.value)) { count in
      scales.reduce(Tensor(first)) { rate, scale in
        select(count .< Tensor(Float(scale.key)), rate, rate * scale.value)
      }
    }
  }

  /// A straight line to a rate, and a cosine from there down to a last rate, where it stays;
  /// `optax.warmup_cosine_decay_schedule`.
  ///
  /// - Parameters:
  ///   - first: the rate of the first step: finite, and not negative.
  ///   - peak: the rate after the warm-up: positive and finite.
  ///   - warmup: the steps of the warm-up: from 1 to 2²⁴.
  ///   - steps: the steps until the last rate, those of the warm-up included: from `warmup` + 1 to `warmup` + 2²⁴.
  ///   - last: finite, and not negative.
  public static func warmupCosineDecay(
    from first: Float = 0, peak: Float, warmup: Int, steps: Int, to last: Float = 0
  ) -> Schedule {
    let joined = linear(from: first, to: peak, steps: warmup).followed(
      by: cosineDecay(from: peak, steps: steps - warmup, alpha: last / peak), from: warmup)
    return Schedule("warmupCosineDecay", rates: [first, peak, last], steps: warmup) { joined($0) }
  }

  /// Another schedule from some step on, which starts there as if it were the first step; `optax.join_schedules`.
  ///
  /// - Parameters:
  ///   - next: the other schedule.
  ///   - boundary: the number of steps from which on it holds: from 0 to 2²⁴.
  public func followed(by next: Schedule, from boundary: Int) -> Schedule {
    guard (0...Self.greatestCount).contains(boundary) else {
      return Self.refused("followed", "a number of steps must be from 0 to 2^24, is \(boundary)")
    }
    return Schedule { count in
      select(count .< Tensor(Float(boundary)), self(count), next(count - Float(boundary)))
    }
  }

  /// A schedule from settings that are looked at first.
  private init(
    _ name: String, rates: [Float], steps: Int = 1, _ rate: @escaping @Sendable (_ count: Tensor) -> Tensor
  ) {
    if let rate = rates.first(where: { !($0 >= 0 && $0.isFinite) }) {
      self = Self.refused(name, "rates and their factors must be finite and not negative, one is \(rate)")
    } else if !(1...Self.greatestCount).contains(steps) {
      self = Self.refused(name, "the number of steps must be from 1 to 2^24, is \(steps)")
    } else {
      self.init(rate)
    }
  }

  /// A schedule that throws at the first update.
  private static func refused(_ name: String, _ reason: String) -> Schedule {
    Schedule { _ in .failed(.argument("Schedule.\(name): \(reason)")) }
  }
}
