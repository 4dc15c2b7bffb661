import Coix
import ExampleModels
import Testing

/// A sampler of a golden group: cases named `params/…` have its parameters, all others are runs with them.
struct GoldenMixture<Mixture: GibbsMixture> {
  private let mixture: Mixture
  private let cases: [String: GoldenCase]

  /// - Parameter mixture: a sampler of the right structure, whatever its numbers.
  init(_ mixture: Mixture, of group: String) throws {
    self.mixture = mixture
    cases = Dictionary(uniqueKeysWithValues: try GoldenFile.cases(group).map { ($0.name, $0) })
  }

  func check(_ golden: GoldenCase) throws {
    if golden.name.hasPrefix("params/") {
      let parameters = mixture.namedTensors.map { "param.\(Self.nameInFile($0.name))" }
      #expect(golden.inputs.keys.sorted() == parameters.sorted(), "\(golden.name)")
      #expect(golden.expected.isEmpty, "\(golden.name)")
    } else {
      try checkRun(golden)
    }
  }

  private func checkRun(_ golden: GoldenCase) throws {
    #expect(Array(golden.inputs.keys) == ["batch"], "\(golden.name)")
    guard let particles = golden.fields["particles"]?.integer,
      let sweeps = golden.fields["num_sweeps"]?.integer
    else { throw GoldenError("\(golden.name): no number of particles or of sweeps") }
    let batch = try golden.input("batch").tensor
    let plates = (Plate("particle", count: particles), Plate("set", count: batch.shape[0]))
    let parameters = try cases.entry("params/\(try golden.field("params"))")
    let mixture = try mixture.mapNamedTensors { name, _ in
      try parameters.input("param.\(Self.nameInFile(name))").tensor
    }
    func run(_ mixture: Mixture) throws -> Evaluation<Mixture.State> {
      let program = try Self.program(mixture, particles: plates.0, sets: plates.1, sweeps: sweeps)
      return try evaluate(program, seed: golden.seedKey())(plates.1.mapped(batch))
    }

    let result = try run(mixture)
    let sites = try GoldenSite.list(golden)
    #expect(result.trace.sites.map(GoldenSite.init) == sites, "\(golden.name)")
    let sets = Tensor(Float(batch.shape[0]))
    var found = [
      "metrics.ess": try result.metrics.ess, "metrics.log_weight": result.metrics.logWeight,
      "metrics.log_Z": try result.metrics.logZ / sets, "metrics.loss": try result.metrics.loss / sets,
      "metrics.log_density": try result.metrics.logDensity / sets,
    ]
    for site in result.trace.sites {
      found["trace.\(site.name).value"] = site.value
      found["trace.\(site.name).log_prob"] = site.logProb
    }
    let gradient = try valueWithGradient(at: mixture) { try run($0).metrics.loss / sets }
    for (name, tensor) in gradient.gradient.namedTensors { found["grad.\(Self.nameInFile(name))"] = tensor }
    #expect(golden.expected.keys.sorted() == found.keys.sorted(), "\(golden.name)")
    for (entry, tensor) in found {
      let tolerance = try Self.tolerance(golden, entry)
      report(
        try golden.withoutPointAxis(entry, tensor.shape)
          .difference(entry, tensor, within: tolerance, broadcasting: entry.hasPrefix("trace")))
    }
  }

  /// The reference's program. Its first sweep is composed with a suffix, which makes the first block auxiliary: the
  /// loss of the first sweep has the block's log-probability with the wrong sign.
  private static func program(
    _ mixture: Mixture, particles: Plate, sets: Plate, sweeps: Int
  ) throws -> Inference<Tuple<Tensor>, Mixture.State> {
    let firstSweep = compose(mixture.firstClusters, mixture.firstParameters)
    return try apgs(
      particles(sets(mixture.target)), initial: particles(sets(firstSweep)),
      kernels: mixture.kernels.map { particles(sets($0)) }, sweeps: sweeps)
  }

  /// A parameter's name in the file: flax's, without `params` in front.
  private static func nameInFile(_ own: String) -> String {
    String(TensorNames.flax(separator: ".")(own).dropFirst("params.".count))
  }

  /// Gradients tensor by tensor, relative to the largest number. One is really zero, since it moves all logits
  /// alike, and what is left of it is rounding.
  private static func tolerance(_ golden: GoldenCase, _ entry: String) throws -> Tolerance {
    guard entry.hasPrefix("grad.") else { return .mixed(5e-5) }
    if entry == "grad.encode_c.Dense_1.bias" { return .absolute(1e-5) }
    return .absolute(5e-4 * (try golden.expectation(entry).floats.map(\.magnitude).max() ?? 0))
  }
}

extension GoldenCase {
  /// The case with an entry of a set's own variables as we have it: where NumPyro broadcasts them against the
  /// points', they have an axis of size 1 in place of the points' one.
  fileprivate func withoutPointAxis(_ entry: String, _ shape: Shape) throws -> GoldenCase {
    let expected = try expectation(entry).tensor
    guard entry.hasSuffix(".value"), shape.rank >= 2, expected.shape.rank == shape.rank + 1,
      expected.shape[2] == 1
    else { return self }
    return expecting(expected.squeezingAxis(at: 2), of: entry)
  }
}
