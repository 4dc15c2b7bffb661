import CoixParallel

// An image remembers the tensor that it was made from. When any bijector of the same type inverts the image,
// it takes that tensor instead of computing an inverse that rounding could have spoiled. TensorFlow
// Probability's bijectors keep a cache for the same purpose.

/// A value, and the point that a bijector maps to it.
struct BijectorPoint {
  /// The x with f(x) = y. Outside of the codomain, some point of the domain.
  let x: Tensor
  /// The value; outside of the codomain, the image of `x`.
  let y: Tensor
  /// 1 where the value is in the codomain, else 0: one number for each event.
  let isInside: Tensor
}

/// A bijector that is made of other bijectors, whose images have memories of their own.
protocol BijectorChain: Bijector {
  /// Inverts one part after the other; see ``Bijector/point(of:in:)``.
  func pointByParts(of y: Tensor, in domain: Shape) -> BijectorPoint
}

extension Bijector {
  /// f(x), which remembers x.
  func image(of x: Tensor) -> Tensor {
    let y = forward(x)
    // An image that a composition has made has the memories of its parts.
    return y.hasPreimage
      ? y
      : y.remembering(
        x, through: Self.self, parameters: parameters.map(\.tensor), baseRank: domainRank,
        imageRank: codomainRank)
  }

  /// The point that the map takes to y: from y's memory, if the map made y, else by ``inverse(_:)``.
  ///
  /// Gradients flow to y (or directly to the tensor that y was made from, where that gives the same
  /// gradients) and to the map's parameters.
  ///
  /// - Parameter domain: the shape of x.
  func point(of y: Tensor, in domain: Shape) -> BijectorPoint {
    if let chain = self as? any BijectorChain { return chain.pointByParts(of: y, in: domain) }
    guard let known = y.preimage(through: Self.self) else { return inverted(y, in: domain) }
    // A type without stored properties has a single map, so this map made y.
    guard MemoryLayout<Self>.size > 0 else {
      guard let isKnown = known.isKnown else {
        // NaN is outside of the codomain.
        let isInside = (y .== y).allOfLast(codomainRank)
        let x = known.standsForTensor ? known.base : known.base.withGradient(of: inverted(y, in: domain).x)
        return BijectorPoint(x: x, y: y, isInside: isInside)
      }
      return point(of: y, in: domain, isKnown: isKnown, known, isDirect: known.standsForTensor)
    }
    // Another map of the same type may have made y. The memory is used only where this map makes y from it,
    // too.
    let isImage = (forward(known.base.detached) .== y.detached).allOfLast(codomainRank)
    let current = parameters.map(\.tensor)
    // A constant y stays fixed when the parameters change, so x changes with them.
    let isDirect =
      known.standsForTensor
      && (y.isConstant ? current.allSatisfy(\.isConstant) : known.hasParameters(current))
    return point(
      of: y, in: domain, isKnown: known.isKnown.map { $0 * isImage } ?? isImage, known, isDirect: isDirect)
  }

  /// The point that the map takes to y: from y's memory where `isKnown` is not 0, elsewhere by
  /// ``inverse(_:)``.
  private func point(
    of y: Tensor, in domain: Shape, isKnown: Tensor, _ known: KnownPreimage, isDirect: Bool
  ) -> BijectorPoint {
    let isKnownY = isKnown.expandingLastAxes(codomainRank)
    let isKnownX = isKnown.expandingLastAxes(domainRank)
    // Where gradients need not flow through the inverse, it does not get the known values: rounding may have
    // moved them out of the codomain.
    let other = inverted(y, in: domain, except: isDirect ? isKnownY : nil)
    let chosen = select(isKnownX, known.base, other.x)
    let x = isDirect ? chosen : chosen.withGradient(of: other.x)
    return BijectorPoint(
      x: x.remembering(as: known.base, where: isKnownX, isOwn: isDirect), y: select(isKnownY, y, other.y),
      isInside: select(isKnown, 1, other.isInside))
  }

  /// The point that the map takes to y, by ``inverse(_:)``, which does not get values outside of the
  /// codomain.
  private func inverted(_ y: Tensor, in domain: Shape, except isKnown: Tensor? = nil) -> BijectorPoint {
    let isInside = contains(y)
    var mask = isInside.expandingLastAxes(codomainRank)
    if let isKnown { mask = mask * (isKnown .== 0) }
    // Other values are replaced by some point of the codomain.
    let point = forward(.zeros(Shape(domain.suffix(domainRank)))).detached
    let seen = select(mask, y, point)
    return BijectorPoint(x: inverse(seen), y: seen, isInside: isInside)
  }
}

extension Tensor {
  /// The tensor with `count` further axes of size 1 at the end.
  func expandingLastAxes(_ count: Int) -> Tensor {
    (0..<Swift.max(count, 0)).reduce(self) { tensor, _ in tensor.expandingAxis(at: -1) }
  }
}
