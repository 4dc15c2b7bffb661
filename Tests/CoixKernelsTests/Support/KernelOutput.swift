/// Counts on both sides of whole vectors.
let oddSizes = [1, 2, 3, 15, 16, 17, 31, 33, 100, 257]

/// What is written beyond the end of every output, and must still be there afterwards.
let sentinel: Float = -12345.678

/// `count` floats that `body` fills; nothing beyond them may be written.
func output(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
  var buffer = [Float](repeating: sentinel, count: count + 32)
  buffer.withUnsafeMutableBufferPointer { pointer in
    if let base = pointer.baseAddress { body(base) }
  }
  precondition(buffer[count...].allSatisfy { $0 == sentinel }, "a kernel wrote beyond its output")
  return Array(buffer[..<count])
}
