/// The sizes that the runtime chooses by. Results don't depend on any of them except where it says so.
///
/// Floats take four bytes each.
enum Limits {
  // MARK: Chunks

  /// Rows of a chunk, unless the plate has its own number or the program's tensors are large. Sums over
  /// particles are taken chunk by chunk, so that another number changes their last bits.
  static let chunkRows = 2048
  /// Floats that a chunk's operations may take before the plate is cut finer: about one core's second-level
  /// cache.
  static let chunkFloats = 256 << 10
  /// A single tensor of this many times ``chunkFloats`` is not even allocated before the plate is cut finer.
  static let chunkExcess = 16
  /// A chunk of nested plates has this many particles for each instance, if there are as many, before it
  /// takes another instance.
  static let particlesBeforeInstances = 32

  // MARK: The way back

  /// Tasks that a stage's chunks are handed out in; each of them keeps one sum of the parameters' gradients.
  /// Another number changes the last bits of gradients.
  static let tasks = 128
  /// Floats of tapes that a stage keeps for its way back: about a last-level cache. Other chunks' tapes are
  /// recorded again.
  static let keptFloats = 8 << 20
  /// Nodes of a parent tape whose leaves are found by their number; leaves of later nodes are found by
  /// hashing.
  static let directLeaves = 1 << 10

  // MARK: Memory

  /// Floats that a worker keeps for its next operations.
  static let pooledFloats = 64 << 20
  /// Floats that are kept for tensors outside of evaluations.
  static let pooledFloatsOutside = 4 << 20
  /// The largest buffer, in floats, that is kept for tensors outside of evaluations.
  static let pooledBufferOutside = 1 << 14
  /// The largest buffer, in floats, of a size that a caller chose and that is taken from a pool nevertheless.
  static let pooledCheckedBuffer = 1 << 16
  /// Bytes up to which Swift's collections are made without asking whether there is memory for them.
  static let unaskedBytes = 1 << 20
  /// Empty tapes that a worker keeps.
  static let pooledTapes = 4

  // MARK: Teams

  /// Elements of a tensor from which on several OpenMP threads share the work on it.
  static let teamElements = 1 << 16
}
