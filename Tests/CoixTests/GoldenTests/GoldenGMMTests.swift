import ExampleModels
import Testing

/// Population Gibbs on Gaussian mixtures: traces, metrics, and the gradient of the loss.
@Suite struct GoldenGMMTests {
  @Test(arguments: try GoldenFile.cases("gmm"))
  func agrees(_ golden: GoldenCase) throws { try GoldenMixture(GMM(key: 0), of: "gmm").check(golden) }
}
