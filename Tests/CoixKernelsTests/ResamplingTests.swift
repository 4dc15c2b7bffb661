import CoixKernels
import Foundation
import Testing

@Suite struct ResamplingTests {
  /// The indices, or nil and the failing column.
  static func systematic(
    _ logWeight: [Float], _ uniform: [Float], n: Int, count: Int, team: Int32 = 1
  ) -> (index: [Int32], status: Int64) {
    var index = [Int32](repeating: -9, count: count * uniform.count)
    let status = coix_systematic(logWeight, uniform, &index, n, uniform.count, count, team)
    return (index, status)
  }

  /// Walks along the cumulative weights of one column, in double. Positions nearer than 1e-6 to a border are
  /// ties.
  static func reference(_ weights: [Double], uniform: Double, count: Int) -> [(index: Int, isTie: Bool)] {
    let total = weights.reduce(0, +)
    var (row, sum) = (0, weights[0])
    let last = weights.lastIndex { $0 > 0 } ?? 0
    return (0..<count).map { i in
      let position = (uniform + Double(i)) / Double(count) * total
      while row < last && (sum < position || weights[row] == 0) {
        row += 1
        sum += weights[row]
      }
      let margin = min(abs(sum - position), abs(sum - weights[row] - position)) / total
      return (row, margin < 1e-6)
    }
  }

  @Test(arguments: [
    (1, 1, 1), (10, 1, 10), (10, 3, 7), (1_000, 2, 1_000), (5_000, 1, 5_000), (7, 2, 100), (3_000, 1, 50),
  ])
  func ancestorsAreThePlainWalks(n: Int, columns: Int, count: Int) {
    var random = SplitMix(seed: 60)
    for share in [0, 0.3] as [Float] {
      var logWeight = random.floats(n * columns, in: -6...2)
      for at in logWeight.indices where at >= columns && Float.random(in: 0...1, using: &random) < share {
        logWeight[at] = -.infinity
      }
      let uniform = random.floats(columns, in: 0...0.999)
      let (index, status) = Self.systematic(logWeight, uniform, n: n, count: count)
      #expect(status == 0)
      for c in 0..<columns {
        let weights = (0..<n).map { exp(Double(logWeight[$0 * columns + c])) }
        let want = Self.reference(weights, uniform: Double(uniform[c]), count: count)
        for i in 0..<count where !want[i].isTie { #expect(Int(index[i * columns + c]) == want[i].index) }
      }
    }
  }

  @Test func equalWeightsKeepEveryone() {
    for n in oddSizes {
      let logWeight = [Float](repeating: -3, count: n)
      #expect(Self.systematic(logWeight, [0.5], n: n, count: n).index == (0..<n).map(Int32.init))
    }
  }

  /// At uniform 0 the first position is 0: it belongs to the first row that has any weight.
  @Test func rowsWithoutWeightAreNeverChosen() {
    for n in [3, 70, 3_000] {
      var logWeight = [Float](repeating: -.infinity, count: n)
      logWeight[n / 2] = -200
      for uniform: Float in [0, 0.999_999_94] {
        let index = Self.systematic(logWeight, [uniform], n: n, count: n).index
        #expect(index.allSatisfy { $0 == Int32(n / 2) })
      }
    }
  }

  @Test func impossibleColumnsAreReported() {
    let weights: [Float] = [0, -.infinity, 0, -.infinity]
    #expect(Self.systematic(weights, [0.1, 0.2], n: 2, count: 2).status == 2)
    #expect(Self.systematic([0, .nan], [0.1], n: 2, count: 2).status == 1)
    #expect(Self.systematic([0, .infinity], [0.1], n: 2, count: 2).status == 1)
    #expect(Self.systematic([], [0.1], n: 0, count: 2).status == 1)
  }

  @Test func teamsChangeNothing() {
    var random = SplitMix(seed: 61)
    let logWeight = random.floats(100_000, in: -10...0)
    let alone = Self.systematic(logWeight, [0.3], n: 100_000, count: 100_000)
    for team: Int32 in [2, 3] {
      #expect(Self.systematic(logWeight, [0.3], n: 100_000, count: 100_000, team: team).index == alone.index)
    }
  }
}
