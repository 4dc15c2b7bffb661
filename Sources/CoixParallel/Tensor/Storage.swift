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
  /// The error that poisoned the tensor.
  let failure: CoixError?
  /// For tensors that live on a whole plate: how the plate's rows map to the buffer's.
  let mapping: PlateMapping?
  /// The storage whose buffer this one shows.
  private let owner: Storage?

  /// At least `count` floats with undefined contents.
  init(count: Int) {
    capacity = BufferPool.roundedCapacity(count)
    pointer = BufferPool.allocate(capacity)
    failure = nil
    mapping = nil
    owner = nil
  }

  /// Another storage's buffer, seen as rows of a plate (or, without a mapping, plainly again).
  init(viewing other: Storage, mapping: PlateMapping?) {
    capacity = other.capacity
    pointer = other.pointer
    failure = nil
    self.mapping = mapping
    owner = other.owner ?? other
  }

  /// A buffer of exactly `capacity` floats that was allocated elsewhere by ``BufferPool/allocateChecked(_:for:)``.
  init(adopting pointer: UnsafeMutablePointer<Float>, capacity: Int) {
    self.pointer = pointer
    self.capacity = capacity
    failure = nil
    mapping = nil
    owner = nil
  }

  /// The storage of a poisoned tensor: one NaN.
  init(failure: CoixError) {
    capacity = BufferPool.roundedCapacity(1)
    pointer = BufferPool.allocate(capacity)
    pointer.update(repeating: .nan, count: capacity)
    self.failure = failure
    mapping = nil
    owner = nil
  }

  deinit {
    if owner == nil { BufferPool.release(pointer, capacity: capacity) }
  }
}
