import Coix
import Synchronization
import Testing

@testable import CoixParallel

/// Particles times instances: what each tensor varies over, and that it makes no difference to the numbers.
@Suite struct NestedPlateTests {
  static let (particleCount, instanceCount) = (70, 90)
  static let points = Draw(key: 7, shape: [instanceCount, 3]).normal()
  static let temperatures = Draw(key: 8, shape: [particleCount]).uniform(low: 0.5, high: 2)

  /// Which plates the tensors of a program vary over, as it notes it.
  final class Notes: Sendable {
    private let axes = Mutex<[String: Set<PlateAxes?>]>([:])
    func note(_ name: String, _ tensor: Tensor) {
      let found = PlateAxes(of: [tensor])
      axes.withLock { _ = $0[name, default: []].insert(found) }
    }
    subscript(name: String) -> Set<PlateAxes?> { axes.withLock { $0[name] ?? [] } }
  }

  /// An autoencoder whose encoder knows the instance alone, at a temperature of each particle's own.
  static func proposal(_ p: Layers, _ notes: Notes? = nil) -> Kernel<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
    Kernel { trace, x, temperature in
      let mean = dense(x, kernel: p.encoder, bias: nil, activation: .tanh)
      let scale = sqrt(temperature) * 0.4
      let z = trace.sample("z", from: Normal(mean, scale).event(1))
      for (name, tensor) in [
        ("x", x), ("mean", mean), ("scale", scale), ("z", z), ("both", mean * temperature),
      ] {
        notes?.note(name, tensor)
      }
      return z
    }
  }

  static func model(_ p: Layers) -> Model<Tuple<Tensor, Tensor>, Tuple<Tensor, Tensor>> {
    Model { trace, x, temperature in
      let z = trace.sample("z", from: Normal(0, 1).expanded(to: [2]).event(1))
      let mean = dense(z, kernel: p.decoder, bias: nil)
      trace.observe("x", x, from: Normal(mean, temperature).event(1))
      return (z, x * 2)
    }
  }

  struct Layers: TensorTree {
    var encoder = Draw(key: 1, shape: [3, 2]).normal()
    var decoder = Draw(key: 2, shape: [2, 3]).normal()
    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("encoder", &encoder)
      try visitor.visit("decoder", &decoder)
    }
  }

  static func evaluation(
    _ layers: Layers, points: Tensor = points, temperatures: Tensor = temperatures, chunkRows: Int? = nil,
    threads: Int = 2, loss: Objective = .elbo, notes: Notes? = nil
  ) throws -> Evaluation<Tuple<Tensor, Tensor>> {
    let particles = Plate("particle", count: particleCount, chunkRows: chunkRows)
    let instances = Plate("instance", count: instanceCount)
    let program = propose(
      particles(instances(model(layers))), particles(instances(proposal(layers, notes))), loss: loss)
    let options = EvaluationOptions(workers: try Workers(threads: threads))
    return try evaluate(program, seed: 3, options: options)(
      instances.mapped(points), particles.mapped(temperatures))
  }

  /// The same on one plate of as many rows, where everything varies over all of them.
  static func flatEvaluation(_ layers: Layers, loss: Objective = .elbo) throws -> Evaluation<
    Tuple<Tensor, Tensor>
  > {
    let rows = Plate("row", count: particleCount * instanceCount)
    let numbers = 0..<Int32(rows.count)
    let program = propose(rows(model(layers)), rows(proposal(layers)), loss: loss)
    return try evaluate(program, seed: 3)(
      rows.mapped(points.rows(at: numbers.map { $0 % Int32(instanceCount) })),
      rows.mapped(temperatures.rows(at: numbers.map { $0 / Int32(instanceCount) })))
  }

  @Test(arguments: [nil, 1, 5, 16, 100, 1_000])
  func theSameAsOnOnePlate(_ chunkRows: Int?) throws {
    let flat = try Self.flatEvaluation(Layers())
    let nested = try Self.evaluation(Layers(), chunkRows: chunkRows)
    for (a, b) in zip(nested.trace.sites, flat.trace.sites) {
      #expect(a.name == b.name)
      #expect(a.value.scalars == b.value.scalars && a.logProb.scalars == b.logProb.scalars, "\(a.name)")
    }
    #expect(nested.metrics.logWeight.scalars == flat.metrics.logWeight.scalars)
    #expect(nested.metrics.logWeight.shape == [Self.particleCount, Self.instanceCount])
    #expect(nested.output.values.0.scalars == flat.output.values.0.scalars)
    #expect(nested.output.values.1.scalars == flat.output.values.1.scalars)
    #expect(nested.output.values.1.shape == [Self.particleCount, Self.instanceCount, 3])
  }

  /// Data that a gradient is taken for are read row by row: the same numbers, and the same gradients for
  /// everything else.
  @Test(arguments: [.elbo, .iwae, .rkl] as [Objective], [nil, 100])
  func gradientsAreTheSame(_ loss: Objective, _ chunkRows: Int?) throws {
    let constant = try valueWithGradient(at: Layers()) {
      try Self.evaluation($0, chunkRows: chunkRows, loss: loss).metrics.loss
    }
    let tracked = try valueWithGradient(at: Tuple(Layers(), Tuple(Self.points, Self.temperatures))) {
      let (layers, (points, temperatures)) = ($0.values.0, $0.values.1.values)
      return try Self.evaluation(
        layers, points: points, temperatures: temperatures, chunkRows: chunkRows, loss: loss
      ).metrics.loss
    }
    #expect(abs(constant.value - tracked.value) <= 1e-6 * abs(tracked.value))
    for (a, b) in zip(constant.gradient.flattened, tracked.gradient.values.0.flattened) {
      let size = b.scalars.map(abs).max() ?? 0
      #expect(size > 0.1)
      // Sums over the rows in another order.
      for (x, y) in zip(a.scalars, b.scalars) { #expect(abs(x - y) <= 1e-4 * size) }
    }
  }

  /// What the data of an instance give is computed for the instance.
  @Test func tensorsVaryOverTheirPlates() throws {
    let notes = Notes()
    _ = try Self.evaluation(Layers(), notes: notes)
    #expect(notes["x"] == [.instances] && notes["mean"] == [.instances])
    #expect(notes["scale"] == [.particles])
    #expect(notes["z"] == [.all] && notes["both"] == [.all])
  }

  /// The number of rows that a network is applied to, over all chunks.
  @Test func theNetworkRunsOnceForAnInstance() throws {
    let rows = Mutex(0)
    let (particles, instances) = (Plate("particle", count: 32), Plate("instance", count: 60))
    let program = Kernel { (trace, x: Tensor) in
      let features = tanh(x)
      rows.withLock { $0 += features.stride }
      return trace.sample("z", from: Normal(features, 1))
    }
    _ = try evaluate(particles(instances(program)), seed: 1)(
      instances.mapped(Draw(key: 1, shape: [60]).normal()))
    // 60, padded to whole vectors.
    #expect(rows.withLock { $0 } == 64)
  }

  /// NumPyro draws all particles for one instance after the other where parameters don't vary over instances.
  @Test(arguments: [nil, 16, 100]) func drawsKnowTheirParametersPlates(_ chunkRows: Int?) throws {
    let (s, b) = (Self.particleCount, Self.instanceCount)
    let particles = Plate("particle", count: s, chunkRows: chunkRows)
    let instances = Plate("instance", count: b)
    let program = Kernel { (trace, temperature: Tensor) in
      let a = trace.sample("a", from: Normal(temperature, 1))
      let c = trace.sample("c", from: Gamma(Tensor([2, 3]) * temperature, 1).event(1))
      let d = trace.plate("N", 3).sample("d", from: Normal(temperature, 1))
      return (a, c, d)
    }
    let result = try evaluate(particles(instances(program)), seed: 5)(particles.mapped(Self.temperatures))
    var keys = KeyStream(5)
    let (keyA, keyC, keyD) = (keys.next(), keys.next(), keys.next())
    // [instances, particles, ...], turned.
    let column = Self.temperatures.reshaped(to: [1, s])
    let a = (column + Draw(key: keyA, shape: [b, s]).normal()).permuted([1, 0])
    #expect(result.trace["a"]?.value.scalars == a.scalars)
    let c = Draw(key: keyC, shape: [b, s, 2]).gamma(
      (Tensor([2, 3]) * Self.temperatures.reshaped(to: [1, s, 1])).broadcast(to: [b, s, 2]))
    #expect(result.trace["c"]?.value.scalars == c.permuted([1, 0, 2]).scalars)
    // [local, instances, particles].
    let d = (Self.temperatures + Draw(key: keyD, shape: [3, b, s]).normal()).permuted([2, 1, 0])
    #expect(result.trace["d"]?.value.scalars == d.scalars)
  }

  /// Within a local plate, parameters of the instances leave the particles the slowest axis.
  @Test(arguments: [nil, 16, 100]) func localDrawsKnowTheirParametersPlates(_ chunkRows: Int?) throws {
    let (s, b) = (Self.particleCount, Self.instanceCount)
    let particles = Plate("particle", count: s, chunkRows: chunkRows)
    let instances = Plate("instance", count: b)
    let program = Kernel { (trace, x: Tensor, temperature: Tensor) in
      let local = trace.plate("N", 4)
      let a = local.sample("a", from: Normal(x, 1))
      let c = local.sample("c", from: Normal(x, temperature))
      return (a, c)
    }
    let x = Draw(key: 4, shape: [b]).normal()
    let result = try evaluate(particles(instances(program)), seed: 6)(
      instances.mapped(x), particles.mapped(Self.temperatures))
    var keys = KeyStream(6)
    let (keyA, keyC) = (keys.next(), keys.next())
    let a = (x + Draw(key: keyA, shape: [s, 4, b]).normal()).permuted([0, 2, 1])
    #expect(result.trace["a"]?.value.scalars == a.scalars)
    let c =
      (x + Self.temperatures.reshaped(to: [s, 1]) * Draw(key: keyC, shape: [4, s, b]).normal())
      .permuted([1, 2, 0])
    #expect(result.trace["c"]?.value.scalars == c.scalars)
  }

  /// What comes out of a resampling: each row with its own instance's data, for any number of particles.
  @Test(
    arguments: [(.same, [particleCount]), (.exactly(200), [200]), (.exactly(1), [1]), (.one, [])]
      as [(ParticleCount, [Int])])
  func resampling(_ count: ParticleCount, _ particleAxis: [Int]) throws {
    let particles = Plate("particle", count: Self.particleCount)
    let instances = Plate("instance", count: Self.instanceCount)
    let program = Model { (trace, x: Tensor, temperature: Tensor) in
      let z = trace.sample("z", from: Normal(x, temperature).event(1))
      trace.observe("y", Tensor(0), from: Normal(z.sum(), 1))
      return (z, x, temperature, x + 1, temperature + 0 * z.sum())
    }
    let result = try evaluate(resample(particles(instances(program)), count: count), seed: 1)(
      instances.mapped(Self.points), particles.mapped(Self.temperatures))
    let rows = particleAxis.first ?? 1
    let batch = particleAxis + [Self.instanceCount]
    let (z, x, temperature, sum, used) = result.output.values
    #expect(z.shape == Shape(batch + [3]) && x.shape == z.shape && temperature.shape == Shape(batch))
    let numbers = (0..<Int32(rows * Self.instanceCount)).map { $0 % Int32(Self.instanceCount) }
    let expected = Self.points.rows(at: numbers)
    #expect(x.scalars == expected.scalars && sum.scalars == (expected + 1).scalars)
    // The particles' own data go with them, whether they were used or handed on.
    #expect(temperature.scalars == used.scalars)
    #expect(Set(temperature.scalars).count > 1)
  }

  /// The first particle is named, though chunks are rectangles.
  @Test func checksNameTheFirstParticle() throws {
    let particles = Plate("particle", count: 40, chunkRows: 64)
    let instances = Plate("instance", count: 50)
    let program = Kernel { (trace, x: Tensor, limit: Tensor) in
      // Bad where the product is at least 1.
      trace.sample("z", from: Normal(0, 1 - x * limit))
    }
    let x: [Float] = (0..<50).map { $0 == 3 || $0 == 40 ? 2 : 0 }
    let limit: [Float] = (0..<40).map { $0 == 20 || $0 == 2 ? 1 : 0 }
    for first in [3, 40] {
      let data = Tensor((0..<50).map { $0 < first ? 0 : x[$0] })
      let error = #expect(throws: CoixError.self) {
        try evaluate(particles(instances(program)), seed: 1, options: EvaluationOptions(checks: true))(
          instances.mapped(data), particles.mapped(Tensor(limit)))
      }
      guard case .parameter(_, _, _, _, let place) = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(place.plates.map { $0.row } == [2, first])
    }
  }

  /// Values given to sites may be those of the instances.
  @Test func latentsOverOnePlate() throws {
    let particles = Plate("particle", count: Self.particleCount)
    let instances = Plate("instance", count: Self.instanceCount)
    let notes = Notes()
    let program = Model { (trace) in
      let z = trace.sample("z", from: Normal(0, 1).expanded(to: [3]).event(1))
      notes.note("z", z)
      let w = trace.sample("w", from: Normal(0, 1))
      trace.observe("y", Tensor(0.5), from: Normal(z.sum() * w, 1))
      return z
    }
    let result = try evaluate(
      particles(instances(program)), latents: ["z": instances.mapped(Self.points)], seed: 1)()
    #expect(notes["z"] == [.instances])
    let z = try #require(result.trace["z"])
    #expect(
      z.value.scalars == [[Float]](repeating: Self.points.scalars, count: Self.particleCount).flatMap { $0 })
    #expect(z.logProb.shape == [Self.particleCount, Self.instanceCount])
  }

  /// Three plates: those within the outermost one count as one.
  @Test func threePlates() throws {
    let (a, b, c) = (Plate("a", count: 5), Plate("b", count: 4), Plate("c", count: 6))
    let notes = Notes()
    let program = Kernel { (trace, x: Tensor, y: Tensor, z: Tensor) in
      for (name, tensor) in [("x", x), ("y", y), ("z", z)] { notes.note(name, tensor) }
      return (x, y + 0, z + 0, y * z, trace.sample("s", from: Normal(x + y + z, 1)))
    }
    let (x, y, z) = (
      Draw(key: 1, shape: [5]).normal(), Draw(key: 2, shape: [4]).normal(), Draw(key: 3, shape: [6]).normal()
    )
    let result = try evaluate(a(b(c(program))), seed: 9)(a.mapped(x), b.mapped(y), c.mapped(z))
    #expect(notes["x"] == [.particles] && notes["y"] == [.instances] && notes["z"] == [.instances])
    let (ownX, ownY, ownZ, product, s) = result.output.values
    let (column, middle) = (x.reshaped(to: [5, 1, 1]), y.reshaped(to: [4, 1]))
    #expect(ownX.scalars == column.broadcast(to: [5, 4, 6]).scalars)
    #expect(ownY.scalars == middle.broadcast(to: [5, 4, 6]).scalars)
    #expect(ownZ.scalars == z.broadcast(to: [5, 4, 6]).scalars)
    #expect(product.scalars == (middle * z).broadcast(to: [5, 4, 6]).scalars)
    var keys = KeyStream(9)
    let noise = Draw(key: keys.next(), shape: [5, 4, 6]).normal()
    let mean = column + middle + z
    #expect(s.scalars == (mean + noise).scalars)
  }
}
