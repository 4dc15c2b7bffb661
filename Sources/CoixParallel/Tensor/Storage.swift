import CoixKernels

/// The floats behind tensors: 64-byte aligned, never changed once a tensor that others can see refers to them.
///
/// Buffers come from the current worker's ``BufferPool`` where there is one and go back to the pool of whichever worker
/// drops the last reference.
final class Storage: @unchecked Sendable {
  // @unchecked: the buffer is written only by its maker, before it is shared.
  let pointer: UnsafeMutablePointer<Float>
  /// In floats; a multiple of `COIX_LANES`.
  let capacity: Int
  /// What few storages have: kept apart, since operations make and drop so many of the others.
  private let rarity: Rarity?

  private final class Rarity: Sendable {
    let failure: CoixError?
    let mapping: PlateMapping?
    let preimage: Preimage?
    let owner: Storage?

    init(
      failure: CoixError? = nil, mapping: PlateMapping? = nil, preimage: Preimage? = nil,
      owner: Storage? = nil
    ) {
      self.failure = failure
      self.mapping = mapping
      self.preimage = preimage
      self.owner = owner
    }
  }

  /// The error that poisoned the tensor.
  var failure: CoixError? { rarity?.failure }
  /// For tensors that live on a whole plate: how the plate's rows map to the buffer's.
  var mapping: PlateMapping? { rarity?.mapping }
  /// What a map made the numbers of, where that is known.
  var preimage: Preimage? { rarity?.preimage }
  /// Whether this is neither poisoned, nor mapped, nor a view.
  var isPlain: Bool { rarity == nil }

  /// At least `count` floats with undefined contents.
  init(count: Int) {
    capacity = BufferPool.roundedCapacity(count)
    pointer = BufferPool.allocate(capacity)
    rarity = nil
  }

  /// Another storage's buffer, seen as rows of a plate (or, without a mapping, plainly again).
  init(viewing other: Storage, mapping: PlateMapping?, preimage: Preimage? = nil) {
    capacity = other.capacity
    pointer = other.pointer
    rarity = Rarity(mapping: mapping, preimage: preimage, owner: other.rarity?.owner ?? other)
  }

  /// A buffer of exactly `capacity` floats that was allocated elsewhere by ``BufferPool/allocateChecked(_:for:)``.
  init(adopting pointer: UnsafeMutablePointer<Float>, capacity: Int) {
    self.pointer = pointer
    self.capacity = capacity
    rarity = nil
  }

  /// The storage of a poisoned tensor: one NaN.
  init(failure: CoixError) {
    capacity = BufferPool.roundedCapacity(1)
    pointer = BufferPool.allocate(capacity)
    pointer.update(repeating: .nan, count: capacity)
    rarity = Rarity(failure: failure)
  }

  deinit {
    if rarity?.owner == nil { BufferPool.release(pointer, capacity: capacity) }
  }
}
