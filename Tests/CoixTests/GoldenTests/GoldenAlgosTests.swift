import Coix
import Testing

/// The algorithms: outputs, complete traces, metrics, and the gradient of the loss with respect to every
/// parameter of the family.
@Suite struct GoldenAlgosTests {
  @Test(arguments: try GoldenFile.cases("algos"))
  func agrees(_ golden: GoldenCase) throws {
    let program = try AlgosCase(golden)
    let key = try golden.seedKey()
    let result = try program.at(program.parameters).run(key, EvaluationOptions())
    let gradients = golden.expected.keys.filter { $0.hasPrefix("grad.") }
    let rest = gradients.reduce(golden) { $0.expecting(nil, of: $1) }
    for difference in try rest.differences(
      outputs: Dictionary(uniqueKeysWithValues: result.outputs.map { (Self.entry($0.name), $0.tensor) }),
      trace: result.trace, metrics: result.metrics, hasConstantOutputs: true)
    { report(difference) }

    let gradient = try valueWithGradient(at: program.parameters) { parameters in
      try program.at(parameters).run(key, EvaluationOptions()).metrics.loss
    }
    report(try golden.difference("metrics.loss", Tensor(gradient.value), within: .metric))
    #expect(gradients.sorted() == gradient.gradient.keys.map { "grad.\($0)" }.sorted(), "\(golden.name)")
    for (name, found) in gradient.gradient {
      let entry = "grad.\(name)"
      report(try golden.difference(entry, found, within: try Self.tolerance(golden, entry)))
    }
  }

  /// An output that is one tree with names of its own is the first of one.
  private static func entry(_ output: String) -> String {
    output.first?.isNumber ?? false ? "out.\(output)" : "out.0.\(output)"
  }

  /// Tensor by tensor, relative to 1 + the largest number; but neighbouring steps of the annealed variational
  /// objective cancel, and what is left for the targets between them is rounding.
  private static func tolerance(_ golden: GoldenCase, _ entry: String) throws -> Tolerance {
    if entry == "grad.beta_raw", golden.name.hasPrefix("nvi_avo") { return .absolute(1e-5) }
    let largest = try golden.expectation(entry).floats.map(\.magnitude).max() ?? 0
    return .absolute(1e-4 * (1 + largest))
  }
}

/// A case's algorithm, on the case's numbers.
private struct AlgosCase {
  static let families: [String: any AlgosFamily.Type] = [
    "S": GuidedFamily.self, "P": BlockFamily.self, "A": AnnealedFamily.self, "L": StateSpaceFamily.self,
  ]

  let parameters: [String: Tensor]
  private let constants: [String: Tensor]
  private let family: any AlgosFamily.Type
  private let plate: Plate
  private let count: Int
  private let algorithm: String
  private let form: [String]

  init(_ golden: GoldenCase) throws {
    family = try Self.families.entry(try golden.field("family"))
    guard let particles = golden.fields["particles"]?.integer else {
      throw GoldenError("\(golden.name): no number of particles")
    }
    plate = Plate("particle", count: particles)
    count = golden.fields["num_targets"]?.integer ?? 1
    let parts = golden.name.split(separator: "/").map(String.init)
    (algorithm, form) = (parts[0], Array(parts.dropFirst()))
    func inputs(_ prefix: String) -> [String: Tensor] {
      let named = golden.inputs.filter { $0.key.hasPrefix(prefix) }
      return Dictionary(
        uniqueKeysWithValues: named.map { (String($0.key.dropFirst(prefix.count)), $0.value.tensor) })
    }
    (constants, parameters) = (inputs("const."), inputs("param."))
    guard constants.count + parameters.count == golden.inputs.count else {
      throw GoldenError("\(golden.name): an input is neither constant nor parameter")
    }
  }

  func at(_ parameters: [String: Tensor]) throws -> AlgosProgram {
    let values = constants.merging(parameters) { _, parameter in parameter }
    return try family.init(values, plate, count: count).program(algorithm, form)
  }
}
