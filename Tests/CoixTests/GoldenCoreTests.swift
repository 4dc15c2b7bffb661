import Coix
import Testing

/// Composed programs: outputs, complete traces and metrics.
@Suite struct GoldenCoreTests {
  /// A case whose program can be put together from what there is.
  static func cases() throws -> [GoldenCase] {
    try GoldenFile.cases("core").filter { try expression($0).calls.isDisjoint(with: CoreInterpreter.missing) }
  }

  private static func expression(_ golden: GoldenCase) throws -> CoreExpression {
    try CoreExpression(parsing: try golden.field("program"))
  }

  private static let definitions = Result { try CoreDefinitions(try GoldenFile.load("core")) }

  /// What is left out calls something that is not there yet, and nothing else is left out.
  @Test func leavesOutOnlyWhatIsMissing() throws {
    let all = try GoldenFile.cases("core")
    let plate = Plate("particle", count: 2)
    let interpreter = CoreInterpreter(definitions: try Self.definitions.get(), plate: plate)
    var left = 0
    for golden in all {
      let expression = try Self.expression(golden)
      let isMissing = !expression.calls.isDisjoint(with: CoreInterpreter.missing)
      if isMissing { left += 1 }
      let isReadable = (try? interpreter.program(expression)) != nil
      #expect(isReadable != isMissing, "\(golden.name)")
    }
    let taken = try Self.cases().count
    #expect(taken + left == all.count)
  }

  @Test(arguments: try cases())
  func agrees(_ golden: GoldenCase) throws {
    let expression = try Self.expression(golden)
    let particles = golden.fields["particles"]?.integer
    let plate = particles.map { Plate("particle", count: $0) }
    let interpreter = CoreInterpreter(definitions: try Self.definitions.get(), plate: plate)
    var latents: [String: Tensor] = [:]
    for (name, value) in golden.inputs {
      guard name.hasPrefix("latents.") else { throw GoldenError("\(golden.name): unknown input \(name)") }
      latents[String(name.dropFirst(8))] = plate.map { $0.mapped(value.tensor) } ?? value.tensor
    }
    let program = try interpreter.program(expression)
    let result = try evaluate(program, latents: latents, seed: try golden.seedKey()).run([])
    let outputs = result.output.enumerated().map { ("out.\($0)", $1) }
    // Very near to a boundary of the cumulative weights, rounding may choose another ancestor.
    let isTied = golden.fields["resample_margin"]?.float.map { $0 < 1e-5 } ?? false
    let differences = try corrected(golden, expression, particles).differences(
      outputs: Dictionary(uniqueKeysWithValues: outputs), trace: result.trace, metrics: result.metrics,
      tiedRows: isTied ? 2 : 0)
    for difference in differences { report(difference) }
  }

  // MARK: Where the reference is not followed

  /// The case with what the mathematics says, where the reference has an oddity.
  ///
  /// - Resampling to a single particle without its axis leaves the reference's log-weight and effective sample size of before
  ///   among the metrics. Here the particle has the log-weight logsumexp(w) - log 1 of all of them, and there is no sample size.
  /// - The reference gathers every array whose first axis is as long as the plate, also an observed constant. Here a constant
  ///   stays what it is.
  private func corrected(_ golden: GoldenCase, _ expression: CoreExpression, _ particles: Int?) throws
    -> GoldenCase
  {
    guard golden.fields["quirk"]?.string != nil, case .call("resample", let arguments) = expression else {
      return golden
    }
    if let count = arguments.first(where: { $0.label == "num_samples" }), case .empty = count.value {
      let weights = try golden.expectation("metrics.log_weight").tensor
      return golden.expecting(weights.logSumExp(axis: 0), of: "metrics.log_weight").expecting(
        nil, of: "metrics.ess")
    }
    let constants = try Self.definitions.get().constants
    for site in try GoldenSite.list(golden) where site.isObserved {
      let entry = "trace.\(site.name).value"
      guard try golden.expectation(entry).shape.first == particles,
        let name = expression.names.compactMap({ CoreDefinitions.observations[$0] }).first
      else { continue }
      return golden.expecting(try constants(name), of: entry)
    }
    return golden
  }
}
