import CoixKernels

/// A chunk's rows, kept for operations that run on them later.
final class RecordedPlace: MemoryOwner {
  /// The rows, as operations read them.
  var pointer: UnsafeMutablePointer<coix_place> { address.assumingMemoryBound(to: coix_place.self) }
  private let numbers: UnsafeMutableBufferPointer<UInt64>
  private let scratch: UnsafeMutableBufferPointer<UInt64>

  init(_ context: ExecutionContext) {
    let pointer = UnsafeMutablePointer<coix_place>.allocate(capacity: 1)
    pointer.initialize(to: context.place?.pointee ?? coix_place())
    let rows = context.rows
    numbers = .allocate(capacity: rows)
    scratch = .allocate(capacity: rows)
    if let source = pointer.pointee.row_numbers {
      for row in 0..<rows { numbers.initializeElement(at: row, to: source[row]) }
      pointer.pointee.row_numbers = UnsafePointer(numbers.baseAddress)
    }
    pointer.pointee.scratch = scratch.baseAddress
    super.init(address: pointer)
  }

  deinit {
    pointer.deallocate()
    numbers.deallocate()
    scratch.deallocate()
  }
}
