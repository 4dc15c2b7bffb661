import TestSupport
import Testing

@testable import CoixParallel

/// Element i of a draw depends on (key, i) alone: a chunk's part is the same as in the whole.
@Suite struct DrawSliceTests {
  struct Sampler: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// How far the numbers outside of a plate may be from those inside; nil for other numbers.
    let toleranceOutside: Double?
    let sample: @Sendable (Draw) -> Tensor

    init(_ name: String, outside tolerance: Double? = 0, _ sample: @escaping @Sendable (Draw) -> Tensor) {
      (testDescription, toleranceOutside, self.sample) = (name, tolerance, sample)
    }
  }

  static let samplers = [
    Sampler("uniform") { $0.uniform(low: -2, high: 3) },
    Sampler("normal") { $0.normal() },
    Sampler("normal, scaled") { $0.normal(location: 2, scale: 3) },
    Sampler("gumbel") { $0.gumbel() },
    Sampler("exponential") { $0.exponential() },
    Sampler("laplace") { $0.laplace() },
    Sampler("cauchy") { $0.cauchy() },
    Sampler("truncatedNormal") { $0.truncatedNormal(lower: -1, upper: 2) },
    Sampler("bernoulli") { $0.bernoulli(0.3) },
    Sampler("categorical") { $0.categorical(logits: Tensor([0, 1, -1, 0.5])) },
    Sampler("gamma") { $0.gamma(0.7) },
    Sampler("logGamma") { $0.logGamma(0.1) },
    Sampler("beta") { $0.beta(0.5, 2) },
    Sampler("dirichlet", outside: 1e-6) { $0.dirichlet(Tensor([0.5, 1, 2])) },
    Sampler("studentT") { $0.studentT(degreesOfFreedom: 3) },
    Sampler("with other inner axes") { $0.replacingAxes(last: 0, with: [2, 2]).normal() },
    Sampler("poisson, small rate") { $0.poisson(3) },
    // Rejection goes on for all elements together there.
    Sampler("poisson, large rate", outside: nil) { $0.poisson(30) },
  ]

  static let rows = 40
  static let key = PRNGKey(seed: 17).folded(in: 3)

  /// A chunk's numbers, `[rows, event...]`.
  private func drawn(_ sampler: Sampler, _ draw: Draw, from first: Int, rows: Int) -> [Float] {
    let context = ExecutionContext(pool: BufferPool(), tape: nil, team: 1)
    context.enter(
      ChunkRows(
        particles: first..<first + rows, instances: 0..<1, plate: PlateRows(particles: first + rows)),
      tape: nil)
    return context.withCurrent { Chunk(context: context, rows: rows).values(sampler.sample(draw)) }
  }

  @Test(arguments: samplers)
  func slicesEqualTheWhole(_ sampler: Sampler) {
    for event: Shape in [[], [2, 3]] {
      let draw = Draw(key: Self.key, shape: event)
      let whole = drawn(sampler, draw, from: 0, rows: Self.rows)
      let width = whole.count / Self.rows
      #expect(Set(whole).count > 1)
      for (first, count) in [(0, 1), (1, 15), (5, 33), (16, 16), (39, 1)] {
        #expect(
          drawn(sampler, draw, from: first, rows: count).map(\.bitPattern)
            == whole[first * width..<(first + count) * width].map(\.bitPattern),
          "rows \(first)..<\(first + count) of event shape \(event)")
      }
      guard let tolerance = sampler.toleranceOutside else { continue }
      let outside = sampler.sample(Draw(key: Self.key, shape: Shape([Self.rows]).appending(event)))
      #expect(
        distance(outside.scalars, whole.map(Double.init)) <= tolerance,
        "outside of plates, event shape \(event)")
    }
  }

  /// The same in another order of elements.
  @Test(arguments: samplers)
  func slicesEqualTheWholeInOtherOrders(_ sampler: Sampler) {
    let draw = Draw(key: Self.key, shape: [2, 3], strides: [1, 2], rowStride: 6)
    let whole = drawn(sampler, draw, from: 0, rows: Self.rows)
    let width = whole.count / Self.rows
    for (first, count) in [(1, 15), (17, 23)] {
      #expect(
        drawn(sampler, draw, from: first, rows: count).map(\.bitPattern)
          == whole[first * width..<(first + count) * width].map(\.bitPattern))
    }
  }

  @Test func strides() {
    let draw = Draw(key: Self.key, shape: [2, 3])
    #expect(draw.strides == [3, 1])
    #expect(draw.rowStride == 6)
    let further = draw.appendingAxis(4)
    #expect(further.shape == [2, 3, 4])
    #expect(further.strides == [12, 4, 1])
    #expect(further.rowStride == 24)
    #expect(Draw(key: Self.key, shape: []).rowStride == 1)
    // A transposed order gives the transposed numbers.
    let transposed = Draw(key: Self.key, shape: [3, 2], strides: [1, 3], rowStride: 6)
    #expect(transposed.uniform().transposed().scalars == draw.uniform().scalars)
  }

  /// Repetitions are each for the whole plate: element (k, row) has index k * rows + row.
  @Test func repetitions() {
    let context = ExecutionContext(pool: BufferPool(), tape: nil, team: 1)
    context.enter(
      ChunkRows(particles: 20..<27, instances: 0..<1, plate: PlateRows(particles: 40)), tape: nil)
    let found = context.withCurrent {
      Chunk(context: context, rows: 7).values(Draw(key: Self.key, shape: []).repeated(3).uniform())
    }
    let all = Draw(key: Self.key, shape: [3, 40]).uniform().scalars
    let expected = (20..<27).flatMap { row -> [Float] in [all[row], all[40 + row], all[80 + row]] }
    #expect(found == expected)
    let last = context.withCurrent {
      Chunk(context: context, rows: 7).values(Draw(key: Self.key, shape: []).repeated(2..<3).uniform())
    }
    #expect(last == Array(all[100..<107]))
    #expect(Draw(key: Self.key, shape: [40]).repeated(3).uniform().scalars == all)
  }

  /// Some repetitions are the same as among all, also with other axes and keys than those that were repeated.
  @Test(arguments: [
    Sampler("in order") { $0.uniform() },
    Sampler("with an inner axis") { $0.appendingAxis(2).uniform() },
    Sampler("with other inner axes") { $0.replacingAxes(last: 1, with: [4]).uniform() },
    Sampler("with another key") { $0.with(key: 5).uniform() },
  ])
  func someRepetitions(_ sampler: Sampler) {
    let draw = Draw(key: Self.key, shape: [2, 3])
    func numbers(_ range: Range<Int>) -> [Float] { sampler.sample(draw.repeated(range)).scalars }
    #expect(numbers(0..<5) == sampler.sample(draw.repeated(5)).scalars)
    #expect(numbers(0..<2) + numbers(2..<5) == numbers(0..<5))
    #expect(numbers(3..<3) == [])
  }

  @Test func otherInnerAxes() {
    let draw = Draw(key: Self.key, shape: [2, 3, 4], strides: [4, 8, 1], rowStride: 24)
    let other = draw.replacingAxes(last: 1, with: [2, 5])
    #expect(other.shape == [2, 3, 2, 5])
    #expect(other.strides == [10, 20, 5, 1])
    #expect(other.rowStride == 60)
    #expect(draw.replacingAxes(last: 3, with: []).strides == [])
    #expect(draw.replacingAxes(last: 9, with: [2]).shape == [2])
    #expect(Draw(key: Self.key, shape: [2, 0]).replacingAxes(last: 1, with: [3]).strides == [3, 1])
  }

  @Test func drawsThatCannotBe() {
    let huge = Draw(key: Self.key, shape: [1 << 20, 1 << 19])
    for sampler in Self.samplers {
      #expect(sampler.sample(huge).failure != nil, "\(sampler)")
    }
    #expect(
      huge.normal().failure?.description == "Draw needs 2199023255552 bytes, more than this machine can give")
    #expect(Draw(key: Self.key, shape: [-1]).normal().failure != nil)
  }

  /// Orders that make no sense give poison or some numbers, and never a trap.
  @Test func ordersWithoutSense() {
    #expect(Draw(key: 1, shape: [2, 2], strides: [], rowStride: 1).uniform().failure != nil)
    #expect(Draw(key: 1, shape: [2], strides: [1, 2], rowStride: 1).normal().failure != nil)
    #expect(Draw(key: 1, shape: [2, 2], strides: [1], rowStride: 1).bits() == [])
    let context = ExecutionContext.caller(team: 1)
    context.withCurrent {
      #expect(Draw(key: 1, shape: [2, 2], strides: [1], rowStride: 1).integers(in: 0..<3) == [])
    }
    #expect(context.hasFailed)
    for stride in [Int.min, -1, .max] {
      let draw = Draw(key: 1, shape: [2, 3], strides: [stride, stride], rowStride: stride)
      #expect(draw.uniform().shape == [2, 3])
      #expect(draw.appendingAxis(2).normal().shape == [2, 3, 2])
      #expect(draw.replacingAxes(last: 1, with: [4]).normal().shape == [2, 4])
    }
    let draw = Draw(key: 1, shape: [2, 3])
    for count in [Int.min, -5] {
      #expect(draw.replacingAxes(last: count, with: [4]).normal().shape == [2, 3, 4])
    }
    #expect(draw.replacingAxes(last: .max, with: [4]).normal().shape == [4])
    for size in [Int.min, -1, .max] { #expect(draw.appendingAxis(size).normal().failure != nil) }
    #expect(draw.repeated(.min ..< .max).normal().failure != nil)
    #expect(Draw(key: 1, shape: [1 << 30, 1 << 9]).bits() == [])
    #expect(PRNGKey(seed: 1).split(into: .max) == [] && PRNGKey(seed: 1).split(into: .min) == [])
  }
}
