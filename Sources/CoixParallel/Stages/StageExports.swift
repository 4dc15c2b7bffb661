import CoixKernels

/// The form of an export, and the tensor that all chunks write it to.
struct StageDestination {
  let shape: Shape
  let isUniform: Bool
  let isSum: Bool
  let isLoss: Bool
  let isTracked: Bool
  /// Whether the tensor is the same for all rows, taken from one chunk, through which alone its gradient goes
  /// back.
  var passesOnUniform: Bool { isTracked && isUniform && !isSum }
  /// What all chunks write to, over the plate's rows; nil for a sum, and for what is the same for all rows.
  let rows: Tensor?

  /// Whether a chunk's export has this form.
  func fits(_ export: ChunkOutcome.Export) -> Bool {
    export.tensor.shape == shape && export.tensor.isBatched != isUniform && export.isSum == isSum
  }

  /// Makes the memory for an export, judged by what one chunk exports.
  ///
  /// - Parameters:
  ///   - number: the export's number.
  ///   - place: the file that it goes to, if it does.
  ///   - rows: how many rows the plate has; nil outside of plates.
  ///   - meetings: how often ranks had met before the stage.
  /// - Throws: ``CoixError/memory(what:bytes:)``; ``CoixError/file(path:reason:)``; ``CoixError/shape(operation:shapes:reason:)``.
  fileprivate init(
    of export: ChunkOutcome.Export, _ number: Int, _ place: ChunkOutcome.FilePlace?, rows: Int?,
    _ tasks: ChunkTasks, meetings: Int64
  ) throws {
    let tensor = export.tensor
    (shape, isUniform, isTracked) = (tensor.shape, !tensor.isBatched, tensor.node >= 0)
    (isSum, isLoss) = (export.isSum, export.isLoss)
    guard !export.isSum, tensor.isBatched, let rows else {
      self.rows = nil
      return
    }
    let whole = Shape(rows).appending(tensor.shape)
    guard whole.isValid else {
      throw CoixError.shape(
        operation: "merge", shapes: [tensor.shape], reason: "\(rows) rows of this shape are too many")
    }
    let what = "a site's values on the whole plate"
    let capacity = max(BufferPool.roundedCapacity(whole.elementCount), 1)
    let file = try place.map {
      try FileMemory($0.file, shape: $0.shape, shares: tasks.shares, hasLogWeights: $0.hasLogWeights)
    }
    let storage: Storage
    if let shares = tasks.shares {
      let unit = tensor.shape.elementCount * MemoryLayout<Float>.stride
      let name = RankName(meetings: meetings, number: -1 - Int32(clamping: number))
      let rankRows =
        if let file { RankRows(shares, unit: unit, name: name, in: file) } else {
          try RankRows(shares, unit: unit, name: name, for: what)
        }
      storage = Storage(in: rankRows, capacity: whole.elementCount)
    } else if let file {
      storage = Storage(in: file, capacity: capacity)
    } else {
      storage = Storage(adopting: try BufferPool.allocateChecked(capacity, for: what), capacity: capacity)
    }
    self.rows = Tensor(storage: storage, shape: whole)
  }
}

/// What all chunks of a stage write together.
struct MergedExports {
  let destinations: [StageDestination]
  let signature: [SiteName]
  /// [chunk][export], for those exports that are sums.
  let sums: Numbers<Double>
  let sumCount: Int

  /// Makes the memory for what all chunks export, judged by one of them.
  ///
  /// - Throws: as for one export.
  init(of outcome: ChunkOutcome, rows: Int?, _ tasks: ChunkTasks, meetings: Int64) throws {
    destinations = try outcome.exports.enumerated().map {
      try StageDestination(of: $1, $0, outcome.files[$0], rows: rows, tasks, meetings: meetings)
    }
    signature = outcome.signature
    sumCount = outcome.exports.count(where: \.isSum)
    sums = try Numbers(count: sumCount * tasks.chunkCount, for: "the sums of \(tasks.chunkCount) chunks")
  }

  /// What ranks write together, and each is to have all of.
  var exchanges: [RankExchange] {
    let rows = destinations.compactMap { destination in
      destination.rows.flatMap { $0.storage.rankRows == nil ? $0 : nil }.map {
        RankExchange.rows($0.pointer, elements: destination.shape.elementCount)
      }
    }
    return rows + (sumCount > 0 ? [.sums(sums.pointer, count: sumCount)] : [])
  }

  /// A number that stands for the form of all exports and for the sites.
  var form: UInt64 {
    var form = RankForm()
    for name in signature { form.add(name.text) }
    for destination in destinations {
      for size in destination.shape { form.add(size) }
      form.add([destination.isUniform, destination.isSum, destination.isLoss, destination.isTracked])
    }
    return form.value
  }

  /// Tells the files that a chunk's rows are there.
  func stored(_ rows: ChunkRows) {
    for tensor in destinations.compactMap(\.rows) {
      guard let memory = tensor.storage.fileMemory else { continue }
      let width = tensor.shape.dropping(1).elementCount
      for run in rows.runs { memory.stored(run.lowerBound * width..<run.upperBound * width) }
    }
  }
}
