import CoixParallel

/// The values that a draw may take, where there are finitely many.
///
/// A draw has elements, one for each index of its leading axes, and each takes one of the same number of points by itself: three coins
/// have two points and eight values.
public struct FiniteSupport: Sendable {
  /// Each of the draw's shape: element by element, the values it may take.
  public let points: [Tensor]
  /// How many of the last axes belong to one element.
  public let elementRank: Int

  /// A support from points of a draw's shape, of which the last `elementRank` axes vary together.
  public init(points: [Tensor], elementRank: Int = 0) {
    self.points = points
    self.elementRank = elementRank
  }

  /// The support of `shape`'s elements that each take one of the given numbers.
  init(_ numbers: some Sequence<Float>, shape: Shape) {
    self.init(points: numbers.map { Tensor(repeating: $0, shape: shape) })
  }

  /// The same, for draws of a shape that this one's broadcasts to.
  func expanded(to shape: Shape) -> FiniteSupport {
    FiniteSupport(
      points: points.map { $0.shape == shape ? $0 : $0.broadcast(to: shape) }, elementRank: elementRank)
  }

  /// The number of values: points to the power of elements; nil where that is no `Int`.
  var count: Int? {
    guard let shape = points.first?.shape else { return 0 }
    var count = 1
    guard points.count > 1 else { return 1 }
    for _ in 0..<shape.leading(max(shape.rank - elementRank, 0)).elementCount {
      let (product, overflow) = count.multipliedReportingOverflow(by: points.count)
      guard !overflow else { return nil }
      count = product
    }
    return count
  }

  /// The value of a number below ``count``, in lexicographic order of the elements' points, the last fastest.
  func value(_ number: Int) -> Tensor {
    guard points.count > 1 else { return points.first ?? .nan }
    let shape = points[0].shape
    let elements = shape.leading(max(shape.rank - elementRank, 0)).elementCount
    guard elements > 0 else { return points[0] }
    let size = shape.elementCount / elements
    var scalars = points[0].scalars
    var rest = number
    for element in (0..<elements).reversed() {
      let (quotient, point) = rest.quotientAndRemainder(dividingBy: points.count)
      rest = quotient
      points[point].withScalars { source in
        for offset in element * size..<(element + 1) * size where offset < source.count {
          scalars[offset] = source[offset]
        }
      }
    }
    return Tensor(scalars, shape: shape)
  }
}
