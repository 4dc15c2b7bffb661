/// The sizes on which the runtime bases its choices. Results don't depend on a size unless its comment says
/// so.
///
/// Floats take four bytes each.
enum Limits {
  // MARK: Chunks

  /// Rows of a chunk, unless the plate sets its own number or the program's tensors are large. Sums over
  /// particles are taken chunk by chunk, so another number changes their last bits.
  static let chunkRows = 2048
  /// The rows of a chunk of a plate of so many, in the first attempt.
  static func chunkRows(of rows: Int) -> Int { min(chunkRows, ExecutionContext.paddedRows(rows)) }
  /// Floats that a chunk's operations may take before the plate is cut finer: about one core's second-level
  /// cache.
  static let chunkFloats = 256 << 10
  /// A single tensor of more than this many times ``chunkFloats`` is not allocated at all; the plate is cut
  /// finer first.
  static let chunkExcess = 16
  /// A chunk of nested plates has about this many particles or more of each of its instances, or all of them
  /// if the plate has fewer.
  static let particlesBeforeInstances = 32

  /// From this many chunks on, what a stage computes in the first one is recorded and run again on the others.
  static let replayedChunks = 4

  // MARK: The backward pass

  /// The most tasks that a stage's chunks are divided into. Each task keeps one sum of the parameters'
  /// gradients, so another number changes the last bits of gradients.
  static let tasks = 128
  /// Numbers of running sums that a rank hands on at a time.
  static let passedOnSums = 1 << 14
  /// Floats of tapes that a stage keeps for its backward pass, if its evaluation's budget has room for them: about a
  /// last-level cache. The tapes of further chunks are recorded again.
  static let keptFloats = 8 << 20
  /// For so many first nodes of a parent tape, a leaf is found by the node's number; leaves of later nodes
  /// are found by hashing.
  static let directLeaves = 1 << 10

  // MARK: Ranks

  /// From so many particles of each rank on, what is computed of all weights is computed in blocks, each by one rank,
  /// and each rank has the gradients of its own rows. Of fewer, each rank gets all weights and all gradients.
  static let rowsInBlocks = 1 << 15

  // MARK: Memory

  /// Floats of free buffers that a worker keeps for its next operations.
  static let pooledFloats = 64 << 20
  /// Floats of free buffers that are kept for tensors outside of evaluations.
  static let pooledFloatsOutside = 4 << 20
  /// The largest buffer, in floats, that is kept for tensors outside of evaluations.
  static let pooledBufferOutside = 1 << 14
  /// From this many bytes on, the C library has the system map each buffer anew, and unmaps it when it is
  /// freed; smaller ones it keeps itself. (glibc; elsewhere it may be less.)
  static let mappedBytes = 32 << 20
  /// The largest mapped buffer, in bytes, that is kept when it is released outside of evaluations. One is
  /// kept: the last.
  static let spareBytes = 64 << 20
  /// Up to so many bytes, constants of a recording are compared with each other.
  static let comparedBytes = 256
  /// From this many bytes on, a buffer that only a recording still refers to is given back to the system.
  static let discardedBytes = 64 << 10
  /// The largest buffer, in floats, that counts towards the chunk's budget although a caller chose its size.
  static let countedCheckedBuffer = 1 << 16
  /// When so many bytes of a file are all stored, the system may take back their memory, and they begin to go to the disk. (A
  /// multiple of the parts in which systems keep files in memory: less than such a part they don't give back.)
  static let storedBytes = 4 << 20
  /// After so many more such blocks, the system need no longer keep a block in memory: the memory is used for the next ones.
  /// (Memory that was used before is there sooner than new memory, of which a virtual machine has to ask its host for each page.)
  static let rememberedBlocks = 8
  /// Bytes of a file that one rank alone writes: a multiple of the pages of all systems.
  static let fileBlock = 64 << 10
  /// Floats of a tensor that are copied into a file at a time.
  static let fileFloats = 1 << 18
  /// Bytes up to which Swift's collections are made without asking whether there is memory for them.
  static let unaskedBytes = 1 << 20
  /// Empty tapes that a worker keeps.
  static let pooledTapes = 4
}
