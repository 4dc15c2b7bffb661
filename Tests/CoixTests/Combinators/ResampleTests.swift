import Coix
import Foundation
import Testing

/// `resample`: who has children, what the weights are afterwards, and how many particles there are.
@Suite struct ResampleTests {
  static let plate = Plate("particle", count: 200, chunkRows: 16)
  static let normal = ConjugateNormal()
  static let proposed = propose(plate(normal.model), plate(ConjugateNormal.proposal(0.5, 1)), loss: .elbo)

  /// log Σ exp w, in double.
  static func logSumExp(_ weights: [Float]) -> Double {
    let greatest = Double(weights.max() ?? 0)
    return greatest + log(weights.reduce(0) { $0 + exp(Double($1) - greatest) })
  }

  /// Weights of distinct numbers: particle i has log-weight i-th of `weights`, and its number as value.
  static func numbered(_ weights: [Float]) -> (Plate, Model<Tuple<Tensor>, Tuple<Tensor>>, Tensor) {
    let plate = Plate("particle", count: weights.count, chunkRows: 16)
    let model = Model { (trace, x: Tensor) in
      let number = trace.sample("number", from: Delta(x[0]))
      trace.factor("weight", x[1])
      return number
    }
    let rows = weights.enumerated().flatMap { [Float($0), $1] }
    return (plate, model, plate.mapped(Tensor(rows, shape: [weights.count, 2])))
  }

  static let weights: [Float] = Draw(key: 8, shape: [200]).normal().scalars.map { 2 * $0 }

  @Test(arguments: [ParticleCount.same, 200, 50, 1, 1_000])
  func childrenAreInProportionToTheWeights(_ count: ParticleCount) throws {
    let (plate, model, data) = Self.numbered(Self.weights)
    let result = try evaluate(resample(plate(model), count: count), seed: 4)(data)
    let particles = if case .exactly(let count) = count { count } else { 200 }
    let ancestors = result.output.values.scalars.map { Int($0) }
    #expect(ancestors.count == particles)
    #expect(ancestors == ancestors.sorted(), "systematic resampling keeps the order")
    let logSum = Self.logSumExp(Self.weights)
    for particle in 0..<200 {
      let expected = Double(particles) * exp(Double(Self.weights[particle]) - logSum)
      let children = Double(ancestors.count { $0 == particle })
      // The integer below or above, but for a rounded comparison.
      #expect(children > expected - 1.001 && children < expected + 1.001, "particle \(particle)")
    }
    // Everything is gathered alike.
    #expect(result.trace["number"]?.value.scalars == result.output.values.scalars)
    #expect(result.trace["weight"]?.logProb.scalars == ancestors.map { Self.weights[$0] })
    // All weights are equal, and estimate the evidence as before.
    let weight = logSum - log(Double(particles))
    #expect(result.metrics.logWeight.shape == [particles])
    #expect(result.metrics.logWeight.scalars.allSatisfy { (Double($0) - weight).magnitude < 1e-5 })
    #expect(try result.metrics.ess.scalar == Float(particles))
  }

  @Test func resamplingToOneParticleTakesTheAxisAway() throws {
    let (plate, model, data) = Self.numbered(Self.weights)
    let result = try evaluate(resample(plate(model), count: .one), seed: 4)(data)
    #expect(result.output.values.shape == [])
    #expect(result.trace["number"]?.value.shape == [])
    #expect(result.metrics.logWeight.shape == [])
    #expect((Double(result.metrics.logWeight.scalar) - Self.logSumExp(Self.weights)).magnitude < 1e-5)
    #expect((try? result.metrics.ess) == nil)
    // What comes next stands in no plate.
    let next = Kernel { (trace, x: Tensor) in trace.sample("next", from: Normal(x, 1)) }
    let further = try evaluate(compose(next, resample(plate(model), count: .one)), seed: 4)(data)
    #expect(further.output.values.shape == [])
    #expect(further.chunkCounts == [13, 1])
  }

  /// One instance's weights don't touch another's.
  @Test func instancesAreResampledApart() throws {
    let (particles, instances) = (Plate("particle", count: 30, chunkRows: 16), Plate("instance", count: 4))
    let model = Model { (trace, mean: Tensor) in
      let z = trace.sample("z", from: Normal(mean, 1))
      trace.factor("weight", select(z .> mean, Tensor(0), Tensor(-.infinity)))
      return z
    }
    let means: [Float] = [-100, 0, 100, 200]
    for count in [ParticleCount.same, 10, 70] {
      let size = if case .exactly(let count) = count { count } else { 30 }
      let result = try evaluate(resample(particles(instances(model)), count: count), seed: 4)(
        instances.mapped(Tensor(means)))
      #expect(result.output.values.shape == [size, 4])
      for (row, z) in result.output.values.scalars.enumerated() {
        #expect(z > means[row % 4] && z < means[row % 4] + 10)
      }
      let weights = result.metrics.logWeight
      #expect(weights.shape == [size, 4])
      #expect(
        (0..<4).allSatisfy { i in
          Set(stride(from: i, to: 4 * size, by: 4).map { weights.scalars[$0] }).count == 1
        })
    }
    let one = try evaluate(resample(particles(instances(model)), count: .one), seed: 4)(
      instances.mapped(Tensor(means)))
    #expect(one.output.values.shape == [4])
    #expect(one.metrics.logWeight.shape == [4])
    #expect(zip(one.output.values.scalars, means).allSatisfy { $0 > $1 && $0 < $1 + 10 })
  }

  /// Instances are not particles: once a single particle is left for each, nothing is drawn or mixed, and
  /// there is no ESS.
  @Test func nothingIsResampledOnceParticlesAreGone() throws {
    let (particles, instances) = (Plate("particle", count: 30, chunkRows: 16), Plate("instance", count: 4))
    let program = Model { (trace, mean: Tensor) in
      let z = trace.sample("z", from: Normal(mean, 1))
      trace.factor("weight", z)
      return z
    }
    let data = instances.mapped(Tensor([-100, 0, 100, 200]))
    let one = resample(particles(instances(program)), count: .one)
    let first = try evaluate(one, seed: 4)(data)
    for again in [resample(one), resample(one, count: 5), resample(one, count: .one)] {
      let second = try evaluate(again, seed: 4)(data)
      let means: [Float] = [-100, 0, 100, 200]
      #expect(second.output.values.shape == [4] && second.metrics.logWeight.shape == [4])
      #expect(zip(second.output.values.scalars, means).allSatisfy { ($0 - $1).magnitude < 6 })
      #expect(zip(second.metrics.logWeight.scalars, means).allSatisfy { ($0 - $1 - log(30)).magnitude < 6 })
      #expect((try? second.metrics.ess) == nil)
    }

    // What is observed later enters the weight, each instance's its own.
    let next = Model { (trace, z: Tensor) in
      trace.observe("y", z + 1, from: Normal(z, 1))
      return z
    }
    let observed = try evaluate(compose(instances(next), one), seed: 4)(data)
    #expect((try? observed.metrics.ess) == nil && (try? observed.metrics.logZ) == nil)
    for (weight, before) in zip(observed.metrics.logWeight.scalars, first.metrics.logWeight.scalars) {
      #expect((weight - before - Float(normalLogDensity(1, 0, 1))).magnitude < 1e-3)
    }

    // An evaluation that is gone on from still knows.
    let resumed = try evaluate(resample(empirical(first)), seed: 5)(data)
    #expect(resumed.output.values.scalars == first.output.values.scalars)
    #expect((try? resumed.metrics.ess) == nil)
  }

  /// A proposal after the resampling weighs each instance's single particle, and a loss takes each for one of
  /// one.
  @Test func proposingForASingleParticle() throws {
    let instances = Plate("instance", count: 4)
    let start = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }
    let forward = Kernel { (trace, z: Tensor) in trace.sample("z", from: Normal(z, 1)) }
    let reverse = Kernel { (trace, z: Tensor) in trace.sample("z", from: Normal(0.5 * z, 1)) }
    let target = Model { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", 1.25, from: Normal(z, 0.5))
      return z
    }
    let one = resample(Plate("particle", count: 30)(instances(start)), count: .one)
    for loss in [Objective.elbo, .avo, .iwae, .rws] {
      let step = propose(
        extend(instances(target), instances(reverse)), compose(instances(forward), one), loss: loss)
      let result = try evaluate(step, seed: 4)()
      #expect(result.metrics.logWeight.shape == [4])
      #expect((try? result.metrics.ess) == nil && (try? result.metrics.logZ) == nil)
      #expect(try result.metrics.loss.scalar.isFinite)
      if loss.name == "avo" {
        // The mean over particles is that of one; instances are summed. The thirty unweighted particles came
        // in as log 30.
        let sum = result.metrics.logWeight.scalars.reduce(0) { $0 + $1 - log(30) }
        #expect(
          (try result.metrics.loss.scalar + sum).magnitude < 1e-4 * Swift.max(1, sum.magnitude))
      }
    }
  }

  /// Without weights all particles go on; without a plate nothing happens.
  @Test func unweightedAndUnplatedPrograms() throws {
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
    let plain = try evaluate(resample(Self.plate(kernel)), seed: 4)()
    #expect(Set(plain.output.values.scalars).count == 200)
    #expect(plain.metrics.logWeight.scalars.allSatisfy { $0.magnitude < 1e-6 })
    let unplated = try evaluate(resample(Self.normal.model), seed: 4)()
    #expect(unplated.output.values.shape == [])
    let z = Double(unplated.output.values.scalar)
    #expect((Double(unplated.metrics.logWeight.scalar) - normalLogDensity(1.25, z, 0.5)).magnitude < 1e-5)
  }

  /// The metrics of what was resampled stay, but for weight and sample size.
  @Test func metricsStay() throws {
    let result = try evaluate(resample(Self.proposed), seed: 4)()
    let z = try required(result.trace["z"]?.value).scalars
    #expect(Set(z).count < 200)
    #expect((try? result.metrics.loss) != nil && (try? result.metrics.logDensity) != nil)
    let logZ = try result.metrics.logZ.scalar
    #expect(
      result.metrics.logWeight.scalars.allSatisfy { ($0 - logZ).magnitude < 1e-5 },
      "log Z is that of the weights")
    #expect((Double(logZ) - Self.normal.logEvidence).magnitude < 0.5)
  }

  /// Resampling twice: the second time all weights are equal, and everybody goes on.
  @Test func resamplingTwice() throws {
    let (plate, model, data) = Self.numbered(Self.weights)
    let once = try evaluate(resample(plate(model)), seed: 4)(data)
    let twice = try evaluate(resample(resample(plate(model))), seed: 4)(data)
    #expect(Set(twice.output.values.scalars).count > 20)
    #expect(Set(once.output.values.scalars).count > 20)
    #expect(
      twice.metrics.logWeight.scalars.allSatisfy { ($0 - once.metrics.logWeight.scalars[0]).magnitude < 2e-5 }
    )
  }

  /// A million particles, most of them without weight.
  @Test func manyParticles() throws {
    let plate = Plate("particle", count: 1_000_000)
    let model = Model { (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.factor("tail", select(z .> 2, Tensor(0), Tensor(-.infinity)))
      return z
    }
    let result = try evaluate(resample(plate(model)), seed: 4)()
    #expect(result.output.values.min().scalar > 2)
    // P(z > 2) = 0.0227501; the estimate's standard deviation is 1.5e-4, so five of them are a false alarm of
    // 6e-7.
    let estimate = exp(Double(result.metrics.logWeight.scalars[0]))
    #expect((estimate - 0.0227501).magnitude < 5 * 1.5e-4)
  }
}
