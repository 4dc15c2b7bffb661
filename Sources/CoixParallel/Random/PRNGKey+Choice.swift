import CoixKernels
import Foundation

extension PRNGKey {
  /// `count` whole numbers uniform in 0 ..< `limit`, drawn with replacement (JAX's `choice`).
  ///
  /// Empty for a count below one or a limit outside of 1 ... 2³¹ - 1.
  public func choice(_ count: Int, from limit: Int) -> [Int32] {
    guard limit >= 1, limit <= Int32.max, count >= 1 else { return [] }
    return Draw(key: self, shape: [count]).integers(in: 0..<Int32(limit))
  }

  /// The numbers 0 ..< `count` in random order, by JAX's repeated stable sorts of random words. If they don't
  /// fit into memory, the result is empty, and the evaluation throws the error.
  public func permutation(of count: Int) -> [Int32] {
    // Memory for two orders, the words, and the sorted pairs of word and position.
    guard count >= 1, count <= Int32.max, Memory.canGive(4 * count, of: UInt64.self, for: "permutation")
    else { return [] }
    var order = (0..<Int32(count)).map { $0 }
    var key = self
    let rounds = Int((3 * Foundation.log(Double(count)) / Foundation.log(Double(UInt32.max))).rounded(.up))
    for _ in 0..<rounds {
      let (next, sub) = key.split()
      key = next
      let words = Draw(key: sub, shape: [count]).bits()
      // By word, then by position: a stable sort by word.
      let places = words.enumerated().map { UInt64($1) << 32 | UInt64($0) }.sorted()
      order = places.map { order[Int($0 & 0xffff_ffff)] }
    }
    return order
  }

  /// `tensor` with its elements along an axis in random order; see ``permutation(of:)``.
  ///
  /// Poisoned if there is no such axis. Negative axes count from the end.
  public func permuted(_ tensor: Tensor, axis: Int = 0) -> Tensor {
    guard let position = tensor.shape.normalizedAxis(axis) else {
      return Tensor.mismatch("permuted", of: [tensor], "there is no axis \(axis)")
    }
    let order = permutation(of: tensor.shape[position]).map(Int.init)
    guard !order.isEmpty else { return tensor }
    return Tensor.concatenate(order.map { tensor.sliced(axis: position, $0..<$0 + 1) }, axis: position)
  }
}
