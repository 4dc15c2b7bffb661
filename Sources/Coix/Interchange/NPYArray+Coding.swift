/// The types of numbers that `.npy` files hold, as NumPy names them without the order of their bytes.
private enum ElementType: String, CaseIterable {
  case b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4, f8

  var size: Int {
    switch self {
    case .b1, .i1, .u1: 1
    case .i2, .u2, .f2: 2
    case .i4, .u4, .f4: 4
    case .i8, .u8, .f8: 8
    }
  }

  /// - Throws: ``MalformedFile`` for a type that is not supported, with advice what to do instead.
  init(_ name: Substring, of text: String) throws {
    if let type = ElementType(rawValue: String(name)) {
      self = type
      return
    }
    let problem =
      switch name.first {
      case "c": "complex numbers (\(text)) are not supported; save their real and imaginary parts"
      case "O": "Python objects (\(text)) are not supported; save arrays of numbers"
      case "S", "U", "a": "text (\(text)) is not supported; save numbers"
      case "M", "m": "dates and times (\(text)) are not supported; save numbers"
      default:
        "the element type '\(text)' is not supported; "
          + Self.allCases.map(\.rawValue).joined(separator: ", ") + " are"
      }
    throw MalformedFile(problem)
  }
}

private let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]  // "\x93NUMPY"

extension NPYArray {
  /// Whether bytes begin as a `.npy` file does.
  static func isNPY(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.starts(with: magic) }

  /// The array that a `.npy` file's bytes describe.
  ///
  /// - Throws: ``MalformedFile``.
  init(decoding bytes: ArraySlice<UInt8>) throws {
    guard !bytes.isEmpty else { throw MalformedFile("is empty") }
    guard Self.isNPY(bytes) else {
      throw MalformedFile("is not a npy file: it does not begin with \\x93NUMPY")
    }
    var reader = ByteReader(bytes.dropFirst(magic.count))
    let version = try reader.integer(UInt8.self, of: "the version")
    let minor = try reader.integer(UInt8.self, of: "the version")
    guard (1...3).contains(version), minor == 0 else {
      throw MalformedFile("npy version \(version).\(minor) is not supported; 1.0, 2.0 and 3.0 are")
    }
    let headerLength =
      version == 1
      ? try reader.integer(UInt16.self, of: "the header") : try reader.integer(UInt32.self, of: "the header")
    let header = try NPYHeader(parsing: reader.bytes(headerLength, of: "the header"))
    // Bytes in the machine's order (`=`, `|` or nothing) are little-endian on all machines that matter here.
    let description = header.elementType.prefix(40)
    let isBigEndian = description.hasPrefix(">")
    let name = "<>=|".contains(description.first ?? " ") ? description.dropFirst() : description
    let type = try ElementType(name, of: String(description))
    guard let count = header.shape.elementCount, count <= Int.max / type.size else {
      throw MalformedFile("the shape \(header.shape) has too many elements")
    }
    let data = try reader.bytes(count * type.size, of: "the array of shape \(header.shape)")
    guard reader.rest.isEmpty else {
      throw MalformedFile("\(reader.rest.count) bytes follow after the array")
    }

    func numbers<Bits: FixedWidthInteger, Number>(
      _ bits: Bits.Type, _ number: (Bits) -> Number
    ) throws -> [Number] {
      // The array takes its memory twice if the order has to be changed.
      try SystemMemory.require(
        2 * count * MemoryLayout<Number>.stride, for: "the array of shape \(header.shape)")
      let numbers = data.withUnsafeBytes { buffer in
        (0..<count).map { index in
          let bits = buffer.loadUnaligned(fromByteOffset: index * MemoryLayout<Bits>.size, as: Bits.self)
          return number(isBigEndian ? Bits(bigEndian: bits) : Bits(littleEndian: bits))
        }
      }
      return header.isFortranOrder ? numbers.rowMajor(fromFortranOrder: header.shape) : numbers
    }
    let scalars: Scalars =
      switch type {
      case .b1: .bool(try numbers(UInt8.self) { $0 != 0 })
      case .i1: .int32(try numbers(Int8.self) { Int32($0) })
      case .i2: .int32(try numbers(Int16.self) { Int32($0) })
      case .i4: .int32(try numbers(Int32.self) { $0 })
      case .i8: .int64(try numbers(Int64.self) { $0 })
      case .u1: .int32(try numbers(UInt8.self) { Int32($0) })
      case .u2: .int32(try numbers(UInt16.self) { Int32($0) })
      case .u4: .int64(try numbers(UInt32.self) { Int64($0) })
      case .u8: .uint64(try numbers(UInt64.self) { $0 })
      case .f2: .float32(try numbers(UInt16.self) { Float(Float16(bitPattern: $0)) })
      case .f4: .float32(try numbers(UInt32.self) { Float(bitPattern: $0) })
      case .f8: .float64(try numbers(UInt64.self) { Double(bitPattern: $0) })
      }
    self.init(checkedShape: header.shape, scalars: scalars)
  }

  /// The bytes of a `.npy` file.
  ///
  /// - Throws: ``MalformedFile`` if there is not enough memory.
  func encoded() throws -> [UInt8] {
    try SystemMemory.require(3 * 8 * scalars.count, for: "the array of shape \(shape)")
    let (type, data): (String, [UInt8]) =
      switch scalars {
      case .float32(let scalars): ("<f4", scalars.bytes(\.bitPattern.littleEndian))
      case .float64(let scalars): ("<f8", scalars.bytes(\.bitPattern.littleEndian))
      case .int32(let scalars): ("<i4", scalars.bytes(\.littleEndian))
      case .int64(let scalars): ("<i8", scalars.bytes(\.littleEndian))
      case .uint64(let scalars): ("<u8", scalars.bytes(\.littleEndian))
      case .bool(let scalars): ("|b1", scalars.map { $0 ? 1 : 0 })
      }
    let sizes = shape.map { "\($0)," }.joined(separator: " ")
    let tuple = shape.count == 1 ? sizes : String(sizes.dropLast())
    let header = Array("{'descr': '\(type)', 'fortran_order': False, 'shape': (\(tuple)), }".utf8)
    // The header is padded so that the numbers begin at a multiple of 64 bytes. (Its length fits two bytes,
    // so version 1 of the format is enough.)
    let prefix = magic.count + 4
    let length = (prefix + header.count + 1 + 63) / 64 * 64 - prefix
    var bytes = magic + [1, 0]
    bytes.append(littleEndian: UInt16(clamping: length))
    bytes += header
    bytes += [UInt8](repeating: 0x20, count: length - header.count - 1)
    bytes.append(0x0A)
    return bytes + data
  }
}

extension Array {
  /// The bytes of each element's bits.
  fileprivate func bytes<Bits>(_ bits: (Element) -> Bits) -> [UInt8] {
    map(bits).withUnsafeBytes { [UInt8]($0) }
  }

  /// The elements of an array in Fortran order (first axis fastest), in row-major order.
  fileprivate func rowMajor(fromFortranOrder shape: [Int]) -> [Element] {
    // Axes of size 1 make no difference, nor does the order of fewer than two elements. With more, the
    // product of the sizes is the number of elements.
    let sizes = shape.filter { $0 != 1 }
    guard count > 1, sizes.count > 1 else { return self }
    var strides: [Int] = []
    var step = 1
    for size in sizes {
      strides.append(step)
      step *= size
    }
    return [Element](unsafeUninitializedCapacity: count) { buffer, written in
      var index = [Int](repeating: 0, count: sizes.count)
      var position = 0
      let inner = sizes.count - 1
      while written < count {
        for offset in 0..<sizes[inner] {
          buffer.initializeElement(at: written + offset, to: self[position + offset * strides[inner]])
        }
        written += sizes[inner]
        // The next index of the outer axes.
        for axis in (0..<inner).reversed() {
          index[axis] += 1
          position += strides[axis]
          if index[axis] < sizes[axis] { break }
          position -= strides[axis] * sizes[axis]
          index[axis] = 0
        }
      }
    }
  }
}
