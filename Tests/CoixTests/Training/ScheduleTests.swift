import Coix
import Testing

/// Schedules as learning rates. `OptaxTests` compares their numbers.
@Suite struct ScheduleTests {
  /// Rates are never negative, also where they end at 0, and are what they end at from there on.
  @Test func everyRateIsTaken() throws {
    for schedule in [
      .cosineDecay(from: 0.1, steps: 1_000), .linear(from: 0.1, to: 0, steps: 1_000),
      .warmupCosineDecay(peak: 0.1, warmup: 10, steps: 1_000),
    ] as [Schedule] {
      let rates = schedule(Tensor((0...1_001).map(Float.init))).scalars
      #expect(rates.allSatisfy { $0 >= 0 && $0 <= 0.1 })
      #expect(rates[1_000] == 0 && rates[1_001] == 0)
    }
  }

  /// The rate of a step is that of the number of steps taken before; skipped ones don't count.
  @Test func stepsAreCounted() throws {
    var x = Tensor(0)
    var sgd = SGD<Tensor>(learningRate: .piecewiseConstant(from: 1, scaledBy: [1: 10, 2: 10]))
    for gradient in [1, .nan, 1, .infinity, 1] as [Float] { try sgd.update(&x, along: Tensor(gradient)) }
    #expect(x.scalar == -111)
    #expect(sgd.stepCount == 3 && sgd.skippedCount == 2)
    #expect(sgd.learningRate(3).scalar == 100)
  }

  @Test func aScheduleOfOnesOwn() throws {
    var x = Tensor(0)
    var sgd = SGD<Tensor>(learningRate: Schedule { 1 / (1 + $0) })
    for _ in 0..<3 { try sgd.update(&x, along: -1) }
    #expect((x.scalar - (1 + 1 / 2 + 1 / 3)).magnitude < 1e-6)
    sgd.learningRate = Schedule { 2 - $0 }
    #expect(
      message { try sgd.update(&x, along: 1) }
        == "SGD: the learning rate must be finite and not negative, is -1.0")
    sgd.learningRate = Schedule { _ in [1, 2] }
    #expect(
      message { try sgd.update(&x, along: 1) }
        == "SGD: the learning rate must be one number of shape [], is [2]")
  }

  @Test func settingsOutsideOfTheirDomains() {
    func complaint(_ schedule: Schedule) -> String? {
      var (x, adam) = (Tensor(1), Adam(for: Tensor(1), learningRate: schedule))
      defer { #expect(x.scalar == 1 && adam.stepCount == 0 && adam.skippedCount == 0) }
      return message { try adam.update(&x, along: 1) }
    }
    for steps in [0, -1, 1 << 24 + 1] {
      let reason = "the number of steps must be from 1 to 2^24, is \(steps)"
      #expect(complaint(.linear(from: 0, to: 1, steps: steps)) == "Schedule.linear: \(reason)")
      #expect(complaint(.cosineDecay(from: 1, steps: steps)) == "Schedule.cosineDecay: \(reason)")
      #expect(
        complaint(.exponentialDecay(from: 1, by: 0.5, every: steps)) == "Schedule.exponentialDecay: \(reason)"
      )
      #expect(
        complaint(.warmupCosineDecay(peak: 1, warmup: steps, steps: 20))
          == "Schedule.warmupCosineDecay: \(reason)")
    }
    #expect(
      complaint(.warmupCosineDecay(peak: 1, warmup: 20, steps: 20))
        == "Schedule.cosineDecay: the number of steps must be from 1 to 2^24, is 0")
    for rate in [-1, .nan, .infinity] as [Float] {
      let reason = "rates and their factors must be finite and not negative, one is \(rate)"
      #expect(complaint(.linear(from: 0, to: rate, steps: 5)) == "Schedule.linear: \(reason)")
      #expect(complaint(.cosineDecay(from: 1, steps: 5, alpha: rate)) == "Schedule.cosineDecay: \(reason)")
      #expect(
        complaint(.exponentialDecay(from: 1, by: 0.5, every: 5, to: rate))
          == "Schedule.exponentialDecay: \(reason)")
      #expect(
        complaint(.piecewiseConstant(from: 1, scaledBy: [9: rate])) == "Schedule.piecewiseConstant: \(reason)"
      )
      #expect(
        complaint(Schedule.linear(from: 0, to: rate, steps: 5).followed(by: 1, from: 0))
          == "Schedule.linear: \(reason)")
      #expect(
        complaint(.exponentialDecay(from: 1, by: rate, every: 5))
          == "Schedule.exponentialDecay: the factor must be positive and finite, is \(rate)")
    }
    #expect(
      complaint(.piecewiseConstant(from: 1, scaledBy: [-1: 1]))
        == "Schedule.piecewiseConstant: a number of steps must be from 0 to 2^24")
    #expect(
      complaint(Schedule.constant(1).followed(by: 1, from: -1))
        == "Schedule.followed: a number of steps must be from 0 to 2^24, is -1")
  }
}
