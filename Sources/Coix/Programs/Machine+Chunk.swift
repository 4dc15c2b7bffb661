import CoixParallel

/// A chunk's machine, which becomes that of the whole plate when the chunks' tensors have been merged.
struct MergedChunk: @unchecked Sendable {
  // @unchecked: handed from the worker to the caller.
  fileprivate let machine: Machine
  /// For each tensor that the machine visits: where it is found after the merge.
  fileprivate let places: [Place]

  /// Where a tensor is found after the merge.
  fileprivate indirect enum Place {
    /// It stays as it is.
    case kept(Tensor)
    /// Among the exports, by number; as the chunk had it, and with the place of what a map made it of.
    case merged(Int, Tensor, base: Place?)
  }

  /// The machine, with the merged tensors in place of the chunk's.
  func machine(merged: [Tensor], plateName: String) throws -> Machine {
    // The chunk is over, and nobody else uses its machine.
    machine.leaveChunk()
    var position = 0
    var views: [Tensor?] = Array(repeating: nil, count: merged.count)
    func whole(_ place: Place) -> Tensor {
      switch place {
      case .kept(let tensor): return tensor
      case .merged(let number, let part, let base):
        if let view = views[number] { return view }
        let rows = merged[number]
        let view = (rows.shape.rank > part.shape.rank ? rows.mapped(plate: plateName) : rows)
          .remembering(as: part, base.map(whole))
        views[number] = view
        return view
      }
    }
    try machine.visit { _, tensor in
      tensor = whole(places[position])
      position += 1
    }
    return machine
  }
}

extension Machine {
  /// At the end of the last stage: the chunk's tensors, some of which go to files.
  func leave(_ context: ExecutionContext, _ files: ResultFiles, _ output: Register) throws -> ChunkOutcome {
    var outcome = try leave(context)
    guard !files.isEmpty else { return outcome }
    let root = try recorder(.root)
    let trace = try files.haveSites ? finishedTrace(.root) : Trace()
    let exports = outcome.exports
    outcome.files = files.places(
      of: { result in
        switch result {
        case .logWeight: root.metrics?.logWeight
        case .site(let name): trace[name]?.value
        case .logProb(let name): trace[name]?.logProb
        case .output(let name): tensor(name, in: output)
        }
      }, batch: batch, { tensor in exports.firstIndex { $0.isRows(of: tensor) } })
    return outcome
  }

  /// The chunk's tensors, to be merged with those of the other chunks.
  func leave(_ context: ExecutionContext) throws -> ChunkOutcome {
    var exports: [ChunkOutcome.Export] = []
    var places: [MergedChunk.Place] = []
    exports.reserveCapacity(8)
    places.reserveCapacity(16)
    var kept: [Tensor] = []
    func place(_ tensor: Tensor) -> MergedChunk.Place {
      guard tensor.leavesChunk(context) else {
        kept.append(tensor)
        return .kept(tensor)
      }
      // Data that the program only hands on need not be merged: the whole-plate tensor that it came from is
      // there.
      if let mapped = mapped(tensor) { return .kept(mapped) }
      let base = tensor.portableBase.map(place)
      if let number = exports.firstIndex(where: { $0.isRows(of: tensor) }) {
        return .merged(number, tensor, base: base)
      }
      exports.append(.rows(tensor))
      return .merged(exports.count - 1, tensor, base: base)
    }
    try visit { kind, tensor in
      switch kind {
      case .rows: places.append(place(tensor))
      case .sum, .loss:
        places.append(.merged(exports.count, tensor, base: nil))
        exports.append(.sum(tensor, isLoss: kind == .loss))
      }
    }
    return ChunkOutcome(
      exports: exports, signature: signature, payload: MergedChunk(machine: self, places: places), kept: kept)
  }

  /// At the end of the last stage: completes the weight, and lets go of the parts of the result that nobody
  /// wants, in memory or in a file.
  ///
  /// - Throws: `CoixError.site(name:reason:)` for a value that is given to no site.
  func dropUnwanted(_ keep: EvaluationOptions.Keep, _ files: ResultFiles, _ output: Register) throws {
    let root = try recorder(.root)
    try root.requireSitesOfGiven()
    var metrics = root.metrics ?? RunningMetrics()
    // A program without a weight of its own has that of its observed sites.
    completeWeight(&metrics, root.recorded.recent)
    root.metrics = metrics
    if keep == .everything { return }
    if files.haveSites {
      root.recorded.replace { sites in
        for index in sites.indices.reversed() {
          let parts = files.parts(of: sites[index])
          if !parts.logProb { sites[index].logProb = .unkept }
          if !parts.value { sites[index].value = .unkept }
          if !parts.value && !parts.logProb { sites.remove(at: index) }
        }
      }
    } else {
      root.recorded = RecordedSites()
    }
    if keep == .metrics, !files.haveOutput { unkeptOutput = try take(output) }
  }
}
