import CZlib

/// Zlib's checksum and its decoder.
enum Zlib {
  /// The checksum of zip archives: the cyclic redundancy check with the reflected polynomial 0xEDB88320.
  static func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.withUnsafeBufferPointer { UInt32(crc32_z(0, $0.baseAddress, $0.count)) }
  }

  /// The greatest factor by which deflate shrinks: a repetition of 258 bytes takes two bits at least.
  static let greatestRatio = 1032

  /// The bytes that a deflated stream holds.
  ///
  /// - Parameter size: The number of bytes that the stream is said to hold.
  /// - Throws: ``MalformedFile`` if the stream is damaged, does not end where `bytes` end, or holds more or
  ///   fewer than `size` bytes.
  static func inflated(_ bytes: ArraySlice<UInt8>, size: Int) throws -> [UInt8] {
    // One byte more than needed shows whether the stream holds more; zlib also needs room for at least one
    // byte.
    try SystemMemory.require(size + 1, for: "an array of \(size) bytes")
    return try [UInt8](unsafeUninitializedCapacity: size + 1) { buffer, count in
      var stream = z_stream()
      let started = inflateInit2_(&stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      guard started == Z_OK else { throw MalformedFile("zlib cannot be started (code \(started))") }
      defer { inflateEnd(&stream) }
      var consumed = 0
      var produced = 0
      var status = Z_OK
      bytes.withUnsafeBufferPointer { source in
        // Zlib counts bytes in 32 bits, so that large arrays take several calls.
        while status == Z_OK {
          let input = UInt32(clamping: source.count - consumed)
          let output = UInt32(clamping: buffer.count - produced)
          stream.next_in = source.baseAddress.map { UnsafeMutablePointer(mutating: $0 + consumed) }
          stream.avail_in = input
          stream.next_out = buffer.baseAddress.map { $0 + produced }
          stream.avail_out = output
          status = inflate(&stream, Z_NO_FLUSH)
          consumed += Int(input - stream.avail_in)
          produced += Int(output - stream.avail_out)
        }
      }
      guard produced <= size else {
        throw MalformedFile("holds more than the \(size) bytes that the archive says")
      }
      guard status != Z_BUF_ERROR else { throw MalformedFile("its deflated bytes end too early") }
      guard status == Z_STREAM_END else { throw MalformedFile("its deflated bytes are damaged") }
      guard consumed == bytes.count else {
        throw MalformedFile("\(bytes.count - consumed) bytes follow after its deflated bytes")
      }
      guard produced == size else {
        throw MalformedFile("holds \(produced) bytes, not the \(size) that the archive says")
      }
      count = size
    }
  }
}
