import Foundation

/// Ranks that are threads of one process.
struct ThreadTransport: RankTransport {
  let index: Int
  var count: Int { hub.count }
  private let hub: Hub

  /// Transports for so many ranks.
  static func make(_ count: Int, timeout: Duration) -> [ThreadTransport] {
    let hub = Hub(count, timeout: timeout)
    return (0..<count).map { ThreadTransport(index: $0, hub: hub) }
  }

  func gather(_ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawPointer) throws(CoixError) {
    try hub.exchange(UnsafeMutableRawPointer(mutating: mine.baseAddress), of: index) { others in
      for (rank, other) in others.enumerated() {
        if let other { (all + rank * mine.count).copyMemory(from: other, byteCount: mine.count) }
      }
    }
  }

  func gather(parts all: UnsafeMutableRawPointer, counts: [Int], unit: Int) throws(CoixError) {
    try hub.exchange(all, of: index) { others in
      var offset = 0
      for (rank, other) in others.enumerated() {
        let bytes = counts[rank] * unit
        if let other, rank != index { (all + offset).copyMemory(from: other + offset, byteCount: bytes) }
        offset += bytes
      }
    }
  }

  func broadcast(_ data: UnsafeMutableRawBufferPointer, from root: Int) throws(CoixError) {
    try hub.exchange(data.baseAddress, of: index) { others in
      if let source = others[root], root != index {
        data.baseAddress?.copyMemory(from: source, byteCount: data.count)
      }
    }
  }

  func send(_ data: UnsafeRawBufferPointer, to rank: Int) throws(CoixError) {
    try hub.send(UnsafeMutableRawPointer(mutating: data.baseAddress), from: index, to: rank)
  }

  func receive(_ data: UnsafeMutableRawBufferPointer, from rank: Int) throws(CoixError) {
    try hub.receive(data, from: rank, to: index)
  }

  func swap(_ outgoing: [UnsafeRawBufferPointer], _ incoming: [UnsafeMutableRawBufferPointer])
    throws(CoixError)
  {
    // The others read the list while this thread waits in the exchange.
    var outgoing = outgoing
    let index = index
    func exchange(_ list: inout UnsafeMutableBufferPointer<UnsafeRawBufferPointer>) throws(CoixError) {
      try hub.exchange(UnsafeMutableRawPointer(list.baseAddress), of: index) { others in
        for (rank, other) in others.enumerated() where rank != index {
          guard let other, !incoming[rank].isEmpty else { continue }
          incoming[rank].copyMemory(
            from: other.assumingMemoryBound(to: UnsafeRawBufferPointer.self)[index])
        }
      }
    }
    try outgoing.withUnsafeMutableBufferPointer(exchange)
  }

  func silent() -> [Int] { hub.silent(besides: index) }

  /// Where the threads meet. Each lays down the address of its data; the others copy from there.
  private final class Hub: @unchecked Sendable {
    // @unchecked: everything that changes does so under the condition's lock.
    let count: Int
    private let timeout: TimeInterval
    private let condition = NSCondition()
    private var addresses: [UnsafeMutableRawPointer?]
    private var arrived = 0
    /// How often all have come together.
    private var rounds = 0
    /// [sender * count + receiver]: data that is to be taken.
    private var mail: [UnsafeMutableRawPointer?]
    /// Which ranks wait, or have waited too long.
    private var isWaiting: [Bool]
    private var hasGivenUp = false

    init(_ count: Int, timeout: Duration) {
      self.count = count
      self.timeout = timeout / .seconds(1)
      addresses = Array(repeating: nil, count: count)
      mail = Array(repeating: nil, count: count * count)
      isWaiting = Array(repeating: false, count: count)
    }

    /// Waits until all have laid down an address, has each copy, and waits until all have. Whoever gives up takes its data along: from
    /// then on nobody gets any.
    func exchange(
      _ address: UnsafeMutableRawPointer?, of rank: Int, _ copy: ([UnsafeMutableRawPointer?]) -> Void
    ) throws(CoixError) {
      condition.lock()
      defer { condition.unlock() }
      try requireAll()
      addresses[rank] = address
      try comeTogether(rank, timeout)
      let others = addresses
      condition.unlock()
      copy(others)
      condition.lock()
      // All are here, and copy from each other.
      try comeTogether(rank, nil)
    }

    func send(_ address: UnsafeMutableRawPointer?, from sender: Int, to receiver: Int) throws(CoixError) {
      condition.lock()
      defer { condition.unlock() }
      try requireAll()
      mail[sender * count + receiver] = address
      defer { mail[sender * count + receiver] = nil }
      condition.broadcast()
      try wait(sender, timeout) { mail[sender * count + receiver] == nil }
    }

    func receive(_ data: UnsafeMutableRawBufferPointer, from sender: Int, to receiver: Int) throws(CoixError)
    {
      condition.lock()
      defer { condition.unlock() }
      try requireAll()
      try wait(receiver, timeout) { mail[sender * count + receiver] != nil }
      if let source = mail[sender * count + receiver].take() {
        data.baseAddress?.copyMemory(from: source, byteCount: data.count)
      }
      condition.broadcast()
    }

    func silent(besides rank: Int) -> [Int] {
      condition.lock()
      defer { condition.unlock() }
      return hasGivenUp ? isWaiting.indices.filter { !isWaiting[$0] && $0 != rank } : []
    }

    /// Throws if any rank has given up.
    private func requireAll() throws(CoixError) {
      if hasGivenUp { throw .ranks("other ranks have waited too long") }
    }

    private func comeTogether(_ rank: Int, _ timeout: TimeInterval?) throws(CoixError) {
      let round = rounds
      arrived += 1
      if arrived == count {
        arrived = 0
        rounds += 1
        condition.broadcast()
      }
      try wait(rank, timeout) { rounds > round }
    }

    private func wait(_ rank: Int, _ timeout: TimeInterval?, until isOver: () -> Bool) throws(CoixError) {
      let end = timeout.map { Date(timeIntervalSinceNow: $0) }
      isWaiting[rank] = true
      while !isOver() {
        guard let end else {
          condition.wait()
          continue
        }
        guard condition.wait(until: end) || isOver() else {
          hasGivenUp = true
          throw .ranks("other ranks did not come within \(self.timeout) seconds")
        }
      }
      isWaiting[rank] = false
    }
  }
}
