import Coix

/// The experiment on Gaussian mixtures.
public typealias GMMExperiment = GibbsExperiment<GMM>

extension GMM: GibbsExperimentModel {
  public static let published = (
    points: 60, testPoints: 100, learningRate: Float(2.5e-4), steps: 200_000
  )
  public static let short = (points: 60, steps: 4_000)

  public static func sets(_ count: Int, points: Int, key: PRNGKey) throws -> PointSets {
    try PointSets.gaussians(count, points: points, key: key)
  }
}
