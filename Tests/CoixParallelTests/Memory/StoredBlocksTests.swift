import CoixKernels
import Foundation
import TestSupport
import Testing

@testable import CoixParallel

/// What is known of an array while it is stored in a file, a part after the other.
@Suite struct StoredBlocksTests {
  /// The ranges of so many elements, in no order.
  private func parts(of count: Int, each size: Int) -> [Range<Int>] {
    var random = SplitMix(seed: 5)
    var parts: [(order: Float, range: Range<Int>)] = []
    for start in stride(from: 0, to: count, by: size) {
      parts.append((random.floats(1, in: 0...1)[0], start..<min(start + size, count)))
    }
    return parts.sorted { $0.order < $1.order }.map(\.range)
  }

  @Test func blocksAreCompleteOnce() {
    var blocks = StoredBlocks(count: 25, size: 10)
    #expect(blocks.store(3..<12) == [])
    #expect(blocks.store(5..<5) == [])
    #expect(blocks.store(12..<25) == [1, 2])
    #expect(!blocks.areComplete)
    #expect(blocks.store(0..<3) == [0])
    #expect(blocks.areComplete)
    #expect(blocks.store(25..<25) == [])
  }

  @Test(arguments: [(1, 1), (100, 7), (8_192, 8_192), (70_000, 2_048), (3_000_000, 50_001)])
  func allBlocksBecomeComplete(count: Int, size: Int) {
    for blockSize in [1, 10, 4_096, 1 << 20] where count / blockSize < 10_000 {
      var blocks = StoredBlocks(count: count, size: blockSize)
      var complete: [Int] = []
      for part in parts(of: count, each: size) {
        #expect(!blocks.areComplete)
        complete += blocks.store(part)
      }
      #expect(blocks.areComplete)
      #expect(complete.sorted() == Array(0..<(count + blockSize - 1) / blockSize))
      _ = blocks.store(0..<1)
      #expect(!blocks.areComplete, "an element has come twice")
    }
  }

  private func moments() throws -> [Numbers<Double>] {
    try (0..<3).map { _ in try Numbers(repeating: -7, count: 1, for: "moments") }
  }

  /// The moments have the bits of those that are taken of all weights at once.
  @Test(arguments: [(1, 1), (8_193, 100), (70_000, 2_048), (3_000_000, 50_001)])
  func momentsOfStoredWeights(count: Int, size: Int) throws {
    var random = SplitMix(seed: 6)
    let weights = random.floats(count, in: -9...3)
    var (greatest, sum, squares) = (0.0, 0.0, 0.0)
    coix_weight_moments(weights, &greatest, &sum, &squares, count, 1, 0, 1)
    let (stored, results) = (try StoredWeights(count: count), try moments())
    for part in parts(of: count, each: size) {
      #expect(!stored.write(to: results[0], results[1], results[2]))
      stored.store(part, in: weights)
    }
    #expect(stored.write(to: results[0], results[1], results[2]))
    #expect(results.map { $0[0] } == [greatest, sum, squares])
    stored.store(0..<1, in: weights)
    #expect(!stored.write(to: results[0], results[1], results[2]), "a weight has come twice")
  }
}
