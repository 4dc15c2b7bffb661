import Coix
import ExampleModels
import Testing

/// The example's population Gibbs samplers beyond their golden numbers: what trains what, and their data.
@Suite struct GibbsMixtureTests {
  private func gradients<Mixture: GibbsMixture>(of mixture: Mixture, _ points: Tensor) throws -> [(
    own: (name: String, tensor: Tensor), suffixed: Tensor
  )] {
    let (particles, sets) = (Plate("particle", count: 7), Plate("set", count: points.shape[0]))
    func gradient(_ loss: (Mixture) throws -> Tensor) throws -> Mixture {
      try valueWithGradient(at: mixture, loss).gradient
    }
    let own = try gradient {
      let program = try $0.inference(particles: particles, sets: sets, sweeps: 0)
      return try evaluate(program, seed: 1)(sets.mapped(points)).metrics.loss
    }
    let suffixed = try gradient {
      let firstSweep = compose($0.firstClusters, $0.firstParameters)
      let program = try apgs(
        particles(sets($0.target)), initial: particles(sets(firstSweep)),
        kernels: $0.kernels.map { particles(sets($0)) }, sweeps: 0)
      return try evaluate(program, seed: 1)(sets.mapped(points)).metrics.loss
    }
    return zip(own.namedTensors, suffixed.namedTensors).map { (own: $0.0, suffixed: $0.1.tensor) }
  }

  /// In the first sweep the proposal of the first block is trained to be likelier where weights are great. With a
  /// suffix, as in the reference, its gradient would be the opposite.
  @Test func theFirstSweepTrainsBothProposals() throws {
    let rings = try PointSets.rings(2, points: 16, key: 0).points
    let all = try gradients(of: GMM(key: 3), rings) + gradients(of: DMM(key: 3), rings)
    var initial = 0
    for (own, suffixed) in all {
      let isOfFirstBlock = own.name.hasPrefix("encode_initial")
      initial += isOfFirstBlock ? 1 : 0
      #expect(!isOfFirstBlock || suffixed.scalars.contains { $0 != 0 }, "\(own.name)")
      let expected = isOfFirstBlock ? -suffixed : suffixed
      let scale = expected.scalars.map(\.magnitude).max() ?? 0
      for (a, b) in zip(own.tensor.scalars, expected.scalars) { #expect(abs(a - b) <= 1e-5 * (1 + scale)) }
    }
    #expect(initial == 4 + 14)
  }

  /// A few steps at a great learning rate make the inferred variables likelier, and more points' clusters right.
  @Test func trainingHelps() throws {
    var experiment = GMMExperiment()
    (experiment.steps, experiment.batch, experiment.particles, experiment.sweeps) = (150, 10, 5, 3)
    (experiment.trainCount, experiment.learningRate) = (1_000, 1e-2)
    let results = try experiment.run()
    let (before, after) = (results.before, results.after)
    #expect(try #require(after.logDensity.last) > (try #require(before.logDensity.last)))
    #expect(after.accuracy > before.accuracy)
    #expect(results.losses.count == 150 && results.skippedCount == 0)
  }

  // MARK: Data

  @Test func accuracyIsUpToPermutation() throws {
    let sets = try PointSets.rings(3, points: 40, key: 1)
    let permuted = Tensor(sets.clusters.scalars.map { 3 - $0 }, shape: [3, 40])
    #expect(sets.accuracy(of: permuted, clusterCount: 4) == 1)
    // All in one cluster: a quarter is right.
    #expect(sets.accuracy(of: .zeros([3, 40]), clusterCount: 4) == 0.25)
    // Twelve points are wrong, and no number of a cluster.
    let spoilt = Tensor(permuted.scalars.enumerated().map { $0 < 12 ? .nan : $1 }, shape: [3, 40])
    #expect(sets.accuracy(of: spoilt, clusterCount: 4) == 0.9)
  }

  /// Of one point of each set, both coordinates are independent, Student's t with 4 degrees of freedom and scale √11:
  /// half of them are within 0.7407 scales. The bound is five standard deviations of a share of 40,000.
  @Test func gaussianSetsAreTheModels() throws {
    let sets = try PointSets.gaussians(20_000, points: 1, key: 2)
    #expect(sets.points.shape == [20_000, 1, 2])
    let bound = 0.7407 * Float(11).squareRoot()
    let share = Float(sets.points.scalars.count { abs($0) < bound }) / 40_000
    #expect(abs(share - 0.5) < 0.0125)
    #expect(Set(sets.clusters.scalars) == [0, 1, 2])
  }

  @Test func ringsAreUnitCircles() throws {
    let sets = try PointSets.rings(2, points: 800, key: 3)
    for set in 0..<2 {
      for cluster in 0..<4 {
        let rows = (0..<200).map { 4 * $0 + cluster }
        #expect(rows.allSatisfy { sets.clusters[set].scalars[$0] == Float(cluster) })
        let ring = sets.points[set].gathered(at: rows)
        let radii = sqrt((ring - ring.mean(axis: 0)).squared.sum(axis: -1)).scalars
        #expect(radii.allSatisfy { (0.4...1.6).contains($0) })  // six standard deviations of the noise
        let mean = radii.reduce(0, +) / 200
        #expect(abs(mean - 1) < 0.05)
      }
    }
    #expect(
      message { try PointSets.rings(2, points: 12, key: 0) }?.contains("a multiple of 8, is 12") == true)
    #expect(message { try PointSets.gaussians(.max, points: 2, key: 0) }?.contains("2^63 bytes") == true)
  }
}
