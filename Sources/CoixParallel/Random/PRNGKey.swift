import CoixKernels

/// A key of the counter-based generator Threefry-2x32 (Salmon et al., "Parallel random numbers: as easy as 1,
/// 2, 3", 2011), in JAX's scheme: element i of a draw depends on the key and i alone, so a seed gives JAX's
/// own numbers.
public struct PRNGKey: Hashable, Sendable {
  /// The key's upper word.
  public var word0: UInt32 { read.word0 }
  /// The key's lower word.
  public var word1: UInt32 { read.word1 }
  private let words: coix_key
  /// Where a recording keeps the key, if it is another one each time that the recording is replayed.
  private let place: Recording.KeyPlace

  /// A key from its two words.
  public init(word0: UInt32, word1: UInt32) {
    words = coix_key(word0: word0, word1: word1)
    place = .none
  }

  /// The key of a seed; see ``RandomSeed``.
  public init(seed: some RandomSeed) { self = seed.prngKey }

  private init(_ key: coix_key, place: Recording.KeyPlace) {
    words = key
    self.place = place
  }

  /// The key for operations: its words, and where a recording keeps it.
  var source: coix_key_source {
    var source = coix_key_source(words: words, source: nil)
    if !place.isNone { source.source = UnsafePointer(address) }
    return source
  }

  /// Where the recording that is on keeps the key; nil if the key is the same each time.
  var address: UnsafeMutablePointer<coix_key>? {
    place.isNone ? nil : ExecutionContext.withCurrent { $0?.step?.address(of: place) }
  }

  /// The pair of words of a block.
  private func block(_ counter: UInt64) -> PRNGKey {
    guard address != nil,
      let new = ExecutionContext.withCurrent({ $0?.step?.derivedKey(of: place, counter) })
    else { return PRNGKey(coix_threefry(words, counter), place: .none) }
    return PRNGKey(new.key, place: new.place)
  }

  /// The same key as an input of the recording that is on: another one each time.
  func asInput(of recording: Recording) -> (key: PRNGKey, address: UnsafeMutablePointer<coix_key>)? {
    guard let new = recording.makeKey() else { return nil }
    new.address.pointee = words
    return (PRNGKey(new.address.pointee, place: new.place), new.address)
  }

  /// The words, as Swift code reads them: a recording must not be replayed with another key then.
  private var read: coix_key {
    if let address { ExecutionContext.current?.recording?.noteReading(address) }
    return words
  }

  /// Adds the words to a form. Nothing is decided by them, so that a recording need not know that they are read.
  func add(to form: inout RankForm) {
    form.add(Int(words.word0))
    form.add(Int(words.word1))
  }

  public static func == (a: PRNGKey, b: PRNGKey) -> Bool { a.word0 == b.word0 && a.word1 == b.word1 }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(word0)
    hasher.combine(word1)
  }

  /// Two new keys: the first two of ``split(into:)``.
  public func split() -> (PRNGKey, PRNGKey) {
    (block(0), block(1))
  }

  /// `count` new keys; key i is the pair of words of block i. Empty for a count below one. Also empty if the
  /// keys don't fit into memory; the evaluation then throws the error.
  public func split(into count: Int) -> [PRNGKey] {
    guard Tensor.refusal("PRNGKey.split", toMake: [max(count, 0), 2], rows: 1) == nil,
      Memory.canGive(max(count, 0), of: PRNGKey.self, for: "PRNGKey.split")
    else { return [] }
    return (0..<max(count, 0)).map { block(UInt64($0)) }
  }

  /// The key for item `data` of a series: the pair of words of block `data mod 2^32`.
  public func folded(in data: Int) -> PRNGKey {
    block(UInt64(UInt32(truncatingIfNeeded: data)))
  }
}

extension PRNGKey: ExpressibleByIntegerLiteral {
  public init(integerLiteral seed: Int) { self.init(seed: seed) }
}

/// A key that is split for each draw.
///
/// A draw computes (next, sub) = split(key): the stream keeps `next`, and the draw's key is `sub`.
public struct KeyStream: Sendable {
  private var start: PRNGKey
  /// How many draws after `start` were skipped. Their splits are only computed when the stream is drawn from
  /// again, which most streams that skip draws never are.
  private var skipped = 0

  /// The key that the next draw's key will be split from.
  public var key: PRNGKey { (0..<skipped).reduce(start) { key, _ in key.split().0 } }

  /// A stream that starts at `key` itself.
  public init(_ key: PRNGKey) { start = key }

  /// The next draw's key.
  public mutating func next() -> PRNGKey {
    let (next, draw) = key.split()
    (start, skipped) = (next, 0)
    return draw
  }

  /// Skips `count` draws, as if ``next()`` had been called so many times.
  package mutating func skip(_ count: Int) { skipped += max(count, 0) }
}
