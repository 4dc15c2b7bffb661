import CoixParallel

// Images remember what they were made of. Where they are mapped back, by whichever bijector of the same type,
// nothing is computed that rounding could have spoiled: TensorFlow Probability's bijectors keep a cache for
// that.

/// Where a bijector finds a value.
struct BijectorPoint {
  /// The x with f(x) = y. Outside of the codomain, some point of the domain.
  let x: Tensor
  /// The value, or outside of the codomain x's image.
  let y: Tensor
  /// 1 where the value is in the codomain, else 0: one number for each event.
  let isInside: Tensor
}

/// A bijector that is made of others, which have memories of their own.
protocol BijectorChain: Bijector {
  /// Where a value is found by one part after the other; see ``Bijector/point(of:in:)``.
  func pointByParts(of y: Tensor, in domain: Shape) -> BijectorPoint
}

extension Bijector {
  /// f(x), which remembers x.
  func image(of x: Tensor) -> Tensor {
    let y = forward(x)
    // What the map has made of parts remembers these.
    return y.hasPreimage
      ? y
      : y.remembering(
        x, through: Self.self, parameters: parameters.map(\.tensor), baseRank: domainRank,
        imageRank: codomainRank)
  }

  /// Where y comes from: by memory, if the map made it, else by ``inverse(_:)``.
  ///
  /// Gradients flow to y (or directly to what it was made of, where that is the same) and to the map's
  /// parameters.
  ///
  /// - Parameter domain: the shape of an x.
  func point(of y: Tensor, in domain: Shape) -> BijectorPoint {
    if let chain = self as? any BijectorChain { return chain.pointByParts(of: y, in: domain) }
    guard let known = y.preimage(through: Self.self) else { return inverted(y, in: domain) }
    // A type without stored properties is one map.
    guard MemoryLayout<Self>.size > 0 else {
      guard let isKnown = known.isKnown else {
        // NaN is nowhere.
        let isInside = (y .== y).allOfLast(codomainRank)
        let x = known.standsForTensor ? known.base : known.base.withGradient(of: inverted(y, in: domain).x)
        return BijectorPoint(x: x, y: y, isInside: isInside)
      }
      return point(of: y, in: domain, isKnown: isKnown, known, isDirect: known.standsForTensor)
    }
    // Another map of the type may have made it: what tells is whether this one makes it, too.
    let isImage = (forward(known.base.detached) .== y.detached).allOfLast(codomainRank)
    let current = parameters.map(\.tensor)
    // A constant stays where it is while the parameters move, so that x moves with them.
    let isDirect =
      known.standsForTensor
      && (y.isConstant ? current.allSatisfy(\.isConstant) : known.hasParameters(current))
    return point(
      of: y, in: domain, isKnown: known.isKnown.map { $0 * isImage } ?? isImage, known, isDirect: isDirect)
  }

  /// Where y comes from, by memory where `isKnown` is not 0.
  private func point(
    of y: Tensor, in domain: Shape, isKnown: Tensor, _ known: KnownPreimage, isDirect: Bool
  ) -> BijectorPoint {
    let isKnownY = isKnown.expandingLastAxes(codomainRank)
    let isKnownX = isKnown.expandingLastAxes(domainRank)
    // Where gradients need not flow through the inverse, it is not asked for what rounding may have put
    // outside of its domain.
    let other = inverted(y, in: domain, except: isDirect ? isKnownY : nil)
    let chosen = select(isKnownX, known.base, other.x)
    let x = isDirect ? chosen : chosen.withGradient(of: other.x)
    return BijectorPoint(
      x: x.remembering(as: known.base, where: isKnownX, isOwn: isDirect), y: select(isKnownY, y, other.y),
      isInside: select(isKnown, 1, other.isInside))
  }

  /// Where y comes from by ``inverse(_:)``, which does not see what lies outside of the codomain.
  private func inverted(_ y: Tensor, in domain: Shape, except isKnown: Tensor? = nil) -> BijectorPoint {
    let isInside = contains(y)
    var mask = isInside.expandingLastAxes(codomainRank)
    if let isKnown { mask = mask * (isKnown .== 0) }
    // Elsewhere any point of the codomain will do.
    let point = forward(.zeros(Shape(domain.suffix(domainRank)))).detached
    let seen = select(mask, y, point)
    return BijectorPoint(x: inverse(seen), y: seen, isInside: isInside)
  }
}

extension Tensor {
  /// With further axes of size 1 at the end.
  func expandingLastAxes(_ count: Int) -> Tensor {
    (0..<Swift.max(count, 0)).reduce(self) { tensor, _ in tensor.expandingAxis(at: -1) }
  }
}
