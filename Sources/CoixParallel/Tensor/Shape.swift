/// The sizes of a tensor's event axes, at most ``maximumRank`` of them.
///
/// A shape is stored without a heap allocation, since every operation makes one. Too many sizes, a negative
/// size or a product that is too large give an invalid shape, which poisons a tensor that is made with it.
public struct Shape: Hashable, Sendable {
  /// The greatest number of axes.
  public static let maximumRank = 8
  /// The greatest product of the sizes: 4 TiB of numbers. The product of some sizes and a row count then
  /// cannot overflow.
  static let maximumElementCount = 1 << 40
  /// The shape of a single number: no axes.
  public static let scalar = Shape([])

  // Two sizes a word, the even axis in the lower half. (A vector would be the natural choice, but its
  // alignment of 16 bytes makes every heap allocation that holds a shape slow.)
  private var sizes01: UInt64 = 0
  private var sizes23: UInt64 = 0
  private var sizes45: UInt64 = 0
  private var sizes67: UInt64 = 0
  private var axisCount = 0
  /// The number of elements: the product of all sizes, 1 for a scalar, -1 for an invalid shape.
  public private(set) var elementCount: Int = 1

  /// Creates a shape from axis sizes, outermost first.
  public init(_ sizes: some Collection<Int>) {
    guard sizes.count <= Self.maximumRank else {
      self.elementCount = -1
      return
    }
    for size in sizes { append(size) }
  }

  /// One axis.
  init(_ size: Int) { append(size) }

  /// Whether the sizes are legal: at most ``maximumRank``, not negative, below 2^32, and with a product (of those that
  /// are not 0) of at most 2^40.
  public var isValid: Bool { elementCount >= 0 }

  /// The number of axes.
  public var rank: Int { axisCount }

  /// Adds an innermost axis.
  mutating func append(_ size: Int) {
    // The product that is limited leaves out zeros, so that the product of any of the axes is within the
    // limit, too. The factors are at most 2^40 and below 2^32, so their product does not overflow.
    let others = elementCount == 0 ? reduce(1) { $0 * Swift.max($1, 1) } : elementCount
    guard isValid, rank < Self.maximumRank, size >= 0, size <= UInt32.max,
      others <= Self.maximumElementCount / Swift.max(size, 1)
    else {
      elementCount = -1
      return
    }
    let product = elementCount * size
    let word = UInt64(size) << (32 * UInt64(rank & 1))
    switch rank >> 1 {
    case 0: sizes01 |= word
    case 1: sizes23 |= word
    case 2: sizes45 |= word
    default: sizes67 |= word
    }
    axisCount += 1
    elementCount = product
  }

  /// This shape with further inner axes.
  public func appending(_ other: Shape) -> Shape {
    var result = self
    for size in other { result.append(size) }
    if !other.isValid { result.elementCount = -1 }
    return result
  }

  /// The first `count` axes; all of them if there are fewer.
  package func leading(_ count: Int) -> Shape {
    var result = Shape.scalar
    for axis in 0..<Swift.max(Swift.min(count, rank), 0) { result.append(self[axis]) }
    return result
  }

  /// The axes from number `first` on.
  package func dropping(_ first: Int) -> Shape {
    var result = Shape.scalar
    for axis in Swift.min(Swift.max(first, 0), rank)..<rank { result.append(self[axis]) }
    return result
  }

  /// The shape that two operands broadcast to: sizes are aligned at the right, and a size of 1 stretches to
  /// any other; nil if the shapes don't fit.
  public static func broadcast(_ left: Shape, _ right: Shape) -> Shape? {
    if left == right { return left }
    if left == .scalar { return right.isValid ? right : nil }
    if right == .scalar { return left.isValid ? left : nil }
    let rank = Swift.max(left.rank, right.rank)
    var result = Shape.scalar
    for axis in 0..<rank {
      let a = axis - (rank - left.rank) < 0 ? 1 : left[axis - (rank - left.rank)]
      let b = axis - (rank - right.rank) < 0 ? 1 : right[axis - (rank - right.rank)]
      guard a == b || a == 1 || b == 1 else { return nil }
      result.append(a == 1 ? b : a)
    }
    return result.isValid ? result : nil
  }

  /// `axis` counted from the front, where -1 stands for the last axis; nil if there is no such axis.
  func normalizedAxis(_ axis: Int) -> Int? {
    let normalized = axis < 0 ? axis + rank : axis
    return normalized >= 0 && normalized < rank ? normalized : nil
  }

  /// The product of the sizes of a range of axes.
  func product(_ axes: Range<Int>) -> Int {
    axes.reduce(1) { $0 * self[$1] }
  }
}

extension Shape: RandomAccessCollection {
  public var startIndex: Int { 0 }
  public var endIndex: Int { rank }
  public subscript(axis: Int) -> Int {
    precondition(axis >= 0 && axis < rank, "Shape: axis out of range; callers check with normalizedAxis")
    let word =
      switch axis >> 1 {
      case 0: sizes01
      case 1: sizes23
      case 2: sizes45
      default: sizes67
      }
    return Int((word >> (32 * UInt64(axis & 1))) & 0xffff_ffff)
  }
}

extension Shape: ExpressibleByArrayLiteral, CustomStringConvertible {
  public init(arrayLiteral sizes: Int...) { self.init(sizes) }
  public var description: String {
    isValid ? "[" + map(String.init).joined(separator: ", ") + "]" : "[invalid]"
  }
}

extension Shape: Codable {
  /// The list of the sizes, which ends with -1 if the shape is invalid.
  public func encode(to encoder: any Encoder) throws {
    try (Array(self) + (isValid ? [] : [-1])).encode(to: encoder)
  }

  public init(from decoder: any Decoder) throws { self.init(try [Int](from: decoder)) }
}
