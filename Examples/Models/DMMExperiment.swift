import Coix

/// The experiment on ring-shaped mixtures.
public typealias DMMExperiment = GibbsExperiment<DMM>

extension DMM: GibbsExperimentModel {
  public static let published = (trainPoints: 200, testPoints: 600, learningRate: Float(1e-3), steps: 30_000)
  public static let shortSteps = 500

  public static func sets(_ count: Int, points: Int, key: PRNGKey) throws -> PointSets {
    try PointSets.rings(count, points: points, key: key)
  }
}
