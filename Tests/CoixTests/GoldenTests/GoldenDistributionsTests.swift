import Coix
import Testing

/// Distributions: log-probabilities and their gradients, draws and their pathwise gradients.
///
/// What the cases have beyond a distribution's own axes, `sample_shape` or further axes of the value, are
/// rows of a plate here; draws and log-probabilities are also checked outside of plates. The families that
/// the reference's file lacks are in a file of their own, which `Tests/References/families.py` writes.
@Suite struct GoldenDistributionsTests {
  @Test(arguments: try GoldenFile.cases("distributions") + GoldenFile.cases("families", isOwn: true))
  func agrees(_ golden: GoldenCase) throws {
    switch try golden.field("op") {
    case "log_prob": try checkLogProb(golden)
    case "sample": try checkSample(golden)
    case let op: Issue.record("\(golden.name): unknown op \(op)")
    }
  }

  // MARK: Log-probabilities

  private func checkLogProb(_ golden: GoldenCase) throws {
    let recipe = try GoldenDistribution(golden)
    let parameters = golden.inputs.mapValues(\.tensor)
    let tracked = parameters.filter { golden.expected["grad.\($0.key)"] != nil }
    func check(_ place: String, _ body: ([String: Tensor]) throws -> Tensor) throws {
      let (result, found) = try valueWithGradient(at: tracked) { tracked in
        let found = try body(parameters.merging(tracked) { $1 })
        return (found.sum(), found.detached)
      }
      report(try logProbDifference(golden, found).map { $0 + place })
      for entry in golden.expected.keys.sorted() where entry.hasPrefix("grad.") {
        let gradient = try result.gradient.entry(String(entry.dropFirst(5)))
        report(try golden.difference(entry, gradient, within: .densityGradient).map { $0 + place })
      }
    }
    try check("") { try recipe.make($0).logProb(of: try $0.entry("value")) }
    // The value's further axes as rows.
    let (value, own) = (try parameters.entry("value"), try recipe.make(parameters).shape)
    let further = value.shape.rank - own.rank
    guard further > 0 else { return }
    let rows = value.shape.prefix(further).reduce(1, *)
    let plate = Plate("row", count: rows)
    try check(", in a plate") { tensors in
      let mapped = plate.mapped(
        try tensors.entry("value").reshaped(to: Shape([rows] + value.shape.dropFirst(further))))
      let program = Kernel { (_, x: Tensor) in try recipe.make(tensors).logProb(of: x) }
      let output = try evaluate(plate(program), seed: 0)(mapped).output.values
      return output.reshaped(
        to: Shape(value.shape.prefix(further)).appending(Shape(output.shape.dropFirst())))
    }
  }

  /// The families whose log-density the reference computes as a difference of log-gammas in single precision.
  private static let differencesOfLogGammas: Set<String> = [
    "Beta", "Dirichlet", "StudentT", "Gamma",
  ]

  /// Compares log-probabilities.
  ///
  /// Where the reference subtracts log-gammas, its own numbers are off by the rounding of these: they may
  /// differ by 2⁻²⁴ times the size of its terms, Σ |p| (1 + |log |p||) over the parameters and the value.
  /// With a concentration of 500 that is 3·10⁻⁴, where the exact number, which these log-densities are tested
  /// against elsewhere, and the reference's differ by 8·10⁻⁵.
  private func logProbDifference(_ golden: GoldenCase, _ found: Tensor) throws -> String? {
    guard Self.differencesOfLogGammas.contains(try golden.field("distribution")) else {
      return try golden.difference("log_prob", found, within: .logDensity)
    }
    let terms = golden.inputs.values.map(\.tensor).filter { $0.shape.elementCount > 0 }
      .map { abs($0) * (1 + abs(log(maximum(abs($0), Tensor(.leastNormalMagnitude))))) }
    let sizes = terms.reduce(Tensor(0)) { $0 + $1 }
    func tolerance(_ size: Float) -> Tolerance {
      .mixedAndRounding(5e-6, size.isFinite ? 0x1p-24 * size : 0)
    }
    let expected = try golden.expectation("log_prob").tensor
    guard sizes.shape == found.shape, expected.shape == found.shape else {
      // Events, or values over further axes.
      return try golden.difference("log_prob", found, within: tolerance(sizes.max().scalar))
    }
    return zip(sizes.scalars, zip(expected.scalars, found.scalars)).lazy.compactMap { size, numbers in
      golden.difference(
        "log_prob", expected: [numbers.0], found: [numbers.1], within: tolerance(size))
    }.first
  }

  // MARK: Draws

  private func checkSample(_ golden: GoldenCase) throws {
    let recipe = try GoldenDistribution(golden)
    let key = try golden.key()
    let rowShape = try recipe.sampleShape(golden)
    let parameters = golden.inputs.mapValues(\.tensor).filter { $0.key != "key" }
    let tracked = parameters.filter { golden.expected["grad.\($0.key)"] != nil }

    /// The draw, with the sample axes as rows of a plate.
    func sample(_ tensors: [String: Tensor]) throws -> Tensor {
      guard !rowShape.isEmpty else { return try recipe.make(tensors).sample(key) }
      let plate = Plate("row", count: rowShape.reduce(1, *))
      let program = Kernel { (_) in try recipe.make(tensors).sample(key) }
      let output = try evaluate(plate(program), seed: 0)().output.values
      return output.reshaped(to: Shape(rowShape).appending(Shape(output.shape.dropFirst())))
    }
    let (result, found) = try valueWithGradient(at: tracked) { tracked in
      let found = try sample(parameters.merging(tracked) { $1 })
      return (found.sum(), found.detached)
    }
    report(try golden.difference("sample", found, within: try recipe.drawTolerance(golden)))
    let tolerance = try recipe.drawGradientTolerance(golden)
    for name in tracked.keys.sorted() {
      report(try golden.difference("grad.\(name)", try result.gradient.entry(name), within: tolerance))
    }
  }
}
