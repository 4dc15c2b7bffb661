import CoixKernels
import Foundation
import Synchronization

/// The operations of a chunk, or of a whole step, in order, noted while they run.
///
/// A recording keeps every buffer that is made meanwhile, so that no two values have one address: an
/// operation's pointers say which values it reads and writes.
final class Recording {
  /// A buffer that was made while the recording was on.
  struct Buffer {
    let address: UnsafeMutableRawPointer
    let bytes: Int
    let owner: AnyObject
  }

  /// Something else than operations that happens within the recording, such as a stage of many chunks.
  struct Call {
    let reads: [UnsafeRawPointer]
    let writes: [UnsafeMutableRawPointer]
    /// Does it again; returns false if it can't be done as it was.
    let body: () throws -> Bool
  }

  private(set) var operations: [Operation] = []
  private(set) var buffers: [Buffer] = []
  private(set) var calls: [Call] = []
  /// The buffers that were written by Swift code, whose numbers stay the same; and memory that Swift code has
  /// read, for numbers that must stay the same.
  private(set) var constants: Set<UnsafeMutableRawPointer> = []
  private(set) var readings: [UnsafeRawPointer] = []
  /// What owns memory that the operations read and that was made before.
  private(set) var owners: [AnyObject] = []
  /// The operands of operations, whose buffers were made before, or meanwhile.
  private(set) var operands: [Storage] = []
  private var released: [UnsafeMutableRawPointer] = []
  /// Whether something was computed that neither operations nor calls say.
  private(set) var isRefused = false
  /// The recording of the step that a recorded chunk is a part of.
  private let parent: Recording?

  deinit { for address in released { free(address) } }

  init(parent: Recording? = nil) {
    self.parent = parent
    id = Self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
  }

  func append(_ operation: Operation) { operations.append(operation) }

  func append(_ call: Call) {
    operations.append(coix_op_call(calls.count))
    calls.append(call)
  }

  /// Lets go of everything. What replays the recording has what it needs; stages refer to the recording that they
  /// were a part of, and it to them.
  func finish() {
    (operations, buffers, calls) = ([], [], [])
    (constants, readings, owners, operands) = ([], [], [], [])
    keyLock.withLock { (keys, derived) = ([], [:]) }
  }

  /// Keeps a new buffer.
  func keep(_ address: UnsafeMutableRawPointer, bytes: Int, _ owner: AnyObject) {
    buffers.append(Buffer(address: address, bytes: bytes, owner: owner))
  }

  /// Whether a buffer that starts at an address is kept.
  func hasBuffer(at address: UnsafeMutableRawPointer) -> Bool { buffers.contains { $0.address == address } }

  /// Keeps memory that somebody has released: if it were used again, one address would stand for two values.
  func keepReleased(_ address: UnsafeMutableRawPointer) { released.append(address) }

  /// Keeps what owns memory that an operation reads.
  func keep(owner: AnyObject) { owners.append(owner) }

  /// Keeps an operand: whoever has it may let go of it before the recording is replayed.
  func keep(operand: Storage) { operands.append(operand) }

  /// Notes that Swift code wrote a buffer, with numbers that are the same each time.
  func noteConstant(_ buffer: UnsafeMutableRawPointer) { constants.insert(buffer) }

  /// Notes that Swift code has read a number, and may have decided by it.
  func noteReading(_ address: UnsafeRawPointer) { readings.append(address) }

  /// Notes that something was computed that neither operations nor calls say.
  func refuse() { isRefused = true }

  /// Keeps a tensor's buffer.
  func keep(_ storage: Storage) {
    keep(storage.pointer, bytes: storage.capacity * MemoryLayout<Float>.stride, storage)
  }

  // MARK: Keys

  /// Where a recording keeps a key.
  struct KeyPlace: Sendable {
    fileprivate let recording: UInt32
    fileprivate let number: UInt32

    /// The place of a key that is the same each time.
    static let none = KeyPlace(recording: 0, number: 0)
    var isNone: Bool { recording == 0 }
  }

  private let id: UInt32
  private static let lastID = Atomic<UInt32>(0)

  private struct KeyOrigin: Hashable {
    let number: UInt32
    let counter: UInt64
  }

  /// The keys of a step, each key's two words, and which key came of which. The workers of a stage, whether they
  /// record their chunk or not, all share those of the step: what a chunk hands on behind the barrier are keys of
  /// the step, too.
  private var keys: [Tensor] = []
  private var derived: [KeyOrigin: UInt32] = [:]
  /// Held by whoever reads or makes keys; while a stage runs, workers do.
  private let keyLock = NSLock()

  /// The step's recording.
  var step: Recording { parent ?? self }

  /// The address of a key; nil for a key of another step.
  func address(of place: KeyPlace) -> UnsafeMutablePointer<coix_key>? {
    guard place.recording == id else { return nil }
    return keyLock.withLock { Int(place.number) < keys.count ? keyAddress(place.number) : nil }
  }

  private func keyAddress(_ number: UInt32) -> UnsafeMutablePointer<coix_key> {
    keys[Int(number)].pointer.withMemoryRebound(to: coix_key.self, capacity: 1) { $0 }
  }

  /// What owns the keys.
  var keyOwners: [AnyObject] { keyLock.withLock { keys.map(\.storage) } }

  /// A place for a new key, and its address; nil if there is no memory for it.
  func makeKey() -> (place: KeyPlace, address: UnsafeMutablePointer<coix_key>)? {
    keyLock.withLock {
      makeKeyNumber().map { (KeyPlace(recording: id, number: $0), keyAddress($0)) }
    }
  }

  private func makeKeyNumber() -> UInt32? {
    // The key belongs to the step, whatever the context records.
    let context = ExecutionContext.current
    let recording = context?.recording
    context?.recording = nil
    defer { context?.recording = recording }
    guard let key = Tensor(undefined: [2]) else { return nil }
    keep(key.storage)
    keys.append(key)
    return UInt32(keys.count - 1)
  }

  /// The place of the key that block `counter` of a key is, and the key; nil if there is no memory for it.
  func derivedKey(of place: KeyPlace, _ counter: UInt64) -> (place: KeyPlace, key: coix_key)? {
    keyLock.withLock {
      let origin = KeyOrigin(number: place.number, counter: counter)
      if let known = derived[origin] {
        return (KeyPlace(recording: id, number: known), keyAddress(known).pointee)
      }
      guard let number = makeKeyNumber() else { return nil }
      derived[origin] = number
      let derive = coix_op_threefry(keyAddress(place.number), counter, keyAddress(number))
      coix_execute([derive], 1, nil)
      append(derive)
      return (KeyPlace(recording: id, number: number), keyAddress(number).pointee)
    }
  }
}
