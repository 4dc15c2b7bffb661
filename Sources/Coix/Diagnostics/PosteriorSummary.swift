import CoixParallel
import Foundation

/// A table of a weighted posterior, as ArviZ and NumPyro print it: `print(try evaluation.summary())`.
///
/// ```text
///      mean      sd     5%     50%    95%    ESS
/// z  0.9992  0.4469  0.265  0.9987  1.738  76424
/// ```
public struct PosteriorSummary: Sendable {
  /// What is known of one number of one site.
  public struct Row: Hashable, Sendable {
    /// The site's name, with the number's place behind it: `z[2,0]`, the instance first.
    public let name: String
    /// The mean under the weights.
    public let mean: Float
    /// The standard deviation: the root of ``weightedVariance(of:logWeights:)``.
    public let standardDeviation: Float
    /// The quantiles of the table's levels; see ``weightedQuantiles(_:of:logWeights:)``.
    public let quantiles: [Float]
    /// The effective sample size of the number's instance.
    public let ess: Float
  }

  /// The quantiles' levels.
  public let levels: [Double]
  /// A row for each number of each latent site, in the order in which the sites ran.
  public let rows: [Row]

  /// The row of a name; nil if there is none.
  public subscript(name: String) -> Row? { rows.first { $0.name == name } }
}

extension Evaluation {
  /// Means, standard deviations and quantiles of the latent sites under the evaluation's weights, with the effective sample
  /// size.
  ///
  /// - Parameter levels: the quantiles' levels, from 0 to 1.
  /// - Throws: `CoixError.argument(_:)` if the evaluation has no particles or has kept no trace, and for levels outside of
  ///   0...1; as for ``weightedMean(of:logWeights:)``.
  public func summary(quantiles levels: [Double] = [0.05, 0.5, 0.95]) throws -> PosteriorSummary {
    guard hasParticles else { throw CoixError.argument("summary: there are no particles to summarize") }
    guard keep == .everything else {
      throw CoixError.argument(
        "summary: the evaluation has kept no trace: EvaluationOptions(keep: .everything) does")
    }
    let logWeights = logWeights
    let ess = try effectiveSampleSize(logWeights).scalars
    let rows = try latents.flatMap { site in
      PosteriorSummary.rows(
        site.name, mean: try Coix.weightedMean(of: site.value, logWeights: logWeights),
        variance: try Coix.weightedVariance(of: site.value, logWeights: logWeights),
        quantiles: try Coix.weightedQuantiles(levels, of: site.value, logWeights: logWeights), ess: ess)
    }
    return PosteriorSummary(levels: levels, rows: rows)
  }
}

extension PosteriorSummary {
  /// The rows of a site's numbers.
  ///
  /// - Parameters:
  ///   - mean: `[instances…, event…]`; the variance has that shape, too, and quantiles a first axis of levels more.
  ///   - ess: the effective sample size of each instance.
  static func rows(_ name: String, mean: Tensor, variance: Tensor, quantiles: Tensor, ess: [Float]) -> [Row] {
    let (variances, quantiles) = (variance.scalars, quantiles.scalars)
    return mean.scalars.enumerated().map { index, number in
      Row(
        name: name + place(index, in: mean.shape), mean: number,
        standardDeviation: variances[index].squareRoot(),
        quantiles: stride(from: index, to: quantiles.count, by: variances.count).map { quantiles[$0] },
        ess: ess[index * ess.count / variances.count])
    }
  }

  /// An element's place in a tensor, as a text: `[2,0]`; empty in a scalar.
  private static func place(_ index: Int, in shape: Shape) -> String {
    var (rest, places) = (index, [String]())
    for size in shape.reversed() {
      places.insert(String(rest % size), at: 0)
      rest /= size
    }
    return places.isEmpty ? "" : "[\(places.joined(separator: ","))]"
  }
}

extension PosteriorSummary: CustomStringConvertible {
  public var description: String {
    func text(_ number: Float) -> String { String(format: "%.4g", Double(number.withoutSignOfNaN)) }
    let head =
      ["", "mean", "sd"] + levels.map { "\(String(format: "%g", 100 * $0))%" } + ["ESS"]
    let lines =
      [head]
      + rows.map { row in
        [row.name] + ([row.mean, row.standardDeviation] + row.quantiles).map(text)
          + [String(format: "%.0f", Double(row.ess))]
      }
    let widths = head.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      line.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - line[column].count)
        return column == 0 ? line[column] + padding : padding + line[column]
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }
}
