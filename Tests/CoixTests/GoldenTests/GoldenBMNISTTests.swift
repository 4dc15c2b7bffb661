import Coix
import ExampleModels
import Testing

/// The bouncing digits: image operations, and traces, metrics and gradients of inference by sweeps.
@Suite struct GoldenBMNISTTests {
  @Test(arguments: try GoldenFile.cases("bmnist"))
  func agrees(_ golden: GoldenCase) throws {
    let example = try GoldenBMNIST.shared()
    switch golden.name.split(separator: "/").first {
    case "params": checkParameters(golden, example)
    case "crop_frames":
      try checkImages(golden, "frames", "z_where") { example.model.cropped($0, at: $1) }
    case "embed_digits":
      try checkImages(golden, "digit", "z_where") { example.model.embedded($0, at: $1) }
    case "conv2d":
      #expect(golden.inputs.keys.sorted() == ["digit", "frames"])
      let found = conv2d(try golden.input("frames").tensor, try golden.input("digit").tensor)
      #expect(golden.expected.keys.sorted() == ["out"])
      report(try golden.difference("out", found, within: .bouncingDigits))
    case "metrics": try checkInference(golden, example)
    default: Issue.record("\(golden.name): unknown case")
    }
  }

  /// The case has inputs only: the networks were made from them, and nothing is left over.
  private func checkParameters(_ golden: GoldenCase, _ example: GoldenBMNIST) {
    let named = GoldenBMNIST.named(example.model)
    #expect(golden.inputs.keys.sorted() == (named.map { "param.\($0.name)" } + ["digit_mean"]).sorted())
    #expect(golden.expected.isEmpty, "\(golden.name)")
  }

  /// An operation on images and positions, and the gradients of its sum of squares.
  private func checkImages(
    _ golden: GoldenCase, _ images: String, _ positions: String,
    _ operation: @escaping @Sendable (Tensor, Tensor) -> Tensor
  ) throws {
    let inputs = Tuple(try golden.input(images).tensor, try golden.input(positions).tensor)
    #expect(golden.inputs.keys.sorted() == [images, positions].sorted())
    let found = operation(inputs.values.0, inputs.values.1)
    report(try golden.difference("out", found, within: .bouncingDigits))
    let gradient = try valueWithGradient(at: inputs) {
      operation($0.values.0, $0.values.1).squared.sum()
    }.gradient.values
    #expect(golden.expected.keys.sorted() == ["grad.\(images)", "grad.\(positions)", "out"].sorted())
    report(try golden.gradientDifference("grad.\(images)", gradient.0))
    report(try golden.gradientDifference("grad.\(positions)", gradient.1))
  }

  private func checkInference(_ golden: GoldenCase, _ example: GoldenBMNIST) throws {
    guard let particles = golden.fields["particles"]?.integer,
      let sweeps = golden.fields["num_sweeps"]?.integer
    else { throw GoldenError("\(golden.name): no particles or sweeps") }
    #expect(Array(golden.inputs.keys) == ["batch"])
    let batch = try golden.input("batch").tensor
    let key = try golden.seedKey()

    // The file has these metrics for each sequence.
    var expected = golden
    let loss = try golden.expectation("metrics.loss").tensor
    for metric in ["log_Z", "log_density", "loss"] {
      let value = try golden.expectation("metrics.\(metric)").tensor
      expected = expected.expecting(value * Tensor(Float(batch.shape[0])), of: "metrics.\(metric)")
    }
    let gradients = golden.expected.keys.filter { $0.hasPrefix("grad.") }
    expected = gradients.reduce(expected) { $0.expecting(nil, of: $1) }
    let result = try example.model.infer(batch, particleCount: particles, sweeps: sweeps, key: key)
    let differences = try expected.differences(
      outputs: [:], trace: result.trace, metrics: result.metrics, valueTolerance: .bouncingDigits,
      metricTolerance: .bouncingDigits, hasInnerPlate: true)
    for difference in differences { report(difference) }

    let found = try valueWithGradient(at: example.model) {
      try $0.loss(batch, particleCount: particles, sweeps: sweeps, key: key)
    }
    report(
      golden.difference(
        "metrics.loss", expected: loss.scalars, found: [found.value], within: .bouncingDigits))
    let named = GoldenBMNIST.named(found.gradient)
    #expect(gradients.sorted() == named.map { "grad.\($0.name)" }.sorted(), "\(golden.name)")
    for (name, gradient) in named { report(try golden.gradientDifference("grad.\(name)", gradient)) }
  }
}

extension GoldenCase {
  /// Compares a gradient with an expected entry, relative to the entry's largest number.
  fileprivate func gradientDifference(_ entry: String, _ found: Tensor) throws -> String? {
    let largest = try expectation(entry).floats.map(\.magnitude).max() ?? 0
    return try difference(entry, found, within: .absolute(2e-3 * largest))
  }
}

/// The file's networks, used as in the reference.
private struct GoldenBMNIST: Sendable {
  let model: BMNIST

  private static let made = Result { try GoldenBMNIST(GoldenFile.load("bmnist")) }

  static func shared() throws -> GoldenBMNIST { try made.get() }

  private init(_ file: GoldenFile) throws {
    let cases = Dictionary(uniqueKeysWithValues: file.cases.map { ($0.name, $0) })
    let parameters = try cases.entry("params")
    guard let sizes = file.head["sizes"], let frame = sizes["frame"]?.integer,
      let digits = sizes["digits"]?.integer
    else { throw GoldenError("bmnist: no sizes") }
    func layer(_ network: String, _ number: Int, _ activation: Activation = .identity) throws -> Dense {
      let prefix = "param.\(network).Dense_\(number)"
      return Dense(
        kernel: try parameters.input("\(prefix).kernel").tensor,
        bias: try parameters.input("\(prefix).bias").tensor, activation: activation)
    }
    func features(_ network: String) throws -> MLP {
      MLP(layers: [try layer(network, 0, .relu), try layer(network, 1, .relu)])
    }
    var model = BMNIST(
      encodeWhat: WhatEncoder(
        features: try features("encode_what"), location: try layer("encode_what", 2),
        logScale: try layer("encode_what", 3)),
      encodeWhere: WhereEncoder(
        features: try features("encode_where"), location: try layer("encode_where", 2),
        logScale: try layer("encode_where", 3)),
      decodeWhat: WhatDecoder(
        network: MLP(
          layers: [try layer("decode_what", 0, .relu), try layer("decode_what", 1, .relu)]
            + [try layer("decode_what", 2)])),
      meanDigit: try parameters.input("digit_mean").tensor, frameSize: frame, digitCount: digits)
    model.followsReference = true
    self.model = model
  }

  /// The parameters by the file's names.
  static func named(_ model: BMNIST) -> [(name: String, tensor: Tensor)] {
    model.namedTensors.map { name, tensor in
      var name = name.replacing("features.layers.", with: "Dense_").replacing(
        "network.layers.", with: "Dense_")
      name = name.replacing(".location", with: ".Dense_2").replacing(".log_scale", with: ".Dense_3")
      return (name, tensor)
    }
  }
}
