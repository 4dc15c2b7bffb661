import CoixKernels
import Foundation

extension Ranks {
  /// Adds up the ranks' parts of sums in the ranks' order, and writes the totals on all ranks.
  ///
  /// A rank takes the running sums of the one before, adds its own parts, and hands them on, block by block; the last one's
  /// totals go to all. So the sums have the bits that one rank alone gets. The ranks have come together, and agree on the
  /// totals.
  ///
  /// - Parameter parts: this rank's parts of a node's sum, in their order, for the node and its position in the totals.
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  func addUp(
    _ totals: [GradientSums.Total], team: Int, _ parts: (_ node: Int32, _ position: Int) -> [coix_part]
  ) throws {
    let count = totals.reduce(0) { $0 + $1.count }
    guard count > 0 else { return }
    let buffer = try scratch(
      bytes: count * MemoryLayout<Double>.stride, for: "the gradients that ranks add up")
    defer { free(buffer) }
    let sums = UnsafeMutableBufferPointer(
      start: buffer.bindMemory(to: Double.self, capacity: count), count: count)
    let parts = totals.enumerated().map { parts($1.parentNode, $0) }
    for start in stride(from: 0, to: count, by: Limits.passedOnSums) {
      let block = UnsafeMutableBufferPointer(rebasing: sums[start..<min(start + Limits.passedOnSums, count)])
      // Whatever is added to -0 stays as it is, +0 included.
      if index == 0 {
        block.update(repeating: -0.0)
      } else {
        try receiveFromPrevious(UnsafeMutableRawBufferPointer(block))
      }
      add(parts, of: totals, to: block, from: start, team: team)
      if index + 1 < self.count { try sendToNext(UnsafeRawBufferPointer(block)) }
    }
    try tell(totals, sums)
  }

  /// Adds parts to a block of the sums, which lie one total after another.
  private func add(
    _ parts: [[coix_part]], of totals: [GradientSums.Total], to block: UnsafeMutableBufferPointer<Double>,
    from start: Int, team: Int
  ) {
    var first = 0
    for (total, parts) in zip(totals, parts) {
      let common = (first..<first + total.count).clamped(to: start..<start + block.count)
      if !common.isEmpty, let base = block.baseAddress {
        coix_add_parts(
          parts, parts.count, common.lowerBound - first, base + (common.lowerBound - start), common.count,
          Int32(team))
      }
      first += total.count
    }
  }

  /// Rounds the last rank's sums, and tells all others the totals.
  private func tell(_ totals: [GradientSums.Total], _ sums: UnsafeMutableBufferPointer<Double>) throws {
    guard let base = sums.baseAddress else { return }
    let last = self.count - 1
    if index == last {
      var first = 0
      for total in totals {
        coix_round_sums(base + first, total.address, total.count)
        first += total.count
      }
    }
    // The floats take the place of the sums, which nobody needs any more.
    let floats = UnsafeMutableRawBufferPointer(
      start: base, count: sums.count * MemoryLayout<Float>.stride)
    func forEachTotal(_ body: (GradientSums.Total, UnsafeMutableRawBufferPointer) -> Void) {
      var first = 0
      for total in totals {
        let bytes = total.count * MemoryLayout<Float>.stride
        body(total, UnsafeMutableRawBufferPointer(rebasing: floats[first..<first + bytes]))
        first += bytes
      }
    }
    if index == last {
      forEachTotal { $1.copyMemory(from: UnsafeRawBufferPointer(start: $0.address, count: $1.count)) }
    }
    try broadcast(floats, from: last)
    if index != last {
      forEachTotal { total, bytes in
        if let source = bytes.baseAddress {
          UnsafeMutableRawPointer(total.address).copyMemory(from: source, byteCount: bytes.count)
        }
      }
    }
  }
}
