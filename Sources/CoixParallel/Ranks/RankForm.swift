/// A number that stands for what a rank has found, so that ranks can compare it: the FNV-1a hash of 64 bits, whose value is the
/// same in all processes.
struct RankForm {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
  }

  mutating func add(_ number: Int) {
    withUnsafeBytes(of: number.littleEndian) { add($0) }
  }

  /// The bits of some numbers, each of them at once, so that many take little time.
  mutating func add(_ numbers: UnsafeBufferPointer<Float>) {
    for number in numbers { value = (value ^ UInt64(number.bitPattern)) &* 0x100_0000_01b3 }
  }

  mutating func add(_ flags: [Bool]) { add(flags.map { $0 ? 1 : 0 }) }

  /// A text, and its end.
  mutating func add(_ text: String) {
    add(text.utf8)
    add([0] as [UInt8])
  }
}
