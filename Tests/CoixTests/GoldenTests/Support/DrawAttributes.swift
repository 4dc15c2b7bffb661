import Coix

/// What a case says about the draw to be made.
struct DrawAttributes {
  private let name: String
  private let json: JSON

  init(_ golden: GoldenCase) {
    name = golden.name
    json = golden.fields["attrs"] ?? .null
  }

  private func value<T>(_ key: String, _ read: (JSON) -> T?) throws -> T {
    guard let value = json[key].flatMap(read) else { throw GoldenError("\(name): no attribute \(key)") }
    return value
  }

  func integer(_ key: String) throws -> Int { try value(key, \.integer) }
  func float(_ key: String) throws -> Float { try value(key, \.float) }
  func bool(_ key: String) throws -> Bool { try value(key, \.bool) }
  func integers(_ key: String) throws -> [Int] { try value(key) { $0.array?.compactMap(\.integer) } }
  /// A shape, or a single size.
  func sizes(_ key: String) throws -> [Int] {
    try value(key) { $0.array?.compactMap(\.integer) ?? $0.integer.map { [$0] } }
  }

  func range() throws -> Range<Int32> {
    let (low, high) = (try integer("minval"), try integer("maxval"))
    guard low <= high, let low = Int32(exactly: low), let high = Int32(exactly: high) else {
      throw GoldenError("\(name): no range of whole numbers from \(low) to \(high)")
    }
    return low..<high
  }

  /// Indices into a shape, flat or one for each axis.
  func flatIndices(_ key: String, in shape: Shape) throws -> [Int] {
    try value(key) { $0.array }.map { entry in
      let parts = entry.array?.compactMap(\.integer) ?? entry.integer.map { [$0] } ?? []
      let index = parts.count == 1 ? parts[0] : zip(parts, shape).reduce(0) { $0 * $1.1 + $1.0 }
      guard !parts.isEmpty, index >= 0, index < shape.elementCount else {
        throw GoldenError("\(name): bad index")
      }
      return index
    }
  }
}
