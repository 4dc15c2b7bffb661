import CoixParallel
import Foundation

/// The mean under log-weights `[particles, instances…]` of values `[particles, instances…, event…]`:
/// `[instances…, event…]`.
///
/// Sums are taken in double. The result is a constant.
///
/// - Throws: `CoixError.shape(operation:shapes:reason:)` if the shapes don't fit;
///   `CoixError.weights(instance:reason:)` where an instance's weights are all -inf, or one is NaN or
///   +inf.
public func weightedMean(of values: Tensor, logWeights: Tensor) throws -> Tensor {
  try WeightedColumns("weightedMean", values, logWeights).map { values, weights in [mean(values, weights)] }
}

/// The variance, Σ w (x - mean)² with weights that sum to 1; see ``weightedMean(of:logWeights:)``.
///
/// - Throws: as for the mean.
public func weightedVariance(of values: Tensor, logWeights: Tensor) throws -> Tensor {
  try WeightedColumns("weightedVariance", values, logWeights).map { values, weights in
    let center = mean(values, weights)
    return [mean(values.map { ($0 - center) * ($0 - center) }, weights)]
  }
}

/// Quantiles `[levels, instances…, event…]`; see ``weightedMean(of:logWeights:)``.
///
/// The quantile of a level is the smallest value for which it and all smaller values together have at least
/// that weight. Weights are summed without rounding, in units of the greatest one's 2⁻⁶².
///
/// - Throws: as for the mean; `CoixError.argument(_:)` for levels outside of 0...1.
public func weightedQuantiles(_ levels: [Double], of values: Tensor, logWeights: Tensor) throws -> Tensor {
  try requireLevels(levels)
  let columns = try WeightedColumns("weightedQuantiles", values, logWeights)
  func quantiles(_ values: [Double], _ units: [UInt64?]) -> [Double] {
    // Particles without weight have no part in it, also at levels 0 and 1.
    let order = values.indices.filter { units[$0] != nil }.sorted { values[$0] < values[$1] }
    guard !order.contains(where: { values[$0].isNaN }) else { return levels.map { _ in .nan } }
    var total = WeightUnits()
    let cumulative = order.map { row in
      total.add(units[row] ?? 0)
      return total.number
    }
    return levels.map { level in
      var (low, high) = (0, max(order.count - 1, 0))
      while low < high {
        let middle = (low + high) / 2
        if cumulative[middle] >= level * total.number { high = middle } else { low = middle + 1 }
      }
      return order.isEmpty ? .nan : values[order[low]]
    }
  }
  return try columns.map(levels.count, by: WeightUnits.units(of:_:), quantiles)
}

/// - Throws: `CoixError.argument(_:)` for levels outside of 0...1.
func requireLevels(_ levels: [Double]) throws {
  guard let level = levels.first(where: { !(0...1).contains($0) }) else { return }
  throw CoixError.argument("quantiles: levels must lie between 0 and 1, one is \(level); that of 5 % is 0.05")
}

extension Evaluation {
  /// A site's mean under the evaluation's weights; see ``weightedMean(of:logWeights:)``.
  ///
  /// - Throws: `CoixError.site(name:reason:)` if the trace has no such site; as for tensors.
  public func weightedMean(of site: String) throws -> Tensor {
    try Coix.weightedMean(of: value(of: site), logWeights: metrics.logWeight)
  }

  /// A site's variance; see ``weightedVariance(of:logWeights:)``.
  ///
  /// - Throws: as for the mean.
  public func weightedVariance(of site: String) throws -> Tensor {
    try Coix.weightedVariance(of: value(of: site), logWeights: metrics.logWeight)
  }

  /// A site's quantiles; see ``weightedQuantiles(_:of:logWeights:)``.
  ///
  /// - Throws: as for the mean; `CoixError.argument(_:)` for levels outside of 0...1.
  public func weightedQuantiles(_ levels: [Double], of site: String) throws -> Tensor {
    try Coix.weightedQuantiles(levels, of: value(of: site), logWeights: metrics.logWeight)
  }

  private func value(of site: String) throws -> Tensor {
    guard let value = trace[site]?.value else {
      guard keep == .everything else {
        throw CoixError.site(
          name: site, reason: "the evaluation has kept no trace: EvaluationOptions(keep: .everything) does")
      }
      throw CoixError.site(
        name: site, reason: "the evaluation's trace has no such site; there are \(trace.names.listed)")
    }
    return value
  }
}

private func mean(_ values: [Double], _ weights: [Double]) -> Double {
  // Particles without weight don't count, whatever their values.
  var sum = 0.0
  for (value, weight) in zip(values, weights) where weight > 0 { sum += weight * value }
  return sum
}

/// Values under weights, to be taken one number of an instance's event at a time.
private struct WeightedColumns {
  private let weights: LogWeights
  private let values: Tensor
  private let event: Shape

  init(_ operation: String, _ values: Tensor, _ logWeights: Tensor) throws {
    weights = try LogWeights(logWeights)
    _ = try weights.moments()
    self.values = try values.validated()
    guard values.shape.rank >= logWeights.shape.rank, !values.isBatched, !values.isMapped,
      values.shape.leading(logWeights.shape.rank) == logWeights.shape
    else {
      throw CoixError.shape(
        operation: operation, shapes: [values.shape, logWeights.shape],
        reason: "the values' first axes must be those of the weights")
    }
    event = values.shape.dropping(logWeights.shape.rank)
  }

  /// `count` numbers of each column, given its values and weights: `[instances…, event…]`, with several
  /// numbers on a first axis.
  func map(_ count: Int? = nil, _ numbers: ([Double], [Double]) -> [Double]) throws -> Tensor {
    try map(count, by: { try $0.normalized($1) }, numbers)
  }

  /// - Parameter weight: an instance's weights, as `numbers` takes them.
  func map<Weight>(
    _ count: Int? = nil, by weight: (LogWeights, Int) throws -> [Weight],
    _ numbers: ([Double], [Weight]) -> [Double]
  ) throws -> Tensor {
    let population = weights.population
    let columns = population.instances * event.elementCount
    // One column's values and weights, an order and sums.
    try Memory.require(
      5 * population.particles, of: Double.self, for: "statistics of \(population.particles) particles")
    try Memory.require(columns * (count ?? 1), of: Float.self, for: "statistics of \(columns) columns")
    var result = [Float](repeating: 0, count: columns * (count ?? 1))
    for instance in 0..<population.instances {
      let own = try weight(weights, instance)
      for element in 0..<event.elementCount {
        let column = instance * event.elementCount + element
        var rows: [Double] = []
        rows.reserveCapacity(population.particles)
        population.forEachParticle(of: instance, in: values, element: element) { rows.append(Double($0)) }
        for (index, number) in numbers(rows, own).enumerated() {
          result[index * columns + column] = Float(number)
        }
      }
    }
    let shape = weights.instanceShape.appending(event)
    return try Tensor(result, shape: count.map { Shape([$0]).appending(shape) } ?? shape).validated()
  }
}
