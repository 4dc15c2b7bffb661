import CoixKernels

/// The operations of a chunk, in order, noted while they run.
///
/// A recording keeps every buffer that is made meanwhile, so that no two values have one address: an
/// operation's pointers say which values it reads and writes.
final class Recording {
  private(set) var operations: [Operation] = []
  /// The buffers made so far.
  private(set) var storages: [Storage] = []
  /// Those of them that were written by Swift code, by address.
  private(set) var constants: Set<UnsafeMutablePointer<Float>> = []
  /// Memory that the operations read and that was made before, by whoever made it.
  private(set) var owners: [AnyObject] = []
  /// Whether the operations say all that the chunk computes, whatever its rows.
  private(set) var isComplete = true

  func append(_ operation: Operation) { operations.append(operation) }

  /// Keeps a new buffer.
  func keep(_ storage: Storage) { storages.append(storage) }

  /// Keeps what owns memory that an operation reads.
  func keep(owner: AnyObject) { owners.append(owner) }

  /// Notes that Swift code wrote a buffer, with numbers that are the same for all chunks.
  func noteConstant(_ storage: Storage) { constants.insert(storage.pointer) }

  /// Notes that the chunk computes something that no operation says.
  func refuse() { isComplete = false }
}
