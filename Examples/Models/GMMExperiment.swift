import Coix

/// The experiment on Gaussian mixtures.
public typealias GMMExperiment = GibbsExperiment<GMM>

extension GMM: GibbsExperimentModel {
  public static let published = (points: 60, steps: 200_000, learningRate: Float(2.5e-4))
  public static let short = (points: 60, steps: 4_000, learningRate: Float(1e-2))
  public static let testPoints = 100

  public static func sets(_ count: Int, points: Int, key: PRNGKey) throws -> PointSets {
    try PointSets.gaussians(count, points: points, key: key)
  }
}
