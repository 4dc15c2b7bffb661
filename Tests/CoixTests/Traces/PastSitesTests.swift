import Coix
import CoixParallel
import TestSupport
import Testing

/// Sites that resamplings have gone over are what they were before nobody read them in between, at a cost
/// that grows with the steps alone.
@Suite struct PastSitesTests {
  static let particles = Plate("particle", count: 60, chunkRows: 16)

  /// The names' order depends on whether suffixes are there.
  static let first = Model { trace in
    let h = trace.sample("h", from: Normal(-1, 0.8))
    let start = trace.sample("hB", from: Normal(0, 1))
    trace.observe("y", 0.3, from: Normal(start, exp(h / 2)))
    return h
  }

  static func step(_ t: Int) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
    Model { (trace, h: Tensor) in
      let next = trace.sample("h", from: LogNormal(0.1 * h, 0.25))
      let noise = trace.sample("h_x", from: Normal(0, 1))
      trace.observe("y", Tensor(Float(t) / 10), from: Normal(noise, exp(next / 2)))
      return next
    }
  }

  typealias Filter = Inference<Tuple<>, Tuple<Tensor>>

  /// - Parameter change: of what is resampled in a round.
  static func filter(
    _ steps: Int, _ condition: ResamplingCondition = .always,
    _ change: @escaping @Sendable (Int, Filter) -> Filter = { $1 }
  ) -> Filter {
    foriLoop(1..<steps, initial: particles(first)) { t, q in
      compose(particles(step(t)), resample(change(t, q), when: condition))
    }
  }

  /// The names that the filter's evaluation has after some rounds.
  static func names(_ rounds: Int) -> [String] {
    func suffixed(_ name: String, _ count: Int) -> String { name + String(repeating: "_PREV_", count: count) }
    return (0...rounds).flatMap { [suffixed("h", $0), suffixed("y", $0)] }
      + (0..<rounds).map { suffixed("h_x", $0) } + ["hB"]
  }

  /// `marginal` reads all sites in each round.
  @Test(arguments: [1, 3], [ResamplingCondition.always, .ess(below: 0.7)])
  func sameAsSitesReadInEachRound(_ threads: Int, _ condition: ResamplingCondition) throws {
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    let unread = try evaluate(Self.filter(7, condition), seed: 4, options: options)()
    let read = try evaluate(
      Self.filter(7, condition) { t, q in marginal(q, keeping: Self.names(t - 1)) }, seed: 4, options: options
    )()
    #expect(Set(unread.trace.names) == Set(Self.names(6)))
    #expect(unread.trace.names == read.trace.names)
    for (a, b) in zip(unread.trace.sites, read.trace.sites) {
      #expect(a.value.scalars == b.value.scalars, "\(a.name)")
      #expect(a.logProb.scalars == b.logProb.scalars, "\(a.name)")
      #expect(a.isSuffixed == b.isSuffixed && a.isObserved == b.isObserved, "\(a.name)")
    }
    #expect(unread.metrics.logWeight.scalars == read.metrics.logWeight.scalars)
    #expect(try unread.metrics.logZ.scalar == read.metrics.logZ.scalar)
  }

  /// A proposal's sites are read by name, and gradients flow through their gathers.
  @Test func gradientsOfPastSites() throws {
    func gradient(_ change: @escaping @Sendable (Int, Filter) -> Filter) throws -> Float {
      try valueWithGradient(at: Tensor(0.3)) { location in
        let first = Model { trace in
          let h = trace.sample("h", from: Normal(location, 0.8))
          trace.observe("y", 0.3, from: Normal(0, exp(h / 2)))
          return h
        }
        let step = Model { (trace, h: Tensor) in
          let next = trace.sample("h", from: Normal(location * h, 0.5))
          trace.observe("y", 0.1, from: Normal(0, exp(next / 2)))
          return next
        }
        let filter = foriLoop(1..<5, initial: Self.particles(first)) { t, q in
          compose(Self.particles(step), resample(change(t, q)))
        }
        let result = try evaluate(filter, seed: 2)()
        return result.trace.sites.reduce(Tensor(0)) { $0 + ($1.value * $1.logProb).sum() }
      }.gradient.scalar
    }
    let unread = try gradient { $1 }
    let read = try gradient { t, q in
      let suffixes = (0..<t).map { String(repeating: "_PREV_", count: $0) }
      return marginal(q, keeping: suffixes.flatMap { ["h" + $0, "y" + $0] })
    }
    #expect(unread == read && unread != 0)
  }

  /// A name that a past site has is taken.
  @Test func aPastNameIsTaken() throws {
    let step = Model { (trace, h: Tensor) in
      _ = trace.sample("h_PREV__PREV_", from: Normal(0, 1))
      return trace.sample("h", from: Normal(h, 1))
    }
    let filter = foriLoop(1..<4, initial: Self.particles(Self.first)) { _, q in
      compose(Self.particles(step), resample(q))
    }
    let error = #expect(throws: CoixError.self) { try evaluate(filter, seed: 0)() }
    #expect(error?.description.contains("h_PREV__PREV_") == true)
  }

  /// A resampling looks at the sites of its own round.
  @Test func workGrowsWithTheSteps() throws {
    func work(_ steps: Int) throws -> RowWork {
      let context = ExecutionContext.caller(team: 1)
      _ = try context.withCurrent { try evaluate(Self.filter(steps), seed: 0)() }
      return context.rowWork
    }
    let (some, twice, more) = (try work(40), try work(80), try work(160))
    #expect(more.views - twice.views == 2 * (twice.views - some.views))
    #expect(some.compositions < 40 && more.compositions < 160)
  }

  /// What nobody reads is not gathered, and changes no number.
  @Test(arguments: [EvaluationOptions.Keep.output, .metrics])
  func unreadSitesAreNotGathered(_ keep: EvaluationOptions.Keep) throws {
    func work(_ steps: Int) throws -> RowWork {
      let context = ExecutionContext.caller(team: 1)
      _ = try context.withCurrent {
        try evaluate(Self.filter(steps), seed: 0, options: EvaluationOptions(keep: keep))()
      }
      return context.rowWork
    }
    let (some, twice, more) = (try work(20), try work(40), try work(80))
    // A step's views are those of the state that it hands on.
    #expect(more.views - twice.views == 2 * (twice.views - some.views))
    #expect(more.views <= 3 * 80)
    #expect(more.compositions == 0)
    let whole = try evaluate(Self.filter(9), seed: 1)()
    let part = try evaluate(Self.filter(9), seed: 1, options: EvaluationOptions(keep: keep))()
    #expect(part.metrics.logWeight.scalars == whole.metrics.logWeight.scalars)
    #expect(try part.metrics.logZ.scalar == whole.metrics.logZ.scalar)
    #expect(try part.metrics.ess.scalar == whole.metrics.ess.scalar)
    if keep == .output { #expect(part.output.values.scalars == whole.output.values.scalars) }
  }

  /// Without a resampling, too.
  @Test func unreadSitesOfALoopWithoutResampling() throws {
    let filter = foriLoop(1..<30, initial: Self.particles(Self.first)) { t, q in
      compose(Self.particles(Self.step(t)), q)
    }
    let whole = try evaluate(filter, seed: 3)()
    let part = try evaluate(filter, seed: 3, options: EvaluationOptions(keep: .metrics))()
    #expect(part.metrics.logWeight.scalars == whole.metrics.logWeight.scalars)
    #expect(try part.metrics.logZ.scalar == whole.metrics.logZ.scalar)
  }

  /// Blocks and indices are let go of without recursion.
  @Test func longFiltersOnASmallStack() throws {
    let filter = Self.filter(isDebugBuild ? 1_000 : 2_000)
    for keep in [EvaluationOptions.Keep.metrics, .everything] {
      try onSmallStack {
        let result = try evaluate(filter, seed: 0, options: EvaluationOptions(keep: keep))()
        #expect(try result.metrics.logZ.scalar.isFinite)
      }
    }
  }
}
