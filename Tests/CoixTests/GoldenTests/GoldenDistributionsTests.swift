import Coix
import Testing

/// Distributions: log-probabilities and their gradients, draws and their pathwise gradients.
///
/// What the cases have beyond a distribution's own axes, `sample_shape` or further axes of the value, are rows of a plate here;
/// draws and log-probabilities are also checked outside of plates. The families that the reference's file lacks are in a file of their
/// own, which `Tests/References/families.py` writes.
@Suite struct GoldenDistributionsTests {
  @Test(arguments: try GoldenFile.cases("distributions") + GoldenFile.cases("families"))
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
      report(try golden.difference("log_prob", found, within: .logDensity).map { $0 + place })
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
