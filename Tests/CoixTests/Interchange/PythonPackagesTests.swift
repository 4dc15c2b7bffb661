import Foundation
import TestSupport
import Testing

@testable import Coix

/// What goes to Python packages and what comes from them, with the packages themselves: run by
/// `scripts/test-python`, which installs them and says by `COIX_PYTHON` where the interpreter is.
@Suite(.enabled(if: interpreter != nil, "scripts/test-python runs these"))
struct PythonPackagesTests {
  /// What a script of `Tests/Python` prints.
  private func python(_ script: String, _ arguments: String...) throws -> Data {
    let tests = (0..<3).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
    let process = Process()
    process.executableURL = URL(filePath: try #require(interpreter))
    process.arguments = [tests.appending(path: "Python/\(script)").path] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(script) has failed")
    return output
  }

  // MARK: ArviZ

  /// What ArviZ and xarray make of a file of weighted samples.
  private struct Summaries: Decodable {
    let dims: [String: [String]]
    let weightedMean: [String: [Double]]
    let weightedDeviation: [String: [Double]]
    let labels: [String]
    let mean: [Double]
    let deviation: [Double]
    let logEvidence: [Double]
  }

  private func summaries(_ samples: PosteriorSamples) throws -> Summaries {
    try withTemporaryFolder { folder in
      try samples.write(npz: "\(folder)/posterior.npz")
      return try JSONDecoder().decode(
        Summaries.self, from: python("arviz_summaries.py", "\(folder)/posterior.npz"))
    }
  }

  /// Particles times instances, with a site of a number and one of an event, in two steps.
  private func program(particles: Int) -> Inference<Tuple<Tensor>, Tuple<Tensor, Tensor>> {
    let (particle, point) = (Plate("particle", count: particles), Plate("point", count: 3))
    let prior = Kernel { (trace, x: Tensor) in
      let scale = trace.sample("scale", from: LogNormal(0, 0.5))
      let z = trace.sample("z", from: Normal(0, 1).expanded(to: [2]).event(1))
      return (scale, z)
    }
    let model = Model { (trace, x: Tensor) in
      let scale = trace.sample("scale", from: LogNormal(0, 0.5))
      let z = trace.sample("z", from: Normal(0, 1).expanded(to: [2]).event(1))
      trace.observe("x", x, from: Normal(z, scale).event(1))
      return (scale, z)
    }
    return propose(particle(point(model)), particle(point(prior)))
  }

  @Test func arvizReadsWeightedSamples() throws {
    let point = Plate("point", count: 3)
    let data = point.mapped(Tensor([1, 0.5, -0.3, 0.2, 2, -1], shape: [3, 2]))
    let options = EvaluationOptions(steps: true)
    let weighted = try evaluate(program(particles: 5_000), seed: 1, options: options)(data)
    let read = try summaries(weighted.posteriorSamples())
    #expect(read.dims["scale"] == ["chain", "draw", "point"])
    // ArviZ 1 counts the axes that have no name from 0, and earlier versions all axes.
    let axes = try #require(read.dims["z"])
    #expect(axes.dropLast() == ["chain", "draw", "point"] && axes.last?.hasPrefix("z_dim_") == true)
    #expect(read.logEvidence.count == 1)
    #expect(distance(weighted.steps.map(\.logZ), read.logEvidence) == 0)
    for site in ["scale", "z"] {
      let mean = try weighted.weightedMean(of: site).scalars
      let deviation = try sqrt(weighted.weightedVariance(of: site)).scalars
      #expect(distance(mean, try #require(read.weightedMean[site])) < 1e-5)
      #expect(distance(deviation, try #require(read.weightedDeviation[site])) < 1e-5)
    }
  }

  /// ArviZ's own summary, of particles with equal weights.
  @Test func arvizSummarisesResampledParticles() throws {
    let point = Plate("point", count: 3)
    let data = point.mapped(Tensor([1, 0.5, -0.3, 0.2, 2, -1], shape: [3, 2]))
    let count = 5_000
    let options = EvaluationOptions(steps: true)
    let resampled = try evaluate(resample(program(particles: count)), seed: 1, options: options)(data)
    let read = try summaries(resampled.posteriorSamples())
    #expect(distance(resampled.steps.map(\.logZ), read.logEvidence) == 0)
    #expect(read.logEvidence.count == 2)
    let mean = try ["scale", "z"].flatMap { try resampled.weightedMean(of: $0).scalars }
    // ArviZ divides by one less than the number of draws.
    let factor = (Float(count) / Float(count - 1)).squareRoot()
    let deviation = try ["scale", "z"].flatMap {
      try sqrt(resampled.weightedVariance(of: $0)).scalars.map { factor * $0 }
    }
    #expect(read.labels.count == 9)
    #expect(read.labels.prefix(3).allSatisfy { $0.hasPrefix("scale[") })
    #expect(distance(mean, read.mean) < 1e-5)
    #expect(distance(deviation, read.deviation) < 1e-5)
    // The weighted particles say the same, up to what resampling adds: with an ESS above 500, a standard
    // error of at most 0.05 standard deviations. Five of them are 0.25.
    let weighted = try evaluate(program(particles: count), seed: 2)(data)
    #expect(try weighted.metrics.ess.scalar > 500)
    let own = try ["scale", "z"].flatMap { try weighted.weightedMean(of: $0).scalars }
    for (index, value) in own.enumerated() {
      #expect(abs(Double(value) - read.mean[index]) < 0.25 * read.deviation[index])
    }
  }

  /// A filter's evidence after each of its steps, without instances.
  @Test func arvizReadsTheEvidenceOfEachStep() throws {
    let particle = Plate("particle", count: 1_000)
    let first = Model { trace in
      let x = trace.sample("x0", from: Normal(0, 1))
      trace.observe("y0", 0.4, from: Normal(x, 0.5))
      return x
    }
    let next = Model { (trace, x: Tensor) in
      let x = trace.sample("x1", from: Normal(x, 1))
      trace.observe("y1", 0.9, from: Normal(x, 0.5))
      return x
    }
    let program = resample(compose(particle(next), resample(particle(first)), suffix: false))
    let result = try evaluate(program, seed: 3, options: EvaluationOptions(steps: true))()
    let read = try summaries(result.posteriorSamples())
    #expect(read.dims == ["x0": ["chain", "draw"], "x1": ["chain", "draw"]])
    #expect(result.steps.count == 2)
    #expect(distance(result.steps.map(\.logZ), read.logEvidence) == 0)
  }

  // MARK: NumPy

  /// Archives whose numbers are written in 64 bits: all of them, and the number of entries only.
  @Test func numpyReadsLargeArchives() throws {
    func check(count: Int, limit: Int) throws {
      let expected = Dictionary(uniqueKeysWithValues: (0..<count).map { ("a\($0)", Double($0)) })
      let bytes = try ZipArchive.encode(
        (0..<count).map { index in ("a\(index).npy", { try NPYArray(Tensor(Float(index))).encoded() }) },
        limit: limit)
      try withFile(bytes, "a.npz") { path in
        let read = try JSONDecoder().decode([String: Double].self, from: python("numpy_archive.py", path))
        #expect(read == expected)
      }
    }
    for limit in [0, 100, 200] { try check(count: 3, limit: limit) }
    try check(count: 70_000, limit: Int(UInt32.max))
  }

  // MARK: flax

  /// The same layers as in `flax_models.py`.
  private struct Heads: TensorTree {
    var trunk: MLP
    var heads: [Dense]

    init(key: PRNGKey) {
      trunk = MLP(sizes: [3, 16, 16, 4], key: key)
      heads = [1, 2].map { Dense(inputs: 4, outputs: $0, key: key.folded(in: $0)) }
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      let trunk = trunk(x)
      return Tensor.concatenate(heads.map { $0(trunk) }, axis: -1)
    }
    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("trunk", &trunk)
      try visitor.visit("heads", &heads)
    }
  }

  /// Parameters that flax wrote give flax's outputs.
  @Test func flaxParametersCome() throws {
    try withTemporaryFolder { folder in
      _ = try python("flax_models.py", "write", folder)
      let inputs = try Tensor(contentsOf: "\(folder)/inputs.npy")
      func check<Model: TensorTree>(
        _ name: String, _ model: Model, _ apply: (Model, Tensor) -> Tensor
      ) throws {
        let expected = try Tensor(contentsOf: "\(folder)/\(name).outputs.npy")
        for read in [
          try model.reading(safetensors: "\(folder)/\(name).safetensors", named: .flax()),
          try model.reading(npz: "\(folder)/\(name).npz", named: .flax()),
          try model.reading(npz: "\(folder)/\(name).compressed.npz", named: .flax()),
        ] {
          let outputs = try apply(read, inputs).validated()
          #expect(outputs.shape == expected.shape)
          #expect(distance(outputs.scalars, expected.scalars.map(Double.init)) < 1e-5, "\(name)")
        }
      }
      try check("perceptron", MLP(sizes: [3, 16, 16, 4], key: 0)) { $0($1) }
      try check("heads", Heads(key: 0)) { $0($1) }
    }
  }

  /// Flax makes of parameters from here what is made of them here.
  @Test func parametersGoToFlax() throws {
    try withTemporaryFolder { folder in
      let inputs = Draw(key: 5, shape: [7, 3]).normal()
      try inputs.write(npy: "\(folder)/inputs.npy")
      let perceptron = try MLP(sizes: [3, 16, 16, 4], key: 6).mapTensors { $0 + 0.1 }
      let heads = try Heads(key: 7).mapTensors { $0 - 0.1 }
      try perceptron.write(safetensors: "\(folder)/perceptron.safetensors", named: .flax())
      try perceptron.write(npz: "\(folder)/perceptron.npz", named: .flax())
      try heads.write(safetensors: "\(folder)/heads.safetensors", named: .flax())
      try heads.write(npz: "\(folder)/heads.npz", named: .flax())
      _ = try python("flax_models.py", "apply", folder)
      for (name, outputs) in [("perceptron", perceptron(inputs)), ("heads", heads(inputs))] {
        for kind in ["safetensors", "npz"] {
          let flax = try Tensor(contentsOf: "\(folder)/\(name).\(kind).outputs.npy")
          #expect(flax.shape == outputs.shape)
          #expect(distance(try outputs.validated().scalars, flax.scalars.map(Double.init)) < 1e-5, "\(name)")
        }
      }
    }
  }
}

private let interpreter = ProcessInfo.processInfo.environment["COIX_PYTHON"]
