import Coix
import ExampleModels
import Foundation
import Testing

/// Data mapped over plates that chunks read from a file: the bits are those of the same data in memory.
@Suite struct MappedFileTests {
  static let rows = 1_000

  /// What a program of data gives, for data in memory or in a file.
  struct Example: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let data: Tensor
    let run: @Sendable (EvaluationOptions, _ mapped: (Plate) -> Tensor) throws -> Bits

    static let all: [Example] = [autoencoder, resampling, overInstances, overParticles, longRows]

    static let autoencoder = Example(
      testDescription: "autoencoder", data: Draw(key: 7, shape: [rows, 2]).normal()
    ) { options, mapped in
      let plate = Plate("particle", count: rows, chunkRows: 16)
      return try DeterminismCase.bits(at: VAE(hidden: 8, key: 3)) { vae in
        try evaluate(vae.inference(plate, loss: .elbo), seed: 5, options: options)(mapped(plate))
      }.bits
    }

    /// The second step reads the rows of the particles' ancestors.
    static let resampling = Example(
      testDescription: "resampling", data: Draw(key: 7, shape: [rows, 2]).normal()
    ) { options, mapped in
      let plate = Plate("particle", count: rows, chunkRows: 16)
      return try DeterminismCase.bits(at: ChainParameters()) { p in
        try evaluate(p.inference(plate, loss: .iwae), seed: 5, options: options)(mapped(plate))
      }.bits
    }

    static let overInstances = nested("data over instances") { _, instances in instances }
    static let overParticles = nested("data over particles") { particles, _ in particles }

    private static func nested(_ name: String, _ choose: @escaping @Sendable (Plate, Plate) -> Plate)
      -> Example
    {
      Example(testDescription: name, data: Draw(key: 7, shape: [60, 2]).normal()) { options, mapped in
        let (particles, instances) = (
          Plate("particle", count: 60, chunkRows: 64), Plate("instance", count: 60)
        )
        return try DeterminismCase.bits(at: ChainParameters()) { p in
          let first = propose(particles(instances(p.model)), particles(instances(p.proposal)), loss: .iwae)
          let target = particles(instances(compose(p.continuation, p.model, suffix: false)))
          let inference = propose(
            target, compose(particles(instances(p.kernel)), resample(first)), loss: .iwae)
          return try evaluate(inference, seed: 5, options: options)(mapped(choose(particles, instances)))
        }.bits
      }
    }

    /// Rows longer than what is read of a file at a time.
    static let longRows = Example(
      testDescription: "long rows", data: Draw(key: 7, shape: [50, 3, 8_000]).normal()
    ) { options, mapped in
      let plate = Plate("particle", count: 50, chunkRows: 16)
      let model = plate(
        Model { (trace, x: Tensor) in
          trace.observe("x", x, from: Normal(0, 1).expanded(to: [3, 8_000]).event(2))
          return x.sum()
        })
      var bits = Bits()
      bits.add(try evaluate(model, seed: 1, options: options)(mapped(plate)))
      return bits
    }
  }

  @Test(arguments: Example.all)
  func theBitsAreThoseOfMemory(_ example: Example) throws {
    let expected = try example.run(WayToRun.plain.options()) { $0.mapped(example.data) }
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      try example.data.write(npy: path)
      let file = try NPYFile(path)
      for way in [WayToRun.plain] + WayToRun.few {
        let found = try example.run(way.options()) { $0.mapped(file) }
        #expect(found.differences(from: expected) == [], "\(way)")
      }
    }
  }

  @Test func doublesAreRounded() throws {
    let numbers = (0..<2 * Self.rows).map { Foundation.sin(Double($0)) * 1e3 }
    let plate = Plate("particle", count: Self.rows, chunkRows: 16)
    let vae = VAE(hidden: 8, key: 3)
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      let array = try NPYArray(shape: [Self.rows, 2], scalars: .float64(numbers))
      try array.write(to: path)
      let (file, memory) = (try NPYFile(path), try array.tensor())
      for way in WayToRun.few {
        var (found, expected) = (Bits(), Bits())
        let evaluator = evaluate(vae.inference(plate), seed: 5, options: try way.options())
        found.add(try evaluator(plate.mapped(file)))
        expected.add(try evaluator(plate.mapped(memory)))
        #expect(found.differences(from: expected) == [], "\(way)")
      }
    }
  }

  /// Some of a file's rows.
  @Test func partsOfAFile() throws {
    let data = Draw(key: 7, shape: [100, 2]).normal()
    let plate = Plate("particle", count: 30)
    let model = plate(Model { (trace, x: Tensor) in x * 2 })
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      try data.write(npy: path)
      let file = try NPYFile(path)
      let found = try evaluate(model, seed: 0)(plate.mapped(file, rows: 70..<100))
      #expect(found.output.values.scalars == data.scalars[140...].map { $0 * 2 })
      #expect(
        message { try evaluate(model, seed: 0)(plate.mapped(file, rows: 71..<101)) }
          == "\(path) has 100 rows, counted from 0; there is no rows 71..<101")
    }
  }

  /// A step that is recorded and replayed reads the file anew; also where a stage is one chunk.
  @Test(arguments: [16, 2_048]) func compiledStepsAndTraining(_ chunkRows: Int) throws {
    let data = Draw(key: 7, shape: [Self.rows, 2]).normal()
    let plate = Plate("particle", count: Self.rows, chunkRows: chunkRows)
    @Sendable func loss(_ vae: VAE, _ data: Tensor, _ key: PRNGKey) throws -> Tensor {
      try evaluate(vae.inference(plate, loss: .elbo), seed: key, options: EvaluationOptions(keep: .metrics))(
        data
      )
      .metrics.loss
    }
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      try data.write(npy: path)
      let file = try NPYFile(path)
      let step = compile { (vae: VAE, key: PRNGKey) in
        try valueWithGradient(at: vae) { try loss($0, plate.mapped(file), key) }
      }
      for seed in 1...3 {
        let vae = VAE(hidden: 8, key: PRNGKey(seed: seed))
        var (found, expected) = (Bits(), Bits())
        found.addTree("step", try step(vae, key: seed))
        expected.addTree(
          "step", try valueWithGradient(at: vae) { try loss($0, plate.mapped(data), PRNGKey(seed: seed)) })
        #expect(found.differences(from: expected) == [])
      }
      #expect(step.runCount == 1)
      let start = VAE(hidden: 8, key: 1)
      func trained(_ mapped: @escaping () -> Tensor) throws -> VAE {
        try train(start, by: Adam(for: start), steps: 4, seed: 5, loss: { try loss($0, mapped(), $1) })
          .parameters
      }
      var (found, expected) = (Bits(), Bits())
      found.addTree("trained", try trained { plate.mapped(file) })
      expected.addTree("trained", try trained { plate.mapped(data) })
      #expect(found.differences(from: expected) == [])
    }
  }

  /// An argument of a compiled function may be a file's rows; the function itself then runs each time.
  @Test func argumentsOfCompiledFunctions() throws {
    let data = Draw(key: 7, shape: [100, 2]).normal()
    let plate = Plate("particle", count: 100, chunkRows: 16)
    let model = plate(Model { (trace, x: Tensor) in x * 2 })
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      try data.write(npy: path)
      let file = try NPYFile(path)
      let function = compile { (x: Tensor, key: PRNGKey) in
        let result = try evaluate(model, seed: key)(x)
        return result.output.values
      }
      for _ in 0..<2 {
        #expect(try function(plate.mapped(file), key: 0).scalars == data.scalars.map { $0 * 2 })
      }
    }
  }

  // MARK: Errors

  /// A file that becomes shorter: the first chunk whose rows are gone is named, whatever the threads.
  @Test func filesThatBecomeShorter() throws {
    let data = Draw(key: 7, shape: [Self.rows, 2]).normal()
    let plate = Plate("particle", count: Self.rows, chunkRows: 16)
    let vae = VAE(hidden: 8, key: 3)
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      try data.write(npy: path)
      let file = try NPYFile(path)
      let step = compile { (vae: VAE, key: PRNGKey) in
        try evaluate(vae.inference(plate, loss: .elbo), seed: key)(plate.mapped(file)).metrics.loss
      }
      for seed in 0..<2 { _ = try step(vae, key: seed) }
      #expect(truncate(path, 128 + 8 * 404 + 3) == 0)
      let reason = "rows 400..<416 cannot be read: the file has become shorter since it was opened"
      for way in [WayToRun.plain] + WayToRun.few {
        let evaluator = evaluate(vae.inference(plate, loss: .elbo), seed: 5, options: try way.options())
        #expect(complaint(about: path) { _ = try evaluator(plate.mapped(file)) } == reason, "\(way)")
      }
      #expect(complaint(about: path) { _ = try step(vae, key: 3) } == reason)
      #expect(
        complaint(about: path) {
          _ = try valueWithGradient(at: vae) {
            try evaluate($0.inference(plate, loss: .iwae), seed: 5)(plate.mapped(file)).metrics.loss
          }
        } == reason)
      // All rows at a time, for a trace.
      let (particles, instances) = (Plate("particle", count: 2), Plate("instance", count: Self.rows))
      let identity = particles(instances(Model { (trace, x: Tensor) in x }))
      #expect(
        complaint(about: path) { _ = try evaluate(identity, seed: 0)(instances.mapped(file)) }
          .hasSuffix("cannot be read: the file has become shorter since it was opened"))
    }
  }

  @Test func filesThatCannotBeMapped() throws {
    let plate = Plate("particle", count: 3)
    let model = plate(Model { (trace, x: Tensor) in x })
    func complaint(_ header: String, _ data: [UInt8]) throws -> String {
      try withFile(npy(header, data), "rows.npy") { path in
        CoixTests.complaint(about: path) {
          let file = try NPYFile(path)
          _ = try evaluate(model, seed: 0)(plate.mapped(file))
        }
      }
    }
    let type =
      "has numbers of another type than <f4 and <f8, which alone chunks read; save array.astype(\"<f4\")"
    #expect(
      try complaint(
        "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", Array(repeating: 0, count: 12))
        == type)
    #expect(
      try complaint(
        "{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }", Array(repeating: 0, count: 12))
        == type)
    #expect(
      try complaint(
        "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }", Array(repeating: 0, count: 24)
      )
      .hasPrefix("is in Fortran order"))
    #expect(
      try complaint(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", Array(repeating: 0, count: 20)
      )
      .hasPrefix("truncated"))
    #expect(
      CoixTests.complaint(about: "/nowhere/rows.npy") { _ = try NPYFile("/nowhere/rows.npy") }
        == "cannot be read: No such file or directory")
  }

  @Test func otherRowsThanThePlate() throws {
    let data = Draw(key: 7, shape: [10, 2]).normal()
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      try data.write(npy: path)
      let file = try NPYFile(path)
      let plate = Plate("particle", count: 11)
      let model = plate(Model { (trace, x: Tensor) in x })
      #expect(throws: CoixError.rowCount(plate: "particle", expected: 11, found: 10)) {
        try evaluate(model, seed: 0)(plate.mapped(file))
      }
      // Its numbers cannot be read outside of the plate, nor are there gradients by them.
      #expect(plate.mapped(file).scalars.map(\.isNaN) == [true, true])
      #expect((plate.mapped(file) + 1).failure != nil)
      #expect(throws: CoixError.gradient("data mapped over a plate cannot be a parameter")) {
        try valueWithGradient(at: plate.mapped(file)) { $0.sum() }
      }
    }
  }
}
