import Coix
import Foundation
import Testing

/// The resampling schemes: how often each particle is chosen.
@Suite struct ResamplingSchemeTests {
  static let logWeights: [Float] = [
    -1, 0.3, -.infinity, 2, -2.5, 0, 0, -.infinity, 1.1, -0.4, -6, 0.9,
  ]
  static let weights = CumulativeWeights(logWeights)

  /// How many copies there are of each particle.
  static func copies(
    _ scheme: ResamplingScheme, _ logWeights: [Float], key: PRNGKey, count: Int
  ) throws -> [Int] {
    let ancestors = try scheme.ancestors(
      logWeights: Tensor(logWeights, shape: [logWeights.count, 1]), key: key, count: count,
      workers: Workers(threads: 1))
    var copies = [Int](repeating: 0, count: logWeights.count)
    for ancestor in ancestors { copies[Int(ancestor)] += 1 }
    return copies
  }

  /// The variance of the number of copies, where there is a formula for it.
  static func variance(_ scheme: ResamplingScheme, _ weight: Double, count: Int) -> Double? {
    let expected = weight * Double(count)
    let fraction = expected - expected.rounded(.down)
    switch scheme {
    case .systematic: return fraction * (1 - fraction)
    case .stratified: return nil
    case .multinomial: return expected * (1 - weight)
    case .residual:
      let rest = logWeights.indices.reduce(0.0) {
        let copies = weights.weight($1) * Double(count)
        return $0 + copies - copies.rounded(.down)
      }
      return fraction * (1 - fraction / rest)
    }
  }

  /// Over 4,000 seeds the mean number of copies is count · w, and its variance what the scheme promises.
  ///
  /// A mean of a right scheme is more than 5 standard deviations off with probability 6e-7; there are 144 of
  /// them. An estimated variance has a relative standard deviation of at most √((κ - 1) / 4000), with a
  /// kurtosis κ that is below 10 where more than a tenth of a copy is expected: 25 % are then more than 5 of
  /// them.
  @Test(arguments: ResamplingScheme.allCases, [12, 5, 40])
  func schemesAreUnbiased(_ scheme: ResamplingScheme, _ count: Int) throws {
    let seeds = 4_000
    var sums = [Double](repeating: 0, count: Self.logWeights.count)
    var squares = sums
    for key in PRNGKey(seed: 17).split(into: seeds) {
      let copies = try Self.copies(scheme, Self.logWeights, key: key, count: count)
      #expect(copies.reduce(0, +) == count)
      for (particle, copies) in copies.enumerated() {
        sums[particle] += Double(copies)
        squares[particle] += Double(copies * copies)
      }
    }
    for particle in Self.logWeights.indices {
      let weight = Self.weights.weight(particle)
      let expected = weight * Double(count)
      let (mean, limit) = (sums[particle] / Double(seeds), expected * (1 - weight))
      // No scheme has a larger variance than the multinomial one.
      #expect((mean - expected).magnitude <= 5 * (limit / Double(seeds)).squareRoot(), "particle \(particle)")
      let variance = squares[particle] / Double(seeds) - mean * mean
      #expect(variance <= 1.25 * limit + 0.01)
      guard let wanted = Self.variance(scheme, weight, count: count), min(expected, wanted) > 0.1 else {
        continue
      }
      #expect((variance / wanted - 1).magnitude < 0.25, "particle \(particle)")
    }
  }

  /// How far the number of copies may be from count · w, whatever the random numbers.
  @Test(arguments: [12, 7, 100, 1_000])
  func numbersOfCopiesAreBounded(_ count: Int) throws {
    for key in PRNGKey(seed: 18).split(into: 200) {
      let systematic = try Self.copies(.systematic, Self.logWeights, key: key, count: count)
      let stratified = try Self.copies(.stratified, Self.logWeights, key: key, count: count)
      let residual = try Self.copies(.residual, Self.logWeights, key: key, count: count)
      for particle in Self.logWeights.indices {
        let expected = Self.weights.weight(particle) * Double(count)
        #expect((Double(systematic[particle]) - expected).magnitude < 1)
        #expect((Double(stratified[particle]) - expected).magnitude < 2)
        #expect(residual[particle] >= Int(expected))
        if expected == 0 { #expect(systematic[particle] + stratified[particle] + residual[particle] == 0) }
      }
    }
  }

  /// Cumulative weights in single precision are off by whole particles here: 2^24 < 10 million · 2.
  @Test func systematicIsExactForTenMillionParticles() throws {
    let count = 10_000_000
    let numbers = 1.5 * Draw(key: 5, shape: [count]).normal()
    var logWeights = numbers.scalars
    // One particle with a tenth of the weight, some without any.
    logWeights[7_654_321] = 15
    for particle in stride(from: 0, to: count, by: 1_000) { logWeights[particle] = -.infinity }
    let ancestors = try ResamplingScheme.systematic.ancestors(
      logWeights: Tensor(logWeights, shape: [count, 1]), key: 6, count: count, workers: Workers(threads: 2))
    let worst = logWeights.withUnsafeBufferPointer { logWeights in
      ancestors.withUnsafeBufferPointer { ancestors in
        var total = 0.0
        for logWeight in logWeights { total += exp(Double(logWeight)) }
        let scale = Double(count) / total
        var (worst, position) = (0.0, 0)
        for particle in 0..<count {
          var copies = 0
          // Systematic resampling keeps the order.
          while position < count && ancestors[position] == Int32(particle) {
            copies += 1
            position += 1
          }
          worst = max(worst, (Double(copies) - exp(Double(logWeights[particle])) * scale).magnitude)
        }
        return position == count ? worst : .infinity
      }
    }
    #expect(worst < 1)
  }

  /// One particle; all weight on one; equal weights; more and fewer particles than there were.
  @Test(arguments: ResamplingScheme.allCases, [1, 2, 3, 50])
  func unusualWeights(_ scheme: ResamplingScheme, _ count: Int) throws {
    let none = -Float.infinity
    for key in [0, 1, 2] as [PRNGKey] {
      #expect(try Self.copies(scheme, [-500], key: key, count: count) == [count])
      #expect(try Self.copies(scheme, [none, 3, none], key: key, count: count) == [0, count, 0])
      #expect(try Self.copies(scheme, [1e30, none, 3], key: key, count: count) == [count, 0, 0])
      let equal = try Self.copies(scheme, [-7, -7, none], key: key, count: count)
      #expect(equal[0] + equal[1] == count && equal[2] == 0)
      if scheme != .multinomial && count % 2 == 0 { #expect(equal[0] == count / 2) }
    }
  }

  /// An instance's random numbers don't depend on what the others weigh.
  @Test(arguments: ResamplingScheme.allCases)
  func instancesAreResampledApart(_ scheme: ResamplingScheme) throws {
    let first = Draw(key: 1, shape: [40]).normal()
    func ancestors(beside other: Tensor) throws -> [Int32] {
      let rows = try scheme.ancestors(
        logWeights: .stack([first, other], axis: 1), key: 9, count: 30, workers: Workers(threads: 1))
      return stride(from: 0, to: rows.count, by: 2).map { rows[$0] }
    }
    let beside = try ancestors(beside: Draw(key: 2, shape: [40]).normal())
    #expect(try ancestors(beside: 4 * Draw(key: 3, shape: [40]).normal()) == beside)
    #expect(beside.allSatisfy { $0 % 2 == 0 })
  }

  /// The combinator takes the scheme, and everything is gathered by the same ancestors.
  @Test(arguments: ResamplingScheme.allCases)
  func programsTakeAScheme(_ scheme: ResamplingScheme) throws {
    let (plate, model, data) = ResampleTests.numbered(ResampleTests.weights)
    let result = try evaluate(resample(plate(model), scheme: scheme), seed: 4)(data)
    // The resampling's key is the evaluation's first draw.
    var stream = KeyStream(4)
    let ancestors = try scheme.ancestors(
      logWeights: Tensor(ResampleTests.weights, shape: [200, 1]), key: stream.next(), count: 200,
      workers: Workers(threads: 1))
    #expect(result.output.values.scalars == ancestors.map(Float.init))
    #expect(
      result.trace["weight"]?.logProb.scalars == ancestors.map { ResampleTests.weights[Int($0)] })
  }

  @Test(arguments: ResamplingScheme.allCases)
  func impossibleWeights(_ scheme: ResamplingScheme) throws {
    let (particles, instances) = (Plate("particle", count: 4), Plate("instance", count: 3))
    func run(_ weights: [Float], _ condition: ResamplingCondition) throws -> Metrics {
      let model = Model { (trace, x: Tensor) in
        trace.factor("weight", x)
        return x
      }
      let program = resample(particles(instances(model)), scheme: scheme, when: condition)
      return try evaluate(program, seed: 0)(instances.mapped(Tensor(weights))).metrics
    }
    for condition in [.always, .ess(below: 0), .ess(below: 1)] as [ResamplingCondition] {
      #expect(
        message { try run([0, -.infinity, 0], condition) }
          == #"at site "weight": stage 1: the log-weights of all particles are -inf (instance 1)"#)
      for number in [Float.nan, .infinity] {
        #expect(
          message { try run([0, 0, number], condition) }
            == #"at site "weight": stage 1: the log-weight of particle 0 is \#(number.isNaN ? "NaN" : "+inf") (instance 2)"#
        )
      }
    }
  }
}
