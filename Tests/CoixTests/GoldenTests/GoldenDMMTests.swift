import ExampleModels
import Testing

/// Population Gibbs on ring-shaped mixtures: traces, metrics, and the gradient of the loss.
@Suite struct GoldenDMMTests {
  @Test(arguments: try GoldenFile.cases("dmm"))
  func agrees(_ golden: GoldenCase) throws { try GoldenMixture(DMM(key: 0), of: "dmm").check(golden) }
}
