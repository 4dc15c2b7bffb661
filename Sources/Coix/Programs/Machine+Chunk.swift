import CoixParallel

/// A chunk's machine, which becomes that of the whole plate when the chunks' tensors have been merged.
struct MergedChunk: @unchecked Sendable {
  // @unchecked: handed from the worker to the caller.
  fileprivate let machine: Machine
  /// For each tensor that the machine visits: its place among the exports, or -1 for one that stays.
  fileprivate let places: [Int]

  /// The machine, with the merged tensors in place of the chunk's.
  func machine(merged: [Tensor], plateName: String) throws -> Machine {
    // The chunk is over, and nobody else uses its machine.
    machine.leaveChunk()
    var position = 0
    var views: [Tensor?] = Array(repeating: nil, count: merged.count)
    try machine.visit { kind, tensor in
      let place = places[position]
      position += 1
      guard place >= 0 else { return }
      if let view = views[place] {
        tensor = view
        return
      }
      let whole = merged[place]
      if case .rows = kind, whole.shape.rank > tensor.shape.rank {
        tensor = whole.mapped(plate: plateName)
      } else {
        tensor = whole
      }
      views[place] = tensor
    }
    return machine
  }
}

extension Machine {
  /// The chunk's tensors, to be merged with those of the other chunks.
  func leave(_ context: ExecutionContext) throws -> ChunkOutcome {
    var exports: [ChunkOutcome.Export] = []
    var places: [Int] = []
    exports.reserveCapacity(8)
    places.reserveCapacity(16)
    try visit { kind, tensor in
      switch kind {
      case .rows:
        guard tensor.leavesChunk(context) else { return places.append(-1) }
        if let mapped = mapped(tensor) {
          // Data that the program only hands on need not be merged: the whole-plate tensor that it came from
          // is there.
          tensor = mapped
          return places.append(-1)
        }
        if let place = exports.firstIndex(where: { $0.isRows(of: tensor) }) { return places.append(place) }
        places.append(exports.count)
        exports.append(.rows(tensor))
      case .sum, .loss:
        places.append(exports.count)
        exports.append(.sum(tensor, isLoss: kind == .loss))
      }
    }
    return ChunkOutcome(
      exports: exports, signature: signature, payload: MergedChunk(machine: self, places: places))
  }

  /// At the end of the last stage: completes the weight, and lets go of the parts of the result that nobody
  /// wants.
  ///
  /// - Throws: `CoixError.site(name:reason:)` for a value that is given to no site.
  func dropUnwanted(_ keep: EvaluationOptions.Keep, _ output: Register) throws {
    let root = try recorder(.root)
    try root.requireSitesOfGiven()
    var metrics = root.metrics ?? RunningMetrics()
    // A program without a weight of its own has that of its observed sites.
    completeWeight(&metrics, root.sites)
    root.metrics = metrics
    switch keep {
    case .everything: break
    case .output: root.replaceSites { $0 = [] }
    case .metrics:
      root.replaceSites { $0 = [] }
      unkeptOutput = try take(output)
    }
  }
}
