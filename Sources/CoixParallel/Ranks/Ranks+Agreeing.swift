/// What ranks decide together, and what one of them does for all.
extension Ranks {
  /// The first rank's number, on all ranks: for what a program decides by the clock, or by anything else that may
  /// differ from rank to rank. All ranks call it.
  ///
  /// - Throws: ``CoixError/ranks(_:)``; ``CoixError/otherRank(_:_:)``.
  public func first(_ number: Double) throws -> Double {
    guard count > 1 else { return number }
    return Double(bitPattern: try meet(at: .agreement, form: number.bitPattern)[0].form)
  }

  /// The first rank's bytes, on all ranks. All ranks call it.
  ///
  /// - Throws: as for a number.
  func first(_ bytes: [UInt8]) throws -> [UInt8] {
    guard self.count > 1 else { return bytes }
    let count = Int(try meet(at: .agreement, form: UInt64(bytes.count))[0].form)
    var bytes = isFirst ? bytes : Array(repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try broadcast($0, from: 0) }
    return bytes
  }

  /// Has the first rank alone do something, such as writing a file. All ranks call it, and wait until it is done.
  ///
  /// - Throws: what `work` throws, on all ranks; ``CoixError/ranks(_:)``; ``CoixError/otherRank(_:_:)``.
  public func onFirst(_ work: () throws -> Void) throws {
    guard count > 1 else { return try work() }
    _ = try share(.first, size: 0) {
      if isFirst { try work() }
      return 0
    }
  }

  /// Has each rank do something of its own. All ranks call it, and wait until it is done.
  ///
  /// - Throws: what `work` throws on the first rank that has an error, on all ranks; as ``onFirst(_:)``.
  package func onEach(_ work: () throws -> Void) throws {
    guard count > 1 else { return try work() }
    _ = try share(.each, size: 0) {
      try work()
      return 0
    }
  }

  /// The numbers of all ranks, on all ranks.
  ///
  /// - Throws: as ``first(_:)``.
  package func all(_ number: UInt64) throws -> [UInt64] {
    guard count > 1 else { return [number] }
    return try meet(at: .agreement, form: number).map(\.form)
  }

  /// The greatest of the ranks' numbers, on all ranks.
  ///
  /// - Throws: as ``first(_:)``.
  package func greatest(_ number: UInt64) throws -> UInt64 { try all(number).reduce(number, max) }

  /// Throws, the same on all ranks, unless all have the same number. All ranks call it.
  ///
  /// - Parameters:
  ///   - text: what a rank does that has a number.
  ///   - advice: what all ranks must do.
  /// - Throws: ``CoixError/ranks(_:)``; as ``first(_:)``.
  package func requireSame(_ number: UInt64, advice: String, text: (UInt64) -> String) throws {
    let numbers = try all(number)
    guard let other = numbers.firstIndex(where: { $0 != numbers[0] }) else { return }
    throw CoixError.ranks(
      "\(name(of: 0)) \(text(numbers[0])), \(name(of: other)) \(text(numbers[other])); \(advice)")
  }

  /// Throws, on all ranks, unless all of them were started with the same arguments. All ranks call it.
  ///
  /// - Throws: ``CoixError/argument(_:)``; as ``first(_:)``.
  package func requireSame(arguments: [String]) throws {
    let own = "\(arguments)"
    let first = String(decoding: try first(Array(own.utf8)), as: UTF8.self)
    try onEach {
      guard own == first else {
        throw CoixError.argument(
          "\(name(of: index)) was started with the arguments \(own), \(name(of: 0)) with \(first); all ranks need the same"
        )
      }
    }
  }

  /// The first rank that a signal has come to, and the signal, on all ranks; nil if there is none. All ranks call it. If they then
  /// exit with the status of the signal, that rank says so.
  ///
  /// - Parameter signal: what has come to this rank.
  /// - Throws: as ``first(_:)``.
  package func signal(_ signal: Int32?) throws -> Int32? {
    let signals = try all(UInt64(signal ?? 0)).map { Int32(truncatingIfNeeded: $0) }
    guard let rank = signals.firstIndex(where: { $0 != 0 }) else { return nil }
    state.withLock { $0.signalled = (rank, signals[rank]) }
    return signals[rank]
  }

  /// Whether tensors are the same on all ranks, bit for bit. All ranks call it.
  ///
  /// - Throws: as ``first(_:)``.
  package func haveSame(_ tensors: [Tensor]) throws -> Bool {
    guard count > 1 else { return true }
    var form = RankForm()
    for tensor in tensors {
      form.add(tensor.shape.elementCount)
      tensor.withScalars { form.add($0) }
    }
    return try meet(at: .agreement, form: form.value).allSatisfy { $0.form == form.value }
  }
}
