import Coix
import Testing

/// The shape table of a trace.
@Suite struct ShapeTableTests {
  private static let model = Model { (trace, x: Tensor) in
    let z = trace.sample("z", from: Normal(0, 1).expanded(to: [2]).event(1))
    let local = trace.plate("N", 5)
    let points = local.sample("points", from: Normal(0, 1).expanded(to: [5, 3]).event(1))
    local.observe("x", x, from: Normal(points.sum(axis: -1), 1))
    trace.factor("penalty", -z.sum())
    return z
  }

  @Test func plates() throws {
    let (particles, instances) = (Plate("particle", count: 3), Plate("instance", count: 4))
    let data = instances.mapped(Tensor.zeros([4, 5]))
    let nested = try evaluate(particles(instances(Self.model)), seed: 0)(data)
    #expect(
      nested.trace.shapeTable == """
        plates: "particle" of 3 × "instance" of 4
        site     observed  value         batch   local  event  log-prob
        z                  [3, 4, 2]     [3, 4]  []     [2]    [3, 4]
        points             [3, 4, 5, 3]  [3, 4]  [5]    [3]    [3, 4, 5]
        x        yes       [3, 4, 5]     [3, 4]  [5]    []     [3, 4, 5]
        penalty  yes       [3, 4, 0]     [3, 4]  []     [0]    [3, 4]
        """)
    #expect(nested.trace.plates == [particles, instances])
    let unplated = try evaluate(Self.model, seed: 0)(Tensor.zeros([5]))
    #expect(
      unplated.trace.shapeTable == """
        plates: none
        site     observed  value   batch  local  event  log-prob
        z                  [2]     []     []     [2]    []
        points             [5, 3]  []     [5]    [3]    [5]
        x        yes       [5]     []     [5]    []     [5]
        penalty  yes       [0]     []     []     [0]    []
        """)
  }

  /// The plates are those behind the last resampling.
  @Test func resampled() throws {
    let (particles, instances) = (Plate("particle", count: 3), Plate("instance", count: 4))
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
    let plated = particles(instances(kernel))
    #expect(
      try evaluate(resample(plated, count: 7), seed: 0)().trace.shapeTable == """
        plates: "particle" of 7 × "instance" of 4
        site  observed  value   batch   local  event  log-prob
        z               [7, 4]  [7, 4]  []     []     [7, 4]
        """)
    #expect(
      try evaluate(resample(plated, count: .one), seed: 0)().trace.shapeTable == """
        plates: "instance" of 4
        site  observed  value  batch  local  event  log-prob
        z               [4]    [4]    []     []     [4]
        """)
    let dropped = try evaluate(plated, seed: 0, options: EvaluationOptions(keep: .metrics))()
    #expect(
      dropped.trace.shapeTable == """
        plates: "particle" of 3 × "instance" of 4
        site  observed  value  batch  local  event  log-prob
        """)
  }

  /// Whatever is put into a trace by hand can be shown.
  @Test func tracesByHand() {
    let plate = Plate("particle", count: 3)
    for rank in [-5, 0, 1, 9] {
      let site = Site(name: "z", value: Tensor.zeros([2]), logProb: 0, eventRank: rank)
      for plates in [[], [plate], [plate, plate, plate]] {
        #expect(Trace([site], plates: plates).shapeTable.split(separator: "\n").count == 3)
      }
    }
    #expect(Trace().shapeTable.hasPrefix("plates: none\nsite"))
  }
}
