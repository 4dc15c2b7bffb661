import Coix

/// A tensor of a golden file: numbers as they are written, with a type and a shape.
struct GoldenTensor: Sendable {
  enum Kind: String {
    case float32, int32, uint32, bool
  }

  let kind: Kind
  let shape: [Int]
  private let data: [JSON]

  init(_ json: JSON, of source: String) throws {
    guard let kind = json["dtype"]?.string.flatMap(Kind.init), let sizes = json["shape"]?.array, let data = json["data"]?.array
    else { throw GoldenError("\(source) is not a tensor of a known type") }
    self.kind = kind
    self.data = data
    shape = sizes.compactMap(\.integer)
    guard shape.count == sizes.count, shape.reduce(1, *) == data.count else {
      throw GoldenError("\(source) has shape \(shape) and \(data.count) numbers")
    }
    guard data.allSatisfy({ kind == .float32 ? $0.float != nil : $0.integer != nil }) else {
      throw GoldenError("\(source) has an entry that is no \(kind)")
    }
  }

  /// The numbers, as floats. Whole numbers beyond 2^24 are rounded: see ``words``.
  var floats: [Float] { data.map { $0.float ?? .nan } }
  /// The entries of a tensor of whole numbers.
  var integers: [Int] { data.compactMap(\.integer) }
  var words: [UInt32] { integers.map { UInt32(truncatingIfNeeded: $0) } }
  var count: Int { data.count }
  var isExact: Bool { kind != .float32 }

  /// The same as a tensor of floats.
  var tensor: Tensor { Tensor(floats, shape: Shape(shape)) }

  /// Keys: pairs of words along the last axis.
  var keys: [PRNGKey] {
    let words = words
    return stride(from: 0, to: words.count - 1, by: 2).map { PRNGKey(word0: words[$0], word1: words[$0 + 1]) }
  }
}

/// What is wrong with a golden file or with how it is used.
struct GoldenError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
