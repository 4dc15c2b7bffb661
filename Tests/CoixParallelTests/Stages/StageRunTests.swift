import Synchronization
import Testing

@testable import CoixParallel

/// A stage by itself: the cut into chunks, the merge, the way back.
@Suite struct StageRunTests {
  static let rowCounts = [1, 15, 16, 17, 1_023, 1_024, 1_025, 5_000]

  /// The number of each row of the chunk that runs.
  private func rowNumbers(_ context: ExecutionContext) -> Tensor {
    guard let tensor = Tensor(undefinedRows: [], in: context) else { return .outOfMemory }
    for lane in 0..<context.stride {
      tensor.pointer[lane] = Float(context.firstRow + min(lane, context.rows - 1))
    }
    return tensor
  }

  private func plan(
    _ rows: Int?, chunkRows: Int? = nil, threads: Int = 2, isHot: Bool = false, isRecorded: Bool = true
  ) throws -> StagePlan {
    StagePlan(
      rows: rows.map { PlateRows(particles: $0) }, chunkRows: chunkRows,
      workers: try Workers(threads: threads), isHot: isHot, isRecorded: isRecorded)
  }

  // MARK: The cut

  @Test(arguments: rowCounts, [nil, 1, 15, 16, 17, 64, 100_000] as [Int?])
  func chunksCoverTheRows(_ rows: Int, _ chunkRows: Int?) throws {
    let chunks = Mutex<[Range<Int>]>([])
    let result = try runStage(plan(rows, chunkRows: chunkRows)) { context in
      chunks.withLock { $0.append(context.firstRow..<context.firstRow + context.rows) }
      let numbers = rowNumbers(context)
      return ChunkOutcome(
        exports: [
          .rows(numbers), .rows(Tensor.stack([numbers, -numbers])), .sum(numbers, isLoss: false), .rows(7),
        ],
        signature: [], payload: context.firstRow)
    }
    let cut = chunks.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
    // Without the user's choice: whole vectors.
    let size = chunkRows ?? (cut.count > 1 ? cut[0].count : rows)
    #expect(chunkRows != nil || cut.count == 1 || size % 16 == 0)
    #expect(cut == stride(from: 0, to: rows, by: size).map { $0..<min($0 + size, rows) })
    #expect(result.chunkCount == cut.count)
    let numbers = (0..<rows).map(Float.init)
    #expect(result.tensors[0].scalars == numbers)
    #expect(result.tensors[1].shape == [rows, 2])
    #expect(result.tensors[1].scalars == numbers.flatMap { [$0, -$0] })
    #expect(result.tensors[2].scalar == numbers.reduce(0, +))
    #expect(result.tensors[3].scalar == 7)
    #expect(result.payload as? Int == 0, "the first chunk's")
  }

  @Test func aStageOutsideOfPlates() throws {
    let result = try runStage(plan(nil)) { context in
      #expect(context.rows == 0 && context.stride == 0)
      return ChunkOutcome(
        exports: [.rows(Tensor([1, 2])), .sum(3, isLoss: false)], signature: [SiteName("a")], payload: "here")
    }
    #expect(result.chunkCount == 1)
    #expect(result.tensors.map(\.scalars) == [[1, 2], [3]])
  }

  /// A chunk that hands out more floats than its budget has the plate cut finer, until whole vectors are
  /// left.
  @Test(arguments: [1, 3, 16])
  func wideChunksAreCutFiner(_ threads: Int) throws {
    func chunkCount(_ rows: Int, width: Int, chunkRows: Int? = nil) throws -> Int {
      try runStage(plan(rows, chunkRows: chunkRows, threads: threads)) { context in
        let wide = try #require(Tensor(undefinedRows: [width], in: context))
        try context.checkBudget()
        return ChunkOutcome(exports: [.sum(wide.sum() * 0, isLoss: false)], signature: [], payload: 0)
      }.chunkCount
    }
    // A budget for 2,048 / 256 / 64 rows of this width, or for fewer than the sixteen that are the least.
    let budget = Limits.chunkFloats
    #expect(try chunkCount(1_000, width: 1) == 1)
    #expect(try chunkCount(1_000, width: budget / 2_048) == 1)
    #expect(try chunkCount(1_000, width: budget / 256) == 4)
    #expect(try chunkCount(1_000, width: budget / 64) == 16)
    #expect(try chunkCount(50, width: budget / 64) == 1)
    #expect(try chunkCount(50, width: budget / 32) == 2)
    #expect(try chunkCount(50, width: budget / 16) == 4)
    #expect(try chunkCount(50, width: budget) == 4)
    #expect(try chunkCount(50, width: budget, chunkRows: 50) == 1, "what the user chose holds")
  }

  // MARK: What chunks must agree on

  @Test func chunksWithDifferentSites() throws {
    let error = #expect(throws: CoixError.self) {
      try runStage(plan(100, chunkRows: 16, threads: 1)) { context in
        ChunkOutcome(exports: [], signature: [SiteName(context.firstRow == 0 ? "a" : "b")], payload: 0)
      }
    }
    #expect(error == .unstableSites(first: ["a"], other: ["b"]))
  }

  @Test func chunksWithDifferentShapes() throws {
    let error = #expect(throws: CoixError.self) {
      try runStage(plan(100, chunkRows: 16, threads: 1)) { context in
        let numbers = rowNumbers(context)
        return ChunkOutcome(
          exports: [.rows(context.firstRow == 0 ? numbers : Tensor.stack([numbers, numbers]))], signature: [],
          payload: 0)
      }
    }
    #expect(
      error?.description == "merge: a program must give the same shapes in every chunk (shapes [], [2])")
  }

  /// What chunks differ from is what the first one leaves behind, whichever comes first.
  @Test(arguments: [1, 2, 3, 16], [nil, 1, 2, 3, 4] as [UInt64?])
  func theFirstDifferenceWins(_ threads: Int, _ shuffleSeed: UInt64?) throws {
    let stage = StagePlan(
      rows: PlateRows(particles: 1_000), chunkRows: 16,
      workers: try Workers(threads: threads, shuffleSeed: shuffleSeed), isHot: false, isRecorded: false)
    func error(_ body: @escaping @Sendable (Int) throws -> String) -> CoixError? {
      #expect(throws: CoixError.self) {
        try runStage(stage) { context in
          ChunkOutcome(exports: [], signature: [SiteName(try body(context.firstRow / 16))], payload: 0)
        }
      }
    }
    #expect(error { $0 < 5 ? "a" : $0 < 50 ? "b" : "c" } == .unstableSites(first: ["a"], other: ["b"]))
    #expect(error { $0 == 0 ? "a" : "b" } == .unstableSites(first: ["a"], other: ["b"]))
    // An error before the difference, and one behind it.
    let broken = CoixError.argument("broken")
    #expect(error { if $0 == 4 { throw broken } else { $0 < 5 ? "a" : "b" } } == broken)
    #expect(
      error { if $0 == 6 { throw broken } else { $0 < 5 ? "a" : "b" } }
        == .unstableSites(first: ["a"], other: ["b"]))
    #expect(error { if $0 == 0 { throw broken } else { "\($0)" } } == broken)
  }

  /// Sums and rows must be the same in every chunk.
  @Test func chunksWithDifferentKindsOfExports() throws {
    let error = #expect(throws: CoixError.self) {
      try runStage(plan(100, chunkRows: 16, threads: 1)) { context in
        let numbers = rowNumbers(context)
        return ChunkOutcome(
          exports: [context.firstRow == 0 ? .rows(numbers) : .sum(numbers, isLoss: false)], signature: [],
          payload: 0)
      }
    }
    #expect(error?.description.hasPrefix("merge: a program must give the same shapes in every chunk") == true)
  }

  /// Two errors, a chunk that has to be cut finer, and an error on the way back, in any order of the tasks.
  @Test(arguments: [1, 2, 3, 16], [nil, 1, 2, 3, 4] as [UInt64?])
  func theErrorOfTheFirstChunkWins(_ threads: Int, _ shuffleSeed: UInt64?) throws {
    let workers = try Workers(threads: threads, shuffleSeed: shuffleSeed)
    // The first of several faulty rows of 5,000, a chunk of which is cut finer.
    let cut = #expect(throws: CoixError.self) {
      try runStage(
        StagePlan(rows: PlateRows(particles: 5_000), chunkRows: nil, workers: workers, isHot: false)
      ) { context in
        if context.firstRow > 3_000 { _ = Tensor(undefinedRows: [Limits.chunkFloats / 512], in: context) }
        try context.checkBudget()
        let faulty = [1_000, 2_900, 4_990].first {
          $0 >= context.firstRow && $0 < context.firstRow + context.rows
        }
        if let faulty { throw CoixError.argument("row \(faulty)") }
        return ChunkOutcome(exports: [], signature: [], payload: 0)
      }
    }
    #expect(cut == .argument("row 1000"))
    for isHot in [false, true] {
      let back = #expect(throws: CoixError.self) {
        try valueWithGradient(at: Tensor(2)) { a in
          let plan = StagePlan(
            rows: PlateRows(particles: 1_000), chunkRows: 16, workers: workers, isHot: isHot)
          return try runStage(plan) { context in
            let (product, chunk) = (a * rowNumbers(context), context.firstRow / 16)
            let strange = product.detached.recorded(from: product) { gradient in
              chunk % 10 == 7 ? .mismatch("chunk \(chunk)", [[2]], "no gradient") : gradient
            }
            return ChunkOutcome(exports: [.sum(strange, isLoss: true)], signature: [], payload: 0)
          }.tensors[0]
        }
      }
      #expect(back?.description == "chunk 7: no gradient (shapes [2])")
    }
  }

  @Test func aTensorOfAnotherChunkCannotLeave() throws {
    let stray = inChunk(rows: 3) { $0.batched([1, 2, 3], []) }
    let error = #expect(throws: CoixError.self) {
      try runStage(plan(2_000)) { _ in ChunkOutcome(exports: [.rows(stray)], signature: [], payload: 0) }
    }
    #expect(
      error?.description.hasPrefix("output: a tensor of another chunk or evaluation is used here") == true)
  }

  @Test func anErrorThatAnOperatorRemembered() throws {
    let error = #expect(throws: CoixError.self) {
      try runStage(plan(100, chunkRows: 16)) { context in
        _ = rowNumbers(context) + Tensor([1, 2]) + Tensor([1, 2, 3])
        return ChunkOutcome(exports: [], signature: [], payload: 0)
      }
    }
    #expect(error?.description == "+: the shapes don't broadcast (shapes [2], [3])")
  }

  // MARK: The way back

  /// Σ a rowᵢ² + b: through rows and sums, through all chunks, for hot stages and others.
  @Test(arguments: rowCounts, [false, true])
  func gradientsOfUniformTensors(_ rows: Int, _ isHot: Bool) throws {
    let numbers = (0..<rows).map { Double($0) / 100 }
    let result = try valueWithGradient(at: [Tensor(0.5), Tensor(2)]) { parameters in
      let stage = try runStage(plan(rows, chunkRows: 48, isHot: isHot)) { context in
        let x = rowNumbers(context) / 100
        let terms = parameters[0] * x * x + parameters[1]
        return ChunkOutcome(
          exports: [.sum(terms, isLoss: true), .rows(terms * x)], signature: [], payload: 0)
      }
      return stage.tensors[0] + stage.tensors[1].sum()
    }
    let expected = [
      numbers.reduce(0) { $0 + $1 * $1 + $1 * $1 * $1 }, numbers.reduce(0) { $0 + 1 + $1 },
    ]
    for (gradient, expected) in zip(result.gradient, expected) {
      #expect((Double(gradient.scalar) - expected).magnitude <= 1e-5 * expected + 1e-5)
    }
  }

  /// A loss that is used twice, or not at all, after a hot stage.
  @Test func hotLossesCountAsOftenAsTheyAreUsed() throws {
    for factor: Float in [-2, 0, 1, 3] {
      let result = try valueWithGradient(at: Tensor(0.5)) { a in
        let stage = try runStage(plan(100, chunkRows: 16, isHot: true)) { context in
          ChunkOutcome(exports: [.sum(a * rowNumbers(context), isLoss: true)], signature: [], payload: 0)
        }
        return factor == 0 ? a : stage.tensors[0] * Tensor(factor)
      }
      #expect(result.gradient.scalar == (factor == 0 ? 1 : factor * 4_950))
    }
  }

  /// A uniform output counts once, a uniform term of a sum once for each row.
  @Test func uniformOutputsAndSums() throws {
    let result = try valueWithGradient(at: [Tensor(0.5), Tensor(2)]) { parameters in
      let stage = try runStage(plan(100, chunkRows: 16)) { _ in
        ChunkOutcome(
          exports: [.rows(parameters[0] * 3), .sum(parameters[1] * 5, isLoss: false)], signature: [],
          payload: 0)
      }
      return stage.tensors[0] + stage.tensors[1]
    }
    #expect(result.value == 1.5 + 1_000)
    #expect(result.gradient.map(\.scalar) == [3, 500])
  }

  /// Mapped tensors take their gradient row by row, also those that are read through an index.
  @Test func gradientsOfMappedTensors() throws {
    let data = Tensor((0..<100).map { Float($0) / 10 })
    let index = try RowIndex((0..<100).map { Int32($0 / 4) })
    let result = try valueWithGradient(at: data) { data in
      let (plain, gathered) = (data.mapped(plate: "p"), data.mapped(plate: "p", index: index))
      let stage = try runStage(plan(100, chunkRows: 16)) { context in
        let (x, y) = (context.local(plain), context.local(gathered))
        return ChunkOutcome(exports: [.sum(x * x + 7 * y, isLoss: false)], signature: [], payload: 0)
      }
      return stage.tensors[0]
    }
    for row in 0..<100 {
      let expected = Float(row) / 5 + (row < 25 ? 28 : 0)
      #expect((result.gradient.scalars[row] - expected).magnitude <= 1e-5 * (1 + expected))
    }
  }

  /// An error on the way back, in a worker.
  @Test(arguments: [false, true])
  func errorsOfGradients(_ isHot: Bool) throws {
    let error = #expect(throws: CoixError.self) {
      try valueWithGradient(at: Tensor(2)) { a in
        let stage = try runStage(plan(100, chunkRows: 16, isHot: isHot)) { context in
          let product = a * rowNumbers(context)
          let strange = product.detached.recorded(from: product) { _ in
            .mismatch("strange", [[2]], "no gradient")
          }
          return ChunkOutcome(exports: [.sum(strange, isLoss: true)], signature: [], payload: 0)
        }
        return stage.tensors[0]
      }
    }
    #expect(error?.description == "strange: no gradient (shapes [2])")
  }

  // MARK: Cancellation

  /// Also within a task of many chunks.
  @Test func cancellationBetweenChunks() async throws {
    let runs = Counter()
    let task = Task {
      try runStage(plan(100_000, chunkRows: 16, threads: 1, isRecorded: false)) { _ in
        runs.add(1)
        if runs.value == 3 { withUnsafeCurrentTask { $0?.cancel() } }
        return ChunkOutcome(exports: [], signature: [], payload: 0)
      }
    }
    await #expect(throws: CancellationError.self) { _ = try await task.value }
    #expect(runs.value == 3)
  }
}
