import Coix

/// The experiment on ring-shaped mixtures.
public typealias DMMExperiment = GibbsExperiment<DMM>

extension DMM: GibbsExperimentModel {
  public static let published = (points: 200, steps: 30_000, learningRate: Float(1e-3))
  public static let short = (points: 40, steps: 2_000, learningRate: Float(1e-3))
  public static let testPoints = 600

  public static func sets(_ count: Int, points: Int, key: PRNGKey) throws -> PointSets {
    try PointSets.rings(count, points: points, key: key)
  }
}
