/// The types of numbers that `.npy` files may hold here.
private enum ElementType: String, CaseIterable {
  case float32 = "<f4"
  case float64 = "<f8"
  case int32 = "<i4"
  case int64 = "<i8"
  case bool = "|b1"

  var size: Int {
    switch self {
    case .float32, .int32: 4
    case .float64, .int64: 8
    case .bool: 1
    }
  }

  init(described text: String) throws {
    if let type = ElementType(rawValue: text) {
      self = type
      return
    }
    let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
    throw MalformedFile("the element type '\(text)' is not supported; \(known) are")
  }
}

private let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]  // "\x93NUMPY"

extension NPYArray {
  /// The array that a `.npy` file's bytes describe.
  ///
  /// - Throws: ``MalformedFile``.
  init(decoding bytes: ArraySlice<UInt8>) throws {
    guard !bytes.isEmpty else { throw MalformedFile("is empty") }
    guard bytes.starts(with: magic) else {
      throw MalformedFile("is not a npy file: it does not begin with \\x93NUMPY")
    }
    var reader = ByteReader(bytes.dropFirst(magic.count))
    let version = try reader.integer(UInt8.self, of: "the version")
    _ = try reader.integer(UInt8.self, of: "the version")
    guard (1...3).contains(version) else {
      throw MalformedFile("npy version \(version) is not supported; 1 to 3 are")
    }
    let headerLength =
      version == 1
      ? try reader.integer(UInt16.self, of: "the header") : try reader.integer(UInt32.self, of: "the header")
    let header = try NPYHeader(parsing: reader.bytes(headerLength, of: "the header"))
    let type = try ElementType(described: header.elementType)
    guard let count = header.shape.elementCount, count <= Int.max / type.size else {
      throw MalformedFile("the shape \(header.shape) has too many elements")
    }
    let data = try reader.bytes(count * type.size, of: "the array of shape \(header.shape)")
    guard reader.rest.isEmpty else {
      throw MalformedFile("\(reader.rest.count) bytes follow after the array")
    }

    func ordered<Number>(_ numbers: [Number]) -> [Number] {
      header.isFortranOrder ? numbers.rowMajor(fromFortranOrder: header.shape) : numbers
    }
    let scalars: Scalars =
      switch type {
      case .float32: .float32(ordered(data.numbers { Float(bitPattern: UInt32(littleEndian: $0)) }))
      case .float64: .float64(ordered(data.numbers { Double(bitPattern: UInt64(littleEndian: $0)) }))
      case .int32: .int32(ordered(data.numbers { Int32(littleEndian: $0) }))
      case .int64: .int64(ordered(data.numbers { Int64(littleEndian: $0) }))
      case .bool: .bool(ordered(data.map { $0 != 0 }))
      }
    self.init(checkedShape: header.shape, scalars: scalars)
  }

  /// The bytes of a `.npy` file.
  func encoded() -> [UInt8] {
    let (type, data): (ElementType, [UInt8]) =
      switch scalars {
      case .float32(let scalars): (.float32, scalars.bytes(\.bitPattern.littleEndian))
      case .float64(let scalars): (.float64, scalars.bytes(\.bitPattern.littleEndian))
      case .int32(let scalars): (.int32, scalars.bytes(\.littleEndian))
      case .int64(let scalars): (.int64, scalars.bytes(\.littleEndian))
      case .bool(let scalars): (.bool, scalars.map { $0 ? 1 : 0 })
      }
    let sizes = shape.map { "\($0)," }.joined(separator: " ")
    let tuple = shape.count == 1 ? sizes : String(sizes.dropLast())
    let header = Array("{'descr': '\(type.rawValue)', 'fortran_order': False, 'shape': (\(tuple)), }".utf8)
    // The numbers begin at a multiple of 64; the header's length has two bytes in version 1, four in version 2.
    let isLong = header.count + 74 > UInt16.max
    let prefix = magic.count + (isLong ? 6 : 4)
    let total = (prefix + header.count + 1 + 63) / 64 * 64
    let length = total - prefix
    var bytes = magic + [isLong ? 2 : 1, 0]
    if isLong {
      bytes.append(littleEndian: UInt32(clamping: length))
    } else {
      bytes.append(littleEndian: UInt16(clamping: length))
    }
    bytes += header
    bytes += [UInt8](repeating: 0x20, count: length - header.count - 1)
    bytes.append(0x0A)
    return bytes + data
  }
}

extension ArraySlice<UInt8> {
  /// The numbers whose bytes these are.
  fileprivate func numbers<Bits: BitwiseCopyable, Number>(_ number: (Bits) -> Number) -> [Number] {
    let size = MemoryLayout<Bits>.size
    return withUnsafeBytes { buffer in
      (0..<buffer.count / size).map { number(buffer.loadUnaligned(fromByteOffset: $0 * size, as: Bits.self)) }
    }
  }
}

extension Array {
  /// The bytes of each element's bits.
  fileprivate func bytes<Bits>(_ bits: (Element) -> Bits) -> [UInt8] {
    map(bits).withUnsafeBytes { [UInt8]($0) }
  }

  /// The elements of an array in Fortran order (first axis fastest), in row-major order.
  fileprivate func rowMajor(fromFortranOrder shape: [Int]) -> [Element] {
    var strides: [Int] = []
    var step = 1
    for size in shape {
      strides.append(step)
      step *= size
    }
    var index = [Int](repeating: 0, count: shape.count)
    var position = 0
    func advance() {
      for axis in shape.indices.reversed() {
        index[axis] += 1
        position += strides[axis]
        if index[axis] < shape[axis] { return }
        position -= strides[axis] * shape[axis]
        index[axis] = 0
      }
    }
    return indices.map { _ in
      defer { advance() }
      return self[position]
    }
  }
}
