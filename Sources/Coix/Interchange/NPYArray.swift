import CoixParallel

/// A NumPy array, as a `.npy` file holds it: a shape, and numbers of one type in row-major order.
///
/// ```swift
/// let points = try NPYArray(contentsOf: "points.npy").tensor()
/// try NPYArray(losses).write(to: "losses.npy")
/// ```
///
/// Versions 1 to 3 of the format can be read, with numbers and truth values in either byte order, in
/// row-major or Fortran order. Arrays are written in version 1, little-endian and in row-major order. Complex
/// numbers, text, dates, records and Python objects are errors. Reference: NumPy enhancement proposal 1, "A
/// simple file format for NumPy arrays".
public struct NPYArray: Equatable, Sendable {
  /// The numbers, row-major. Numbers of another type in a file become the smallest of these types that holds
  /// all numbers of the file's type, so none is rounded.
  public enum Scalars: Equatable, Sendable {
    /// NumPy's type `f4`; also for files with `f2`.
    case float32([Float])
    /// NumPy's type `f8`.
    case float64([Double])
    /// NumPy's type `i4`; also for files with `i1`, `i2`, `u1` or `u2`.
    case int32([Int32])
    /// NumPy's type `i8`; also for files with `u4`.
    case int64([Int64])
    /// NumPy's type `u8`.
    case uint64([UInt64])
    /// NumPy's type `b1`.
    case bool([Bool])

    /// How many numbers there are.
    public var count: Int {
      switch self {
      case .float32(let scalars): scalars.count
      case .float64(let scalars): scalars.count
      case .int32(let scalars): scalars.count
      case .int64(let scalars): scalars.count
      case .uint64(let scalars): scalars.count
      case .bool(let scalars): scalars.count
      }
    }
  }

  /// The sizes of the axes, outermost first.
  public let shape: [Int]
  /// The numbers.
  public let scalars: Scalars

  /// An array of given shape and numbers.
  ///
  /// - Throws: `CoixError.argument(_:)` unless there are as many numbers as the shape has elements, and for
  ///   more than the 64 axes that NumPy allows.
  public init(shape: [Int], scalars: Scalars) throws {
    guard shape.count <= NPYHeader.maximumRank else {
      throw CoixError.argument(
        "an array cannot have \(shape.count) axes; \(NPYHeader.maximumRank) are the most")
    }
    guard shape.elementCount == scalars.count else {
      throw CoixError.argument("an array of shape \(shape) cannot have \(scalars.count) numbers")
    }
    self.init(checkedShape: shape, scalars: scalars)
  }

  init(checkedShape shape: [Int], scalars: Scalars) {
    self.shape = shape
    self.scalars = scalars
  }

  /// A tensor's numbers, as `<f4`.
  ///
  /// - Throws: the error that poisoned the tensor; `CoixError.argument(_:)` for one whose numbers cannot be
  ///   read outside of its plate; `CoixError.memory(what:bytes:)` if there is no memory for a copy of them.
  public init(_ tensor: Tensor) throws {
    try Memory.require(tensor.shape.elementCount, of: Float.self, for: "a copy of a tensor's numbers")
    try self.init(shape: Array(tensor.validated().shape), scalars: .float32(tensor.scalars))
  }

  /// The numbers as a tensor: true as 1 and false as 0.
  ///
  /// Numbers of `float64` are rounded to the nearest `Float`, which is infinite for those beyond its range;
  /// whole numbers beyond 2^24 in size are rounded, too. All others are exact.
  ///
  /// - Throws: `CoixError.argument(_:)` for a shape that tensors cannot have.
  public func tensor() throws -> Tensor {
    let tensorShape = Shape(shape)
    guard tensorShape.isValid else {
      throw CoixError.argument(
        "a tensor cannot have the shape \(shape): at most \(Shape.maximumRank) axes, 2^40 numbers")
    }
    let tensor =
      switch scalars {
      case .float32(let scalars): Tensor(scalars, shape: tensorShape)
      case .float64(let scalars): Tensor(scalars.lazy.map { Float($0) }, shape: tensorShape)
      case .int32(let scalars): Tensor(scalars.lazy.map { Float($0) }, shape: tensorShape)
      case .int64(let scalars): Tensor(scalars.lazy.map { Float($0) }, shape: tensorShape)
      case .uint64(let scalars): Tensor(scalars.lazy.map { Float($0) }, shape: tensorShape)
      case .bool(let scalars): Tensor(scalars.lazy.map { $0 ? 1 : 0 }, shape: tensorShape)
      }
    return try tensor.validated()
  }

  /// Reads a `.npy` file.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public init(contentsOf path: String) throws {
    self = try WholeFile.read(path) { try NPYArray(decoding: $0[...]) }
  }

  /// Writes a `.npy` file, and replaces an existing one.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public func write(to path: String) throws {
    try WholeFile.write(path, encoded)
  }
}

extension [Int] {
  /// The number of elements of an array of this shape; nil for a negative size or a product beyond `Int`.
  ///
  /// Zeros are looked for first, so that a shape with a huge size and a zero has no elements instead of too
  /// many.
  var elementCount: Int? {
    guard allSatisfy({ $0 >= 0 }) else { return nil }
    guard !contains(0) else { return 0 }
    var count = 1
    for size in self {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      if overflow { return nil }
      count = product
    }
    return count
  }
}
