import CoixParallel
import TestSupport
import Testing

/// Outside of plates several threads share a long draw, and its numbers are those of one thread.
@Suite struct DrawTeamTests {
  static let draw = Draw(key: 3, shape: [2, 50_001])

  static let draws: [(name: String, draw: @Sendable () -> [Float])] = [
    ("uniform", { draw.uniform().scalars }),
    ("normal", { draw.normal().scalars }),
    ("normal with parameters", { draw.normal(location: 2, scale: 0.5).scalars }),
    ("gumbel", { draw.gumbel().scalars }),
    ("integers", { draw.integers(in: -5..<1_000).map(Float.init) }),
    ("bits", { draw.bits().map { Float(bitPattern: $0 & 0x3fff_ffff) } }),
    ("gamma", { draw.gamma(0.7).scalars }),
    ("binomial", { draw.binomial(9, 0.3).scalars }),
  ]

  @Test(arguments: draws.indices) func anyTeamDrawsTheSame(_ index: Int) {
    let draw = Self.draws[index].draw
    let one = ExecutionContext.caller(team: 1).withCurrent(draw)
    #expect(one.count == 100_002)
    for team in [2, 3, 16] {
      #expect(
        sameBits(ExecutionContext.caller(team: team).withCurrent(draw), one), "\(Self.draws[index].name)")
    }
  }
}
