/// The types of numbers that files of arrays hold.
enum ElementType {
  case bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64
  case float16, bfloat16, float32, float64

  /// The number of bytes that an element takes in a file.
  var size: Int {
    switch self {
    case .bool, .int8, .uint8: 1
    case .int16, .uint16, .float16, .bfloat16: 2
    case .int32, .uint32, .float32: 4
    case .int64, .uint64, .float64: 8
    }
  }

  /// The number of bytes that an element takes in an ``NPYArray``.
  var widenedSize: Int {
    switch self {
    case .bool: 1
    case .int8, .int16, .int32, .uint8, .uint16, .float16, .bfloat16, .float32: 4
    case .int64, .uint32, .uint64, .float64: 8
    }
  }

  /// The numbers that bytes stand for.
  ///
  /// - Throws: ``MalformedFile`` if there is not enough memory.
  func scalars(of data: ArraySlice<UInt8>, isBigEndian: Bool = false) throws -> NPYArray.Scalars {
    let count = data.count / size
    func numbers<Bits: FixedWidthInteger, Number>(
      _ bits: Bits.Type, _ number: (Bits) -> Number
    ) throws -> [Number] {
      try SystemMemory.require(count * MemoryLayout<Number>.stride, for: "an array of \(count) numbers")
      return data.withUnsafeBytes { buffer in
        [Number](unsafeUninitializedCapacity: count) { numbers, written in
          for index in 0..<count {
            let bits = buffer.loadUnaligned(fromByteOffset: index * MemoryLayout<Bits>.size, as: Bits.self)
            numbers.initializeElement(
              at: index, to: number(isBigEndian ? Bits(bigEndian: bits) : Bits(littleEndian: bits)))
          }
          written = count
        }
      }
    }
    return switch self {
    case .bool: .bool(try numbers(UInt8.self) { $0 != 0 })
    case .int8: .int32(try numbers(Int8.self) { Int32($0) })
    case .int16: .int32(try numbers(Int16.self) { Int32($0) })
    case .int32: .int32(try numbers(Int32.self) { $0 })
    case .int64: .int64(try numbers(Int64.self) { $0 })
    case .uint8: .int32(try numbers(UInt8.self) { Int32($0) })
    case .uint16: .int32(try numbers(UInt16.self) { Int32($0) })
    case .uint32: .int64(try numbers(UInt32.self) { Int64($0) })
    case .uint64: .uint64(try numbers(UInt64.self) { $0 })
    case .float16: .float32(try numbers(UInt16.self) { Float(Float16(bitPattern: $0)) })
    // The first half of a number of single precision.
    case .bfloat16: .float32(try numbers(UInt16.self) { Float(bitPattern: UInt32($0) << 16) })
    case .float32: .float32(try numbers(UInt32.self) { Float(bitPattern: $0) })
    case .float64: .float64(try numbers(UInt64.self) { Double(bitPattern: $0) })
    }
  }
}

extension NPYArray.Scalars {
  /// The type that the numbers are written as.
  var elementType: ElementType {
    switch self {
    case .float32: .float32
    case .float64: .float64
    case .int32: .int32
    case .int64: .int64
    case .uint64: .uint64
    case .bool: .bool
    }
  }

  /// The numbers' bytes in a file, little-endian.
  var bytes: [UInt8] {
    switch self {
    case .float32(let scalars): scalars.bytes(\.bitPattern.littleEndian)
    case .float64(let scalars): scalars.bytes(\.bitPattern.littleEndian)
    case .int32(let scalars): scalars.bytes(\.littleEndian)
    case .int64(let scalars): scalars.bytes(\.littleEndian)
    case .uint64(let scalars): scalars.bytes(\.littleEndian)
    case .bool(let scalars): scalars.map { $0 ? 1 : 0 }
    }
  }
}

extension Array {
  /// The bytes of each element's bits.
  fileprivate func bytes<Bits>(_ bits: (Element) -> Bits) -> [UInt8] {
    map(bits).withUnsafeBytes { [UInt8]($0) }
  }
}
