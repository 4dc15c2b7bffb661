/// Which blocks of an array are complete, while others store its elements in any order.
struct StoredBlocks {
  private let size: Int
  /// For each block, how many elements are yet to come. It is less than none where some came twice.
  private var missing: [Int]

  /// An array of so many elements, of which none is stored.
  ///
  /// - Parameter size: how many elements a block has; the last block has what is left.
  init(count: Int, size: Int) {
    self.size = size
    missing = stride(from: 0, to: count, by: size).map { min(size, count - $0) }
  }

  /// Whether each element has been stored once.
  var areComplete: Bool { missing.allSatisfy { $0 == 0 } }

  /// Counts elements that have been stored.
  ///
  /// - Returns: the blocks that are complete by them.
  mutating func store(_ elements: Range<Int>) -> [Int] {
    guard !elements.isEmpty else { return [] }
    var complete: [Int] = []
    for block in elements.lowerBound / size...(elements.upperBound - 1) / size {
      missing[block] -= elements.clamped(to: block * size..<(block + 1) * size).count
      if missing[block] == 0 { complete.append(block) }
    }
    return complete
  }
}
