import CoixParallel

/// The values that a draw may take, if there are finitely many.
///
/// A draw has one element for each index of its leading axes. Each element takes one of the points,
/// independently of the others: three coins have two points and eight values. Some of the values may have
/// probability 0.
public struct FiniteSupport: Sendable {
  /// The points, each of the draw's shape: an element of a draw takes the values that one of the points has
  /// there.
  public let points: [Tensor]
  /// How many of the last axes belong to one element. A negative number counts as 0; one that is too large
  /// means all axes.
  public let elementRank: Int

  /// A support from points of a draw's shape, of which the last `elementRank` axes vary together.
  public init(points: [Tensor], elementRank: Int = 0) {
    self.points = points
    self.elementRank = elementRank
  }

  /// The support of draws of the given shape whose elements each take one of the given numbers.
  init(_ numbers: some Collection<Float>, shape: Shape) {
    do throws(CoixError) {
      // Each point takes memory for its numbers and for the objects that hold them.
      try Memory.require(
        numbers.count, of: Tensor.self, each: Self.bytes(of: shape), for: "the values of a draw")
      self.init(points: numbers.map { Tensor(repeating: $0, shape: shape) })
    } catch {
      self.init(points: [Tensor.failed(error)])
    }
  }

  /// About how many bytes one point takes: its numbers, and the objects that hold them.
  private static func bytes(of shape: Shape) -> Int { 256 + 8 * shape.elementCount }

  /// The same support for draws of another shape, to which this support's shape broadcasts.
  func expanded(to shape: Shape) -> FiniteSupport {
    FiniteSupport(
      points: points.map { $0.shape == shape ? $0 : $0.broadcast(to: shape) }, elementRank: elementRank)
  }

  /// The axes over which a draw's elements lie.
  private var elements: Shape {
    let shape = points.first?.shape ?? .scalar
    return shape.leading(shape.rank - max(0, min(elementRank, shape.rank)))
  }

  /// The number of values: the number of points to the power of the number of elements; nil if that
  /// overflows.
  var count: Int? {
    guard points.count > 1 else { return points.count }
    var count = 1
    for _ in 0..<elements.elementCount {
      let (product, overflow) = count.multipliedReportingOverflow(by: points.count)
      guard !overflow else { return nil }
      count = product
    }
    return count
  }

  /// The value with a given number, which is below ``count``. Values are in lexicographic order of their
  /// elements' points: the last element varies fastest.
  func value(_ number: Int) -> Tensor {
    guard points.count > 1 else { return points.first ?? .nan }
    var choice = [Int](repeating: 0, count: elements.elementCount)
    var rest = number
    for element in choice.indices.reversed() {
      (rest, choice[element]) = rest.quotientAndRemainder(dividingBy: points.count)
    }
    return value(choice)
  }

  /// The value whose elements take the points of these numbers. Gradients flow to those points.
  private func value(_ choice: [Int]) -> Tensor {
    let used = Set(choice).sorted()
    let mask = elements.appending(Shape((elements.rank..<points[0].shape.rank).map { _ in 1 }))
    return used.dropFirst().reduce(points[used.first ?? 0]) { value, point in
      select(Tensor(choice.map { $0 == point ? 1 : 0 }, shape: mask), points[point], value)
    }
  }

  /// A support that contains all values of several supports, for draws of a shape to which their shapes
  /// broadcast. Each element's points are those of all supports, without repetitions. The result has the
  /// smallest element rank of the supports, so it may also contain values that no support has.
  ///
  /// - Returns: nil if that gives elements different numbers of points.
  static func union(_ supports: [FiniteSupport], shape: Shape) -> FiniteSupport? {
    let all = FiniteSupport(
      points: supports.flatMap { $0.expanded(to: shape).points },
      elementRank: supports.map(\.elementRank).min() ?? 0)
    if let poisoned = all.points.first(where: { $0.failure != nil }) {
      return FiniteSupport(points: [poisoned])
    }
    guard !all.points.contains(where: { $0.isBatched || $0.isMapped }) else { return nil }
    let elements = all.elements.elementCount
    guard elements > 0 else { return FiniteSupport(points: Array(all.points.prefix(1))) }
    let size = shape.elementCount / elements
    do throws(CoixError) {
      try Memory.require(
        all.points.count, of: Tensor.self, each: 2 * Self.bytes(of: shape), for: "the values of a draw")
    } catch {
      return FiniteSupport(points: [Tensor.failed(error)])
    }
    var seen = [Set<[Float]>](repeating: [], count: elements)
    // For each element, the numbers of the points that differ there from all points before them.
    var different = [[Int]](repeating: [], count: elements)
    for (number, point) in all.points.enumerated() {
      point.withScalars { scalars in
        for element in 0..<elements
        where seen[element].insert(Array(scalars[element * size..<(element + 1) * size])).inserted {
          different[element].append(number)
        }
      }
    }
    let count = different[0].count
    guard different.allSatisfy({ $0.count == count }) else { return nil }
    return FiniteSupport(
      points: (0..<count).map { point in all.value(different.map { $0[point] }) },
      elementRank: all.elementRank)
  }
}
