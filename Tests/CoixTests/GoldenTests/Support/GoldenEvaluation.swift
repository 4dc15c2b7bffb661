import Coix
import Testing

extension GoldenCase {
  /// What differs between a program's evaluation and the case: sites and their order and flags, values,
  /// log-probabilities, and metrics, those that must be absent included.
  ///
  /// Observed values may lack the plate's axes in the file, which has them as they were given.
  ///
  /// - Parameters:
  ///   - outputs: by the entries' names.
  ///   - valueTolerance: for outputs and values.
  ///   - metricTolerance: for log-probabilities and metrics.
  ///   - tiedRows: how many particles may differ.
  ///   - hasInnerPlate: whether the program has a plate within the particles'. NumPyro then leaves out, or
  ///     has with size 1, an axis along which nothing varies.
  ///   - hasConstantOutputs: whether outputs may be data, which the file has as they were given.
  func differences(
    outputs: [String: Tensor], trace: Trace, metrics: Metrics, valueTolerance: Tolerance = .value,
    metricTolerance: Tolerance = .metric, tiedRows: Int = 0, hasInnerPlate: Bool = false,
    hasConstantOutputs: Bool = false
  ) throws -> [String] {
    var differences: [String?] = []
    let sites = try GoldenSite.list(self)
    let found = trace.sites.map(GoldenSite.init)
    if found != sites { differences.append("\(name): the sites are \(found), expected \(sites)") }

    var entries = outputs.mapValues { ($0, valueTolerance, hasInnerPlate || hasConstantOutputs) }
    for site in trace.sites {
      entries["trace.\(site.name).value"] = (
        site.value, valueTolerance, site.isObserved || hasInnerPlate
      )
      entries["trace.\(site.name).log_prob"] = (site.logProb, metricTolerance, hasInnerPlate)
    }
    entries["metrics.log_weight"] = (metrics.logWeight, metricTolerance, false)
    entries["metrics.ess"] = (try? metrics.ess).map { ($0, metricTolerance, false) }
    entries["metrics.log_Z"] = (try? metrics.logZ).map { ($0, metricTolerance, false) }
    entries["metrics.log_density"] = (try? metrics.logDensity).map { ($0, metricTolerance, false) }
    entries["metrics.loss"] = (try? metrics.loss).map { ($0, metricTolerance, false) }

    for entry in Set(entries.keys).union(expected.keys).sorted() {
      guard expected[entry] != nil else {
        differences.append("\(name): \(entry) should not be there")
        continue
      }
      guard let (tensor, tolerance, mayLackAxes) = entries[entry] else {
        differences.append("\(name): \(entry) is missing")
        continue
      }
      differences.append(
        try difference(entry, tensor, within: tolerance, broadcasting: mayLackAxes, tiedRows: tiedRows))
    }
    return differences.compactMap { $0 }
  }
}
