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
      order = Self.positions(sortedBy: words).map { order[$0] }
    }
    return order
  }

  /// Positions in the order of their words, those of equal words as they are: a radix sort, a byte at a time.
  private static func positions(sortedBy words: [UInt32]) -> [Int] {
    var places = words.enumerated().map { UInt64($1) << 32 | UInt64($0) }
    var others = places
    places.withUnsafeMutableBufferPointer { places in
      others.withUnsafeMutableBufferPointer { others in
        withUnsafeTemporaryAllocation(of: Int.self, capacity: 256) { next in
          // After an even number of passes the result is where the words were.
          var (source, target) = (places, others)
          for shift: UInt64 in [32, 40, 48, 56] {
            func digit(_ place: UInt64) -> Int { Int(truncatingIfNeeded: place >> shift) & 0xFF }
            next.initialize(repeating: 0)
            for place in source { next[digit(place)] += 1 }
            var sum = 0
            for index in next.indices { (next[index], sum) = (sum, sum + next[index]) }
            for place in source {
              target[next[digit(place)]] = place
              next[digit(place)] += 1
            }
            swap(&source, &target)
          }
        }
      }
    }
    return places.map { Int($0 & 0xFFFF_FFFF) }
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
