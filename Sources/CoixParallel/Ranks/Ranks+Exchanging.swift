/// What ranks exchange once they have met.
extension Ranks {
  /// In place: `counts[r]` elements of `unit` bytes of rank r, one rank after another.
  package func gather(parts all: UnsafeMutableRawPointer, counts: [Int], unit: Int) throws(CoixError) {
    guard unit > 0, counts.contains(where: { $0 > 0 }) else { return }
    try exchange(sending: (count - 1) * counts[index] * unit) { (transport, _) throws(CoixError) in
      try transport.gather(parts: all, counts: counts, unit: unit)
    }
  }

  /// The same for an array: in place, `counts[r]` elements of rank r, one rank after another.
  func gather<Element>(_ all: inout [Element], counts: [Int]) throws(CoixError) {
    func fill(_ all: inout UnsafeMutableBufferPointer<Element>) throws(CoixError) {
      guard let base = all.baseAddress else { return }
      try gather(parts: base, counts: counts, unit: MemoryLayout<Element>.stride)
    }
    try all.withUnsafeMutableBufferPointer(fill)
  }

  /// A rank's bytes, to all others.
  func broadcast(_ data: UnsafeMutableRawBufferPointer, from root: Int) throws(CoixError) {
    guard !data.isEmpty else { return }
    try exchange(sending: root == index ? (count - 1) * data.count : 0) { (transport, _) throws(CoixError) in
      try transport.broadcast(data, from: root)
    }
  }

  /// The lists of all ranks, on all of them. It is a meeting by itself.
  func gather(_ list: [Int32]) throws -> [[Int32]] {
    let counts = try meet(at: .lists, form: UInt64(list.count)).map { Int($0.form) }
    var all = [Int32](repeating: 0, count: counts.reduce(0, +))
    let first = counts.prefix(index).reduce(0, +)
    all.replaceSubrange(first..<first + list.count, with: list)
    try gather(&all, counts: counts)
    var rest = all[...]
    return counts.map { count in
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
  }

  /// To each other rank the bytes of its number, and from each as many as there is room for.
  func swap(_ outgoing: [UnsafeRawBufferPointer], _ incoming: [UnsafeMutableRawBufferPointer])
    throws(CoixError)
  {
    let sent = outgoing.enumerated().reduce(0) { $0 + ($1.offset == index ? 0 : $1.element.count) }
    try exchange(sending: sent) { (transport, _) throws(CoixError) in
      try transport.swap(outgoing, incoming)
    }
  }

  /// Bytes to the next rank, or from the one before.
  func sendToNext(_ data: UnsafeRawBufferPointer) throws(CoixError) {
    try exchange(sending: data.count) { (transport, state) throws(CoixError) in
      state.traffic.messages.count += 1
      state.traffic.messages.bytes += data.count
      try transport.send(data, to: index + 1)
    }
  }
  func receiveFromPrevious(_ data: UnsafeMutableRawBufferPointer) throws(CoixError) {
    try exchange(sending: 0) { (transport, _) throws(CoixError) in
      try transport.receive(data, from: index - 1)
    }
  }
}

/// What a rank has exchanged with others.
package struct RankTraffic: Sendable {
  /// How often: meetings and what all ranks exchange, and messages to the next rank or from the one before.
  package var exchanges = 0
  /// Messages to the next rank, and their bytes.
  package var messages = (count: 0, bytes: 0)
  /// The bytes that it has handed to other ranks: those for several ranks count for each of them.
  package var bytes = 0
  /// The time that it took, waiting included.
  package var time = Duration.zero
}
