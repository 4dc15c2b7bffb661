import TestSupport
import Testing

@testable import CoixParallel

/// What a result does not depend on has gradient 0, also where a derivative on the way is infinite or NaN.
@Suite struct ZeroSeedTests {
  /// A function whose derivative is infinite or NaN at a point.
  struct Edge: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let point: Float
    let body: @Sendable (Tensor) -> Tensor
    init(_ name: String, at point: Float, _ body: @escaping @Sendable (Tensor) -> Tensor) {
      (testDescription, self.point, self.body) = (name, point, body)
    }
  }

  static let edges: [Edge] = [
    Edge("log", at: 0) { log($0) }, Edge("log of NaN", at: .nan) { log($0) },
    Edge("log1p", at: -1) { log1p($0) }, Edge("sqrt", at: 0) { sqrt($0) },
    Edge("sqrt of NaN", at: -1) { sqrt($0) },
    Edge("reciprocal", at: 0) { $0.reciprocal }, Edge("exp", at: 1_000) { exp($0) },
    Edge("expm1", at: 1_000) { expm1($0) }, Edge("square", at: .infinity) { $0.squared },
    Edge("erfInverse", at: 1) { erfInverse($0) }, Edge("normalQuantile", at: 0) { normalQuantile($0) },
    Edge("logGamma", at: 0) { logGamma($0) }, Edge("digamma", at: 0) { digamma($0) },
    Edge("pow", at: 0) { pow($0, 0.5) }, Edge("pow of tensors", at: 0) { pow($0, [0.5, 0.5]) },
    Edge("exponent", at: .nan) { pow(2, $0) }, Edge("divisor", at: 0) { 1 / $0 },
    Edge("dividend", at: 1) { $0 / 0 }, Edge("factor", at: 1) { $0 * .infinity },
    Edge("NaN", at: 1) { $0 * .nan },
    Edge("log of softmax", at: -.infinity) { log($0.softmax(axis: 0)) },
    Edge("log of maximum", at: -1) { log(maximum($0, 0)) },
  ]

  @Test(arguments: edges) func branchesNotChosen(_ edge: Edge) throws {
    // The second element is chosen from elsewhere; the first has the function of a harmless number.
    let found = try gradients(
      of: { select([1, 0], edge.body($0[0]), $0[0] * 3) }, at: [[0.5, edge.point]], weights: [0, 1])
    #expect(found[0][0] == 0)
    #expect(found[0][1] == 3)
    // In single vectors of lanes and in whole ones.
    inChunk(rows: 40, tape: Tape()) { chunk in
      guard let tape = chunk.context.tape else { return }
      let x = chunk.batched((0..<80).map { $0 % 2 == 0 ? 0.5 : edge.point }, [2])
      let node = tape.append(shape: [2], stride: x.stride, .none)
      let y = select(0, edge.body(x.tracked(node: node, tape: tape.id)), 1)
      tape.add(chunk.seed([Float](repeating: 1, count: 80), [2]), to: y.node)
      #expect(throws: Never.self) { try tape.pullBack() }
      if let gradient = tape.gradient(of: node) { #expect(chunk.values(gradient).allSatisfy { $0 == 0 }) }
    }
  }

  /// A normal density of NaN or of a scale of 0 that does not count, as under a mask.
  @Test func densitiesNotChosen() throws {
    let mask: Tensor = [1, 0, 1, 0]
    let values: Tensor = [1, .nan, 2, 1]
    let found = try gradients(
      of: { select(mask, normalLogDensity(values, location: $0[0], scale: $0[1], reducing: 0), 0) },
      at: [0, [1, 1, 1, 0]])
    #expect(found[0] == [3])
    #expect(found[1] == [0, 0, 3, 0])
  }

  /// An infinite gradient does not pass to what was not the extreme.
  @Test func extremes() throws {
    #expect(try gradients(of: { sqrt(maximum($0[0], 0)) }, at: [[-1, 4]]) == [[0, 0.25]])
    #expect(try gradients(of: { log($0[0].clamped(to: 0...1)) }, at: [[-1, 0.5, 2]]) == [[0, 2, 0]])
    #expect(try gradients(of: { sqrt(minimum($0[0], 0) + 0) }, at: [[1]]) == [[0]])
  }

  @Test func powersAtTheirEdges() throws {
    let bases: Tensor = [0, 0, 2, .infinity]
    let exponents: Tensor = [1, 2, 0, -1]
    let found = try gradients(of: { pow($0[0], $0[1]) }, at: [bases, exponents])
    #expect(found[0] == [1, 0, 0, 0])
    #expect(distance(found[1], [0, 0, 0.693_147_180_559_945, 0]) < 1e-6)
    #expect(try gradients(of: { pow($0[0], 0) }, at: [[0, .infinity, 3]]) == [[0, 0, 0]])
  }

  /// Where it counts, an infinite derivative stays infinite.
  @Test func whatCountsIsNotHidden() throws {
    #expect(try gradients(of: { log($0[0]) }, at: [[0]]) == [[.infinity]])
    #expect(try gradients(of: { sqrt($0[0]) }, at: [[0]]) == [[.infinity]])
    #expect(try gradients(of: { $0[0] * .nan }, at: [1])[0][0].isNaN)
  }
}
