import Coix
import ExampleModels
import Testing

/// The two-moons autoencoder: training, gradients, parameters, and evaluations before and after.
@Suite struct GoldenVAETests {
  @Test(arguments: try GoldenFile.cases("vae"))
  func agrees(_ golden: GoldenCase) throws {
    let experiment = try GoldenVAE.shared()
    let parts = golden.name.split(separator: "/").map(String.init)
    switch (parts[0], parts.count > 1 ? parts[1] : "", parts.count > 2 ? Int(parts[2]) : nil) {
    case ("data", "", nil): try checkData(golden, experiment)
    case ("evaluate", let when, nil): try checkEvaluation(golden, experiment, when)
    case ("prior", let when, nil): try checkPrior(golden, experiment, when)
    case ("train", "losses", nil): try checkLosses(golden, experiment)
    case ("train", "gradients", nil):
      try check(golden, experiment.firstGradient, prefix: "grad", within: .trainingLoss)
    case ("train", "params", let steps?) where experiment.vaes.indices.contains(steps):
      try check(golden, experiment.vaes[steps], prefix: "param", within: .parameters(afterSteps: steps))
    default: Issue.record("\(golden.name): unknown case")
    }
  }

  /// The case has inputs only: the experiment was made from them, and nothing is left over.
  private func checkData(_ golden: GoldenCase, _ experiment: GoldenVAE) throws {
    let parameters = GoldenVAE.named(experiment.vaes[0]).map { "init.\($0.name)" }
    #expect(golden.inputs.keys.sorted() == (parameters + ["train", "test"]).sorted(), "\(golden.name)")
    for (name, tensor) in GoldenVAE.named(experiment.vaes[0]) {
      #expect(try golden.input("init.\(name)").floats == tensor.scalars, "\(golden.name): \(name)")
    }
    #expect(golden.expected.isEmpty, "\(golden.name)")
  }

  private func checkLosses(_ golden: GoldenCase, _ experiment: GoldenVAE) throws {
    report(try golden.difference("losses", Tensor(experiment.losses), within: .trainingLoss))
    for entry in golden.expected.keys.sorted() where entry != "losses" {
      guard entry.hasPrefix("batch_indices."), let step = Int(entry.dropFirst(14)) else {
        Issue.record("\(golden.name): unknown entry \(entry)")
        continue
      }
      report(try golden.difference(entry, experiment.batchIndices(step: step)))
    }
  }

  private func check(_ golden: GoldenCase, _ vae: VAE, prefix: String, within tolerance: Tolerance) throws {
    let named = GoldenVAE.named(vae)
    #expect(golden.expected.keys.sorted() == named.map { "\(prefix).\($0.name)" }.sorted(), "\(golden.name)")
    for (name, tensor) in named {
      report(try golden.difference("\(prefix).\(name)", tensor, within: tolerance))
    }
  }

  private func checkEvaluation(_ golden: GoldenCase, _ experiment: GoldenVAE, _ when: String) throws {
    let vae = try experiment.vae(when)
    let plate = VAE.plate(experiment.test.shape[0])
    let result = try evaluate(vae.inference(plate), seed: try golden.seedKey())(plate.mapped(experiment.test))
    try compare(golden, result, when)
  }

  private func checkPrior(_ golden: GoldenCase, _ experiment: GoldenVAE, _ when: String) throws {
    let vae = try experiment.vae(when)
    let plate = VAE.plate(experiment.test.shape[0])
    let result = try evaluate(vae.target(plate), seed: try golden.seedKey())(plate.mapped(experiment.test))
    try compare(golden, result, when)
  }

  /// After training, values carry the tolerance of the trained parameters.
  private func compare(_ golden: GoldenCase, _ result: Evaluation<Tuple<Tensor>>, _ when: String) throws {
    let differences = try golden.differences(
      outputs: ["means": result.output.values], trace: result.trace, metrics: result.metrics,
      valueTolerance: when == "before" ? .value : .parameters(afterSteps: .max))
    for difference in differences { report(difference) }
  }
}

/// The file's training run, made once for all cases.
private struct GoldenVAE: Sendable {
  let test: Tensor
  let losses: [Float]
  let firstGradient: VAE
  /// The autoencoder after 0, 1, 2, … steps.
  let vaes: [VAE]
  /// The rows that each step trains on.
  private let batches: [[Int32]]

  private static let made = Result { try GoldenVAE(GoldenFile.load("vae")) }

  static func shared() throws -> GoldenVAE { try made.get() }

  private init(_ file: GoldenFile) throws {
    let cases = Dictionary(uniqueKeysWithValues: file.cases.map { ($0.name, $0) })
    let data = try cases.entry("data")
    let run = try cases.entry("train/losses")
    let steps = try run.expectation("losses").count
    guard let batch = file.head["sizes"]?["batch"]?.integer else { throw GoldenError("vae: no batch size") }
    test = try data.input("test").tensor

    let initial = VAE(
      encoder: try Self.perceptron("encoder", data), decoder: try Self.perceptron("decoder", data))
    let loss = VAEBatchLoss(try data.input("train").tensor, batch: batch)
    let training = CompiledTraining(initial, by: Adam(for: initial, learningRate: 1e-2)) {
      try loss($0, key: $1)
    }
    let keys = (0..<steps).map(try run.seedKey().folded)
    var losses: [Float] = []
    var vaes = [initial]
    var firstGradient = initial
    for (step, key) in keys.enumerated() {
      if step == 0 { firstGradient = try valueWithGradient(at: initial) { try loss($0, key: key) }.gradient }
      losses.append(try training.step(key: key))
      vaes.append(try training.parameters)
    }
    (self.losses, self.vaes, self.firstGradient) = (losses, vaes, firstGradient)
    batches = keys.map(loss.rowNumbers)
  }

  /// A network of the file's initial parameters: relu after every layer but the last.
  private static func perceptron(_ network: String, _ data: GoldenCase) throws -> MLP {
    let prefix = "init.\(network).Dense_"
    let count = data.inputs.keys.count { $0.hasPrefix(prefix) && $0.hasSuffix(".kernel") }
    return MLP(
      layers: try (0..<count).map { layer in
        Dense(
          kernel: try data.input("\(prefix)\(layer).kernel").tensor,
          bias: try data.input("\(prefix)\(layer).bias").tensor,
          activation: layer == count - 1 ? .identity : .relu)
      })
  }

  /// The parameters by the file's names.
  static func named(_ vae: VAE) -> [(name: String, tensor: Tensor)] {
    vae.namedTensors.map { ($0.name.replacing("layers.", with: "Dense_"), $0.tensor) }
  }

  func batchIndices(step: Int) -> [Int32] { batches[step] }

  func vae(_ when: String) throws -> VAE {
    switch when {
    case "before": return vaes[0]
    case "after": return vaes[vaes.count - 1]
    default: throw GoldenError("vae: unknown moment \(when)")
    }
  }
}
