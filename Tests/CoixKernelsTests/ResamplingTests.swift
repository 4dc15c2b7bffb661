import CoixKernels
import Foundation
import TestSupport
import Testing

@Suite struct ResamplingTests {
  static let schemes = [COIX_SYSTEMATIC, COIX_STRATIFIED, COIX_MULTINOMIAL, COIX_RESIDUAL]

  /// The random numbers of a scheme: uniform or exponential.
  static func random(_ scheme: coix_resampling_scheme, columns: Int, count: Int, _ seed: UInt64) -> [Float] {
    var random = SplitMix(seed: seed)
    switch scheme {
    case COIX_SYSTEMATIC: return random.floats(columns, in: 0...0.999)
    case COIX_STRATIFIED: return random.floats(columns * count, in: 0...0.999)
    default: return random.floats(columns * (count + 1), in: 0...0.999).map { -log1p(-$0) }
    }
  }

  /// The indices, and the number of the failing column or 0.
  static func resample(
    _ scheme: coix_resampling_scheme, _ logWeight: [Float], _ random: [Float], n: Int, columns: Int = 1,
    count: Int, team: Int32 = 1
  ) -> (index: [Int32], status: Int64) {
    var index = [Int32](repeating: -9, count: count * columns + 16)
    var workspace = [Double](repeating: -9, count: count * columns + 16)
    let needsWorkspace = scheme == COIX_MULTINOMIAL || scheme == COIX_RESIDUAL
    let status = workspace.withUnsafeMutableBufferPointer {
      coix_resample(
        scheme, logWeight, random, needsWorkspace ? $0.baseAddress : nil, &index, n, columns, count, team)
    }
    #expect(index[(count * columns)...].allSatisfy { $0 == -9 }, "written beyond the end")
    #expect(workspace[(count * columns)...].allSatisfy { $0 == -9 }, "written beyond the end")
    return (Array(index[..<(count * columns)]), status)
  }

  /// Walks along the cumulative weights of one column, in double. Positions nearer than 1e-9 to a border are
  /// ties.
  static func walk(_ weights: [Double], to positions: [Double]) -> [(index: Int, isTie: Bool)] {
    let total = weights.reduce(0, +)
    var (row, sum) = (0, weights[0])
    let last = weights.lastIndex { $0 > 0 } ?? 0
    return positions.map { fraction in
      let position = fraction * total
      while row < last && (sum < position || weights[row] == 0) {
        row += 1
        sum += weights[row]
      }
      let margin = min(abs(sum - position), abs(sum - weights[row] - position)) / total
      return (row, margin < 1e-9)
    }
  }

  /// The partial sums of exponential numbers, over the sum of all of them.
  static func sortedUniforms(_ exponential: ArraySlice<Double>) -> [Double] {
    let total = exponential.reduce(0, +)
    var sum = 0.0
    return exponential.dropLast().map {
      sum += $0
      return sum / total
    }
  }

  /// What a scheme chooses in one column, by its definition.
  static func reference(
    _ scheme: coix_resampling_scheme, _ weights: [Double], _ random: [Float], column: Int, columns: Int,
    count: Int
  ) -> [(index: Int, isTie: Bool)] {
    func number(_ i: Int) -> Double { Double(random[i * columns + column]) }
    switch scheme {
    case COIX_SYSTEMATIC:
      return walk(weights, to: (0..<count).map { (number(0) + Double($0)) / Double(count) })
    case COIX_STRATIFIED:
      return walk(weights, to: (0..<count).map { (number($0) + Double($0)) / Double(count) })
    case COIX_MULTINOMIAL: return walk(weights, to: sortedUniforms((0...count).map(number)[...]))
    default:
      let total = weights.reduce(0, +)
      let copies = weights.map { Double(count) * $0 / total }
      // How a number of copies is rounded down may itself be a tie, unless there is no other particle.
      let isTied = weights.count > 1 && copies.contains { $0 > 0.5 && ($0 - $0.rounded()).magnitude < 1e-9 }
      let whole = copies.indices.flatMap { [Int](repeating: $0, count: Int(copies[$0])) }
      let rest = count - whole.count
      let drawn =
        rest == 0
        ? [] : walk(copies.map { $0 - $0.rounded(.down) }, to: sortedUniforms((0...rest).map(number)[...]))
      return whole.map { ($0, isTied) } + drawn.map { ($0.index, isTied || $0.isTie) }
    }
  }

  @Test(
    arguments: schemes,
    [
      (1, 1, 1), (1, 2, 7), (10, 1, 10), (10, 3, 7), (1_000, 2, 1_000), (5_000, 1, 5_000), (7, 2, 100),
      (3_000, 1, 50), (20, 40, 20), (300_000, 1, 1_000),
    ])
  func ancestorsAreThePlainWalks(_ scheme: coix_resampling_scheme, _ size: (n: Int, columns: Int, count: Int))
  {
    let (n, columns, count) = size
    var random = SplitMix(seed: 60)
    for share in [0, 0.3] as [Float] {
      var logWeight = random.floats(n * columns, in: -6...2)
      for at in logWeight.indices where at >= columns && Float.random(in: 0...1, using: &random) < share {
        logWeight[at] = -.infinity
      }
      let numbers = Self.random(scheme, columns: columns, count: count, 62)
      let (index, status) = Self.resample(scheme, logWeight, numbers, n: n, columns: columns, count: count)
      #expect(status == 0)
      for c in 0..<columns {
        let weights = (0..<n).map { exp(Double(logWeight[$0 * columns + c])) }
        let want = Self.reference(scheme, weights, numbers, column: c, columns: columns, count: count)
        let wrong = (0..<count).filter { !want[$0].isTie && Int(index[$0 * columns + c]) != want[$0].index }
        #expect(wrong.isEmpty, "column \(c)")
        if n > 1 { #expect(want.count { $0.isTie } <= 1 + count / 100) }
      }
    }
  }

  @Test(arguments: [COIX_SYSTEMATIC, COIX_STRATIFIED, COIX_RESIDUAL])
  func equalWeightsKeepEveryone(_ scheme: coix_resampling_scheme) {
    for n in oddSizes {
      let logWeight = [Float](repeating: -3, count: n)
      let random = Self.random(scheme, columns: 1, count: n, 63)
      #expect(Self.resample(scheme, logWeight, random, n: n, count: n).index == (0..<n).map(Int32.init))
    }
  }

  /// At uniform 0 the first position is 0: it belongs to the first row that has any weight.
  @Test(arguments: schemes)
  func rowsWithoutWeightAreNeverChosen(_ scheme: coix_resampling_scheme) {
    for n in [3, 70, 3_000] {
      var logWeight = [Float](repeating: -.infinity, count: n)
      logWeight[n / 2] = -200
      for number: Float in [0, 0.999_999_94] {
        let random = [Float](repeating: number, count: n + 1)
        let index = Self.resample(scheme, logWeight, random, n: n, count: n).index
        #expect(index.allSatisfy { $0 == Int32(n / 2) })
      }
    }
  }

  @Test(arguments: schemes)
  func impossibleColumnsAreReported(_ scheme: coix_resampling_scheme) {
    let weights: [Float] = [0, -.infinity, 0, -.infinity]
    let random: [Float] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    #expect(Self.resample(scheme, weights, random, n: 2, columns: 2, count: 2).status == 2)
    #expect(Self.resample(scheme, [0, .nan], random, n: 2, count: 2).status == 1)
    #expect(Self.resample(scheme, [.nan, 0], random, n: 2, count: 2).status == 1)
    #expect(Self.resample(scheme, [0, .infinity], random, n: 2, count: 2).status == 1)
    #expect(Self.resample(scheme, [], random, n: 0, count: 2).status == 1)
    // The first of many, also where a team shares them out.
    var many = [Float](repeating: 0, count: 20 * 5_000)
    for column in [3_000, 4_000] { many[7 * 5_000 + column] = .nan }
    let numbers = [Float](repeating: 0.5, count: 21 * 5_000)
    for team: Int32 in [1, 3] {
      #expect(
        Self.resample(scheme, many, numbers, n: 20, columns: 5_000, count: 20, team: team).status == 3_001)
    }
  }

  @Test(arguments: schemes, [(100_000, 1), (50_000, 3), (100, 2_000)])
  func teamsChangeNothing(_ scheme: coix_resampling_scheme, _ size: (n: Int, columns: Int)) {
    let (n, columns) = size
    var random = SplitMix(seed: 61)
    let logWeight = random.floats(n * columns, in: -10...0)
    let numbers = Self.random(scheme, columns: columns, count: n, 64)
    let alone = Self.resample(scheme, logWeight, numbers, n: n, columns: columns, count: n)
    for team: Int32 in [2, 3, 16] {
      let shared = Self.resample(scheme, logWeight, numbers, n: n, columns: columns, count: n, team: team)
      #expect(shared.index == alone.index)
    }
  }
}
