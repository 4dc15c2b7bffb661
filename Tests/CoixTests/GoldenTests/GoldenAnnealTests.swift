import Coix
import ExampleModels
import Foundation
import Testing

/// The annealed sampler at initial, perturbed and trained parameters: traces, metrics, every gradient, steps of
/// training, and averages over many seeds.
@Suite struct GoldenAnnealTests {
  @Test(arguments: try GoldenFile.cases("anneal"))
  func agrees(_ golden: GoldenCase) throws { try check(golden, "anneal") }

  @Test(arguments: try GoldenFile.cases("anneal-trained"))
  func agreesAfterTraining(_ golden: GoldenCase) throws { try check(golden, "anneal-trained") }

  private func check(_ golden: GoldenCase, _ group: String) throws {
    let parts = golden.name.split(separator: "/").map(String.init)
    switch (parts[0], parts.dropFirst().first, parts.count) {
    case ("metrics", let parameters?, 3): try checkMetrics(golden, group, parameters)
    case ("evaluate", let parameters?, 2): try checkAverages(golden, parameters)
    case ("train", let steps?, 2): try checkTraining(golden, steps: Int(steps) ?? 0)
    case (let parameters, nil, _) where !golden.inputs.isEmpty: try checkParameters(golden, group, parameters)
    default: Issue.record("\(golden.name): unknown case")
    }
  }

  /// The case has inputs only, and the sampler is made from all of them.
  private func checkParameters(_ golden: GoldenCase, _ group: String, _ name: String) throws {
    let sampler = try GoldenSamplers.shared().sampler(group == "anneal" ? name : "trained")
    let prefix = group == "anneal" ? "init" : "param"
    let named = GoldenSamplers.named(sampler, prefix)
    #expect(golden.inputs.keys.sorted() == named.keys.sorted(), "\(golden.name)")
    for (name, tensor) in named {
      #expect(try golden.input(name).floats == tensor.scalars, "\(golden.name): \(name)")
    }
    #expect(golden.expected.isEmpty, "\(golden.name)")
  }

  private func checkMetrics(_ golden: GoldenCase, _ group: String, _ parameters: String) throws {
    let sampler = try GoldenSamplers.shared().sampler(parameters)
    let (plate, key) = (try plate(golden), try golden.seedKey())
    let result = try evaluate(sampler.training(plate), seed: key)()
    let gradients = golden.expected.keys.filter { $0.hasPrefix("grad.") }
    let rest = gradients.reduce(golden) { $0.expecting(nil, of: $1) }
    for difference in try rest.differences(
      outputs: [:], trace: result.trace, metrics: result.metrics, valueTolerance: .annealing(group),
      metricTolerance: .annealing(group))
    { report(difference) }

    let gradient = try valueWithGradient(at: sampler) { sampler in
      try evaluate(sampler.training(plate), seed: key)().metrics.loss
    }
    let named = GoldenSamplers.named(gradient.gradient, "grad")
    #expect(gradients.sorted() == named.keys.sorted(), "\(golden.name)")
    for (entry, found) in named {
      let largest = try golden.expectation(entry).floats.map(\.magnitude).max() ?? 0
      report(try golden.difference(entry, found, within: .absolute(5e-4 * largest)))
    }
  }

  private func checkTraining(_ golden: GoldenCase, steps: Int) throws {
    let (plate, key) = (try plate(golden), try golden.seedKey())
    func loss(_ sampler: AnnealedSampler, _ key: PRNGKey) throws -> Tensor {
      try evaluate(sampler.training(plate), seed: key)().metrics.loss
    }
    let initial = try GoldenSamplers.shared().sampler("init")
    let training = CompiledTraining(initial, by: Adam(for: initial, learningRate: 1e-3), loss: loss)
    var (losses, squaredNorms): ([Float], [Float]) = ([], [])
    for step in 0..<steps {
      let key = key.folded(in: step + 1)
      let gradient = try valueWithGradient(at: training.parameters) { try loss($0, key) }.gradient
      squaredNorms.append(gradient.flattened.reduce(0) { $0 + $1.squared.sum().scalar })
      losses.append(try training.step(key: key))
    }
    report(try golden.difference("losses", Tensor(losses), within: .annealingLoss))
    report(try golden.difference("squared_grad_norms", Tensor(squaredNorms), within: .relative(1e-3)))
    let named = GoldenSamplers.named(try training.parameters, "param")
    for (entry, found) in named {
      report(try golden.difference(entry, found, within: .parameters(afterSteps: steps)))
    }
    #expect(
      golden.expected.keys.sorted() == (named.keys + ["losses", "squared_grad_norms"]).sorted(),
      "\(golden.name)")
  }

  /// Ancestors may differ at near ties, so that the averages are compared.
  private func checkAverages(_ golden: GoldenCase, _ parameters: String) throws {
    let sampler = try GoldenSamplers.shared().sampler(parameters)
    let inference = try sampler.training(try plate(golden))
    let count = try golden.expectation("metrics.loss").count
    let runs = try golden.seedKey().split(into: count).map { key in
      try evaluate(inference, seed: key, options: EvaluationOptions(keep: .metrics))().metrics
    }
    let found = [
      "ess": try runs.map { try $0.ess.scalar }, "log_Z": try runs.map { try $0.logZ.scalar },
      "log_density": try runs.map { try $0.logDensity.scalar }, "loss": try runs.map { try $0.loss.scalar },
    ]
    #expect(
      golden.expected.keys.sorted()
        == found.keys.flatMap { ["metrics.\($0)", "mean.\($0)"] }.sorted(), "\(golden.name)")
    for (metric, values) in found {
      let listed = try golden.expectation("metrics.\(metric)").floats
      let (_, deviation) = moments(listed)
      let bound = 4 * deviation / Double(count).squareRoot()
      report(
        try golden.difference(
          "mean.\(metric)", Tensor(Float(moments(values).mean)), within: .absolute(Float(bound))))
    }
  }

  private func moments(_ values: [Float]) -> (mean: Double, deviation: Double) {
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let squares = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    return (mean, (squares / Double(values.count - 1)).squareRoot())
  }

  private func plate(_ golden: GoldenCase) throws -> Plate {
    guard let count = golden.fields["particles"]?.integer else {
      throw GoldenError("\(golden.name): no number of particles")
    }
    return Plate("particle", count: count)
  }
}

/// The samplers that the files give parameters of.
private struct GoldenSamplers: Sendable {
  private let samplers: [String: AnnealedSampler]

  private static let made = Result { try GoldenSamplers() }

  static func shared() throws -> GoldenSamplers { try made.get() }

  private init() throws {
    var samplers: [String: AnnealedSampler] = [:]
    for golden in try GoldenFile.cases("anneal") where !golden.inputs.isEmpty {
      samplers[golden.name] = try Self.sampler(golden, "init")
    }
    for golden in try GoldenFile.cases("anneal-trained") where !golden.inputs.isEmpty {
      samplers["trained"] = try Self.sampler(golden, "param")
    }
    self.samplers = samplers
  }

  func sampler(_ name: String) throws -> AnnealedSampler { try samplers.entry(name) }

  /// The files' name of each layer.
  private static let layers = ["hidden": "Dense_0", "shift": "Dense_1", "scale": "Dense_2"]

  /// The parameters by the files' names: a kernel's number is the first axis.
  static func named(_ sampler: AnnealedSampler, _ prefix: String) -> [String: Tensor] {
    var stacks: [String: [Tensor]] = [:]
    var result: [String: Tensor] = [:]
    for (name, tensor) in sampler.namedTensors {
      let parts = name.split(separator: ".").map(String.init)
      guard parts.count == 4, let layer = layers[parts[2]] else {
        result["\(prefix).anneal_density.beta_raw"] = tensor
        continue
      }
      let direction = parts[0].dropLast()  // the s
      stacks["\(prefix).\(direction)_kernels.kernel.\(layer).\(parts[3])", default: []].append(tensor)
    }
    return result.merging(stacks.mapValues { Tensor.stack($0) }) { _, stack in stack }
  }

  private static func sampler(_ golden: GoldenCase, _ prefix: String) throws -> AnnealedSampler {
    func networks(_ direction: String) throws -> [AnnealedSampler.Network] {
      func layer(_ number: Int) throws -> (kernels: Tensor, biases: Tensor) {
        let name = "\(prefix).\(direction)_kernels.kernel.Dense_\(number)"
        return (try golden.input("\(name).kernel").tensor, try golden.input("\(name).bias").tensor)
      }
      let layers = try (0..<3).map(layer)
      return (0..<layers[0].biases.shape[0]).map { number in
        let parts = layers.map { (kernel: $0.kernels[number], bias: $0.biases[number]) }
        return AnnealedSampler.Network(hidden: parts[0], shift: parts[1], scale: parts[2])
      }
    }
    return AnnealedSampler(
      forwards: try networks("forward"), reverses: try networks("reverse"),
      temperatures: try golden.input("\(prefix).anneal_density.beta_raw").tensor)
  }
}
