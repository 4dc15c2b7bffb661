import Coix

/// The experiment on ring-shaped mixtures.
public typealias DMMExperiment = GibbsExperiment<DMM>

extension DMM: GibbsExperimentModel {
  public static let published = (points: 200, testPoints: 600, learningRate: Float(1e-3), steps: 30_000)
  public static let short = (points: 40, steps: 1_500)

  public static func sets(_ count: Int, points: Int, key: PRNGKey) throws -> PointSets {
    try PointSets.rings(count, points: points, key: key)
  }
}
