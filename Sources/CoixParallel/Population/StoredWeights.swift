import CoixKernels
import Synchronization

/// Moments of log-weights that chunks store in a file: each block's are taken as soon as its rows are there, while the system still
/// has them in memory. At the end nobody need read the file again.
final class StoredWeights: Sendable {
  let count: Int
  /// [block]: each is written by whoever completes the block.
  private let moments: Numbers<coix_block_moments>
  private let blocks: Mutex<StoredBlocks>

  /// Moments of so many log-weights of one instance.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  init(count: Int) throws(CoixError) {
    self.count = count
    let size = coix_weight_block(count)
    moments = try Numbers(count: (count + size - 1) / size, for: "moments of weights")
    blocks = Mutex(StoredBlocks(count: count, size: size))
  }

  /// Counts log-weights that have been stored in an array of all of them, and takes the moments of the blocks that are complete by
  /// them.
  func store(_ rows: Range<Int>, in numbers: UnsafePointer<Float>) {
    for block in blocks.withLock({ $0.store(rows) }) {
      coix_weight_block_moments(numbers, moments.pointer, count, block, block + 1, 1, 1)
    }
  }

  /// Writes the greatest log-weight, and the sums of exp(w - greatest) and its square. Everybody who stores weights has ended.
  ///
  /// - Returns: false if not all log-weights were stored, or some of them twice.
  func write(
    to greatest: Numbers<Double>, _ sums: Numbers<Double>, _ squares: Numbers<Double>
  ) -> Bool {
    guard blocks.withLock({ $0.areComplete }) else { return false }
    coix_weight_merge_blocks(
      moments.pointer, moments.count, greatest.pointer, sums.pointer, squares.pointer)
    return true
  }
}
