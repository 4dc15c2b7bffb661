import Coix
import CoixParallel
import ExampleModels
import Foundation
import Testing

/// Ranks write their rows into one file: the bytes that one rank writes.
@Suite struct RankFileTests {
  /// What an evaluation leaves behind.
  private struct Found: Equatable {
    var files: [String: Data] = [:]
    /// The bits of evidence and effective sample size, on each rank.
    var summaries: [[UInt32]] = []
  }

  private static let results: [RowResult: String] = [.logWeight: "w", .site("z"): "z", .output(): "o"]

  /// Evaluates on so many ranks, with some results in files.
  private func files(
    _ results: [RowResult: String], on count: Int, execution: EvaluationOptions.Execution = .replayed,
    sent: Int = .max,
    _ run: @escaping @Sendable (EvaluationOptions) throws -> [Tensor],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> Found {
    try withTemporaryFolder { folder in
      var found = Found()
      let summaries = try Ranks.inProcess(count) { ranks -> (bits: [UInt32], sent: Int) in
        let way = WayToRun(threads: 2, shuffleSeed: 2, execution: execution)
        let options = try way.options(of: ranks) {
          $0.keep = .metrics
          $0.files = results.mapValues { .npy("\(folder)/\($0).npy") }
        }
        let bits = try run(options).map(\.scalar.bitPattern)
        return (bits, ranks.traffic.bytes)
      }
      found.summaries = [summaries[0].bits]
      #expect(summaries.allSatisfy { $0.bits == summaries[0].bits }, sourceLocation: sourceLocation)
      for (_, bytes) in summaries { #expect(bytes <= sent, "\(count) ranks", sourceLocation: sourceLocation) }
      for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
        found.files[name] = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))
      }
      #expect(
        found.files.keys.sorted() == results.values.map { "\($0).npy" }.sorted(),
        sourceLocation: sourceLocation)
      return found
    }
  }

  private static let start = Kernel { trace in
    let z = trace.sample("z", from: Normal(.zeros([3]), 1).event(1))
    return z * 2
  }
  private static let weigh = Model { trace in
    let z = trace.sample("z", from: Normal(.zeros([3]), 1.5).event(1))
    trace.observe("x", 0.5, from: Normal(z.sum(), 1))
    return z
  }

  /// Rows that fit into one block of a file, and many of them; tasks divide none evenly. Ranks send each other no more of their rows than
  /// those in blocks that they share: less than 64 KiB of each file, and of the weights 8,192 rows.
  @Test(arguments: [(100, 16), (3_001, 64), (70_001, nil)])
  func bytesOfOneRank(_ rows: Int, _ chunkRows: Int?) throws {
    let plate = Plate("particle", count: rows, chunkRows: chunkRows)
    @Sendable func run(_ options: EvaluationOptions) throws -> [Tensor] {
      let found = try evaluate(propose(plate(Self.weigh), plate(Self.start)), seed: 5, options: options)()
      #expect(found.metrics.logWeight.failure != nil)
      return try [found.metrics.logZ, found.metrics.ess]
    }
    let expected = try files(Self.results, on: 1, run)
    #expect(expected.files["z.npy"]?.count == 128 + 12 * rows)
    for count in 2...4 {
      for execution in [EvaluationOptions.Execution.replayed, .eager] {
        // Of fewer particles each rank gets all weights.
        let sent = rows > count << 15 ? 300_000 : .max
        #expect(
          try files(Self.results, on: count, execution: execution, sent: sent, run) == expected,
          "\(count) ranks")
      }
    }
  }

  /// Values that have been resampled, by the last stage or before it: each rank writes those of its own particles, and gets no others.
  /// (Those of one rank of two are 420 kB of z alone.)
  @Test func resampledValues() throws {
    let rows = 70_001
    let plate = Plate("particle", count: rows)
    let move = Kernel { (trace, z: Tensor) in trace.sample("y", from: Normal(z.sum(), 1)) }
    let start = resample(propose(plate(Self.weigh), plate(Self.start)))
    @Sendable func resampled(_ options: EvaluationOptions) throws -> [Tensor] {
      [try evaluate(start, seed: 5, options: options)().metrics.logZ]
    }
    @Sendable func moved(_ options: EvaluationOptions) throws -> [Tensor] {
      [try evaluate(compose(plate(move), start), seed: 5, options: options)().metrics.logZ]
    }
    let before = try evaluate(start, seed: 5)()
    let inMemory = try #require(before.trace["z"]).value.scalars
    #expect(Set(inMemory).count < inMemory.count * 9 / 10)
    for (run, results) in [(resampled, Self.results), (moved, [.site("z"): "z", .site("y"): "y"])] {
      let expected = try files(results, on: 1, run)
      #expect(expected.files["z.npy"]?.count == 128 + 12 * rows)
      for count in 2...3 {
        for execution in [EvaluationOptions.Execution.replayed, .eager] {
          let sent = rows > count << 15 ? 400_000 : .max
          #expect(
            try files(results, on: count, execution: execution, sent: sent, run) == expected, "\(count) ranks"
          )
        }
      }
    }
  }

  /// Nested plates, values of few particles that have been gathered, those of an earlier stage and those that are the same for all
  /// rows.
  @Test func whatAllRanksHave() throws {
    let p = ChainParameters()
    let plate = Plate("particle", count: 2_000, chunkRows: 64)
    let results: [RowResult: String] = [.logWeight: "w", .site("z"): "z", .site("y"): "y", .output(): "o"]
    let programs = [p.inference(plate, loss: nil), resample(p.inference(plate, loss: nil))]
    for program in programs {
      @Sendable func run(_ options: EvaluationOptions) throws -> [Tensor] {
        [try evaluate(program, seed: 5, options: options)(chainData).metrics.logZ]
      }
      let expected = try files(results, on: 1, run)
      for count in 2...3 { #expect(try files(results, on: count, run) == expected) }
    }
    let (particles, instances) = (Plate("particle", count: 50, chunkRows: 64), Plate("instance", count: 70))
    let points = instances.mapped(Draw(key: 7, shape: [70, 2]).normal())
    @Sendable func nested(_ options: EvaluationOptions) throws -> [Tensor] {
      _ = try evaluate(particles(instances(p.model)), seed: 5, options: options)(points)
      return []
    }
    let nestedResults: [RowResult: String] = [.logWeight: "w", .output("1"): "x"]
    let expected = try files(nestedResults, on: 1, nested)
    for count in 2...3 { #expect(try files(nestedResults, on: count, nested) == expected) }
  }

  /// A stage with fewer chunks than there are ranks, and no plate at all.
  @Test func fewRows() throws {
    for plate in [Plate("particle", count: 20, chunkRows: 16), Plate("particle", count: 1)] {
      @Sendable func run(_ options: EvaluationOptions) throws -> [Tensor] {
        _ = try evaluate(plate(Self.weigh), seed: 5, options: options)()
        return []
      }
      let expected = try files(Self.results, on: 1, run)
      for count in [2, 4] { #expect(try files(Self.results, on: count, run) == expected) }
    }
    @Sendable func single(_ options: EvaluationOptions) throws -> [Tensor] {
      _ = try evaluate(Self.weigh, seed: 5, options: options)()
      return []
    }
    let expected = try files(Self.results, on: 1, single)
    #expect(try files(Self.results, on: 3, single) == expected)
  }

  /// What is kept in memory besides, where it is the same as what went to a file.
  @Test func valuesThatAreKeptToo() throws {
    let plate = Plate("particle", count: 2_000, chunkRows: 64)
    let expected = try evaluate(plate(Self.weigh), seed: 5)()
    let output = expected.output.values.scalars
    #expect(expected.trace["z"]?.value.scalars == output)
    for count in 1...3 {
      try withTemporaryFolder { folder in
        let found = try Ranks.inProcess(count) { ranks -> [[Float]?] in
          let options = try WayToRun.plain.options(of: ranks) {
            $0.files = [.site("z"): .npy("\(folder)/z.npy"), .logWeight: .npy("\(folder)/w.npy")]
          }
          let found = try evaluate(plate(Self.weigh), seed: 5, options: options)()
          return [found.output.values.scalars, found.trace["x"]?.logProb.scalars]
        }
        for found in found { #expect(found == [output, expected.trace["x"]?.logProb.scalars]) }
        #expect(try Tensor(contentsOf: "\(folder)/z.npy").scalars == output)
        #expect(try Tensor(contentsOf: "\(folder)/w.npy").scalars == expected.metrics.logWeight.scalars)
      }
    }
  }

  // MARK: Errors

  /// The error of each of three ranks.
  private func complaints(
    _ files: [RowResult: RowFile], _ last: Float = 0, checks: Bool = true
  ) throws -> [String?] {
    let plate = Plate("particle", count: 3_000, chunkRows: 64)
    let shifts = plate.mapped(Tensor((0..<3_000).map { $0 == 2_999 ? last : 0 }))
    let kernel = Kernel { (trace, shift: Tensor) in
      trace.sample("z", from: Normal(Tensor([0, 0, 0]) + shift, 1).event(1))
    }
    return try Ranks.inProcess(3) { ranks in
      let options = try WayToRun(threads: 2).options(of: ranks) { ($0.files, $0.checks) = (files, checks) }
      return message { _ = try evaluate(plate(kernel), seed: 5, options: options)(shifts) }
    }
  }

  private func expectSame(
    _ complaints: [String?], _ text: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(
      complaints[0]?.contains(text) == true, "\(complaints[0] ?? "none")", sourceLocation: sourceLocation)
    #expect(complaints == Array(repeating: complaints[0], count: 3), sourceLocation: sourceLocation)
  }

  /// An error in the last chunk, or of a result that there is none of: what is there stays, and nothing else is left.
  @Test func nothingIsLeftBehindAnError() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/z.npy"
      try Tensor([1, 2]).write(npy: path)
      expectSame(try complaints([.site("z"): .npy(path)], .nan), "stage 1: input 0 is NaN (particle 2999)")
      expectSame(
        try complaints([.site("z"): .npy(path), .site("none"): .npy("\(folder)/n.npy")]),
        "files: there is no such thing as the values of site \"none\"")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["z.npy"])
      #expect(try Tensor(contentsOf: path).scalars == [1, 2])
    }
  }

  @Test func filesThatCannotBeWritten() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/none/z.npy"
      expectSame(
        try complaints([.site("z"): .npy(path)]), "\(path): cannot be written: No such file or directory")
      expectSame(try complaints([.site("z"): .npy(folder)]), "\(folder): is a folder, not a file")
      expectSame(
        try complaints([.site("z"): .npy("\(folder)/a.npy"), .logWeight: .npy(path)]),
        "\(path): cannot be written")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    }
  }

  /// Ranks that are to write other files than the first one.
  @Test func otherPaths() throws {
    try withTemporaryFolder { folder in
      let plate = Plate("particle", count: 3_000, chunkRows: 64)
      let texts = try Ranks.inProcess(3) { ranks in
        let options = try WayToRun(threads: 2).options(of: ranks) {
          $0.files = [.site("z"): .npy("\(folder)/h\(ranks.index).npy")]
        }
        return message { _ = try evaluate(plate(Self.start), seed: 5, options: options)() }
      }
      expectSame(texts, "\(folder)/h0.npy: rank 1 (")
      expectSame(
        texts, ") is to write it to \(folder)/h1.npy instead: all ranks must write the same files")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    }
  }

  /// A rank that finds no such file, or another one: the ranks' machines share no folder.
  @Test func foldersThatAreNotShared() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/z.npy"
      let npy = RowFile.npy(path)
      let missing = RowFile(path) {
        try npy.new()
      } join: { pass in
        try npy.join(pass.prefix(16) + Array("\(folder)/none".utf8))
      }
      expectSame(
        try complaints([.site("z"): missing]),
        "\(path): cannot be written: No such file or directory, on rank 1 (")
      try Data(repeating: 1, count: 100).write(to: URL(fileURLWithPath: "\(folder)/other"))
      let other = RowFile(path) {
        try npy.new()
      } join: { pass in
        try npy.join(pass.prefix(16) + Array("\(folder)/other".utf8))
      }
      expectSame(
        try complaints([.site("z"): other]),
        "\(path): cannot be written: another file is at its place, on rank 1 (")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["other"])
    }
  }

  /// A disk with room for the first rank's part alone.
  @Test func fullDisks() throws {
    try withTemporaryFolder { folder in
      guard mount("coix", folder, "tmpfs", 0, "size=131072") == 0 else {
        print("RankFileTests.fullDisks is left out: only root can mount a small disk")
        return
      }
      defer { umount2(folder, Int32(MNT_DETACH)) }
      let plate = Plate("particle", count: 16_000, chunkRows: 64)
      let texts = try Ranks.inProcess(3) { ranks in
        let options = try WayToRun.plain.options(of: ranks) {
          $0.files = [.site("z"): .npy("\(folder)/z.npy")]
        }
        return message { _ = try evaluate(plate(Self.start), seed: 5, options: options)() }
      }
      expectSame(texts, "\(folder)/z.npy: cannot be written, with 192128 bytes: No space left on device")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    }
  }
}
