// Gradients that are computed by kernels of their own, as operations that can be differentiated. The numbers
// are the kernel's, whether they are differentiated or not.

extension Tensor {
  /// This gradient, which a kernel has computed. Where it is differentiated, it is so as `formula`: the same in
  /// operators.
  @inline(__always)
  func differentiated(as formula: () -> Tensor) -> Tensor {
    Tape.isRecording ? withGradient(of: formula()) : self
  }

  /// This gradient, which `kernel` has computed from `seed` and other operands. It is linear in the seed; with
  /// respect to the others it has no derivative, and differentiating it is an error.
  func differentiated(
    inSeed seed: Tensor, notIn others: [Tensor], _ what: String, _ kernel: @escaping (Tensor) -> Tensor
  ) -> Tensor {
    guard Tape.isRecording, let tape = ExecutionContext.current?.tape else { return self }
    let nodes = ([seed] + others).map(tape.node(of:))
    guard nodes.contains(where: { $0 >= 0 }) else { return self }
    return tape.record(
      self,
      .several(nodes) { gradient, isWanted in
        if isWanted.dropFirst().contains(true) {
          ExecutionContext.remember(.gradient("\(what) has no second derivative"))
        }
        return [isWanted[0] ? kernel(gradient) : nil]
      })
  }

  /// The gradients of a log-density's operands, which a kernel has computed; nil for those that are not wanted.
  /// Where they are differentiated, they are so as the gradients of `formula`, the log-density in operators.
  ///
  /// - Parameters:
  ///   - formula: nil if there is none; differentiating is then an error.
  ///   - operands: the operands; the gradients have their shapes.
  ///   - seed: the log-density's gradient.
  ///   - density: the log-density; where it is not finite, all gradients are 0.
  static func differentiated(
    _ slopes: [Tensor?], as formula: (([Tensor]) -> Tensor)?, of operands: [Tensor], seed: Tensor,
    where density: Tensor
  ) -> [Tensor?] {
    guard Tape.isRecording, let tape = ExecutionContext.current?.tape else { return slopes }
    guard let formula else {
      return slopes.map {
        $0?.differentiated(inSeed: 0, notIn: [seed] + operands, "a draw from this distribution") { $0 }
      }
    }
    let points = zip(slopes, operands).map { $0 == nil ? $1 : tape.point(at: $1) }
    let finite = (density - density) .== 0
    var gradients = tape.gradients(
      of: formula(points), seed: select(finite, seed, 0),
      at: zip(slopes, points).compactMap { $0 == nil ? nil : $1.node }
    ).makeIterator()
    return slopes.map { slope in
      guard let slope, let gradient = gradients.next() else { return nil }
      return gradient.map { slope.withGradient(of: $0) } ?? slope
    }
  }
}
