/// All particles of a plate at a barrier, with all their instances.
///
/// Code outside of this folder does not depend on how particles are numbered, or on all of them being in one
/// process: it gets weights, sums over particles, ancestors and gathers from this type's methods. Whole
/// tensors are `[particles, instances…, event…]`.
package struct Population: Sendable {
  /// The plates' sizes, the particles' first if there are any; empty outside of plates.
  package let batch: [Int]
  /// Whether the first of the plates are particles.
  package let hasParticles: Bool
  /// The first plate's name.
  let plate: String
  /// The number of the first particle, where the particles are some of a larger plate.
  let firstParticle: Int
  package let workers: Workers
  /// The most rows of a chunk of the particles' plate, if the user chose it.
  private let chunkRows: Int?

  package init(
    batch: [Int], hasParticles: Bool, plate: String, workers: Workers, chunkRows: Int? = nil,
    firstParticle: Int = 0
  ) {
    self.batch = batch
    self.hasParticles = hasParticles
    self.plate = plate
    self.firstParticle = firstParticle
    self.workers = workers
    self.chunkRows = chunkRows
  }

  /// How many particles each instance has; 1 without a particle axis.
  package var particles: Int { hasParticles ? batch.first ?? 1 : 1 }
  /// How many instances there are.
  package var instances: Int { batch.dropFirst(hasParticles ? 1 : 0).reduce(1, *) }
  /// Particles times instances.
  package var rows: Int { batch.reduce(1, *) }

  /// The same instances with another number of particles.
  package func resized(to particles: Int) -> Population {
    Population(
      batch: hasParticles ? [particles] + batch.dropFirst() : batch, hasParticles: hasParticles, plate: plate,
      workers: workers, chunkRows: chunkRows)
  }

  /// Throws unless that many particles of each instance can be numbered, and memory can hold `floats` floats
  /// for each.
  package func check(_ particles: Int, floats: Int, for what: String) throws(CoixError) {
    let (rows, overflow) = particles.multipliedReportingOverflow(by: instances)
    guard !overflow, rows <= Int32.max else {
      throw CoixError.memory(what: "\(what) more than 2^31 rows", bytes: .max)
    }
    try Memory.bytes(rows, of: floats * MemoryLayout<Float>.stride, for: "\(what) \(rows) rows")
  }

  // MARK: Whole tensors

  /// The whole tensor, `[particles, instances…, event…]`, for a tensor as programs read it. A tensor that is
  /// the same for all rows is broadcast to them.
  package func whole(_ tensor: Tensor) -> Tensor {
    guard !batch.isEmpty else { return tensor }
    let shape = Shape(batch).appending(tensor.shape)
    guard tensor.isMapped else { return tensor.broadcast(to: shape) }
    let whole = tensor.unmapped()
    return whole.shape == shape ? whole : whole.reshaped(to: shape)
  }

  /// Which of the particles are this rank's in results of which each rank has its own: all of them where ranks don't share them, and in
  /// nested plates.
  package var ownParticles: Range<Int> { resultShares?.own ?? 0..<particles }
  var resultShares: RowShares? { hasParticles && batch.count == 1 ? shares(of: particles) : nil }

  /// The rows of ``ownParticles``, `[own particles, event…]`, of a tensor as programs read it. A constant.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  package func own(_ tensor: Tensor) throws -> Tensor {
    guard let shares = resultShares, tensor.failure == nil else {
      return whole(tensor)
    }
    let own = shares.own
    let shape = Shape(own.count).appending(tensor.shape)
    guard tensor.isMapped else { return try tensor.detached.broadcast(to: shape).validated() }
    return try tensor.rows(own, of: shape, sharedBy: shares)
  }

  /// Like ``whole(_:)``, but with a first axis of one particle where there are instances only.
  package func particleFirst(_ tensor: Tensor) -> Tensor {
    let whole = whole(tensor)
    return hasParticles || batch.isEmpty ? whole : whole.expandingAxis(at: 0)
  }

  /// A whole tensor of `particles` (by default this population's) particles as programs read it, with its
  /// event shape alone.
  package func read(_ whole: Tensor, particles: Int? = nil) -> Tensor {
    guard !batch.isEmpty, whole.failure == nil else { return whole }
    let rows = (particles ?? self.particles) * instances
    let event = whole.shape.dropping(batch.count)
    return whole.reshaped(to: Shape(rows).appending(event)).mapped(plate: plate)
  }

  /// Zeros of this population's rows, in the place of a whole tensor of others.
  package func standIn(for whole: Tensor) -> Tensor {
    guard whole.failure == nil, whole.shape.rank >= batch.count else { return whole }
    return .zeros(Shape(batch).appending(whole.shape.dropping(batch.count)))
  }

  /// The shape of a whole tensor if it had another number of particles.
  package func shape(of whole: Tensor, particles: Int) -> Shape {
    Shape(particles).appending(whole.shape.dropping(1))
  }

  /// A whole tensor of other particles, followed by this population's `whole` along the particle axis.
  package func joining(_ others: Tensor, to whole: Tensor) -> Tensor {
    Tensor.concatenate([others, whole], axis: 0)
  }

  /// One number for each instance, `[instances]`, mapped so that each of `count` particles reads the number
  /// of its own instance.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func spread(_ numbers: Tensor, over count: Int) throws -> Tensor {
    guard instances > 1 else { return numbers.reshaped(to: .scalar) }
    let instances = instances
    return numbers.mapped(
      plate: plate,
      index: try RowIndex(count: count * instances, for: "\(count * instances) particles") { $0 % instances })
  }

  /// The numbers that a whole tensor has for one particle of one instance.
  package func event(of particle: Int, _ instance: Int, in whole: Tensor) -> [Float] {
    let width = whole.shape.elementCount / Swift.max(rows, 1)
    let row = particle * instances + instance
    return whole.withScalars { $0.isEmpty ? [] : Array($0[row * width..<(row + 1) * width]) }
  }

  /// Calls `body` for each particle of an instance, in order, with element `element` of the particle's event
  /// in a whole tensor.
  package func forEachParticle(
    of instance: Int, in whole: Tensor, element: Int = 0, _ body: (Float) -> Void
  ) {
    let width = Swift.max(whole.shape.elementCount / Swift.max(rows, 1), 1)
    whole.withScalars { scalars in
      for particle in 0..<particles where !scalars.isEmpty {
        body(scalars[(particle * instances + instance) * width + element])
      }
    }
  }

  // MARK: Weights and ancestors

  /// The log-weights of all particles, for log-weights as programs read them.
  package func logWeights(_ tensor: Tensor) -> LogWeights { LogWeights(mapped: tensor, of: self) }

  /// Whose rows are whose, where ranks share so many particles; nil where each rank is to have all of them.
  func shares(of particles: Int) -> RowShares? {
    guard workers.ranks.count > 1, instances == 1 else { return nil }
    let rows = PlateRows(particles: particles)
    let grid = ChunkGrid(
      rows, chunkRows: chunkRows.map { min($0, particles) } ?? Limits.chunkRows(of: particles))
    return ChunkTasks(grid: grid, workers: workers).shares
  }

  /// A gather that moves any number of tensors by the same ancestors.
  package func gather(_ ancestors: Ancestors) -> RowGather { RowGather(ancestors.index, plate: plate) }
}

/// For each particle after resampling, the particle of the same instance that it is a copy of.
package struct Ancestors {
  /// The ancestors' rows.
  package let index: RowIndex

  /// Ancestors as row numbers, one instance after another within each particle.
  init(_ rows: Numbers<Int32>, of population: Population) {
    index = RowIndex(rows, by: population.workers.ranks)
  }

  /// Ancestors given by a function.
  ///
  /// - Parameter particle: the ancestor's number for a particle's number and an instance.
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package init(count: Int, of population: Population, _ particle: (_ particle: Int, _ instance: Int) -> Int)
    throws
  {
    let instances = population.instances
    index = try RowIndex(
      count: count * instances, by: population.workers.ranks, for: "\(count * instances) ancestors"
    ) {
      particle($0 / instances, $0 % instances) * instances + $0 % instances
    }
  }
}
