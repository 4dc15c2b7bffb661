import Coix
import Testing

/// A program that reads a number which every particle has its own of: an error that says what to use, never a
/// silent NaN.
@Suite struct ReadingTests {
  static let particles = Plate("particle", count: 20, chunkRows: 16)

  private static func advice(_ operation: String) -> String {
    #"at site "y": \#(operation): in a program a tensor has a value for each particle, and no number that Swift could read "#
      + "or branch on; compare with .< or .> and choose with select(condition, a, b); read numbers of the evaluation's result"
  }

  private func message(_ read: @escaping @Sendable (Tensor) -> Float) -> String? {
    CoixTests.message {
      try evaluate(
        Self.particles(
          Kernel { trace in
            let z = trace.sample("z", from: Normal(5, 1).expanded(to: [2]).event(1))
            return trace.sample("y", from: Normal(Tensor(read(z) > 0 ? 100 : -100), 1))
          }), seed: 0)()
    }
  }

  @Test func numbersCannotBeRead() {
    #expect(message { $0.scalar } == Self.advice("scalar"))
    #expect(message { $0.scalars[1] } == Self.advice("scalars"))
    #expect(message { $0.withScalars { $0[1] } } == Self.advice("withScalars"))
  }

  /// Looking at a tensor is allowed: it shows what the chunk's particles have.
  @Test func tensorsCanBePrinted() throws {
    let run = try evaluate(
      Plate("particle", count: 3)(
        Kernel { trace in
          let z =
            trace.sample("z", from: Delta([1, 2], eventRank: 1)) + 0 * trace.sample("w", from: Normal(0, 1))
          #expect("\(z)" == "Tensor(shape: [2], for each of 3 particles: [1.0, 2.0, 1.0, 2.0, 1.0, 2.0])")
          return z
        }), seed: 0)()
    #expect(run.output.values.scalars == [1, 2, 1, 2, 1, 2])
    #expect(
      "\(Self.particles.mapped(Tensor.zeros([20, 2])))"
        == #"Tensor(shape: [2], mapped over plate "particle")"#)
  }

  /// Outside of plates, and of what is the same for all particles, numbers are there.
  @Test func uniformNumbersCanBeRead() throws {
    let scale: Tensor = [1, 2]
    let run = try evaluate(
      Self.particles(Kernel { trace in trace.sample("y", from: Normal(Tensor(scale.scalars[1]), 1)) }),
      seed: 0)()
    #expect(run.output.values.shape == [20])
  }

  /// An index out of range is clamped where it varies over particles, and an error with checks on or where it
  /// is known.
  @Test func indicesOutOfRange() throws {
    func run(_ index: @escaping @Sendable (Tensor) -> Tensor, checks: Bool) throws -> Tensor {
      let means: Tensor = [10, 20, 30]
      let result = try evaluate(
        Self.particles(
          Kernel { (trace: KernelTrace) -> Tensor in
            let z = trace.sample("z", from: Delta(0)) + 0 * trace.sample("w", from: Normal(0, 1))
            return trace.sample("y", from: Delta(means.gathered(at: index(z))))
          }), seed: 0, options: EvaluationOptions(checks: checks))()
      return result.output.values
    }
    let outside =
      #"at site "y": gathered: index 5.0 is outside of 0 ..< 3, the positions along axis 0 (shapes [3])"#
    #expect(try run({ $0 + 5 }, checks: false).scalars == [Float](repeating: 30, count: 20))
    #expect(CoixTests.message { try run({ $0 + 5 }, checks: true) } == outside)
    #expect(CoixTests.message { try run({ _ in 5 }, checks: false) } == outside)
    #expect(try run({ $0 + 2 }, checks: true).scalars == [Float](repeating: 30, count: 20))
  }
}
