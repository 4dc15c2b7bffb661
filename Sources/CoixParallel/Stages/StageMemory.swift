extension StagePlan {
  /// Throws unless there is memory for what all chunks export, judged by one of them, which has run. A stage that runs
  /// again has had it before.
  ///
  /// - Parameters:
  ///   - hasTape: whether a gradient is taken: then what is exported has gradients on the way back, too.
  ///   - rows: how many rows are kept here. In a trial, the rows that they stand for count instead.
  /// - Throws: ``CoixError/memory(what:bytes:)`` for more than the machine has;
  ///   ``CoixError/memoryBudget(what:bytes:budget:)``.
  func requireMemory(for outcome: ChunkOutcome, hasTape: Bool, rows: Int) throws(CoixError) {
    if isRepeated { return }
    let rows = trial?.count ?? rows
    let size = MemoryLayout<Float>.stride
    func bytes(of isCounted: (ChunkOutcome.Export) -> Bool) -> Int {
      let perRow = outcome.exports.enumerated().reduce(0.0) { sum, next in
        let (number, export) = next
        let isInMemory = !export.isSum && export.tensor.isBatched && outcome.files[number] == nil
        return sum + (isInMemory && isCounted(export) ? Double(export.tensor.shape.elementCount) : 0)
      }
      let bytes = perRow * Double(rows) * Double(size)
      return bytes < 0x1p62 ? Int(bytes) : .max
    }
    let kept = bytes { _ in true }
    func what() -> String { "what is kept of \(rows) rows" }
    try Memory.bytes(kept, of: 1, for: what())
    let gradients = hasTape ? bytes { $0.tensor.node >= 0 } : 0
    try memory.require(kept, gradients, withTapes: hasTape && !isHot, for: what())
  }

  /// Counts what all chunks export, as long as anything refers to it.
  func hold(_ merged: MergedExports, of outcome: ChunkOutcome) {
    for (number, destination) in merged.destinations.enumerated() {
      guard let rows = destination.rows else { continue }
      guard let trial else {
        memory.hold(rows)
        continue
      }
      // What goes to a file takes no memory in the evaluation itself.
      if outcome.files[number] == nil {
        memory.hold(rows, bytes: trial.bytes(each: destination.shape.elementCount))
      }
    }
  }
}
