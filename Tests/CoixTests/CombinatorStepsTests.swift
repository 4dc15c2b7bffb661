import Coix
import CoixParallel
import Testing

/// Programs of many steps: what is done with row numbers grows with the steps, not with their square.
@Suite struct CombinatorStepsTests {
  static let plate = Plate("particle", count: 20)

  /// `steps` times: weighted for a target, resampled, moved by a kernel.
  static func chain(_ steps: Int, _ location: Tensor) -> Inference<Tuple<>, Tuple<Tensor>> {
    let target = Model { (trace) in
      let x = trace.sample("x", from: Normal(location, 1))
      trace.factor("weight", -0.5 * (x - 1).squared)
      return x
    }
    let move = Kernel { (trace, x: Tensor) in trace.sample("x", from: Normal(x, 1)) }
    let first = Kernel { (trace) in trace.sample("x", from: Normal(location, 2)) }
    var program: Inference<Tuple<>, Tuple<Tensor>> = compose(
      plate(move), resample(propose(plate(target), plate(first))))
    for _ in 1..<steps { program = compose(plate(move), resample(propose(plate(target), program))) }
    return program
  }

  @Test func workGrowsWithTheSteps() throws {
    func evaluation(_ steps: Int) throws -> RowWork {
      let context = ExecutionContext.caller(team: 1)
      _ = try context.withCurrent { try evaluate(Self.chain(steps, 0.2), seed: 0)() }
      return context.rowWork
    }
    func gradient(_ steps: Int) throws -> RowWork {
      var context: ExecutionContext?
      _ = try valueWithGradient(at: Tensor(0.2)) { location in
        context = ExecutionContext.current
        return try required(try evaluate(Self.chain(steps, location), seed: 0)().metrics.logZ)
      }
      return try #require(context).rowWork
    }
    for work in [evaluation, gradient] {
      let (some, many) = (try work(100), try work(200))
      print(some, many)
      #expect(many.compositions <= 2 * some.compositions && many.compositions <= 200)
      #expect(many.sorts <= 2 * some.sorts && many.sorts <= 200)
      #expect(many.gathers <= 2 * some.gathers + 10 && many.gathers <= 1_000)
    }
  }
}
