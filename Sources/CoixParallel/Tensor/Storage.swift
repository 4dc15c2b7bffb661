import CoixKernels
import Synchronization

/// The floats behind tensors: 64-byte aligned, never changed once a tensor that others can see refers to
/// them.
///
/// Buffers come from the current worker's ``BufferPool`` where there is one and go back to the pool of
/// whichever worker drops the last reference.
final class Storage: MemoryOwner, @unchecked Sendable {
  // @unchecked: the buffer is written only by its maker, before it is shared.
  var pointer: UnsafeMutablePointer<Float> { address.assumingMemoryBound(to: Float.self) }
  /// In floats; a multiple of `COIX_LANES`.
  let capacity: Int
  /// What only few storages have. It is kept in an object of its own, so that the many other storages are
  /// cheap to make and release.
  private let rarity: Rarity?

  private final class Rarity: @unchecked Sendable {
    // @unchecked: constants, and an owner that keeps its memory as storages do.
    let failure: CoixError?
    let mapping: PlateMapping?
    let preimage: Preimage?
    let owner: MemoryOwner?

    init(
      failure: CoixError? = nil, mapping: PlateMapping? = nil, preimage: Preimage? = nil,
      owner: MemoryOwner? = nil
    ) {
      self.failure = failure
      self.mapping = mapping
      self.preimage = preimage
      self.owner = owner
    }
  }

  /// The error that poisoned the tensor.
  var failure: CoixError? { rarity?.failure }
  /// For tensors mapped over a whole plate: how the plate's rows map to the buffer's rows.
  var mapping: PlateMapping? { rarity?.mapping }
  /// The tensor that a one-to-one map made the numbers from, if it is known.
  var preimage: Preimage? { rarity?.preimage }
  /// The file that has the rows, for mapped tensors whose numbers are not in memory: there are no floats at
  /// the address.
  var file: FileRows? { rarity?.owner as? FileRows }
  /// The file in which the floats lie, if they do.
  var fileMemory: FileMemory? { rarity?.owner as? FileMemory ?? rankRows?.file }
  /// The rows of ranks in whose memory the floats lie, if they do.
  var rankRows: RankRows? {
    guard let owner = rarity?.owner else { return nil }
    return owner as? RankRows ?? (owner as? Storage)?.rankRows
  }
  /// Whether this is neither poisoned, nor mapped, nor a view.
  var isPlain: Bool { rarity == nil }

  /// At least `count` floats with undefined contents; nil if there is no memory for them; the evaluation then
  /// throws the error.
  init?(count: Int) {
    let capacity = BufferPool.roundedCapacity(count)
    guard let buffer = BufferPool.allocate(capacity) else {
      Self.refusedCount.store(count, ordering: .relaxed)
      ExecutionContext.remember(Self.lastRefusal)
      return nil
    }
    self.capacity = capacity
    rarity = nil
    super.init(address: buffer)
    noteWhereRecorded(isEmpty: count == 0)
  }

  private static let refusedCount = Atomic<Int>(0)

  /// The error of the last buffer that there was no memory for.
  static var lastRefusal: CoixError {
    let count = refusedCount.load(ordering: .relaxed)
    return .memory(what: "a tensor of \(count) numbers", bytes: count * MemoryLayout<Float>.stride)
  }

  /// Another storage's buffer, seen as rows of a plate (or, without a mapping, as a plain buffer).
  init(viewing other: Storage, mapping: PlateMapping?, preimage: Preimage? = nil) {
    capacity = other.capacity
    let owner = other.rarity?.owner
    // Whoever records asks whether anybody still refers to the storage that ranks' rows were first seen through.
    rarity = Rarity(mapping: mapping, preimage: preimage, owner: owner is RankRows ? other : owner ?? other)
    super.init(address: other.address)
  }

  /// Rows in a file, seen as rows of a plate.
  init(reading file: FileRows, mapping: PlateMapping) {
    capacity = 0
    rarity = Rarity(mapping: mapping, owner: file)
    super.init(address: file.address)
  }

  /// Memory that lies in a file, for `capacity` floats.
  init(in memory: FileMemory, capacity: Int) {
    self.capacity = capacity
    rarity = Rarity(owner: memory)
    super.init(address: memory.address)
  }

  /// Memory of ranks' rows, for `capacity` floats.
  init(in rows: RankRows, capacity: Int) {
    self.capacity = capacity
    rarity = Rarity(owner: rows)
    super.init(address: rows.address)
    noteWhereRecorded()
  }

  /// A buffer of exactly `capacity` floats that was allocated elsewhere by
  /// ``BufferPool/allocateChecked(_:for:)``.
  init(adopting pointer: UnsafeMutablePointer<Float>, capacity: Int) {
    self.capacity = capacity
    rarity = nil
    super.init(address: pointer)
    noteWhereRecorded()
  }

  /// Tells the recording that is on of a new buffer. Where there are no numbers, nobody need write any.
  private func noteWhereRecorded(isEmpty: Bool = false) {
    ExecutionContext.withCurrent { context in
      guard let recording = context?.recording else { return }
      recording.keep(self)
      if isEmpty { recording.noteConstant(pointer, bytes: 0) }
    }
  }

  /// The storage of a poisoned tensor: NaNs, which all such storages share.
  init(failure: CoixError) {
    capacity = Int(COIX_LANES)
    rarity = Rarity(failure: failure)
    super.init(address: Self.poison)
  }

  /// `COIX_LANES` NaNs.
  // nonisolated(unsafe): nobody writes to them after they are made.
  nonisolated(unsafe) private static let poison: UnsafeMutablePointer<Float> = {
    let numbers = UnsafeMutableRawPointer.allocate(
      byteCount: Int(COIX_LANES) * MemoryLayout<Float>.stride, alignment: 64)
    return numbers.initializeMemory(as: Float.self, repeating: .nan, count: Int(COIX_LANES))
  }()

  deinit {
    if rarity?.owner == nil && failure == nil { BufferPool.release(pointer, capacity: capacity) }
  }
}
