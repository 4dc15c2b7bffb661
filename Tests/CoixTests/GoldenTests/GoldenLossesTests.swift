import Coix
import Testing

/// The objectives: losses, each particle's terms, and the gradients with respect to everything they read.
@Suite struct GoldenLossesTests {
  static let objectives: [String: Objective] = [
    "apg_loss": .apg, "avo_loss": .avo, "elbo_loss": .elbo, "fkl_loss": .fkl, "iwae_loss": .iwae,
    "rkl_loss": .rkl,
    "rws_loss": .rws,
  ]

  @Test(arguments: try GoldenFile.cases("losses"))
  func agrees(_ golden: GoldenCase) throws {
    guard let objective = Self.objectives[try golden.field("op")] else {
      Issue.record("\(golden.name): no objective for the op \(try golden.field("op"))")
      return
    }
    let sites = (proposal: try LossSite.list(golden, "q_sites"), target: try LossSite.list(golden, "p_sites"))
    let given = golden.inputs.mapValues(\.tensor)
    let (result, terms) = try valueWithGradient(at: given) { tensors in
      let inputs = ObjectiveInputs(
        proposal: try LossSite.trace(sites.proposal, "q", tensors),
        target: try LossSite.trace(sites.target, "p", tensors),
        incomingLogWeight: try tensors.entry("incoming_log_weight"),
        incrementalLogWeight: try tensors.entry("incremental_log_weight"))
      return (objective.loss(inputs), objective.terms(inputs).detached)
    }
    if try isImpossible(golden) {
      try checkImpossible(golden, loss: result.value, terms: terms)
    } else {
      report(
        try golden.difference("terms", terms, within: .loss),
        try golden.difference("loss", Tensor(result.value), within: .loss))
    }
    for entry in golden.expected.keys.sorted() where entry.hasPrefix("grad.") {
      report(
        try golden.difference(entry, try result.gradient.entry(String(entry.dropFirst(5))), within: .loss))
    }
    let entries = golden.expected.keys.filter { $0 != "loss" && $0 != "terms" && !$0.hasPrefix("grad.") }
    #expect(entries.isEmpty, "\(golden.name): unknown entries \(entries)")
  }

  // MARK: A particle of weight zero

  /// Whether the reference's IWAE loss is NaN for want of a rule for 0 · ∞: some particle has the log-weight
  /// -∞.
  ///
  /// Here such a particle adds nothing, as in the limit w → 0 of w log w.
  private func isImpossible(_ golden: GoldenCase) throws -> Bool {
    guard try golden.field("op") == "iwae_loss" else { return false }
    return try zip(golden.expectation("terms").floats, outgoing(golden)).contains {
      $0.isNaN && $1 == -.infinity
    }
  }

  private func outgoing(_ golden: GoldenCase) throws -> [Float] {
    zip(try golden.input("incoming_log_weight").floats, try golden.input("incremental_log_weight").floats).map
    { $0 + $1 }
  }

  private func checkImpossible(_ golden: GoldenCase, loss: Float, terms: Tensor) throws {
    let expected = zip(try golden.expectation("terms").floats, try outgoing(golden)).map { term, weight in
      weight == -.infinity ? 0 : term
    }
    report(
      golden.difference("terms", expected: expected, found: terms.scalars, within: .loss),
      golden.difference("loss", expected: [expected.reduce(0, +)], found: [loss], within: .loss))
  }
}

/// A site of a case's traces: a name and flags, where its log-probability is among the inputs.
private struct LossSite {
  let name: String
  let isObserved: Bool
  let isSuffixed: Bool

  static func list(_ golden: GoldenCase, _ field: String) throws -> [LossSite] {
    guard let sites = golden.fields[field]?.array else { throw GoldenError("\(golden.name): no \(field)") }
    return try sites.map { site in
      guard let name = site["name"]?.string else {
        throw GoldenError("\(golden.name): a site without a name")
      }
      return LossSite(
        name: name, isObserved: site["observed"]?.bool ?? false, isSuffixed: site["suffix"]?.bool ?? false)
    }
  }

  static func trace(_ sites: [LossSite], _ prefix: String, _ inputs: [String: Tensor]) throws -> Trace {
    Trace(
      try sites.map { site in
        Site(
          name: site.name, value: 0, logProb: try inputs.entry("\(prefix).\(site.name)"),
          isObserved: site.isObserved,
          isSuffixed: site.isSuffixed)
      })
  }
}
