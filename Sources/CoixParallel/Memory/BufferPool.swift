import CoixKernels
import Foundation
import Synchronization

/// Free buffers of one worker, by size class, so that steady-state operations allocate nothing.
///
/// A pool is used by one thread at a time: a worker takes it when it starts and hands it back when it ends.
final class BufferPool: @unchecked Sendable {
  // @unchecked: confined to the thread that took it from the shelf; the shelf is locked.

  /// For each size class, the first of a linked list of free buffers. A free buffer starts with the address
  /// of the next one.
  private let heads: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  private var retainedFloats = 0
  /// The most that the pool keeps in free buffers, in floats.
  private let retainedLimit: Int
  private static let classCount = 4 * 40

  /// Empty tapes, kept for the memory of their nodes.
  private var tapes: [Tape] = []

  /// A pool that keeps free buffers of up to `retainedLimit` floats in all.
  init(retainedLimit: Int = Limits.pooledFloats) {
    self.retainedLimit = retainedLimit
    heads = .allocate(capacity: Self.classCount)
    heads.initialize(repeating: nil, count: Self.classCount)
  }

  deinit {
    drain()
    heads.deallocate()
  }

  /// The size class of a buffer of `units` times `COIX_LANES` floats. There are four classes from each power
  /// of two to the next.
  private static func sizeClass(_ units: Int) -> Int {
    let octave = Int.bitWidth - 1 - units.leadingZeroBitCount
    guard octave >= 2 else { return units - 1 }
    return 4 * (octave - 1) + ((units >> (octave - 2)) & 3) - 1
  }

  /// The capacity, in floats, that a request for `count` floats gets.
  static func roundedCapacity(_ count: Int) -> Int {
    let units = max(1, (count + Int(COIX_LANES) - 1) / Int(COIX_LANES))
    let octave = Int.bitWidth - 1 - units.leadingZeroBitCount
    guard octave > 2 else { return units * Int(COIX_LANES) }
    let step = 1 << (octave - 2)
    return (units + step - 1) / step * step * Int(COIX_LANES)
  }

  /// Small buffers for tensors outside of evaluations: parameters, batches.
  private static let outside = Mutex(BufferPool(retainedLimit: Limits.pooledFloatsOutside))

  /// The last mapped buffer that was released outside of evaluations, so that making large tensors one after
  /// another does not map each of them anew: that takes longer than filling it with random numbers.
  private static let spare = Mutex(BufferPool(retainedLimit: Limits.spareBytes / MemoryLayout<Float>.stride))

  /// Whether a buffer of `capacity` floats may be the spare one.
  private static func mayBeSpare(_ capacity: Int) -> Bool {
    (Limits.mappedBytes...Limits.spareBytes).contains(capacity * MemoryLayout<Float>.stride)
      && capacity == roundedCapacity(capacity)
  }

  /// A buffer of `capacity` floats, from the current worker's pool if it has one; nil if there is no memory
  /// for it.
  static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Float>? {
    let pooled = ExecutionContext.withCurrent { context -> UnsafeMutablePointer<Float>? in
      guard let context, let pool = context.pool else { return nil }
      context.allocatedFloats &+= capacity
      return pool.take(capacity)
    }
    if let pooled { return pooled }
    // The results of evaluations are released outside of evaluations, so evaluations take buffers from there,
    // too.
    if capacity <= Limits.pooledBufferOutside, let buffer = outside.withLock({ $0.take(capacity) }) {
      return buffer
    }
    return buffer(capacity)
  }

  /// A buffer from the system, or the spare one.
  private static func buffer(_ capacity: Int) -> UnsafeMutablePointer<Float>? {
    if mayBeSpare(capacity), let spare = spare.withLock({ $0.take(capacity) }) { return spare }
    return Memory.buffer(bytes: capacity * MemoryLayout<Float>.stride)?.bindMemory(
      to: Float.self, capacity: capacity)
  }

  /// A buffer whose size came from the caller.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)`` if it is more than the machine's memory, or the system
  ///   refuses it.
  static func allocateChecked(
    _ capacity: Int, for what: @autoclosure () -> String
  ) throws(CoixError) -> UnsafeMutablePointer<Float> {
    let bytes = try Memory.bytes(capacity, of: MemoryLayout<Float>.stride, for: what())
    let isRounded = capacity == roundedCapacity(capacity)
    if isRounded && capacity <= Limits.countedCheckedBuffer {
      if let buffer = allocate(capacity) { return buffer }
    } else {
      let pooled = isRounded ? ExecutionContext.withCurrent { $0?.pool?.take(capacity) } : nil
      if let buffer = pooled ?? buffer(capacity) { return buffer }
    }
    throw CoixError.memory(what: what(), bytes: bytes)
  }

  /// Gives a buffer back.
  static func release(_ pointer: UnsafeMutablePointer<Float>, capacity: Int) {
    let isGiven = ExecutionContext.withCurrent { context in
      if let recording = context?.recording {
        recording.keepReleased(pointer)
        return true
      }
      guard let pool = context?.pool else { return false }
      pool.give(pointer, capacity: capacity)
      return true
    }
    if isGiven { return }
    if capacity <= Limits.pooledBufferOutside {
      outside.withLock { $0.give(pointer, capacity: capacity) }
    } else if mayBeSpare(capacity) {
      spare.withLock {
        $0.drain()
        $0.give(pointer, capacity: capacity)
      }
    } else {
      free(pointer)
    }
  }

  private func take(_ capacity: Int) -> UnsafeMutablePointer<Float>? {
    let index = Self.sizeClass(capacity / Int(COIX_LANES))
    guard let head = heads[index] else { return nil }
    heads[index] = head.load(as: UnsafeMutableRawPointer?.self)
    retainedFloats -= capacity
    return head.bindMemory(to: Float.self, capacity: capacity)
  }

  private func give(_ pointer: UnsafeMutablePointer<Float>, capacity: Int) {
    // Only buffers with the capacity of a size class are kept. Adopted whole-plate buffers may have any
    // capacity.
    guard capacity == Self.roundedCapacity(capacity), retainedFloats + capacity <= retainedLimit else {
      free(pointer)
      return
    }
    let index = Self.sizeClass(capacity / Int(COIX_LANES))
    let raw = UnsafeMutableRawPointer(pointer)
    raw.storeBytes(of: heads[index], as: UnsafeMutableRawPointer?.self)
    heads[index] = raw
    retainedFloats += capacity
  }

  // MARK: Tapes

  /// An empty tape.
  func takeTape(parent: Tape?) -> Tape {
    guard let tape = tapes.popLast() else { return Tape(parent: parent) }
    tape.reset(parent: parent)
    return tape
  }

  /// Takes a tape back and releases all that it refers to.
  func giveTape(_ tape: Tape) {
    tape.reset(parent: nil)
    if tapes.count < Limits.pooledTapes { tapes.append(tape) }
  }

  /// Returns all free buffers of the pool to the system.
  private func drain() {
    for index in 0..<Self.classCount {
      while let head = heads[index] {
        heads[index] = head.load(as: UnsafeMutableRawPointer?.self)
        free(head)
      }
    }
    retainedFloats = 0
  }

  // MARK: The shelf, which holds the pools that no thread uses

  private static let shelf = Mutex<[BufferPool]>([])

  /// Returns free buffers to the system: those of the pools on the shelf, those that are kept for tensors
  /// outside of evaluations, and those of the calling thread's own pool.
  static func drainIdlePools() {
    shelf.withLock { for pool in $0 { pool.drain() } }
    outside.withLock { $0.drain() }
    spare.withLock { $0.drain() }
    ExecutionContext.current?.pool?.drain()
  }

  /// A pool for the exclusive use of the calling thread, until it is handed back.
  static func borrow() -> BufferPool {
    shelf.withLock { $0.popLast() } ?? BufferPool()
  }

  /// Hands a pool back.
  static func handBack(_ pool: BufferPool) {
    shelf.withLock { $0.append(pool) }
  }
}
