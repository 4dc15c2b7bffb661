import TestSupport
import Testing

@testable import CoixParallel

/// Work outside of the workers gives the same bits for every OpenMP team: teams split outputs, never a sum.
@Suite struct TeamTests {
  /// Enough for teams to be formed.
  static let rows = 150_001

  /// Runs `body` on the caller with a team, under a tape.
  private func withTeam(_ team: Int, _ body: (Tape) throws -> [Tensor]) throws -> [[UInt32]] {
    let tape = Tape()
    let context = ExecutionContext(pool: nil, tape: tape, team: team, isCaller: true)
    return try context.withCurrent { try body(tape).map { try $0.validated().scalars.map(\.bitPattern) } }
  }

  private func expectSameBits(
    _ name: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: (Tape) throws -> [Tensor]
  ) throws {
    let alone = try withTeam(1, body)
    #expect(alone.allSatisfy { !$0.isEmpty }, "\(name)", sourceLocation: sourceLocation)
    for team in [2, 3] {
      let together = try withTeam(team, body)
      for (position, (one, other)) in zip(alone, together).enumerated() {
        #expect(
          one == other, "\(name), result \(position), a team of \(team)", sourceLocation: sourceLocation)
      }
    }
  }

  static let weights = Draw(key: 1, shape: [rows]).normal() * 3
  static let matrix = Draw(key: 2, shape: [50_001, 3]).normal()

  /// A function's value, and the gradient of a weighted sum of it.
  private func valueAndGradient(_ x: Tensor, _ tape: Tape, _ function: (Tensor) -> Tensor) throws -> [Tensor]
  {
    let tracked = tape.record(x, .none)
    let value = function(tracked)
    tape.add(Draw(key: 3, shape: value.shape).normal(), to: value.node)
    try tape.pullBack()
    return [value, tape.gradient(of: tracked.node) ?? Tensor(.nan)]
  }

  struct Function: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let body: @Sendable (Tensor) -> Tensor
    init(_ name: String, _ body: @escaping @Sendable (Tensor) -> Tensor) {
      (testDescription, self.body) = (name, body)
    }
  }

  static let functions = [
    Function("exp") { exp($0) }, Function("product") { $0 * $0 + 1 }, Function("sum") { $0.sum() },
    Function("mean") { $0.mean() }, Function("max") { $0.max() },
    Function("logSumExp") { $0.logSumExp(axis: 0) },
    Function("softmax") { $0.softmax(axis: 0) }, Function("logSoftmax") { $0.logSoftmax(axis: 0) },
    Function("select") { select($0 .> 0, $0, -$0) },
  ]

  @Test(arguments: functions)
  func wholePlateFunctions(_ function: Function) throws {
    try expectSameBits("vector") { try valueAndGradient(Self.weights, $0, function.body) }
    try expectSameBits("matrix") { try valueAndGradient(Self.matrix, $0, function.body) }
  }

  @Test func gathersAndScatters() throws {
    var generator = SplitMix(seed: 5)
    let index = try RowIndex((0..<60_000).map { _ in Int32.random(in: 0..<50_001, using: &generator) })
    try expectSameBits("gather") { tape in
      try valueAndGradient(Self.matrix, tape) { $0.mapped(plate: "p", index: index).unmapped() }
    }
  }

  @Test(arguments: [1, 7, 40, 4_000])
  func weightSummaries(_ instances: Int) throws {
    let particles = Self.rows / instances
    let weights = Self.weights[0..<particles * instances].reshaped(to: [particles, instances])
    for threads in [2, 3, 16] {
      func summary(_ threads: Int) throws -> [UInt32] {
        let summary = try LogWeights(weights, workers: Workers(threads: threads)).summary()
        return [summary.ess.scalar.bitPattern, summary.logZ.scalar.bitPattern]
      }
      #expect(try summary(threads) == summary(1))
    }
  }

  @Test(arguments: ResamplingScheme.allCases, [1, 7, 400])
  func ancestors(_ scheme: ResamplingScheme, _ instances: Int) throws {
    let particles = Self.rows / instances
    let weights = Self.weights[0..<particles * instances].reshaped(to: [particles, instances])
    func ancestors(_ threads: Int) throws -> [Int32] {
      let weights = try LogWeights(weights, workers: Workers(threads: threads))
      return try weights.ancestors(scheme, key: 4, count: particles + 5).index.array
    }
    let alone = try ancestors(1)
    for threads in [2, 3, 16] { #expect(try ancestors(threads) == alone) }
  }
}
