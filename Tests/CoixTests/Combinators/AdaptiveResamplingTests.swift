import Coix
import ExampleModels
import Foundation
import Testing

/// A linear Gaussian state space model, whose evidence is known: x1 ~ Normal(0, 1), x ~ Normal(slope ·
/// previous, drift), y ~ Normal(x, noise).
struct LinearGaussian: Sendable {
  let slope: Float = 0.9
  let drift: Float = 0.6
  let noise: Float = 0.5
  let y: [Float] = [0.4, 1.3, -0.2, -1.1, 0.3, 1.9]

  /// Everything up to a time, which gives the last state.
  func target(_ time: Int) -> Model<Tuple<>, Tuple<Tensor>> {
    Model { [self] (trace) in
      var x = Tensor(0)
      for t in 0...time {
        x = trace.sample("x\(t)", from: t == 0 ? Normal(0, 1) : Normal(Tensor(slope) * x, Tensor(drift)))
        trace.observe("y\(t)", Tensor(y[t]), from: Normal(x, Tensor(noise)))
      }
      return x
    }
  }

  /// The bootstrap filter: each state is proposed by the model.
  func filter(
    _ plate: Plate, until last: Int, scheme: ResamplingScheme = .systematic,
    when condition: ResamplingCondition
  ) -> Inference<Tuple<>, Tuple<Tensor>> {
    let first = Kernel { (trace) in trace.sample("x0", from: Normal(0, 1)) }
    var filter = propose(plate(target(0)), plate(first))
    for t in stride(from: 1, through: last, by: 1) {
      let next = Kernel { [slope, drift] (trace, x: Tensor) in
        trace.sample("x\(t)", from: Normal(Tensor(slope) * x, Tensor(drift)))
      }
      filter = propose(
        plate(target(t)),
        compose(plate(next), resample(filter, scheme: scheme, when: condition), suffix: false))
    }
    return filter
  }

  /// log p(y).
  func logEvidence(until last: Int) -> Double {
    let filter = KalmanFilter(
      transition: Matrix([[Double(slope)]]), emission: .identity(1), drift: Double(drift * drift),
      noise: Double(noise * noise))
    return filter.logEvidence(y[...last].map { [Double($0)] })
  }
}

/// `resample(_:when:)`: who decides, and what the weights and metrics are where nothing was resampled.
@Suite struct AdaptiveResamplingTests {
  static let model = LinearGaussian()

  // MARK: Evidence

  /// The estimate of the evidence is unbiased for any number of particles, whichever steps resample.
  ///
  /// The mean of 150 estimates is more than 5 of its standard deviations off with probability 6e-7 if it is
  /// normal; it is nearly so.
  @Test(arguments: [0, 0.5, 1], ResamplingScheme.allCases)
  func evidenceIsUnbiased(_ threshold: Double, _ scheme: ResamplingScheme) throws {
    let plate = Plate("particle", count: 400)
    let last = 3
    let program = Self.model.filter(plate, until: last, scheme: scheme, when: .ess(below: threshold))
    let exact = Self.model.logEvidence(until: last)
    let ratios = try (0..<150).map { seed in
      let result = try evaluate(
        program, seed: PRNGKey(seed: seed),
        options: EvaluationOptions(workers: Workers(threads: 1), keep: .metrics))()
      return exp(Double(try result.metrics.logZ.scalar) - exact)
    }
    let mean = ratios.reduce(0, +) / Double(ratios.count)
    let variance = ratios.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(ratios.count - 1)
    #expect((mean - 1).magnitude < 5 * (variance / Double(ratios.count)).squareRoot())
    // An error of log k in one step would be far outside of that.
    #expect(variance < 0.5)
  }

  /// Many particles: the estimate is the evidence.
  ///
  /// Without resampling its relative standard deviation is 1/√ESS, of which 5 are exceeded with probability
  /// 6e-7. With it, it is below 0.02: at each of six steps about 1/√(40,000) times the weights' coefficient
  /// of variation, which is below 2.
  @Test(arguments: [.always, .ess(below: 0), .ess(below: 0.5), .ess(below: 1)] as [ResamplingCondition])
  func evidenceOfManyParticles(_ condition: ResamplingCondition) throws {
    let plate = Plate("particle", count: 40_000)
    let last = Self.model.y.count - 1
    let filter = Self.model.filter(plate, until: last, when: condition)
    let exact = Self.model.logEvidence(until: last)
    let metrics = try evaluate(filter, seed: 2)().metrics
    let logZ = try metrics.logZ.scalar
    let limit = condition == .ess(below: 0) ? 5 / Double(try metrics.ess.scalar).squareRoot() : 0.1
    #expect(limit < 0.5)
    #expect((Double(logZ) - exact).magnitude < limit)
    // Whether it resamples once more or not, the weights say the same.
    let resampled = try evaluate(resample(filter, when: condition), seed: 2)().metrics
    let weights = ResampleTests.logSumExp(resampled.logWeight.scalars) - log(40_000)
    #expect((weights - exact).magnitude < limit)
    #expect((weights - Double(try resampled.logZ.scalar)).magnitude < 1e-4)
  }

  // MARK: Where nobody or everybody resamples

  /// Threshold 0: nothing is ever gathered, and the weights are those of importance sampling.
  @Test func neverResampling() throws {
    let plate = Plate("particle", count: 300, chunkRows: 32)
    let result = try evaluate(
      resample(Self.model.filter(plate, until: 2, when: .ess(below: 0)), when: .ess(below: 0)), seed: 3)()
    #expect(Set(try required(result.trace["x0"]?.value).scalars).count == 300)
    // Cumulative: the log-likelihood of each particle's whole path.
    let likelihood = try (0...2).reduce(Tensor(0)) { try $0 + required(result.trace["y\($1)"]?.logProb) }
    for (found, wanted) in zip(result.metrics.logWeight.scalars, likelihood.scalars) {
      #expect((found - wanted).magnitude < 1e-4)
    }
    let weights = CumulativeWeights(result.metrics.logWeight.scalars)
    let ess = 1 / (0..<300).reduce(0) { $0 + weights.weight($1) * weights.weight($1) }
    #expect((Double(try result.metrics.ess.scalar) / ess - 1).magnitude < 1e-4)
  }

  /// Threshold 1 resamples wherever the weights differ: to the last bit as if always.
  @Test func resamplingAtOnce() throws {
    let plate = Plate("particle", count: 300, chunkRows: 32)
    var bits: [Bits] = []
    for condition in [.always, .ess(below: 1)] as [ResamplingCondition] {
      var run = Bits()
      run.add(
        try evaluate(
          resample(Self.model.filter(plate, until: 2, when: condition), when: condition), seed: 3)())
      bits.append(run)
    }
    #expect(bits[0].differences(from: bits[1]) == [])
  }

  /// Equal weights have the greatest effective sample size there is: nothing needs resampling.
  @Test func equalWeightsAreLeftAlone() throws {
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
    let plate = Plate("particle", count: 300, chunkRows: 32)
    let plain = try evaluate(
      resample(resample(plate(kernel), scheme: .multinomial, when: .ess(below: 1))), seed: 3)()
    #expect(Set(plain.output.values.scalars).count == 300)
    #expect(try plain.metrics.ess.scalar == 300)
    #expect(try plain.metrics.logZ.scalar.magnitude < 1e-6)
  }

  // MARK: Instances

  /// Log-weights and values of two times three instances: of equal weight, of little difference, nearly all
  /// on one particle.
  static let particles = Plate("particle", count: 40, chunkRows: 16)
  static let instances = Plate("instance", count: 3)
  static let scales: [Float] = [0, 0.3, 6]

  static func weighted(_ scale: Tensor) -> Model<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
    Model { (trace, number: Tensor, factor: Tensor) in
      let value = trace.sample("number", from: Delta(number))
      trace.factor("weight", scale * factor * number.squared)
      return value
    }
  }

  /// Each particle's number, between -1 and 1.
  static let numbers = (0..<40).map { (Float($0) - 19.5) / 20 }

  static func run(_ condition: ResamplingCondition, scale: Tensor = 1) throws -> Evaluation<Tuple<Tensor>> {
    let program = resample(particles(instances(weighted(scale))), when: condition)
    return try evaluate(program, seed: 6)(
      particles.mapped(Tensor(numbers)), instances.mapped(Tensor(scales)))
  }

  @Test func instancesDecideForThemselves() throws {
    let weights = Self.scales.map { scale in Self.numbers.map { scale * $0 * $0 } }
    let cumulative = weights.map(CumulativeWeights.init)
    let sizes = cumulative.map { instance in
      1 / (0..<40).reduce(0) { $0 + instance.weight($1) * instance.weight($1) }
    }
    #expect(sizes[0] > 39.99 && sizes[1] > 20 && sizes[2] < 20)
    let always = try Self.run(.always)
    let result = try Self.run(.ess(below: 0.5))
    var logZ = 0.0
    for instance in 0..<3 {
      func column(_ tensor: Tensor) -> [Float] { (0..<40).map { tensor.scalars[3 * $0 + instance] } }
      let logMean = ResampleTests.logSumExp(weights[instance]) - log(40)
      logZ += logMean
      if instance == 2 {
        #expect(column(result.output.values) == column(always.output.values))
        #expect(column(result.metrics.logWeight).allSatisfy { (Double($0) - logMean).magnitude < 1e-5 })
      } else {
        #expect(column(result.output.values) == Self.numbers)
        #expect(
          zip(column(result.metrics.logWeight), weights[instance]).allSatisfy { ($0 - $1).magnitude < 1e-6 })
      }
      let number = try required(result.trace["number"]?.value)
      #expect(column(number) == column(result.output.values))
      let factor = try required(result.trace["weight"]?.logProb)
      let factors = column(number).map { Self.scales[instance] * $0 * $0 }
      #expect(zip(column(factor), factors).allSatisfy { ($0 - $1).magnitude < 1e-6 })
    }
    let ess = (sizes[0] + sizes[1] + 40) / 3
    #expect((Double(try result.metrics.ess.scalar) / ess - 1).magnitude < 1e-5)
    #expect((Double(try result.metrics.logZ.scalar) - logZ).magnitude < 1e-4)
    #expect((Double(try always.metrics.logZ.scalar) - logZ).magnitude < 1e-4)
  }

  // MARK: Gradients

  /// d/ds of Σ w over particles and instances: of a weight that stays s x, of one that was evened out Σ
  /// softmax(s x) x.
  @Test func gradientsOfWeights() throws {
    for (condition, evened) in [
      (.ess(below: 0), []), (.ess(below: 0.5), [2]), (.ess(below: 1), [1, 2]), (.always, [0, 1, 2]),
    ] as [(ResamplingCondition, Set<Int>)] {
      let result = try valueWithGradient(at: Tensor(1)) { scale in
        try Self.run(condition, scale: scale).metrics.logWeight.sum()
      }
      let wanted = Self.scales.indices.reduce(0.0) { sum, instance in
        let slopes = Self.numbers.map { Double(Self.scales[instance] * $0 * $0) }
        guard evened.contains(instance) else { return sum + slopes.reduce(0, +) }
        let weights = CumulativeWeights(slopes.map { Float($0) })
        return sum + 40 * slopes.indices.reduce(0) { $0 + weights.weight($1) * slopes[$1] }
      }
      #expect((Double(result.gradient.scalar) - wanted).magnitude < 1e-3)
    }
  }

  /// The effective sample size's gradient is that of the weights as they are: none of evened ones.
  @Test func gradientOfTheSampleSize() throws {
    func ess(_ scale: Float) throws -> Double {
      Double(try Self.run(.ess(below: 0.5), scale: Tensor(scale)).metrics.ess.scalar)
    }
    let result = try valueWithGradient(at: Tensor(1)) { scale in
      try Self.run(.ess(below: 0.5), scale: scale).metrics.ess
    }
    #expect((Double(result.gradient.scalar) - (try ess(1.05) - ess(0.95)) / 0.1).magnitude < 1e-2)
    #expect(result.gradient.scalar < -0.01)
  }

  // MARK: Threads and misuse

  @Test(arguments: ResamplingScheme.allCases)
  func threadsChangeNothing(_ scheme: ResamplingScheme) throws {
    let plate = Plate("particle", count: 60_000)
    func run(_ threads: Int) throws -> Bits {
      var bits = Bits()
      let program = resample(
        Self.model.filter(plate, until: 1, scheme: scheme, when: .ess(below: 0.5)), scheme: scheme,
        when: .ess(below: 0.5))
      bits.add(
        try evaluate(program, seed: 8, options: EvaluationOptions(workers: Workers(threads: threads)))())
      return bits
    }
    let alone = try run(1)
    for threads in [2, 3, 16] { #expect(try run(threads).differences(from: alone) == []) }
  }

  @Test func conditionsThatCannotBe() throws {
    let plate = Plate("particle", count: 30)
    let program = plate(Self.model.target(0))
    for fraction in [-0.1, 1.01, .nan, .infinity] {
      #expect(
        message { try evaluate(resample(program, when: .ess(below: fraction)), seed: 0)() }
          == "resample: the fraction of particles must lie between 0 and 1, is \(fraction)")
    }
    for count in [10, 30, .one] as [ParticleCount] {
      #expect(
        message { try evaluate(resample(program, count: count, when: .ess(below: 0.5)), seed: 0)() }
          == "resample: a step that may not resample cannot change the number of particles")
    }
    // Programs of unknown types are held to the same.
    let erased = AnyProgram(
      Model<[Tensor], [Tensor]>(tree: { trace, _ in [trace.sample("z", from: Normal(0, 1))] }))
    #expect(
      message {
        try evaluate(AnyProgram.resample(erased, when: .ess(below: 2)), seed: 0).run([])
      } == "resample: the fraction of particles must lie between 0 and 1, is 2.0")
    // Outside of plates there is nothing to decide.
    let unplated = try evaluate(resample(Self.model.target(0), when: .ess(below: 0.5)), seed: 0)()
    #expect(unplated.output.values.shape == [])
  }
}
