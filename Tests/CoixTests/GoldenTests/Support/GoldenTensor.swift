import Coix

/// A tensor of a golden file: numbers as they are written, with a type and a shape.
struct GoldenTensor: Sendable {
  enum Kind: String {
    case float32, int32, uint32, bool
  }

  let kind: Kind
  let shape: [Int]
  /// The numbers, as floats. Whole numbers beyond 2^24 are rounded: see ``integers``.
  let floats: [Float]
  /// The entries of a tensor of whole numbers; empty for floats.
  let integers: [Int]

  init(_ json: JSON, of source: String) throws {
    guard let kind = json["dtype"]?.string.flatMap(Kind.init), let sizes = json["shape"]?.array,
      let data = json["data"]?.array
    else { throw GoldenError("\(source) is not a tensor of a known type") }
    self.kind = kind
    shape = sizes.compactMap(\.integer)
    floats = data.compactMap(\.float)
    integers = kind == .float32 ? [] : data.compactMap(\.integer)
    guard shape.count == sizes.count, shape.reduce(1, *) == data.count else {
      throw GoldenError("\(source) has shape \(shape) and \(data.count) numbers")
    }
    guard floats.count == data.count, kind == .float32 || integers.count == data.count else {
      throw GoldenError("\(source) has an entry that is no \(kind)")
    }
  }

  /// A tensor of floats that is expected instead of one in a file.
  init(_ tensor: Tensor) {
    kind = .float32
    shape = Array(tensor.shape)
    floats = tensor.scalars
    integers = []
  }

  var words: [UInt32] { integers.map { UInt32(truncatingIfNeeded: $0) } }
  var count: Int { floats.count }
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
