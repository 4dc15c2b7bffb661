import TestSupport
import Testing

@testable import CoixParallel

/// Gradients of a function of each particle, and their own gradients in closed form.
@Suite struct GradientOfTests {
  @Test func outsideOfPrograms() throws {
    #expect(try gradient(of: { $0.squared.sum() }, at: Tensor([1, -2])).scalars == [2, -4])
    #expect(
      try gradient(of: { ($0 * [3, 5]).sum().reshaped(to: [1]) }, at: Tensor([1, -2])).scalars == [3, 5])
  }

  @Test(arguments: [1, 5, 16, 37])
  func eachParticleHasItsOwn(_ rows: Int) throws {
    for tape in [nil, Tape()] {
      try inChunk(rows: rows, tape: tape) { (chunk: Chunk) throws -> Void in
        let numbers = (0..<2 * rows).map { Float($0) / 4 - 3 }
        let scale = chunk.batched((0..<rows).map(Float.init), [])
        let x = chunk.batched(numbers, [2])
        let slope = try gradient(of: { (scale * $0 * $0.squared).sum() }, at: x)
        let expected = numbers.enumerated().map { (place, x) -> Float in 3 * x * x * Float(place / 2) }
        #expect(chunk.values(slope) == expected)
        // Padding rows repeat the last one.
        #expect(slope.pointer[slope.stride - 1] == slope.pointer[rows - 1])
        // A point that all particles have in common: each has a gradient of its own, if they differ.
        let common = try gradient(of: { (scale * $0).sum() }, at: Tensor([1, 2]))
        let commonExpected = (0..<2 * rows).map { Float($0 / 2) }
        #expect(chunk.values(common) == commonExpected)
        #expect(try gradient(of: { $0.squared.sum() }, at: Tensor([1, 2])).scalars == [2, 4])
        #expect(chunk.context.tape === tape)
      }
    }
  }

  @Test func whatDoesNotDependOnThePointHasZeros() throws {
    try inChunk(rows: 5) { (chunk: Chunk) throws -> Void in
      let x = chunk.batched([1, 2, 3, 4, 5], [])
      func slopes(_ function: (Tensor) -> Tensor) throws -> [Float] {
        chunk.values(try gradient(of: function, at: x))
      }
      #expect(try slopes { _ in 3 } == [0, 0, 0, 0, 0])
      #expect(try slopes { _ in x.squared } == [0, 0, 0, 0, 0])
      #expect(try slopes { $0.detached.squared } == [0, 0, 0, 0, 0])
      #expect(try slopes { $0.detached * $0 } == [1, 2, 3, 4, 5])
    }
  }

  @Test func ofTrees() throws {
    let slope = try gradient(
      of: { (point: Tuple<Tensor, Tensor>) in (point.values.0 * point.values.1.squared).sum() },
      at: Tuple(Tensor([2, 3]), Tensor(5)))
    #expect(slope.values.0.scalars == [25, 25])
    #expect(slope.values.1.scalar == 50)
  }

  @Test func nested() throws {
    func derivative(_ function: @escaping (Tensor) throws -> Tensor) -> (Tensor) throws -> Tensor {
      { try gradient(of: function, at: $0) }
    }
    let fifth: (Tensor) throws -> Tensor = { $0 * $0.squared.squared }
    #expect(try derivative(fifth)(2).scalar == 80)
    #expect(try derivative(derivative(fifth))(2).scalar == 160)
    #expect(try derivative(derivative(derivative(fifth)))(2).scalar == 240)
    #expect(try derivative(derivative(derivative(derivative(fifth))))(2).scalar == 240)
    let tanh4 = try derivative(derivative(derivative(derivative { tanh($0) })))(0.5).scalar
    // 16 t s² - 24 t³ s² … in powers of t = tanh(0.5): 8 t (1 - t²) (2 - 3 t²).
    let t = 0.46211715726000975
    #expect(abs(Double(tanh4) - 8 * t * (1 - t * t) * (2 - 3 * t * t)) < 1e-5)
  }

  /// The gradient within, times a vector, gives the Hessian's product with it.
  @Test func hessianVectorProducts() throws {
    let matrix = Tensor([2, 1, 1, 3], shape: [2, 2])
    let product = try valueWithGradient(at: Tensor([0.5, -1])) { x in
      let slope = try gradient(of: { dot($0, matmul(matrix, $0)) / 2 }, at: x)
      return dot(slope, [1, 10])
    }
    #expect(product.gradient.scalars == [12, 31])
    #expect(product.value == -25)
  }

  /// Whether a gradient is differentiated makes no difference to its numbers.
  @Test func sameBitsWithATape() throws {
    func slope(_ tape: Tape?) throws -> [Float] {
      try inChunk(rows: 21, tape: tape) { chunk in
        var generator = SplitMix(seed: 4)
        let x = chunk.batched(generator.gridFloats(21 * 3, in: -1...1), [3])
        let weight =
          tape.map { $0.record(Tensor(generator.gridFloats(12, in: -1...1), shape: [3, 4]), .none) }
          ?? Tensor(generator.gridFloats(12, in: -1...1), shape: [3, 4])
        return try chunk.values(
          gradient(
            of: { x in
              let hidden = dense(x, kernel: weight, bias: nil, activation: .tanh)
              return hidden.logSumExp() + softplus(hidden).sum() + matmul(x, weight).softmax(axis: 0)[1]
                + normalLogDensity(x, location: 0.3, scale: 0.7, reducing: 1)
                + logDensity(.studentT, x, 3, 0, 1).sum()
            }, at: x))
      }
    }
    #expect(try slope(nil) == slope(Tape()))
  }

  /// A seed of 0 gives a gradient of 0, whatever the derivative, also in the second order.
  @Test func zeroSeeds() throws {
    let x: Tensor = [0, 4]
    let second = try valueWithGradient(at: x) { x in
      try gradient(of: { select($0 .> 0, sqrt($0), $0.squared).sum() }, at: x).sum()
    }
    #expect(second.gradient.scalars == [2, -0.03125])
    let masked = try valueWithGradient(at: x) { x in
      try gradient(of: { (($0 .> 0) * log($0)).sum() }, at: x).sum()
    }
    #expect(masked.gradient.scalars == [0, -0.0625])
  }

  // MARK: Errors

  private func error(_ body: () throws -> Tensor) -> CoixError? {
    do {
      _ = try body().validated()
      return nil
    } catch { return error as? CoixError }
  }

  @Test func errors() throws {
    #expect(
      error { try gradient(of: { $0 }, at: Tensor([1, 2])) }
        == .shape(
          operation: "gradient(of:at:)", shapes: [[2]],
          reason: "the function must return one number for each particle"))
    #expect(
      error { try gradient(of: { _ in throw CoixError.argument("a") }, at: Tensor(1)) } == .argument("a"))
    #expect(error { try gradient(of: { ($0 + Tensor([1, 2, 3])).sum() }, at: Tensor([1, 2])) } != nil)
    let leaked = inChunk(rows: 3) { $0.batched([1, 2, 3], []) }
    inChunk(rows: 3) { chunk in
      guard case .misplacedTensor(let operation, _) = error({ try gradient(of: { $0 }, at: leaked) }) else {
        Issue.record("no error")
        return
      }
      #expect(operation == "gradient(of:at:)")
    }
    inChunk(rows: 3) { chunk in
      #expect(error { try gradient(of: { $0 * leaked }, at: chunk.batched([1, 2, 3], [])) } != nil)
      #expect(chunk.context.tape == nil)
    }
  }

  /// What has no second derivative is an error where that is asked for, and only there.
  @Test func missingSecondDerivatives() throws {
    func second(_ function: @escaping (Tensor) -> Tensor) throws -> Float {
      try valueWithGradient(at: Tensor(1.5)) { x in try gradient(of: function, at: x) }.gradient.scalar
    }
    #expect(try gradient(of: { digamma($0) }, at: Tensor(1)).scalar > 1.6)
    #expect(throws: CoixError.gradient("digamma has no second derivative")) { try second { digamma($0) } }
    #expect(throws: CoixError.gradient("the modified Bessel function has no second derivative")) {
      try second { logBesselI0Scaled($0) }
    }
    let draw = Draw(key: PRNGKey(seed: 1), shape: [])
    #expect(throws: CoixError.gradient("a gamma draw has no second derivative")) {
      try second { draw.gamma($0) }
    }
    // The draw's gradient is linear in that of what is computed from the draw.
    let linear = try valueWithGradient(at: Tensor(2)) { scale in
      try gradient(of: { draw.gamma($0) * scale }, at: Tensor(1.5))
    }
    #expect(linear.value == 2 * linear.gradient.scalar)
  }
}
