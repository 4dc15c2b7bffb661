import Synchronization
import Testing

@testable import CoixParallel

/// Stages that ranks share: the same results and the same errors as those of one rank.
@Suite struct RankStageTests {
  static let counts = [2, 3, 4]

  /// The number of each row of the chunk that runs.
  private static func rowNumbers(_ context: ExecutionContext) -> Tensor {
    guard let tensor = Tensor(undefinedRows: [], in: context) else { return .outOfMemory }
    for row in 0..<context.stride {
      tensor.pointer[row] = Float(context.chunk.number(min(row, context.rows - 1)))
    }
    return tensor
  }

  private static func plan(
    _ rows: PlateRows, _ ranks: Ranks, chunkRows: Int? = 16, threads: Int = 2, isHot: Bool = false
  ) throws -> StagePlan {
    StagePlan(
      rows: rows, chunkRows: chunkRows, workers: try Workers(threads: threads, ranks: ranks, shuffleSeed: 3),
      isHot: isHot, isRecorded: false)
  }

  // MARK: Who runs what

  /// The ranks' tasks are all tasks, in order; a rank has none only where each has all.
  @Test func tasksAreDivided() throws {
    for chunks in [1, 2, 3, 4, 5, 127, 128, 129, 300, 5_000] {
      for count in 1...5 {
        let ranges = try Ranks.inProcess(count) { ranks -> [Range<Int>] in
          let grid = ChunkGrid(PlateRows(particles: chunks * 16), chunkRows: 16)
          let tasks = ChunkTasks(grid: grid, workers: try Workers(threads: 1, ranks: ranks))
          #expect(tasks.ranks.count == (tasks.count < count ? 1 : count))
          #expect(tasks.chunks(of: tasks.ranks.index).lowerBound == tasks.firstChunk)
          #expect(tasks.undivided.chunks(of: 0) == 0..<chunks)
          return (0..<tasks.ranks.count).map { tasks.chunks(of: $0) }
        }
        #expect(ranges.allSatisfy { $0 == ranges[0] })
        #expect(ranges[0].flatMap { Array($0) } == Array(0..<chunks))
        #expect(!ranges[0].contains { $0.isEmpty })
      }
    }
  }

  @Test(arguments: counts) func eachChunkRunsOnOneRank(_ count: Int) throws {
    for rows in [1_000, 1_024, 5_000] {
      let runs = Mutex<[Int]>([])
      _ = try Ranks.inProcess(count) { ranks in
        try runStage(Self.plan(PlateRows(particles: rows), ranks)) { context in
          runs.withLock { $0.append(context.firstRow) }
          return ChunkOutcome(exports: [], signature: [], payload: 0)
        }
      }
      #expect(runs.withLock { $0.sorted() } == Array(stride(from: 0, to: rows, by: 16)))
    }
  }

  // MARK: What leaves the stage

  /// Rows, sums, and what is the same for all rows; of one plate and of nested plates, whose chunks are rectangles.
  @Test(arguments: [
    PlateRows(particles: 1), PlateRows(particles: 47), PlateRows(particles: 49), PlateRows(particles: 1_003),
    PlateRows(particles: 1, instances: 1_003), PlateRows(particles: 37, instances: 53),
    PlateRows(particles: 500, instances: 3),
  ])
  func exportsComeTogether(_ rows: PlateRows) throws {
    let numbers = (0..<rows.count).map(Float.init)
    for count in 1...4 {
      for threads in [1, 2] {
        _ = try Ranks.inProcess(count) { ranks in
          let result = try runStage(Self.plan(rows, ranks, threads: threads)) { context in
            let own = Self.rowNumbers(context)
            return ChunkOutcome(
              exports: [
                .rows(own), .rows(Tensor.stack([own, -own, own * 2])), .sum(own / 3, isLoss: false), .rows(7),
                .sum(own, isLoss: false),
              ],
              signature: [SiteName("a")], payload: "here")
          }
          let tensors = result.tensors
          #expect(tensors[0].scalars == numbers)
          #expect(tensors[1].scalars == numbers.flatMap { [$0, -$0, $0 * 2] })
          #expect(tensors[3].scalar == 7)
          #expect(tensors[4].scalar == numbers.reduce(0, +))
          #expect(result.payload as? String == "here")
        }
      }
    }
  }

  /// A chunk of one rank alone has the plate cut finer, on all ranks.
  @Test(arguments: counts) func allRanksCutFiner(_ count: Int) throws {
    @Sendable func result(_ ranks: Ranks) throws -> (Int, [Float]) {
      let result = try runStage(Self.plan(PlateRows(particles: 10_000), ranks, chunkRows: nil)) { context in
        if context.firstRow > 8_000 { _ = Tensor(undefinedRows: [Limits.chunkFloats / 512], in: context) }
        try context.checkBudget()
        return ChunkOutcome(
          exports: [.sum(Self.rowNumbers(context) / 3, isLoss: false)], signature: [], payload: 0)
      }
      return (result.chunkCount, result.tensors[0].scalars)
    }
    let reference = try result(.alone)
    #expect(reference.0 > 5, "cut finer")
    for (chunks, sums) in try Ranks.inProcess(count, result) {
      #expect(chunks == reference.0)
      #expect(sums == reference.1)
    }
  }

  // MARK: Errors

  /// Whatever goes wrong in some chunks, all ranks throw what one rank throws.
  @Test(arguments: counts) func allRanksThrowTheSame(_ count: Int) throws {
    let broken = CoixError.argument("broken")
    let cases: [(name: String, expected: CoixError, body: @Sendable (Int) throws -> String)] = [
      ("the last chunk", broken, { if $0 == 62 { throw broken } else { "a" } }),
      (
        "two chunks", .argument("chunk 20"),
        { if $0 == 20 || $0 == 62 { throw CoixError.argument("chunk \($0)") } else { "a" } }
      ),
      ("sites", .unstableSites(first: ["a"], other: ["b"]), { $0 < 50 ? "a" : "b" }),
      (
        "sites at a border", .unstableSites(first: ["a"], other: ["b"]),
        { $0 < 63 * (count - 1) / count ? "a" : "b" }
      ),
      ("an error before a difference", broken, { if $0 == 4 { throw broken } else { $0 < 50 ? "a" : "b" } }),
    ]
    for (name, expected, body) in cases {
      let errors = try RanksTests.errors(count) { ranks in
        _ = try runStage(Self.plan(PlateRows(particles: 1_000), ranks)) { context in
          ChunkOutcome(exports: [], signature: [SiteName(try body(context.firstRow / 16))], payload: 0)
        }
      }
      #expect(errors.map { $0 as? CoixError } == Array(repeating: expected, count: count), "\(name)")
    }
  }

  /// Programs that are not the same on all ranks, although each rank's chunks agree.
  @Test(arguments: counts) func programsThatDiffer(_ count: Int) throws {
    let errors = try RanksTests.errors(count) { ranks in
      _ = try runStage(Self.plan(PlateRows(particles: 1_000), ranks)) { _ in
        ChunkOutcome(exports: [], signature: [SiteName(ranks.index == 1 ? "b" : "a")], payload: 0)
      }
    }
    let expected = CoixError.ranks(
      "chunks of different ranks make different sites or shapes; all ranks must run the same program")
    #expect(errors.map { $0 as? CoixError } == Array(repeating: expected, count: count))
    // Or another plate.
    let others = try RanksTests.errors(count) { ranks in
      _ = try runStage(Self.plan(PlateRows(particles: ranks.index == 1 ? 999 : 2_000), ranks)) { _ in
        ChunkOutcome(exports: [], signature: [], payload: 0)
      }
    }
    for error in others {
      let text = (error as? CoixError)?.description ?? ""
      #expect(text.contains("(size 125, meeting 1), rank 1 ("), "\(text)")
      #expect(text.contains("(size 63, meeting 1); all ranks must run the same program"), "\(text)")
    }
  }

  // MARK: The way back

  /// The bits of a value and its gradients on some ranks.
  private static func bits(
    _ count: Int, _ body: @escaping @Sendable (Ranks) throws -> ValueWithGradient<[Tensor]>
  ) throws -> [[UInt32]] {
    try Ranks.inProcess(count) { ranks in
      let result = try body(ranks)
      return ([result.tensor] + result.gradient).flatMap { $0.scalars.map(\.bitPattern) }
    }
  }

  private static func expectSameBits(
    _ body: @escaping @Sendable (Ranks) throws -> ValueWithGradient<[Tensor]>, _ name: String = ""
  ) throws {
    let reference = try bits(1, body)[0]
    #expect(reference.contains { $0 != 0 })
    for count in counts {
      #expect(try bits(count, body) == Array(repeating: reference, count: count), "\(count) ranks \(name)")
    }
  }

  /// Through rows and sums, with many parameters, for hot stages and others.
  @Test(arguments: [false, true], [1, 40, 100, 5_000])
  func gradientsOfUniformTensors(_ isHot: Bool, _ rows: Int) throws {
    let wide = Draw(key: 3, shape: [40]).normal()
    try Self.expectSameBits { ranks in
      try valueWithGradient(at: [Tensor(0.5), wide, Tensor(2)]) { parameters in
        let stage = try runStage(Self.plan(PlateRows(particles: rows), ranks, isHot: isHot)) { context in
          let x = Self.rowNumbers(context) / 100
          let terms = parameters[0] * x * x + (sin(parameters[1] * x)).sum() + parameters[2] / (1 + x)
          return ChunkOutcome(
            exports: [.sum(terms, isLoss: true), .rows(terms * x)], signature: [], payload: 0)
        }
        return stage.tensors[0] + stage.tensors[1].sum()
      }
    }
  }

  /// What is the same for all rows has its gradient from the first chunk alone, and so from the first rank.
  @Test func uniformOutputs() throws {
    try Self.expectSameBits { ranks in
      try valueWithGradient(at: [Tensor(0.5), Tensor(2)]) { parameters in
        let stage = try runStage(Self.plan(PlateRows(particles: 100), ranks)) { context in
          ChunkOutcome(
            exports: [
              .rows(parameters[0] * 3), .sum(parameters[1] * Self.rowNumbers(context), isLoss: false),
            ],
            signature: [], payload: 0)
        }
        return stage.tensors[0] + stage.tensors[1]
      }
    }
  }

  /// Parameters that only some chunks read: those of one rank, of another one, of all but one.
  @Test(arguments: [0..<1, 62..<63, 20..<40, 1..<63], [false, true])
  func parametersThatSomeChunksRead(_ chunks: Range<Int>, _ isHot: Bool) throws {
    try Self.expectSameBits { ranks in
      try valueWithGradient(at: [Tensor(0.5), Tensor([2, 3])]) { parameters in
        let stage = try runStage(Self.plan(PlateRows(particles: 1_000), ranks, isHot: isHot)) { context in
          var x = Self.rowNumbers(context) / 7
          if chunks.contains(context.firstRow / 16) { x = x * parameters[1].sum() }
          return ChunkOutcome(exports: [.sum(parameters[0] * x, isLoss: true)], signature: [], payload: 0)
        }
        return stage.tensors[0]
      }
    }
  }

  /// Mapped tensors take their gradient row by row, also through several indices, and where only some chunks read them.
  @Test(arguments: [0..<63, 0..<20, 40..<63, 62..<63])
  func gradientsOfMappedTensors(_ chunks: Range<Int>) throws {
    let data = Tensor((0..<1_000).map { Float($0) / 10 })
    let indices = [
      try RowIndex((0..<1_000).map { Int32($0 / 4) }), try RowIndex((0..<1_000).map { Int32(999 - $0) }),
    ]
    try Self.expectSameBits { ranks in
      try valueWithGradient(at: [data, Tensor(0.3)]) { parameters in
        let whole = parameters[0]
        let plain = whole.mapped(plate: "p")
        let gathered = indices.map { whole.mapped(plate: "p", index: $0) }
        let stage = try runStage(Self.plan(PlateRows(particles: 1_000), ranks)) { context in
          let (x, y) = (context.local(plain), context.local(gathered[0]))
          var terms = x * x + 7 * y * parameters[1]
          if chunks.contains(context.firstRow / 16) { terms = terms + context.local(gathered[1]) * x }
          return ChunkOutcome(exports: [.sum(terms, isLoss: false), .rows(terms)], signature: [], payload: 0)
        }
        return stage.tensors[0] + (stage.tensors[1] * stage.tensors[1]).sum()
      }
    }
  }

  /// An error on the way back, in a worker.
  @Test(arguments: [false, true])
  func errorsOfGradients(_ isHot: Bool) throws {
    let errors = try RanksTests.errors(3) { ranks in
      _ = try valueWithGradient(at: Tensor(2)) { a in
        try runStage(Self.plan(PlateRows(particles: 1_000), ranks, isHot: isHot)) { context in
          let (product, chunk) = (a * Self.rowNumbers(context), context.firstRow / 16)
          let strange = product.detached.recorded(from: product) { gradient in
            chunk % 10 == 7 && chunk > 30 ? .mismatch("chunk \(chunk)", [[2]], "no gradient") : gradient
          }
          return ChunkOutcome(exports: [.sum(strange, isLoss: true)], signature: [], payload: 0)
        }.tensors[0]
      }
    }
    #expect(
      errors.map { ($0 as? CoixError)?.description }
        == Array(repeating: "chunk 37: no gradient (shapes [2])", count: 3))
  }

  // MARK: Every operation

  /// As in ``ReplayTests``, shared by three ranks: each input in each role once, on one plate and on nested ones.
  @Test(arguments: ReplayCase.all, [ReplayRun.Gradient.hot, .cold])
  func operations(_ example: ReplayCase, _ gradient: ReplayRun.Gradient) throws {
    let one = (
      rows: PlateRows(particles: 100), chunkRows: 16, roles: [ReplayCase.Role.uniform, .rows, .gathered]
    )
    let nested = (
      rows: PlateRows(particles: 10, instances: 40), chunkRows: 64,
      roles: [ReplayCase.Role.rows, .particles, .instances, .uniform]
    )
    // What a hot stage hands to other ranks does not depend on how its rows are numbered.
    let runs = (gradient == .hot ? [one] : [one, nested]).flatMap { plate in
      example.rotations(of: plate.roles).map {
        ReplayRun(
          example: example, roles: $0, rows: plate.rows, chunkRows: plate.chunkRows, gradient: gradient)
      }
    }
    let references = runs.map { $0.outcome(isRecorded: true) }
    let outcomes = try Ranks.inProcess(3) { ranks in runs.map { $0.outcome(isRecorded: true, ranks: ranks) } }
    for outcomes in outcomes {
      for (run, (outcome, reference)) in zip(runs, zip(outcomes, references)) {
        #expect(outcome.differences(from: reference) == [], "\(example), \(run.roles), gradient \(gradient)")
      }
    }
  }
}
