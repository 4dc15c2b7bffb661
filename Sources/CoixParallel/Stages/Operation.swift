import CoixKernels

/// A kernel call as a value: see CoixOperations.h, which has a function for each kernel that makes it.
///
/// Whatever is computed within a chunk, forward and backward, is computed by operations. What records the
/// chunk notes them, and can run them again on the rows of another chunk.
typealias Operation = coix_operation

extension coix_operation {
  /// Computes the operation, on the rows of the running chunk if it depends on them.
  func run() {
    withUnsafePointer(to: self) { operation in
      ExecutionContext.withCurrent { context in
        coix_execute(operation, 1, context?.place)
        if let recording = context?.recording { recording.append(operation.pointee) }
      }
    }
  }

  /// Computes an operation that reads a file; returns whether it could, with `errno` if not. Where it cannot
  /// when it is replayed, the program runs instead.
  func succeeds() -> Bool {
    withUnsafePointer(to: self) { operation in
      ExecutionContext.withCurrent { context in
        guard coix_execute(operation, 1, context?.place) == 1 else { return false }
        if let recording = context?.recording { recording.append(operation.pointee) }
        return true
      }
    }
  }

  /// The outcome of a guard. A recording expects the same one when it runs again.
  func holds() -> Bool {
    let holds = withUnsafePointer(to: self) { coix_execute($0, 1, nil) == 1 } == (variant == 1)
    ExecutionContext.withCurrent { context in
      guard let recording = context?.recording else { return }
      var expected = self
      expected.variant = holds ? 1 : 0
      recording.append(expected)
    }
    return holds
  }

  /// Whether all numbers of some arrays are in a range. A guard reads as many arrays as an operation has pointers.
  static func areWithin(_ range: ClosedRange<Float>, _ arrays: [UnsafeBufferPointer<Float>]) -> Bool {
    var rest = arrays[...]
    while let first = rest.popFirst() {
      var check = coix_op_is_within(first.baseAddress, range.lowerBound, range.upperBound, first.count)
      for _ in 1..<COIX_OPERATION_POINTERS {
        guard let next = rest.popFirst() else { break }
        check = coix_op_and_within(check, next.baseAddress, next.count)
      }
      guard check.holds() else { return false }
    }
    return true
  }

  /// What the operation writes and reads: the pointers in this order, absent ones included.
  func withPointers<Result>(_ body: (UnsafeBufferPointer<UnsafeMutableRawPointer?>) -> Result) -> Result {
    withUnsafePointer(to: self) { operation in
      let offset = MemoryLayout<coix_operation>.offset(of: \coix_operation.pointers) ?? 0
      return UnsafeRawPointer(operation).advanced(by: offset)
        .withMemoryRebound(to: UnsafeMutableRawPointer?.self, capacity: Int(COIX_OPERATION_POINTERS)) {
          body(UnsafeBufferPointer(start: $0, count: writes + reads))
        }
    }
  }

  /// Changes one of the pointers.
  mutating func setPointer(_ number: Int, to address: UnsafeMutableRawPointer) {
    withUnsafeMutablePointer(to: &self) { operation in
      let offset = MemoryLayout<coix_operation>.offset(of: \coix_operation.pointers) ?? 0
      UnsafeMutableRawPointer(operation).storeBytes(
        of: address, toByteOffset: offset + number * MemoryLayout<UnsafeMutableRawPointer?>.stride,
        as: UnsafeMutableRawPointer?.self)
    }
  }

  /// Changes those pointers for which `target` gives another address.
  mutating func movePointers(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    let targets = withPointers { $0.map { $0.flatMap { target($0) } } }
    for (number, address) in targets.enumerated() {
      if let address { setPointer(number, to: address) }
    }
  }

  /// Whether it does nothing but write what it computes from what it reads.
  var isPure: Bool {
    traits & Int32(COIX_UPDATES.rawValue | COIX_EXPORTS.rawValue) == 0 && !isCall && !isEntry
      && (writes == 0 || !isGuard)
  }

  /// Whether it may write a result where it reads the operand of the same element.
  var worksInPlace: Bool { code == UInt16(COIX_OP_ADAM.rawValue) }

  /// All that it is besides its pointers.
  var words: [Int] {
    withUnsafeBytes(of: self) { bytes in
      let words = bytes.bindMemory(to: Int.self)
      let first = (MemoryLayout<coix_operation>.offset(of: \coix_operation.pointers) ?? 0) / 8
      return Array(words[..<first]) + Array(words[(first + Int(COIX_OPERATION_POINTERS))...])
    }
  }

  /// How many of the pointers are written, and how many read.
  var writes: Int { Int(coix_operation_writes(code)) }
  var reads: Int { Int(coix_operation_reads(code)) }

  private var traits: Int32 { coix_operation_traits_of(code) }
  /// Whether it depends on the chunk's rows.
  var isPlaced: Bool { traits & Int32(COIX_PLACED.rawValue) != 0 }
  /// Whether it reads what it writes.
  var isUpdate: Bool { traits & Int32(COIX_UPDATES.rawValue) != 0 }
  /// Whether it stands for something else than a kernel call, with this number among the recording's calls.
  var isCall: Bool { code == UInt16(COIX_OP_CALL.rawValue) }
  var callNumber: Int { sizes.0 }
  /// Whether the operations behind it run on the rows of another chunk.
  var isEntry: Bool { code == UInt16(COIX_OP_ENTER.rawValue) }
  /// Whether it writes the chunk's part of memory that all chunks have in common.
  var isExport: Bool { traits & Int32(COIX_EXPORTS.rawValue) != 0 }
  /// Whether it holds or not.
  var isGuard: Bool { traits & Int32(COIX_GUARDS.rawValue) != 0 }
}
