/// The types of numbers, as NumPy names them without the order of their bytes.
private let typeNames: KeyValuePairs<String, ElementType> = [
  "b1": .bool, "i1": .int8, "i2": .int16, "i4": .int32, "i8": .int64, "u1": .uint8, "u2": .uint16,
  "u4": .uint32, "u8": .uint64, "f2": .float16, "f4": .float32, "f8": .float64,
]

extension ElementType {
  /// - Throws: ``MalformedFile`` for a type that is not supported, with advice what to do instead.
  fileprivate init(_ name: Substring, of text: String) throws {
    if let (_, type) = typeNames.first(where: { $0.key == name }) {
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
          + typeNames.map(\.key).joined(separator: ", ") + " are"
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

    // The array takes its memory twice if the order has to be changed.
    try SystemMemory.require(2 * count * type.widenedSize, for: "the array of shape \(header.shape)")
    let scalars = try type.scalars(of: data, isBigEndian: isBigEndian)
    self.init(
      checkedShape: header.shape,
      scalars: header.isFortranOrder ? scalars.rowMajor(fromFortranOrder: header.shape) : scalars)
  }

  /// The bytes of a `.npy` file.
  ///
  /// - Throws: ``MalformedFile`` if there is not enough memory.
  func encoded() throws -> [UInt8] {
    try SystemMemory.require(3 * 8 * scalars.count, for: "the array of shape \(shape)")
    let type =
      switch scalars {
      case .float32: "<f4"
      case .float64: "<f8"
      case .int32: "<i4"
      case .int64: "<i8"
      case .uint64: "<u8"
      case .bool: "|b1"
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
    return bytes + scalars.bytes
  }
}

extension NPYArray.Scalars {
  /// The numbers of an array in Fortran order, in row-major order.
  fileprivate func rowMajor(fromFortranOrder shape: [Int]) -> Self {
    switch self {
    case .float32(let scalars): .float32(scalars.rowMajor(fromFortranOrder: shape))
    case .float64(let scalars): .float64(scalars.rowMajor(fromFortranOrder: shape))
    case .int32(let scalars): .int32(scalars.rowMajor(fromFortranOrder: shape))
    case .int64(let scalars): .int64(scalars.rowMajor(fromFortranOrder: shape))
    case .uint64(let scalars): .uint64(scalars.rowMajor(fromFortranOrder: shape))
    case .bool(let scalars): .bool(scalars.rowMajor(fromFortranOrder: shape))
    }
  }
}

extension Array {
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
