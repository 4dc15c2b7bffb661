extension NPYArray {
  /// The array that a `.npy` file's bytes describe.
  ///
  /// - Throws: ``MalformedFile``.
  init(decoding bytes: ArraySlice<UInt8>) throws {
    let place = try NPYHeader.place(in: bytes)
    var reader = ByteReader(bytes.dropFirst(place.lowerBound))
    let header = try NPYHeader(parsing: reader.bytes(place.count, of: "the header"))
    let data = try reader.bytes(header.byteCount, of: "the array of shape \(header.shape)")
    guard reader.rest.isEmpty else {
      throw MalformedFile("\(reader.rest.count) bytes follow after the array")
    }

    // The array takes its memory twice if the order has to be changed.
    let count = data.count / header.elementType.size
    try SystemMemory.require(
      2 * count * header.elementType.widenedSize, for: "the array of shape \(header.shape)")
    let scalars = try header.elementType.scalars(of: data, isBigEndian: header.isBigEndian)
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
    return NPYHeader.encoded(type, shape: shape) + scalars.bytes
  }
}

extension NPYHeader {
  /// What stands before the numbers of a file in row-major order.
  ///
  /// - Parameter type: NumPy's name of the numbers' type.
  static func encoded(_ type: String, shape: [Int]) -> [UInt8] {
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
    return bytes
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
