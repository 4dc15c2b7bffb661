import Testing

@testable import CoixParallel

/// Operations that choose their way by a chunk's numbers: a chunk that takes another way than the recorded one
/// is run by the program, and gives the program's bits.
@Suite struct GuardTests {
  /// Seven chunks: the last one has four rows.
  private static let rows = 100

  /// A function whose first input has `number` in some rows.
  struct Example: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let shapes: [Shape]
    var domain: ClosedRange<Float> = 0.25...2
    var uniform: Set<Int> = []
    /// A number that makes the operations go another way.
    let number: Float
    /// Whether they go another way on the way back only.
    var isBackward = true
    let function: @Sendable ([Tensor]) -> Tensor

    func run(rows: [Int], _ gradient: ReplayRun.Gradient) -> ReplayRun {
      let example = ReplayCase(testDescription, shapes, in: domain, uniform: uniform, function)
      return ReplayRun(
        example: example, roles: shapes.indices.map { uniform.contains($0) ? .uniform : .rows },
        rows: PlateRows(particles: GuardTests.rows), chunkRows: 16, gradient: gradient,
        special: (number, rows))
    }
  }

  static let all: [Example] = [
    Example(testDescription: "dense", shapes: [[3], [3, 2], [2]], uniform: [1, 2], number: .infinity) {
      dense($0[0], kernel: $0[1], bias: $0[2], activation: .tanh)
    },
    Example(testDescription: "masked dense", shapes: [[3], [3, 2]], uniform: [1], number: .infinity) {
      select($0[0].max() .< .infinity, dense($0[0], kernel: $0[1], bias: nil).sum(), 0)
    },
    Example(
      testDescription: "two masked layers", shapes: [[3], [3, 2], [2, 2]], uniform: [1, 2], number: .nan
    ) {
      let hidden = dense($0[0], kernel: $0[1], bias: nil, activation: .relu)
      return select($0[0].sum() .== $0[0].sum(), dense(hidden, kernel: $0[2], bias: nil), 1)
    },
    Example(testDescription: "product of rows", shapes: [[2, 3], [3, 2]], number: .infinity) {
      select($0[0].max() .< .infinity, matmul($0[0], $0[1]), 0)
    },
    Example(testDescription: "product with a matrix", shapes: [[2, 3], [3, 2]], uniform: [1], number: .nan) {
      select($0[0].max() .< .infinity, matmul($0[0], $0[1]), 0)
    },
    Example(testDescription: "solution", shapes: [[2, 2], [2]], number: .nan) {
      let x = solveLowerTriangular($0[0] * .lowerTriangle(2) + .identity(2), $0[1])
      return select($0[0].sum() .== $0[0].sum(), x, 0)
    },
    Example(testDescription: "draw of studentT", shapes: [[3]], number: 1e-3, isBackward: false) {
      Draw(key: 3, shape: [3]).studentT(degreesOfFreedom: $0[0])
    },
    Example(testDescription: "draw of poisson", shapes: [[3]], number: 30, isBackward: false) {
      Draw(key: 3, shape: [3]).poisson($0[0])
    },
  ]

  /// How often the body runs with and without the special numbers in some rows, on one thread.
  private func runs(_ example: Example, at rows: [Int], _ gradient: ReplayRun.Gradient) -> (
    with: Int, without: Int
  ) {
    let run = example.run(rows: rows, gradient)
    let eager = run.outcome(isRecorded: false)
    let replayed = run.outcome(isRecorded: true)
    #expect(eager.error == nil)
    #expect(replayed.differences(from: eager) == [], "rows \(rows), gradient \(gradient)")
    for seed: UInt64 in [1, 2] {
      let shuffled = run.outcome(isRecorded: true, threads: 3, shuffleSeed: seed)
      #expect(shuffled.differences(from: eager) == [], "rows \(rows), gradient \(gradient), shuffled")
    }
    return (replayed.runs, example.run(rows: [], gradient).outcome(isRecorded: true).runs)
  }

  @Test(arguments: all, ReplayRun.Gradient.allCases)
  func oneChunkTakesAnotherWay(_ example: Example, _ gradient: ReplayRun.Gradient) {
    let (with, without) = runs(example, at: [50], gradient)
    // How many rounds a rejection takes differs between chunks anyway.
    guard example.testDescription != "draw of poisson" else { return }
    let takesAnotherWay = gradient != .none || !example.isBackward
    #expect(with == without + (takesAnotherWay ? 1 : 0), "gradient \(gradient)")
  }

  /// The chunk that is recorded forward, the one that is recorded on the way back, the last one, and several.
  @Test(arguments: all, [[3], [20], [99], [3, 20], [0, 17, 40, 50, 70, 90, 98], [17, 40, 50, 70, 90]])
  func severalChunksTakeAnotherWay(_ example: Example, _ rows: [Int]) {
    for gradient in ReplayRun.Gradient.allCases {
      let (with, _) = runs(example, at: rows, gradient)
      #expect(with <= 14, "each chunk forward and backward")
    }
  }
}
