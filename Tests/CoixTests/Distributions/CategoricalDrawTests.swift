import Coix
import Testing

/// Draws by probabilities: NumPyro's, however many categories there are, and never a category of probability
/// zero.
@Suite struct CategoricalDrawTests {
  /// Two thousand draws of NumPyro (`categorical_draws.py`): the hash of the indices (Fowler, Noll and Vo's,
  /// by index) and their sum.
  struct Reference: Sendable {
    let categories: Int
    let isUniform: Bool
    let hash: UInt64
    let sum: Int
  }

  static let references = [
    Reference(categories: 1_000, isUniform: true, hash: 0x9c4a_8bfb_cdbe_2734, sum: 982_039),
    Reference(categories: 1_000, isUniform: false, hash: 0x7206_c308_cde4_522d, sum: 988_996),
    Reference(categories: 10_000, isUniform: true, hash: 0x2afb_08d0_dbc8_825f, sum: 9_782_904),
    Reference(categories: 10_000, isUniform: false, hash: 0x9a4f_1e6c_80ff_bd89, sum: 9_796_924),
    Reference(categories: 100_000, isUniform: true, hash: 0x0e5e_d7e9_71f7_21f2, sum: 100_504_531),
    Reference(categories: 100_000, isUniform: false, hash: 0xaba1_39f2_75e5_db11, sum: 100_411_778),
  ]

  @Test(arguments: references) func drawsAreNumPyros(_ reference: Reference) {
    let (count, (parameterKey, key)) = (reference.categories, PRNGKey(seed: reference.categories).split())
    let probabilities =
      reference.isUniform
      ? Tensor(repeating: 1 / Float(count), shape: [count])
      : Draw(key: parameterKey, shape: [count]).uniform()
    let distribution = Categorical(probabilities: probabilities).expanded(to: [2_000])
    let draws = distribution.sample(key).scalars.map { UInt64($0) }
    #expect(draws.count == 2_000)
    #expect(draws.reduce(0, +) == UInt64(reference.sum))
    #expect(draws.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x100_0000_01b3 } == reference.hash)
  }

  /// The bounds leave no room for categories of probability zero, in front, between or behind, even to a
  /// uniform number of 0.
  @Test func impossibleCategories() {
    for probabilities: [Float] in [
      [0, 0.5, 0.5], [0, 0, 1], [1, 0, 0], [0.25, 0, 0.75, 0], [0, 0.3, 0, 0, 0.7, 0], [0, 0.1, 0.2],
    ] {
      let bounds = Tensor(probabilities).categoryBounds().scalars
      for uniform: Float in [0, .leastNonzeroMagnitude, 0.25, 0.3, 0.5, 1 - .ulpOfOne / 2] {
        let category = bounds.filter { $0 < uniform }.count
        #expect(probabilities[category] > 0, "\(uniform) in \(probabilities)")
      }
    }
  }

  /// Sums of many numbers are rounded, at the borders of their blocks in particular.
  @Test func impossibleCategoriesAmongVeryMany() {
    let probabilities: [Float] = (0..<5_000).map { (category: Int) -> Float in
      let isImpossible = category % 3 == 0 || category % 16 == 0 || category > 4_990
      return isImpossible ? 0 : 0.1 + Float(category % 7)
    }
    let bounds = Tensor(probabilities).categoryBounds().scalars
    for (category, probability) in probabilities.enumerated() where probability == 0 {
      if category > 0, category < bounds.count {
        #expect(bounds[category] == bounds[category - 1] || bounds[category] == .infinity)
      }
    }
    #expect(bounds[0] == -.infinity)
    #expect(bounds[4_990...].allSatisfy { $0 == .infinity })
    #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $0 <= $1 })
  }

  @Test func impossibleCategoriesOfOtherDistributions() throws {
    let counts = Multinomial(1_000, probabilities: [0, 0.4, 0, 0.6, 0]).sample(3).scalars
    #expect(counts[0] == 0 && counts[2] == 0 && counts[4] == 0)
    #expect(counts[1] + counts[3] == 1_000)
    let byLogits = Categorical(logits: [-.infinity, 0, -.infinity]).expanded(to: [1_000]).sample(4)
    #expect(byLogits.scalars.allSatisfy { $0 == 1 })
  }
}
