/// What a one-to-one map made a tensor of: kept with the tensor, so that whoever inverts the map gets back
/// what rounding has lost.
///
/// Of a step of exp(-50) to the next component of an increasing vector nothing is left in single precision,
/// and the vector alone would seem to be impossible; what it was made of still tells its density. Few tensors
/// have a preimage, and the others pay nothing for it.
package struct Preimage: Sendable {
  /// What the map was applied to. It may be a tensor of a whole plate although the image's rows have been
  /// loaded: its own are loaded when somebody asks for them.
  fileprivate let base: Tensor
  /// The map's type.
  fileprivate let map: ObjectIdentifier
  /// The map's parameters; nil where they could not be compared with others.
  fileprivate let parameters: [Tensor]?
  /// How many of the last axes the map takes together. The axes before them are those of the image.
  fileprivate let baseRank: Int
  /// The axes that the map makes of them.
  fileprivate let imageEvent: Shape
  /// Not 0 where the base is what the image was made of; nil for everywhere.
  fileprivate let isKnown: Tensor?
  /// The image's node on its tape, as the map made it: -1 for a constant.
  fileprivate let node: Int32
  fileprivate let tape: UInt32

  /// The node of an image whose gradient flows another way than through the map. No tensor has it.
  fileprivate static let strangeNode = Int32.min

  fileprivate var imageRank: Int { imageEvent.rank }

  /// The same map from `base` to `image`, both seen in another way.
  fileprivate func seen(as base: Tensor, of image: Tensor) -> Preimage {
    Preimage(
      base: base, map: map, parameters: parameters, baseRank: baseRank, imageEvent: imageEvent,
      isKnown: isKnown, node: image.node, tape: image.tape)
  }

  /// The same for an image whose map's parameters cannot be compared with others.
  fileprivate var withoutParameters: Preimage {
    Preimage(
      base: base, map: map, parameters: nil, baseRank: baseRank, imageEvent: imageEvent, isKnown: isKnown,
      node: node, tape: tape)
  }

  /// The same outside of the chunk whose rows the parameters may have.
  fileprivate var portable: Preimage {
    parameters?.contains(where: \.isBatched) ?? false ? withoutParameters : self
  }

  /// The same where `isKnown` is not 0.
  fileprivate func restricted(to mask: Tensor, of image: Tensor, isOwn: Bool) -> Preimage {
    Preimage(
      base: base, map: map, parameters: parameters, baseRank: baseRank, imageEvent: imageEvent,
      isKnown: isKnown.map { $0 * mask } ?? mask, node: isOwn ? image.node : Self.strangeNode,
      tape: image.tape)
  }

  /// The base with the rows and the leading axes that the image has here; nil if they don't fit.
  fileprivate func base(for image: Tensor) -> Tensor? {
    guard !image.isMapped, image.shape.rank >= imageRank,
      Shape(image.shape.suffix(imageRank)) == imageEvent
    else { return nil }
    var base = base
    if base.isMapped {
      base = image.isBatched ? ExecutionContext.current?.local(base) ?? base : base.unmapped()
    }
    guard base.failure == nil, base.shape.rank >= baseRank else { return nil }
    let shape = Shape(image.shape.dropLast(imageRank)).appending(Shape(base.shape.suffix(baseRank)))
    guard shape.isValid, shape.elementCount == base.shape.elementCount else { return nil }
    return base.reshaped(to: shape)
  }
}

/// What is known of the preimage of a tensor.
package struct KnownPreimage {
  /// Of the tensor's leading axes; a constant, unless gradients that flow to it are all that would flow to
  /// the tensor.
  package let base: Tensor
  /// Not 0 where the tensor was made of the base, one number for each of the map's events; nil for
  /// everywhere.
  package let isKnown: Tensor?
  /// Whether gradients may flow to the base instead of the tensor: both are constants, or the tensor is as
  /// the map made it.
  package let standsForTensor: Bool
  fileprivate let parameters: [Tensor]?

  /// Whether the map had these very parameters, on these very ways of gradients.
  package func hasParameters(_ other: [Tensor]) -> Bool {
    guard let parameters, parameters.count == other.count else { return false }
    return zip(parameters, other).allSatisfy { one, other in
      if one.storage === other.storage { return one.node == other.node && one.tape == other.tape }
      // Constants, which a program makes anew in each run.
      return one.isConstant && other.isConstant && !one.isBatched && !other.isBatched
        && one.shape == other.shape && one.scalars == other.scalars
    }
  }
}

extension Tensor {
  // MARK: Making and reading memories

  /// Whether the tensor knows what a map made it of.
  package var hasPreimage: Bool { !storage.isPlain && storage.preimage != nil }

  /// This tensor as what a map made of `base`. As it is, if their leading axes differ.
  ///
  /// - Parameters:
  ///   - map: the map's type.
  ///   - parameters: the map's parameters.
  ///   - baseRank: how many of the last axes of `base` the map takes together.
  ///   - imageRank: how many axes it makes of them.
  package func remembering(
    _ base: Tensor, through map: Any.Type, parameters: [Tensor], baseRank: Int, imageRank: Int
  ) -> Tensor {
    guard failure == nil, base.failure == nil, !isMapped, !base.isMapped,
      (0...shape.rank).contains(imageRank), (0...base.shape.rank).contains(baseRank),
      Shape(shape.dropLast(imageRank)) == Shape(base.shape.dropLast(baseRank))
    else { return self }
    return remembering(
      Preimage(
        base: base, map: ObjectIdentifier(map), parameters: parameters, baseRank: baseRank,
        imageEvent: Shape(shape.suffix(imageRank)), isKnown: nil, node: node, tape: tape))
  }

  private func remembering(_ preimage: Preimage) -> Tensor {
    var result = self
    result.storage = Storage(viewing: storage, mapping: storage.mapping, preimage: preimage)
    return result
  }

  /// What a map of the given type made this tensor of; nil if it isn't known.
  package func preimage(through map: Any.Type) -> KnownPreimage? {
    guard hasPreimage, let preimage = storage.preimage, preimage.map == ObjectIdentifier(map),
      let base = preimage.base(for: self)
    else { return nil }
    let isAsMade = isAsMade(by: preimage)
    return KnownPreimage(
      base: isAsMade ? base : base.detached, isKnown: preimage.isKnown?.allOfLast(preimage.imageRank),
      standsForTensor: isAsMade || node < 0, parameters: preimage.parameters)
  }

  /// Whether the tensor is tracked as it was when the map made it.
  private func isAsMade(by preimage: Preimage) -> Bool {
    node >= 0 && node == preimage.node && tape == preimage.tape
  }

  // MARK: Taking memories along

  /// What can be remembered wherever the tensor goes: a constant was made of a constant.
  private var portablePreimage: Preimage? {
    guard hasPreimage, let preimage = storage.preimage, preimage.isKnown == nil else { return nil }
    if node < 0 {
      return preimage.seen(as: preimage.base.detached, of: self)
    }
    return isAsMade(by: preimage) ? preimage : nil
  }

  /// What the tensor was made of, to be taken to where the tensor goes; nil if it isn't known.
  package var portableBase: Tensor? { portablePreimage?.base }

  /// The same with the leading axes that the tensor has.
  var fittedBase: Tensor? { portablePreimage.flatMap { $0.base(for: self) } }

  /// This tensor, which is `source` seen in another way (in other rows, say), with the memory of `source`.
  ///
  /// - Parameter base: what ``portableBase`` of the source is when seen in that way.
  package func remembering(as source: Tensor, _ base: @autoclosure () -> Tensor?) -> Tensor {
    guard let preimage = source.portablePreimage, let base = base() else { return self }
    return remembering(preimage.portable.seen(as: base, of: self))
  }

  /// This tensor, which has the elements of `source` in their order under another shape, with the memory of
  /// `source`.
  func remembering(asReshaped source: Tensor) -> Tensor {
    // A constant has its memory with its buffer.
    guard source.node >= 0, let preimage = source.portablePreimage else { return self }
    return remembering(preimage.seen(as: preimage.base, of: self))
  }

  /// This tensor, which has the elements of `source` where a mask is not 0, with the memory of `source`
  /// there.
  ///
  /// - Parameter isOwn: whether gradients that flow to this tensor flow on to `source` there.
  package func remembering(as source: Tensor, where mask: Tensor, isOwn: Bool) -> Tensor {
    guard source.hasPreimage, let preimage = source.storage.preimage, shape == source.shape else {
      return self
    }
    let isOwn = isOwn && source.isAsMade(by: preimage)
    return remembering(preimage.restricted(to: mask, of: self, isOwn: isOwn))
  }

  /// This tensor, which is several tensors one after the other along an axis, with what one map made them all
  /// of.
  func remembering(asJoined parts: [Tensor], _ axis: Int) -> Tensor {
    guard parts.allSatisfy(\.hasPreimage), let first = parts.first?.portablePreimage else { return self }
    var bases: [Tensor] = []
    for part in parts {
      guard let preimage = part.portablePreimage, preimage.map == first.map,
        preimage.imageRank == first.imageRank, axis < part.shape.rank - first.imageRank,
        let base = part.fittedBase
      else { return self }
      bases.append(base)
    }
    let base = Tensor.concatenate(bases, axis: axis)
    return base.failure == nil ? remembering(first.withoutParameters.seen(as: base, of: self)) : self
  }

  /// This tensor, whose events are taken from `source`, with the memory of `source`.
  ///
  /// - Parameters:
  ///   - eventRank: the number of the events' axes.
  ///   - take: takes from a tensor, whose events have so many axes, in the same way.
  package func remembering(
    asEventsOf source: Tensor, _ eventRank: Int, _ take: (Tensor, _ eventRank: Int) -> Tensor
  ) -> Tensor {
    guard source.hasPreimage, let preimage = source.portablePreimage, eventRank >= preimage.imageRank,
      failure == nil, let base = source.fittedBase
    else { return self }
    let taken = take(base, eventRank - preimage.imageRank + preimage.baseRank)
    return taken.failure == nil ? remembering(preimage.withoutParameters.seen(as: taken, of: self)) : self
  }

  /// Whether no gradient flows through the tensor.
  package var isConstant: Bool { node < 0 }

  /// These numbers as the value, with the gradient that `other` takes: for what is computed in a better way
  /// than it is differentiated.
  package func withGradient(of other: Tensor) -> Tensor {
    guard other.node >= 0 else { return detached }
    if Tensor.differInRows(self, other) { return inAllRows.withGradient(of: other.inAllRows) }
    if shape == other.shape && stride == other.stride { return detached.recorded(from: other) { $0 } }
    return Tensor.selected(1, self, other).recorded(from: other) { $0 }
  }

  /// 1 where all elements along the last `count` axes are not 0, else 0.
  package func allOfLast(_ count: Int) -> Tensor {
    guard count > 0 else { return self }
    guard count <= shape.rank else {
      return Tensor.mismatch("event", [shape], "\(count) event axes asked for")
    }
    return (self .== 0).sum(axes: Array(shape.rank - count..<shape.rank)) .== 0
  }
}
