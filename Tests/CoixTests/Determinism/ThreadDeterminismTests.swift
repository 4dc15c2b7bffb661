import Coix
import ExampleModels
import Testing

/// A computation whose every number must be the same on any number of threads, in any order of its chunks, and
/// whether the program runs for each chunk or what it computes is replayed.
struct DeterminismCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// At least so many chunks in each stage.
  let chunks: Int
  /// Values, then a value with its gradient.
  let run: @Sendable (EvaluationOptions) throws -> (bits: Bits, chunkCounts: [Int])

  /// Of the 132 chunks the last one is smaller, and a task has two of them.
  static let rows = 2_100

  /// Points, a gradient for which is wanted, and a program's evaluation: everything it gives, as bits.
  static func bits<Parameters: TensorTree, Output: TensorTree>(
    at parameters: Parameters, _ evaluation: (Parameters) throws -> Evaluation<Output>
  ) throws -> (bits: Bits, chunkCounts: [Int]) {
    var bits = Bits()
    let plain = try evaluation(parameters)
    bits.add(plain)
    let (gradient, tracked) = try valueWithGradient(at: parameters) { parameters in
      let evaluation = try evaluation(parameters)
      return (try evaluation.metrics.loss, evaluation)
    }
    bits.add(tracked)
    bits.add("value", Tensor(gradient.value))
    bits.addTree("gradient", gradient.gradient)
    return (bits, plain.chunkCounts)
  }

  static let all: [DeterminismCase] = [
    autoencoder(.elbo), autoencoder(.iwae), innerResampling(.elbo), innerResampling(.iwae), nestedPlates,
  ]

  /// The autoencoder: with ELBO each chunk goes backward at once, with IWAE after the barrier.
  static func autoencoder(_ objective: Objective) -> DeterminismCase {
    DeterminismCase(testDescription: "autoencoder, \(objective.name)", chunks: 132) { options in
      let plate = Plate("particle", count: rows, chunkRows: 16)
      let points = Draw(key: 7, shape: [rows, 2]).normal()
      return try bits(at: VAE(key: 3)) { vae in
        try evaluate(vae.inference(plate, loss: objective), seed: 5, options: options)(plate.mapped(points))
      }
    }
  }

  /// Two steps of a particle filter: the gradient goes through the gather of the resampling in between.
  static func innerResampling(_ objective: Objective) -> DeterminismCase {
    DeterminismCase(testDescription: "inner resampling, \(objective.name)", chunks: 132) { options in
      let plate = Plate("particle", count: rows, chunkRows: 16)
      return try bits(at: ChainParameters()) { parameters in
        try evaluate(parameters.inference(plate, loss: objective), seed: 5, options: options)(chainData)
      }
    }
  }

  /// Particles of instances, each instance with its own data, resampled instance by instance.
  static let nestedPlates = DeterminismCase(testDescription: "nested plates", chunks: 132) { options in
    let particles = Plate("particle", count: 54, chunkRows: 16)
    let instances = Plate("instance", count: 40)
    let points = Draw(key: 7, shape: [40, 2]).normal()
    return try bits(at: ChainParameters()) { p in
      let first = propose(particles(instances(p.model)), particles(instances(p.proposal)), loss: .iwae)
      let target = particles(instances(compose(p.continuation, p.model, suffix: false)))
      let inference = propose(
        target, compose(particles(instances(p.kernel)), resample(first)), loss: .iwae)
      return try evaluate(inference, seed: 5, options: options)(
        instances.mapped(points))
    }
  }
}

/// The same bits for every number of threads and every order of the chunks, replayed or not.
@Suite struct ThreadDeterminismTests {
  @Test(arguments: DeterminismCase.all)
  func everyNumberIsTheSame(_ example: DeterminismCase) throws {
    let reference = try example.run(WayToRun.plain.options())
    #expect(reference.chunkCounts.allSatisfy { $0 >= example.chunks }, "\(reference.chunkCounts)")
    #expect(reference.bits.count > 10_000)
    for way in WayToRun.others {
      let other = try example.run(way.options())
      #expect(other.bits.differences(from: reference.bits) == [], "\(way)")
      #expect(other.chunkCounts == reference.chunkCounts, "\(way)")
    }
  }

  /// The comparison itself sees what is different.
  @Test func anotherSeedGivesOtherBits() throws {
    let plate = Plate("particle", count: 100)
    func bits(_ seed: PRNGKey) throws -> Bits {
      var bits = Bits()
      bits.add(try evaluate(ChainParameters().inference(plate, loss: .elbo), seed: seed)(chainData))
      return bits
    }
    #expect(try bits(1).differences(from: bits(1)) == [])
    let differences = try bits(1).differences(from: bits(2))
    #expect(differences.contains("value of y: 100 of 100 numbers"), "\(differences)")
  }
}
