import CoixKernels
import Foundation

/// The log-weights of a population. Each instance's weights are treated separately.
package struct LogWeights {
  package let population: Population
  /// As they were given: a whole tensor, or mapped over the particles' plate while each rank has its own weights alone.
  private let given: Tensor
  /// Where each rank has its own alone: what is computed of all of them in blocks.
  private let shared: RankWeights?
  /// `[particles, instances…]`. Where each rank had its own weights alone, all ranks call it, and have all of them then.
  package var tensor: Tensor { shared == nil ? given : population.whole(given) }

  private init(_ given: Tensor, _ shared: RankWeights?, of population: Population) {
    (self.given, self.shared, self.population) = (given, shared, population)
  }

  /// Log-weights as programs read them.
  init(mapped tensor: Tensor, of population: Population) {
    // The exchanges of blocks cost more than they save where there are few rows.
    let shared = RankWeights(tensor, of: population).flatMap { $0.areMany ? $0 : nil }
    self.init(shared == nil ? population.whole(tensor) : tensor, shared, of: population)
  }

  /// Log-weights that a caller supplies, `[particles, instances…]`.
  ///
  /// - Throws: `CoixError.argument(_:)` unless the first axis has particles.
  package init(_ tensor: Tensor, workers: Workers = .standard) throws {
    let tensor = try tensor.validated()
    guard tensor.shape.rank > 0, !tensor.isBatched, !tensor.isMapped, tensor.shape[0] > 0 else {
      throw CoixError.argument(
        "log-weights need particles on their first axis; their shape is \(tensor.shape)"
          + (tensor.shape.rank > 0
            ? ""
            : ", that of a single run: evaluate the program in a plate, Plate(\"particle\", count: 1_000)(program), say")
      )
    }
    self.init(
      tensor, nil,
      of: Population(
        batch: Array(tensor.shape), hasParticles: true, plate: "weights", workers: workers))
  }

  /// The instances' axes.
  package var instanceShape: Shape { Shape(population.batch.dropFirst(population.hasParticles ? 1 : 0)) }

  /// What a gradient is taken of.
  fileprivate var source: Tensor { given.source }

  /// `[particles, instances]`.
  private var flat: Tensor { tensor.reshaped(to: [population.particles, population.instances]) }

  /// For each instance the greatest weight, and sums of weights and their squares.
  ///
  /// - Throws: ``CoixError/weights(instance:reason:)`` if an instance's weights are all -inf, or one is
  ///   NaN or +inf.
  package func moments() throws -> WeightMoments { try WeightMoments(self) }

  /// Effective sample size and evidence of all instances; both are differentiable.
  ///
  /// - Throws: as ``moments()``.
  package func summary() throws -> WeightSummary { try WeightSummary(self) }

  /// logsumexp(w) - log count of each instance, `[instances]`: the log-weight of each of `count` particles
  /// after resampling.
  package func logMeans(_ count: Int) throws -> Tensor {
    try logSums - log(Tensor(Float(count)))
  }

  /// logsumexp(w) of each instance, `[instances]`.
  private var logSums: Tensor {
    get throws {
      guard let shared else { return flat.logSumExp(axis: 0) }
      guard let result = Tensor(undefined: [1]) else { throw Storage.lastRefusal }
      let parts = try Numbers<Double>(count: 2, for: "the sum of weights")
      try shared.logSum(to: result.pointer, parts)
      let given = given
      return result.recorded(from: source) { (gradient: Tensor) -> Tensor in
        // `shared` has the address of the weights alone.
        defer { withExtendedLifetime(given) {} }
        do { return try shared.slopeOfLogSum(parts, gradient) } catch {
          return Tensor(failure: error as? CoixError ?? .ranks("\(error)"))
        }
      }
    }
  }

  /// What was computed of the weights while they were stored in a file, if it was of all of them.
  private var storedWeights: StoredWeights? {
    guard let memory = tensor.storage.fileMemory, memory.address == tensor.storage.address,
      memory.weights?.count == population.particles, population.instances == 1
    else { return nil }
    return memory.weights
  }

  /// Writes the greatest log-weight of each instance, and the sums of exp(w - greatest) and its square.
  fileprivate func writeMoments(
    to greatest: Numbers<Double>, _ sums: Numbers<Double>, _ squares: Numbers<Double>
  ) throws {
    if let shared { return try shared.moments(to: greatest.pointer, sums.pointer, squares.pointer) }
    let logWeights = try tensor.validated()
    if let stored = storedWeights, stored.write(to: greatest, sums, squares) { return }
    coix_op_weight_moments(
      logWeights.pointer, greatest.pointer, sums.pointer, squares.pointer, population.particles,
      population.instances, logWeights.storage.fileMemory == nil ? 0 : 1, Int32(population.workers.team)
    ).run()
  }

  /// The weights of `other` for each instance where `isOther` is true, these weights for the other instances,
  /// as programs read them.
  package func replaced(by other: Tensor, where isOther: [Bool]) -> Tensor {
    let mask = Tensor(isOther.map { $0 ? 1 : 0 })
    let rows = population.rows
    return select(mask, other, flat).reshaped(to: [rows]).mapped(plate: population.plate)
  }

  /// One instance's log-weights.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func logWeights(of instance: Int) throws -> [Double] {
    try Memory.require(population.particles, of: Double.self, for: "weights of one instance")
    var numbers: [Double] = []
    numbers.reserveCapacity(population.particles)
    population.forEachParticle(of: instance, in: tensor) { numbers.append(Double($0)) }
    return numbers
  }

  /// The weights with some particles' log-weights replaced, instance by instance. A constant.
  ///
  /// - Throws: what `replacements` throws.
  package func replacing(
    _ replacements: (_ instance: Int) throws -> [(particle: Int, logWeight: Double)]
  ) throws -> Tensor {
    let (instances, source) = (population.instances, try tensor.validated())
    let replaced = try (0..<instances).map(replacements)
    guard let result = Tensor(undefined: source.shape) else { throw Storage.lastRefusal }
    ExecutionContext.current?.recording?.noteReading(source.pointer)
    result.write { numbers in
      numbers.update(from: source.pointer, count: source.shape.elementCount)
      for (instance, replacements) in replaced.enumerated() {
        for (particle, logWeight) in replacements {
          numbers[particle * instances + instance] = Float(logWeight)
        }
      }
    }
    return result
  }

  /// One instance's weights, which sum to 1.
  ///
  /// - Throws: as ``logWeights(of:)``.
  package func normalized(_ instance: Int) throws -> [Double] {
    let logWeights = try logWeights(of: instance)
    // The greatest log-weight is subtracted by itself: in logsumexp, rounding could lose the logarithm of the
    // sum beside it.
    let greatest = logWeights.max() ?? 0
    let weights = logWeights.map { exp($0 - greatest) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  /// The ancestors of `count` particles of each instance, drawn in proportion to the weights.
  ///
  /// - Parameter isDrawn: for each instance, whether its particles are drawn anew; in other instances each
  ///   particle is its own ancestor.
  /// - Throws: ``CoixError/weights(instance:reason:)`` as ``moments()``;
  ///   ``CoixError/memory(what:bytes:)`` for more rows than can be numbered or held.
  package func ancestors(_ scheme: ResamplingScheme, key: PRNGKey, count: Int, where isDrawn: [Bool]? = nil)
    throws -> Ancestors
  {
    let rows = try scheme.ancestors(of: count, self, shared, key: key)
    if let isDrawn, isDrawn.contains(false) {
      let instances = population.instances
      for row in 0..<rows.count where !isDrawn[row % instances] { rows[row] = Int32(row) }
    }
    return Ancestors(rows, of: population)
  }
}

/// For each instance: the greatest log-weight, and sums of exp(w - greatest) and its square. Sums are in
/// double.
package struct WeightMoments {
  private let greatest: Numbers<Double>
  private let sums: Numbers<Double>
  private let squares: Numbers<Double>

  /// The effective sample size of an instance's weights, 1 / Σ softmax(w)², between 1 and the number of
  /// particles.
  package func sampleSize(_ instance: Int) -> Double {
    sums[instance] * sums[instance] / squares[instance]
  }

  /// The log of the sum of an instance's weights.
  package func logSum(_ instance: Int) -> Double { greatest[instance] + Foundation.log(sums[instance]) }

  /// Writes the mean of the instances' effective sample sizes and the sum of their log-evidences.
  fileprivate func summarize(
    to ess: UnsafeMutablePointer<Float>, _ logZ: UnsafeMutablePointer<Float>, particles: Int
  ) {
    coix_op_weight_summary(
      greatest.pointer, sums.pointer, squares.pointer, ess, logZ, particles, greatest.count
    ).run()
  }

  fileprivate init(_ weights: LogWeights) throws {
    let population = weights.population
    let (particles, instances) = (population.particles, population.instances)
    greatest = try Numbers(count: instances, for: "weights of \(instances) instances")
    sums = try Numbers(count: instances, for: "weights of \(instances) instances")
    squares = try Numbers(count: instances, for: "weights of \(instances) instances")
    try weights.writeMoments(to: greatest, sums, squares)
    if coix_op_weights_are_valid(greatest.pointer, sums.pointer, instances).holds() { return }
    let logWeights = try weights.tensor.validated()
    for instance in 0..<instances {
      if sums[instance].isNaN || greatest[instance] == .infinity {
        func weight(_ particle: Int) -> Float { logWeights.pointer[particle * instances + instance] }
        let particle = (0..<particles).first { weight($0).isNaN || weight($0) == .infinity } ?? 0
        throw CoixError.weights(
          instance: RowLocation(row: instance),
          reason: "the log-weight of particle \(population.firstParticle + particle) is "
            + (weight(particle).isNaN ? "NaN" : "+inf"))
      }
      if greatest[instance] == -.infinity {
        throw CoixError.weights(
          instance: RowLocation(row: instance),
          reason: "the log-weights of all particles are -inf")
      }
    }
  }
}

/// Effective sample size and evidence of a population's weights.
package struct WeightSummary {
  /// 1 / Σ softmax(w)², the mean over instances.
  package let ess: Tensor
  /// logsumexp(w) - log S, summed over instances.
  package let logZ: Tensor

  fileprivate init(_ weights: LogWeights) throws {
    let (particles, instances) = (weights.population.particles, weights.population.instances)
    let moments = try weights.moments()
    guard let ess = Tensor(undefined: .scalar), let logZ = Tensor(undefined: .scalar) else {
      throw Storage.lastRefusal
    }
    moments.summarize(to: ess.pointer, logZ.pointer, particles: particles)
    // All weights are needed for a gradient alone.
    let flat: Shape = [particles, instances]
    let source = weights.source
    self.logZ = logZ.recorded(from: source) { gradient in
      let logWeights = weights.tensor
      return gradient * logWeights.reshaped(to: flat).softmax(axis: 0).reshaped(to: logWeights.shape)
    }
    self.ess = ess.recorded(from: source) { gradient in
      let logWeights = weights.tensor
      // With p = softmax(w) and q = Σ p²: d(1/q)/dw = -2 p (p - q) / q².
      let p = logWeights.reshaped(to: flat).softmax(axis: 0)
      let q = p.squared.sum(axes: [0], keepingAxes: true)
      let derivative = -2 * p * (p - q) / q.squared
      return (gradient * derivative / Float(instances)).reshaped(to: logWeights.shape)
    }
  }
}
