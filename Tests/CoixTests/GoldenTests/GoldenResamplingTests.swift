import Coix
import Testing

/// The ancestors of systematic resampling.
@Suite struct GoldenResamplingTests {
  @Test(arguments: try GoldenFile.cases("resampling"))
  func agrees(_ golden: GoldenCase) throws {
    let weights = try golden.input("log_weights")
    guard let particles = weights.shape.first, let count = golden.fields["num_samples"]?.integer else {
      throw GoldenError("\(golden.name): no particles, or no number of samples")
    }
    let columns = weights.shape.dropFirst().reduce(1, *)
    #expect(try golden.expectation("indices").shape == [count] + weights.shape.dropFirst())
    let key = try golden.key()
    for threads in [1, 2] {
      let rows = try ResamplingScheme.systematic.ancestors(
        logWeights: weights.tensor.reshaped(to: [particles, columns]), key: key, count: count,
        workers: Workers(threads: threads))
      // Rows of [particles, columns], as a gather takes them; the file has particles.
      #expect(rows.indices.allSatisfy { Int(rows[$0]) % columns == $0 % columns })
      let found = rows.map { Int($0) / columns }
      guard let difference = try golden.difference("indices", found) else { continue }
      let isTied = try isTied(golden, weights.floats, key: key, columns: columns, count: count)
      let expected = try golden.expectation("indices").integers
      if !found.indices.allSatisfy({ found[$0] == expected[$0] || isTied($0, expected[$0]) }) {
        report(difference)
      }
    }
  }

  /// Whether, for an element and the particle that the file has there, rounding decided: whether the sampling
  /// position is nearer to that particle's share of the cumulative weights than the margin below which
  /// agreement is not asked for.
  private func isTied(_ golden: GoldenCase, _ logWeights: [Float], key: PRNGKey, columns: Int, count: Int)
    throws -> (_ element: Int, _ particle: Int) -> Bool
  {
    let margin = 1e-5
    let uniforms = Draw(key: key, shape: [columns]).uniform().scalars
    let bounds = (0..<columns).map { column in
      CumulativeWeights(stride(from: column, to: logWeights.count, by: columns).map { logWeights[$0] })
    }
    return { element, particle in
      let (i, column) = (element / columns, element % columns)
      let position = (Double(uniforms[column]) + Double(i)) / Double(count)
      return bounds[column].share(of: particle).contains(position, within: margin)
    }
  }
}
