// Gradients of what a tape has recorded so far, while it goes on recording.

extension Tape {
  /// Whether an evaluation of a program is among the nodes from `first` on.
  func hasEvaluation(from first: Int32) -> Bool {
    hasForgotten(from: first)
      || (Int(first)..<count).contains { if case .always = pullback(of: $0) { true } else { false } }
  }

  /// The gradients of a result of this tape with respect to some points; nil for those that it doesn't depend
  /// on.
  ///
  /// Only nodes that depend on a point are visited, and all nodes stay as they are. What is computed is itself
  /// recorded, unless the points are constants and so is everything else that the result depends on.
  func gradients(of result: Tensor, seed: Tensor, at points: [Int32]) -> [Tensor?] {
    guard let first = points.min(), result.node >= first else { return points.map { _ in nil } }
    let start = Int(first)
    var sweep = Sweep(first: start, points: points, last: Int(result.node), of: self)
    let context = ExecutionContext.current
    let recording = context?.tape
    if sweep.isOfConstants && seed.node < 0 { context?.tape = nil }
    defer { context?.tape = recording }
    sweep.add(seed, to: result.node)
    for node in stride(from: Int(result.node), through: start, by: -1) { sweep.pullBack(node) }
    return points.map { sweep.gradient(of: $0) }
  }
}

/// The gradients on the way from a result back to some points.
private struct Sweep {
  private let tape: Tape
  private let first: Int
  /// For the nodes from the first point to the result: whether they depend on a point, and whether they are one.
  private var depends: [Bool]
  private var isPoint: [Bool]
  private var gradients: [Tensor?]
  /// Whether nothing but the points is tracked of what the result depends on, and they are constants.
  private(set) var isOfConstants = true

  init(first: Int, points: [Int32], last: Int, of tape: Tape) {
    self.tape = tape
    self.first = first
    let count = last + 1 - first
    isPoint = Array(repeating: false, count: count)
    gradients = Array(repeating: nil, count: count)
    for point in points where Int(point) <= last { isPoint[Int(point) - first] = true }
    depends = isPoint
    for node in first...last {
      let pullback = tape.pullback(of: node)
      if !isPoint[node - first] {
        guard pullback.hasInput(where: isWanted) else { continue }
        depends[node - first] = true
      }
      if pullback.hasInput(where: { $0 >= 0 && !isWanted($0) }) { isOfConstants = false }
    }
  }

  /// Whether a node's gradient is on the way to a point.
  private func isWanted(_ node: Int32) -> Bool { Int(node) >= first && depends[Int(node) - first] }

  func gradient(of node: Int32) -> Tensor? {
    Int(node) - first < gradients.count ? gradients[Int(node) - first] : nil
  }

  /// Adds to the gradient of a node, if it is wanted.
  mutating func add(_ gradient: @autoclosure () -> Tensor, to node: Int32) {
    guard isWanted(node) else { return }
    let form = tape.form(of: node)
    let own = gradient().summed(to: form.shape, stride: form.stride)
    // A poisoned gradient is dropped; the evaluation throws its error.
    guard !own.isPoisoned else { return }
    let position = Int(node) - first
    gradients[position] = gradients[position].map { $0 + own } ?? own
  }

  /// Passes a node's gradient to its inputs.
  mutating func pullBack(_ node: Int) {
    guard !isPoint[node - first], let gradient = gradients[node - first].take() else { return }
    switch tape.pullback(of: node) {
    case .none, .always: break
    case .one(let input, let body): add(body(gradient), to: input)
    case .sum(let a, let b, let isDifference):
      add(gradient, to: a)
      add(isDifference ? -gradient : gradient, to: b)
    case .two(let a, let b, let toA, let toB):
      add(toA(gradient), to: a)
      add(toB(gradient), to: b)
    case .three(let a, let b, let c, let body):
      let gradients = body(gradient, (isWanted(a), isWanted(b), isWanted(c)))
      if let gradient = gradients.0 { add(gradient, to: a) }
      if let gradient = gradients.1 { add(gradient, to: b) }
      if let gradient = gradients.2 { add(gradient, to: c) }
    case .several(let inputs, let body):
      for (input, own) in zip(inputs, body(gradient, inputs.map(isWanted))) {
        if let own { add(own, to: input) }
      }
    }
  }
}
