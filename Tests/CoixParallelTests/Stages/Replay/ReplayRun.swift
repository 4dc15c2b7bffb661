import Synchronization
import TestSupport
import Testing

@testable import CoixParallel

/// A stage that computes a ``ReplayCase``.
struct ReplayRun {
  /// How the stage is differentiated.
  enum Gradient: CaseIterable {
    /// Not at all.
    case none
    /// Each chunk at once.
    case hot
    /// After the stage.
    case cold
  }

  let example: ReplayCase
  let roles: [ReplayCase.Role]
  let rows: PlateRows
  let chunkRows: Int
  let gradient: Gradient
  /// A number that the first input has in some of its rows.
  var special: (number: Float, rows: [Int]) = (0, [])

  struct Outcome {
    /// All results by name.
    var results: [(name: String, numbers: [Float])] = []
    /// How often the stage's body ran.
    var runs = 0
    /// Whether any result of the stage has a gradient.
    var isTracked = false
    var error: String?

    /// Numbers are compared bit for bit, but a NaN is a NaN: of two that meet, the compiler chooses which sign comes out, and it may
    /// choose otherwise in each copy of the same loop.
    mutating func add(_ name: String, _ tensor: Tensor) {
      results.append((name, tensor.scalars.map(\.withoutSignOfNaN)))
    }

    /// What differs in any bit.
    func differences(from other: Outcome) -> [String] {
      guard error == nil, other.error == nil, results.map(\.name) == other.results.map(\.name) else {
        return error == other.error ? [] : ["\(error ?? "no error"), \(other.error ?? "no error")"]
      }
      return zip(results, other.results).compactMap { sameBits($0.numbers, $1.numbers) ? nil : $0.name }
    }
  }

  /// Numbers for an input: one row, or one for each row of what it varies over.
  private func numbers(_ input: Int) -> Tensor {
    let count =
      switch roles[input] {
      case .uniform: 1
      case .rows: rows.count
      case .gathered: rows.count / 2
      case .particles: rows.particles
      case .instances: rows.instances
      }
    var random = SplitMix(seed: UInt64(input + 1))
    let shape = example.shapes[input]
    var numbers = random.gridFloats(count * shape.elementCount, in: example.domain)
    if input == 0 {
      for row in special.rows { numbers[row * shape.elementCount] = special.number }
    }
    return Tensor(numbers, shape: Shape(count).appending(shape))
  }

  private func mapped(_ data: Tensor, _ role: ReplayCase.Role) throws -> Tensor {
    switch role {
    case .uniform: data[0]
    case .rows:
      rows.isNested && data.isConstant
        ? data.mapped(plate: "p", over: rows, along: .all) : data.mapped(plate: "p")
    case .gathered:
      data.mapped(
        plate: "p", index: try RowIndex((0..<rows.count).map { Int32($0 * 7 % max(rows.count / 2, 1)) }))
    case .particles: data.mapped(plate: "p", over: rows, along: .particles)
    case .instances: data.mapped(plate: "p", over: rows, along: .instances)
    }
  }

  /// Runs the stage: rows of the result, its weighted sum over elements and rows, and the gradients of both.
  func outcome(isRecorded: Bool, threads: Int = 1, ranks: Ranks = .alone, shuffleSeed: UInt64? = nil)
    -> Outcome
  {
    var outcome = Outcome()
    let runs = Atomic<Int>(0)
    do {
      let workers = try Workers(threads: threads, ranks: ranks, shuffleSeed: shuffleSeed)
      let plan = StagePlan(
        rows: rows, chunkRows: chunkRows, workers: workers, isHot: gradient == .hot, isRecorded: isRecorded)
      let data = example.shapes.indices.map(numbers)
      let shifts = example.shapes.map { Tensor.zeros($0) }
      // Rows by themselves have a gradient only after the stage, and only if they vary over all plates.
      let tracksRows = gradient == .cold

      func run(_ shifts: [Tensor], _ rowData: [Tensor]) throws -> StageResult {
        let inputs = try zip(data.indices, roles).map { input, role in
          try mapped(role == .rows || role == .gathered ? rowData[input] : data[input], role)
        }
        return try runStage(plan) { context in
          runs.add(1, ordering: .relaxed)
          let values = zip(inputs, shifts).map { context.local($0) + $1 }
          let result = example.function(values)
          let weights = Tensor(
            (0..<result.shape.elementCount).map { Float($0 % 5) - 1.5 }, shape: result.shape)
          return ChunkOutcome(
            exports: [.rows(result), .sum((result * weights).sum(), isLoss: true)], signature: [], payload: 0)
        }
      }
      guard gradient != .none else {
        let stage = try run(shifts, data)
        outcome.add("rows", try stage.tensors[0].validated())
        outcome.add("sum", try stage.tensors[1].validated())
        outcome.runs = runs.load(ordering: .relaxed)
        return outcome
      }
      let (result, stage) = try valueWithGradient(at: shifts + data, workers: workers) { parameters in
        let shifts = Array(parameters.prefix(data.count))
        let stage = try run(shifts, tracksRows ? Array(parameters.dropFirst(data.count)) : data)
        guard gradient == .cold else { return (stage.tensors[1] * 0.75, stage) }
        let whole = stage.tensors[0]
        let weights = Tensor(
          (0..<whole.shape.elementCount).map { Float($0 % 7) - 2.5 }, shape: whole.shape)
        return ((whole * weights).sum() - 0.5 * stage.tensors[1], stage)
      }
      outcome.isTracked = stage.tensors.contains { !$0.isConstant }
      outcome.add("rows", stage.tensors[0].detached)
      outcome.add("sum", stage.tensors[1].detached)
      for (position, gradient) in result.gradient.enumerated() {
        outcome.add("gradient \(position)", gradient)
      }
    } catch {
      outcome.error = "\(error)"
    }
    outcome.runs = runs.load(ordering: .relaxed)
    return outcome
  }

  /// How often the body runs on one thread: for the first chunk and those of another form, and on the way back
  /// for the second chunk and those that nothing was kept of.
  func expectedRuns(isTracked: Bool) -> Int {
    let grid = ChunkGrid(rows, chunkRows: chunkRows)
    func form(_ chunk: Int) -> [Int] { [grid[chunk].particles.count, grid[chunk].instances.count] }
    let chunks = 0..<grid.chunkCount
    let forward = chunks.count { $0 == 0 || form($0) != form(0) }
    guard gradient == .cold && isTracked else { return forward }
    return forward + chunks.count { $0 == 1 || ($0 > 1 && form($0) == form(0) && form($0) != form(1)) }
  }
}
