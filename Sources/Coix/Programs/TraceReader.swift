/// Who reads the sites that a program has left in its scope, once it has run. Sites that nobody reads are
/// neither stored between stages nor gathered.
struct TraceReader: Hashable, Sendable {
  let index: Int

  /// A combinator that looks at the sites.
  static let combinator = TraceReader(index: 0)
  /// The caller of the evaluation, if its options keep the trace.
  static let caller = TraceReader(index: 1)
}

/// The readers of an evaluation's scopes. That of a loop's round is known only when the next round has been
/// emitted.
struct TraceReaders: Sendable {
  /// For each reader the one that it turned out to be; nil if there is none (yet).
  private var known: [TraceReader?] = [nil, nil]

  /// A reader who is not known yet. Nobody, if it stays so.
  mutating func make() -> TraceReader {
    known.append(nil)
    return TraceReader(index: known.count - 1)
  }

  /// Notes who a reader is.
  mutating func identify(_ reader: TraceReader, as other: TraceReader) { known[reader.index] = other }

  /// For each reader, by its index, whether it reads.
  func reading(callerReads: Bool) -> [Bool] {
    var reading: [Bool?] = Array(repeating: nil, count: known.count)
    reading[TraceReader.combinator.index] = true
    reading[TraceReader.caller.index] = callerReads
    for index in known.indices {
      var chain: [Int] = []
      var next = index
      while reading[next] == nil, let other = known[next] {
        chain.append(next)
        next = other.index
      }
      let reads = reading[next] ?? false
      for link in chain { reading[link] = reads }
    }
    return reading.map { $0 ?? false }
  }
}
