/// The tensor that a one-to-one map made another tensor from, its image. The image keeps this record, so that
/// inverting the map gives back what rounding has lost.
///
/// For example, if a component of an increasing vector is exp(-50) above the one before, the two are equal in
/// single precision, and the vector by itself would have density zero. The tensor that it was made from still
/// gives the right density. Few tensors have a preimage, and the others pay nothing for it.
package struct Preimage: Sendable {
  /// The tensor that the map was applied to. It may still be mapped over a whole plate when the image's rows
  /// are already loaded: the base's rows are loaded when they are needed.
  fileprivate let base: Tensor
  /// The map's type.
  fileprivate let map: ObjectIdentifier
  /// The map's parameters; nil if they can no longer be compared with other parameters.
  fileprivate let parameters: [Tensor]?
  /// How many of the base's last axes are one event of the map. The axes before them are also the image's.
  fileprivate let baseRank: Int
  /// The image's last axes: the shape of the event that the map makes from one event of the base.
  fileprivate let imageEvent: Shape
  /// Not 0 where the image was made from the base; nil if that is everywhere.
  fileprivate let isKnown: Tensor?
  /// The image's node on its tape when the map made it; -1 for a constant.
  fileprivate let node: Int32
  fileprivate let tape: UInt32

  /// Stands for the node of an image whose gradient does not flow through the map. No tensor has this node.
  fileprivate static let strangeNode = Int32.min

  fileprivate var imageRank: Int { imageEvent.rank }

  /// The record of the same map from `base` to `image`, which are other views of the base and the image, such
  /// as other rows.
  fileprivate func seen(as base: Tensor, of image: Tensor) -> Preimage {
    Preimage(
      base: base, map: map, parameters: parameters, baseRank: baseRank, imageEvent: imageEvent,
      isKnown: isKnown, node: image.node, tape: image.tape)
  }

  /// The same record without parameters, for an image whose map's parameters cannot be compared with others.
  fileprivate var withoutParameters: Preimage {
    Preimage(
      base: base, map: map, parameters: nil, baseRank: baseRank, imageEvent: imageEvent, isKnown: isKnown,
      node: node, tape: tape)
  }

  /// The same record for use outside of the chunk: without parameters that have the chunk's rows.
  fileprivate var portable: Preimage {
    parameters?.contains(where: \.isBatched) ?? false ? withoutParameters : self
  }

  /// The same record, valid only where `mask` is not 0.
  fileprivate func restricted(to mask: Tensor, of image: Tensor, isOwn: Bool) -> Preimage {
    Preimage(
      base: base, map: map, parameters: parameters, baseRank: baseRank, imageEvent: imageEvent,
      isKnown: isKnown.map { $0 * mask } ?? mask, node: isOwn ? image.node : Self.strangeNode,
      tape: image.tape)
  }

  /// The base with the rows and the leading axes that `image` has; nil if the two don't fit.
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

/// What is known about the preimage of a tensor.
package struct KnownPreimage {
  /// The tensor that the map was applied to, with the tensor's leading axes. It is a constant unless
  /// gradients may flow to it instead of to the tensor.
  package let base: Tensor
  /// Not 0 where the tensor was made from the base, one number for each of the map's events; nil if that is
  /// everywhere.
  package let isKnown: Tensor?
  /// Whether gradients may flow to the base instead of to the tensor: both are constants, or the tensor is
  /// tracked as it was when the map made it.
  package let standsForTensor: Bool
  fileprivate let parameters: [Tensor]?

  /// Whether the map had these parameters: the same tensors with the same tape nodes, or constants with the
  /// same numbers.
  package func hasParameters(_ other: [Tensor]) -> Bool {
    guard let parameters, parameters.count == other.count else { return false }
    return zip(parameters, other).allSatisfy { one, other in
      if one.storage === other.storage { return one.node == other.node && one.tape == other.tape }
      // A program makes its constants anew in each run, so they are compared by their numbers.
      return one.isConstant && other.isConstant && !one.isBatched && !other.isBatched
        && one.shape == other.shape && one.scalars == other.scalars
    }
  }
}

extension Tensor {
  // MARK: Making and reading memories

  /// Whether the tensor has a record of its preimage.
  package var hasPreimage: Bool { !storage.isPlain && storage.preimage != nil }

  /// This tensor with the record that a map made it from `base`. Unchanged if their leading axes differ.
  ///
  /// - Parameters:
  ///   - map: the map's type.
  ///   - parameters: the map's parameters.
  ///   - baseRank: how many of the last axes of `base` are one event of the map.
  ///   - imageRank: how many axes the event has that the map makes from it.
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

  /// The preimage of this tensor under a map of the given type; nil if it isn't known.
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

  /// The record that other views of the tensor may take along; nil if there is none. The record of a constant
  /// has a constant base.
  private var portablePreimage: Preimage? {
    guard hasPreimage, let preimage = storage.preimage, preimage.isKnown == nil else { return nil }
    if node < 0 {
      return preimage.seen(as: preimage.base.detached, of: self)
    }
    return isAsMade(by: preimage) ? preimage : nil
  }

  /// The base that other views of the tensor may take along; nil if it isn't known.
  package var portableBase: Tensor? { portablePreimage?.base }

  /// The same base, with the leading axes that the tensor has.
  var fittedBase: Tensor? { portablePreimage.flatMap { $0.base(for: self) } }

  /// This tensor, which is `source` seen in another way (for example in other rows), with the memory of
  /// `source`.
  ///
  /// - Parameter base: ``portableBase`` of the source, seen in the same way.
  package func remembering(as source: Tensor, _ base: @autoclosure () -> Tensor?) -> Tensor {
    guard let preimage = source.portablePreimage, let base = base() else { return self }
    return remembering(preimage.portable.seen(as: base, of: self))
  }

  /// This tensor, which has the elements of `source` in their order under another shape, with the memory of
  /// `source`.
  func remembering(asReshaped source: Tensor) -> Tensor {
    // The memory of a constant is kept with its buffer, which a reshaped tensor shares.
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

  /// This tensor, which is several tensors one after the other along an axis, with the joined preimages if
  /// one map made all of them.
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
  ///   - take: takes events in the same way from a tensor whose events have `eventRank` axes.
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

  /// A tensor with this tensor's numbers, whose gradient flows to `other`. For a value that can be computed
  /// more precisely in another way than the one that is differentiated.
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
