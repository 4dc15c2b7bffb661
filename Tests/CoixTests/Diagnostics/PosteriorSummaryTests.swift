import Foundation
import Testing

@testable import Coix

@Suite struct PosteriorSummaryTests {
  private static let (particle, point) = (Plate("particle", count: 50), Plate("point", count: 3))
  private static let model = Model { trace in
    let scale = trace.sample("scale", from: LogNormal(0, 1))
    let z = trace.sample("z", from: Normal(0, scale).expanded(to: [2]).event(1))
    trace.observe("x", [0.5, 1], from: Normal(z, 1).event(1))
    return z
  }

  /// The same numbers as the functions for one site at a time.
  @Test func rowsAreWeightedStatistics() throws {
    let result = try evaluate(Self.particle(Self.point(Self.model)), seed: 0)()
    let levels = [0.1, 0.25, 0.9]
    let summary = try result.summary(quantiles: levels)
    #expect(summary.levels == levels)
    let places = (0..<3).flatMap { point in (0..<2).map { "z[\(point),\($0)]" } }
    #expect(summary.rows.map(\.name) == (0..<3).map { "scale[\($0)]" } + places)
    let ess = try effectiveSampleSize(result.metrics.logWeight).scalars
    for (site, width) in [("scale", 1), ("z", 2)] {
      let (mean, variance) = (try result.weightedMean(of: site), try result.weightedVariance(of: site))
      let quantiles = try result.weightedQuantiles(levels, of: site).scalars
      let rows = summary.rows.filter { $0.name.hasPrefix(site) }
      #expect(rows.map(\.mean) == mean.scalars)
      #expect(rows.map(\.standardDeviation) == variance.scalars.map { $0.squareRoot() })
      for (index, row) in rows.enumerated() {
        #expect(row.quantiles == (0..<3).map { quantiles[$0 * rows.count + index] })
        #expect(row.ess == ess[index / width])
      }
    }
    #expect(summary["z[2,1]"] == summary.rows.last && summary["x"] == nil)
  }

  @Test func itIsATable() throws {
    let summary = PosteriorSummary(
      levels: [0.025],
      rows: [
        .init(name: "z", mean: 2, standardDeviation: 0.123_456, quantiles: [1.75], ess: 49.6),
        .init(name: "long[1]", mean: -1e7, standardDeviation: -.nan, quantiles: [-.infinity], ess: 1),
      ])
    #expect(
      summary.description == """
                   mean      sd  2.5%  ESS
        z             2  0.1235  1.75   50
        long[1]  -1e+07     nan  -inf    1
        """)
  }

  /// Against the exact posterior.
  @Test func posteriorOfANormal() throws {
    let normal = ConjugateNormal()
    let result = try evaluate(Plate("particle", count: 20_000)(normal.model), seed: 1)()
    let row = try #require(try result.summary()["z"])
    let (mean, scale) = normal.posterior
    #expect(abs(Double(row.mean) - mean) < 0.03 && abs(Double(row.standardDeviation) - scale) < 0.03)
    for (quantile, z) in zip(row.quantiles, [-1.645, 0, 1.645]) {
      #expect(abs(Double(quantile) - (mean + z * scale)) < 0.06)
    }
    #expect(row.ess == (try effectiveSampleSize(result.metrics.logWeight).scalar))
  }

  @Test func saysWhatIsMissing() throws {
    #expect(
      message { try evaluate(Self.model, seed: 0)().summary() }
        == "summary: there are no particles to summarize")
    let options = EvaluationOptions(keep: .metrics)
    #expect(
      message { try evaluate(Self.particle(Self.model), seed: 0, options: options)().summary() }
        == "summary: the evaluation has kept no trace: EvaluationOptions(keep: .everything) does")
    #expect(
      message { try evaluate(Self.particle(Self.model), seed: 0)().summary(quantiles: [5]) }
        == "quantiles: levels must lie between 0 and 1, one is 5.0; that of 5 % is 0.05")
  }
}
