import Coix
import CoixParallel
import TestSupport
import Testing

/// Programs of many steps: what is done with row numbers grows with the steps, not with their square.
@Suite struct StepMetricsTests {
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
        return try evaluate(Self.chain(steps, location), seed: 0)().metrics.logZ
      }
      return try #require(context).rowWork
    }
    for work in [evaluation, gradient] {
      let (some, many) = (try work(100), try work(200))
      // Every stage reads what it goes on with, so that nothing is left to compose; what is handed out is
      // gathered at the end.
      #expect(some.compositions == 0 && many.compositions == 0)
      #expect(some.gathers <= 3 && many.gathers <= 3)
      // In a gradient too: ancestors are in order.
      #expect(some.sorts == 0 && many.sorts == 0)
    }
  }

  /// A filter as one first writes it, of ten thousand steps: each step takes the same few operations on rows, and keeps
  /// nothing of the steps before.
  @Test func aFilterOfManySteps() throws {
    let plate = Plate("particle", count: 1_000)
    let first = Kernel { (trace) in trace.sample("x0", from: Normal(0, 1)) }
    func filter(_ steps: Int) -> Inference<Tuple<>, Tuple<Tensor>> {
      foriLoop(1..<steps, initial: Inference(plate(first))) { step, q in
        let next = Model { (trace, x: Tensor) in
          let moved = trace.sample("x\(step)", from: Normal(0.9 * x, 0.5))
          trace.observe("y\(step)", Tensor(Float(step % 7) / 7), from: Normal(moved, 1))
          return moved
        }
        return compose(plate(next), resample(q))
      }
    }
    func work(_ steps: Int) throws -> RowWork {
      let context = ExecutionContext.caller(team: 1)
      let options = EvaluationOptions(keep: .metrics)
      let logZ = try context.withCurrent {
        try evaluate(filter(steps), seed: 1, options: options)().metrics.logWeight.mean()
      }
      #expect(logZ.scalar.isFinite)
      return context.rowWork
    }
    let steps = isDebugBuild ? 2_000 : 10_000
    let (some, many) = (try work(100), try work(steps))
    #expect(some.compositions == 0 && many.compositions == 0)
    #expect(some.gathers == many.gathers && many.gathers <= 3)
    #expect(many.views <= (steps / 100 + 1) * some.views)
  }

  /// Sites that join one after another, and are read only at the end.
  @Test func pathsAreFoundWithOneCompositionAStep() throws {
    let first = Kernel { (trace, x: Tensor) in trace.sample("x0", from: Delta(x)) }
    func program(_ steps: Int) -> Inference<Tuple<Tensor>, Tuple<Tensor>> {
      var program: Inference<Tuple<Tensor>, Tuple<Tensor>> = resample(
        Self.plate(first), scheme: .multinomial)
      for t in 1...steps {
        let next = Kernel { (trace, x: Tensor) in trace.sample("x\(t)", from: Delta(x + 1)) }
        program = resample(compose(Self.plate(next), program, suffix: false), scheme: .multinomial)
      }
      return program
    }
    let data = Self.plate.mapped(Tensor((0..<20).map { 100 * Float($0) }))
    for steps in [2, 30, 60] {
      let context = ExecutionContext.caller(team: 1)
      let result = try context.withCurrent { try evaluate(program(steps), seed: 0)(data) }
      #expect(context.rowWork.compositions <= steps)
      // Each particle's states belong to one path.
      for t in 0...steps {
        let x = try required(result.trace["x\(t)"]?.value)
        #expect(x.scalars == result.output.values.scalars.map { $0 - Float(steps - t) })
      }
      #expect(Set(result.output.values.scalars).count < 20)
    }
  }

  /// Values that nobody reads between resamplings are gathered once, at the end, and all of them by the same
  /// index.
  @Test func indicesAreComposedOnceAStep() throws {
    let model = Model { (trace) in
      for site in 0..<5 { _ = trace.sample("x\(site)", from: Normal(0, 1)) }
      let x = trace.sample("x", from: Normal(0, 1))
      trace.factor("weight", x)
      return x
    }
    var program: Inference<Tuple<>, Tuple<Tensor>> = resample(Self.plate(model))
    for _ in 1..<30 { program = resample(program, scheme: .multinomial) }
    let context = ExecutionContext.caller(team: 1)
    _ = try context.withCurrent { try evaluate(program, seed: 0)() }
    // The output's index is composed from the first step on, that of the sites from the last one back.
    #expect(context.rowWork.compositions == 29 + 29)
    // A value and a log-probability of each of seven sites; the output is one of them.
    #expect(context.rowWork.gathers == 14)
  }
}
