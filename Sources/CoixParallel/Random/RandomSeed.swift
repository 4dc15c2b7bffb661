/// The seed of random numbers: a whole number or a key.
///
/// A whole number n stands for the key of n mod 2^32, as in JAX without 64-bit mode: -1 and 4294967295 are
/// the same seed.
public protocol RandomSeed: Sendable {
  /// The key that the seed stands for.
  var prngKey: PRNGKey { get }
}

extension RandomSeed where Self: BinaryInteger {
  public var prngKey: PRNGKey { PRNGKey(word0: 0, word1: UInt32(truncatingIfNeeded: self)) }
}

extension PRNGKey: RandomSeed {
  public var prngKey: PRNGKey { self }
}

extension Int: RandomSeed {}
extension Int32: RandomSeed {}
extension Int64: RandomSeed {}
extension UInt: RandomSeed {}
extension UInt32: RandomSeed {}
extension UInt64: RandomSeed {}
