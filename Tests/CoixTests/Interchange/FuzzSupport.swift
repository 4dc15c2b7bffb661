import Coix
import Foundation
import TestSupport
import Testing

/// Makes files of which most are almost right, and some are.
struct FileMutator {
  /// Valid files.
  private let samples: [[UInt8]]
  /// What means something in a file of this kind.
  private let tokens: [[UInt8]]
  /// Makes up for what a mutation breaks beyond what it changes, such as a length before a text.
  private let repair: (inout [UInt8]) -> Void
  private var random: SplitMix

  init(samples: [Data], tokens: [String], seed: UInt64, repair: @escaping (inout [UInt8]) -> Void = { _ in })
  {
    self.samples = samples.map { Array($0) }
    self.tokens = tokens.map { Array($0.utf8) }
    self.repair = repair
    random = SplitMix(seed: seed)
  }

  mutating func next() -> [UInt8] {
    guard Int.random(in: 0..<20, using: &random) > 0 else {
      return (0..<Int.random(in: 0..<100, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
    }
    var bytes = samples.randomElement(using: &random) ?? []
    for _ in 0..<Int.random(in: 0...3, using: &random) { mutate(&bytes) }
    repair(&bytes)
    return bytes
  }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    let position = Int.random(in: 0...bytes.count, using: &random)
    let range = position..<min(bytes.count, position + Int.random(in: 1...16, using: &random))
    switch Int.random(in: 0..<8, using: &random) {
    case 0: bytes.removeSubrange(range)
    case 1: bytes.insert(contentsOf: bytes[range], at: position)
    case 2: bytes.removeLast(bytes.count - position)
    case 3: bytes.insert(contentsOf: tokens.randomElement(using: &random) ?? [], at: position)
    case 4: bytes.replaceSubrange(range, with: tokens.randomElement(using: &random) ?? [])
    case 5:
      // A number of two, four or eight bytes, of those that lead to edges.
      let number = [0, 1, 2, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 40, .max, -1].randomElement(
        using: &random)
      let size = [1, 2, 4, 8].randomElement(using: &random) ?? 1
      guard let number, position + size <= bytes.count else { return }
      for offset in 0..<size { bytes[position + offset] = UInt8(truncatingIfNeeded: number >> (8 * offset)) }
    default:
      guard position < bytes.count else { return }
      bytes[position] =
        Bool.random(using: &random)
        ? bytes[position] ^ 1 << UInt8.random(in: 0..<8, using: &random)
        : UInt8.random(in: 0...255, using: &random)
    }
  }
}

/// Reads mutated files, each twice, and expects values, or errors that name the file and say why, the same
/// both times.
///
/// - Parameters:
///   - read: What is in a file, in a form that tells bits apart.
///   - roundTrip: Writes what is in the file at the first path to the second, from which the same will be
///     read; nil for formats that are not written.
func fuzz(
  _ mutator: FileMutator, _ name: String, runs: Int, read: (_ path: String) throws -> String,
  roundTrip: ((_ from: String, _ to: String) throws -> Void)? = nil
) throws {
  var mutator = mutator
  var valueCount = 0
  try withTemporaryFolder { folder in
    let path = "\(folder)/\(name)"
    let copy = "\(folder)/copy-\(name)"
    func outcome(_ path: String) throws -> (text: String, isValue: Bool) {
      do { return (try read(path), true) } catch CoixError.file(path, let reason) { return (reason, false) }
    }
    for run in 0..<runs {
      let bytes = mutator.next()
      func report(_ problem: String) {
        Issue.record("run \(run): \(problem): \(Data(bytes).base64EncodedString())")
      }
      try Data(bytes).write(to: URL(filePath: path))
      do {
        let first = try outcome(path)
        if try outcome(path) != first { report("another outcome when it was read again than \(first.text)") }
        if !first.isValue, !(5...400).contains(first.text.count) {
          report("an unhelpful error: \(first.text)")
        }
        guard first.isValue else { continue }
        valueCount += 1
        guard let roundTrip else { continue }
        try roundTrip(path, copy)
        if try read(copy) != first.text { report("other numbers after they were written and read") }
      } catch { report("an error of another kind: \(error)") }
    }
  }
  // Mutations must neither leave everything whole nor break everything.
  #expect(valueCount > runs / 50)
  #expect(valueCount < runs)
}
