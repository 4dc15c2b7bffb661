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
    fileprivate(set) var owner: MemoryOwner
  }

  private(set) var operations: [Operation] = []
  private(set) var buffers: [Buffer] = []
  /// What stands between the operations: stages of many chunks, and exchanges between ranks.
  private(set) var calls: [any RecordedCall] = []
  /// The buffers that were written by Swift code, whose numbers stay the same, and how many bytes it wrote; and
  /// memory that Swift code has read, for numbers that must stay the same.
  private(set) var constants: [UnsafeMutableRawPointer: Int] = [:]
  private(set) var readings: [UnsafeRawPointer] = []
  /// What owns memory that the operations read and that was made before.
  var owners: [MemoryOwner] { Array(ownersByName.values) }
  private var ownersByName: [ObjectIdentifier: MemoryOwner] = [:]
  /// What a recorded chunk reads that may be another rank's.
  private(set) var needs: [RowNeed] = []
  private var released: [UnsafeMutableRawPointer] = []
  /// Whether something was computed that neither operations nor calls say.
  private(set) var isRefused = false
  /// The recording of the step that a recorded chunk is a part of.
  private let parent: Recording?
  /// The least memory budget of the evaluations within.
  private(set) var budget = Int.max
  private let discardsUnread: Bool
  /// Where the buffers start, and those whose memory has been given back.
  private var addresses: Set<UnsafeMutableRawPointer> = []
  private var discarded: Set<UnsafeMutableRawPointer> = []
  /// Held by whoever reads or changes what a step's chunks add to: its operations, buffers and keys.
  private let lock = NSLock()

  deinit { for address in released { free(address) } }

  /// - Parameters:
  ///   - parent: the recording of the step that a recorded chunk is a part of.
  ///   - discardsUnread: whether the memory of large buffers is given back to the system as soon as nobody but
  ///     the recording refers to them. What is the same each time must then be computed again.
  init(parent: Recording? = nil, discardsUnread: Bool = false) {
    self.parent = parent
    self.discardsUnread = discardsUnread
    id = Self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
  }

  func append(_ operation: Operation) { lock.withLock { operations.append(operation) } }

  func append(_ call: some RecordedCall) {
    operations.append(coix_op_call(calls.count))
    calls.append(call)
  }

  /// Lets go of everything. What replays the recording has what it needs; stages refer to the recording that they
  /// were a part of, and it to them.
  func finish() {
    discardUnread()
    (operations, buffers, calls) = ([], [], [])
    (constants, readings, ownersByName, addresses, discarded) = ([:], [], [:], [], [])
    lock.withLock { (keys, derived) = ([], [:]) }
    needs = []
  }

  /// Keeps a new buffer.
  func keep(_ address: UnsafeMutableRawPointer, bytes: Int, _ owner: MemoryOwner) {
    lock.withLock { keepLocked(address, bytes: bytes, owner) }
  }

  private func keepLocked(_ address: UnsafeMutableRawPointer, bytes: Int, _ owner: MemoryOwner) {
    buffers.append(Buffer(address: address, bytes: bytes, owner: owner))
    addresses.insert(address)
    // Not while workers run: their plans know what they read by its address alone.
    let isCaller = ExecutionContext.withCurrent { $0?.isCaller ?? true }
    if bytes >= Limits.discardedBytes && isCaller { discardUnread() }
  }

  /// Gives the memory of large buffers that nobody else refers to any more back to the system, unless Swift code
  /// wrote them. Their addresses stay taken.
  private func discardUnread() {
    guard discardsUnread else { return }
    for index in buffers.indices
    where buffers[index].bytes >= Limits.discardedBytes && !discarded.contains(buffers[index].address)
      && isKnownUniquelyReferenced(&buffers[index].owner) && constants[buffers[index].address] == nil
    {
      Memory.discard(buffers[index].address, bytes: buffers[index].bytes)
      discarded.insert(buffers[index].address)
    }
  }

  /// Gives the memory of large values that nobody reads any more back to the system. No worker may run.
  func discard() { lock.withLock { discardUnread() } }

  /// Whether the memory of a buffer that the recording keeps has been given back.
  func hasDiscarded(_ owner: MemoryOwner) -> Bool { lock.withLock { discarded.contains(owner.address) } }

  /// Notes the memory budget of an evaluation within.
  func note(budget bytes: Int) { budget = min(budget, bytes) }

  /// Whether a buffer that starts at an address is kept, here or by the step's recording.
  func hasBuffer(at address: UnsafeMutableRawPointer) -> Bool {
    lock.withLock { addresses.contains(address) } || parent?.hasBuffer(at: address) ?? false
  }

  /// Keeps memory that somebody has released: if it were used again, one address would stand for two values.
  func keepReleased(_ address: UnsafeMutableRawPointer) { released.append(address) }

  /// Keeps what owns memory that an operation reads: whoever has it may let go of it before the recording is
  /// replayed. (The buffers that were made meanwhile are kept anyway.)
  func keep(owner: MemoryOwner) {
    guard ownersByName[ObjectIdentifier(owner)] == nil, !hasBuffer(at: owner.address) else { return }
    ownersByName[ObjectIdentifier(owner)] = owner
  }

  /// Notes that Swift code wrote the first bytes of a buffer, with numbers that are the same each time.
  func noteConstant(_ buffer: UnsafeMutableRawPointer, bytes: Int) {
    constants[buffer] = max(bytes, constants[buffer] ?? 0)
  }

  /// Notes that Swift code has read a number, and may have decided by it.
  func noteReading(_ address: UnsafeRawPointer) { readings.append(address) }

  /// Notes that a chunk reads something that may be another rank's.
  func note(_ need: RowNeed) {
    if !needs.contains(where: need.isSame) { needs.append(need) }
  }

  /// How much there is: see ``forget(after:)``.
  struct Mark {
    fileprivate let operations: Int
    fileprivate let readings: Int
    fileprivate let keys: Int
  }
  var mark: Mark {
    lock.withLock { Mark(operations: operations.count, readings: readings.count, keys: keys.count) }
  }

  /// Forgets what was noted since: the chunk will run again.
  func forget(after mark: Mark) {
    lock.withLock {
      operations.removeSubrange(mark.operations...)
      readings.removeSubrange(mark.readings...)
      // Keys that are asked for again are derived again.
      derived = derived.filter { $0.value < mark.keys }
    }
  }

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

  /// The step's recording.
  var step: Recording { parent ?? self }

  /// The address of a key; nil for a key of another step.
  func address(of place: KeyPlace) -> UnsafeMutablePointer<coix_key>? {
    guard place.recording == id else { return nil }
    return lock.withLock { Int(place.number) < keys.count ? keyAddress(place.number) : nil }
  }

  private func keyAddress(_ number: UInt32) -> UnsafeMutablePointer<coix_key> {
    keys[Int(number)].pointer.withMemoryRebound(to: coix_key.self, capacity: 1) { $0 }
  }

  /// What owns the keys.
  var keyOwners: [MemoryOwner] { lock.withLock { keys.map(\.storage) } }

  /// A place for a new key, and its address; nil if there is no memory for it.
  func makeKey() -> (place: KeyPlace, address: UnsafeMutablePointer<coix_key>)? {
    lock.withLock {
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
    keepLocked(
      key.pointer, bytes: key.storage.capacity * MemoryLayout<Float>.stride, key.storage)
    keys.append(key)
    return UInt32(keys.count - 1)
  }

  /// The place of the key that block `counter` of a key is, and the key; nil if there is no memory for it.
  func derivedKey(of place: KeyPlace, _ counter: UInt64) -> (place: KeyPlace, key: coix_key)? {
    lock.withLock {
      let origin = KeyOrigin(number: place.number, counter: counter)
      if let known = derived[origin] {
        return (KeyPlace(recording: id, number: known), keyAddress(known).pointee)
      }
      guard let number = makeKeyNumber() else { return nil }
      derived[origin] = number
      let derive = coix_op_threefry(keyAddress(place.number), counter, keyAddress(number))
      coix_execute([derive], 1, nil)
      operations.append(derive)
      return (KeyPlace(recording: id, number: number), keyAddress(number).pointee)
    }
  }
}
