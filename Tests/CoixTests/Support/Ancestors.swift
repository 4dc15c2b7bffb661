import Coix

extension ResamplingScheme {
  /// The rows of `count` particles' ancestors in `[particles, instances]`.
  func ancestors(logWeights: Tensor, key: PRNGKey, count: Int, workers: Workers) throws -> [Int32] {
    let rows = try LogWeights(logWeights, workers: workers).ancestors(self, key: key, count: count).index.rows
    return Array(UnsafeBufferPointer(start: rows.pointer, count: rows.count))
  }
}
