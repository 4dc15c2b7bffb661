import TestSupport
import Testing

@testable import CoixParallel

/// Compares a function's tape gradient with finite differences, for batched and uniform inputs.
///
/// The scalar that is differentiated is `sum(w * f(x))` over rows and elements, with fixed random weights.
/// Rows don't depend on each other, so one element of a batched input is moved in all rows at once.
/// Differences are central, with Richardson's extrapolation:
///
/// ```
/// D(h) = (f(x + h) - f(x - h)) / 2h,  derivative = (4 D(h/2) - D(h)) / 3,  h = 1/16
/// ```
///
/// The truncation error is h^4 / 480 = 3e-8 times the fifth derivative. Rounding adds about
/// `8 epsilon |w f| / h` (the norm over the outputs involved), which is the stated bound together with 1e-3
/// relative and 1e-4 absolute.
struct GradientCheck {
  let shapes: [Shape]
  /// Where inputs are drawn from.
  var domain: ClosedRange<Float> = -2...2
  /// Draws inputs without ties and far (1/4) from each other instead, for functions with kinks: half whole
  /// numbers for the first input, those plus 1/4 for the second.
  var isSeparated = false
  let function: ([Tensor]) -> Tensor

  static let step: Float = 1.0 / 16

  /// The greatest error, in units of its bound, and where it was.
  struct Outcome {
    var ratio = 0.0
    var place = "nowhere"

    mutating func note(_ error: Double, bound: Double, _ place: @autoclosure () -> String) {
      let ratio = error.isFinite ? error / bound : .infinity
      if ratio > self.ratio { (self.ratio, self.place) = (ratio, place()) }
    }
  }

  /// Checks one combination of batched and uniform inputs.
  func outcome(rows: Int, batched: [Bool], seed: UInt64) throws -> Outcome {
    let tape = Tape()
    return try inChunk(rows: rows, tape: tape) { chunk in
      var generator = SplitMix(seed: seed)
      let inputs = shapes.indices.map { input in
        values(input, count: shapes[input].elementCount, rows: batched[input] ? rows : 1, &generator)
      }
      let plain = shapes.indices.map {
        batched[$0] ? chunk.batched(inputs[$0], shapes[$0]) : Tensor(inputs[$0], shape: shapes[$0])
      }

      // The tape's answer.
      let tracked = plain.map {
        $0.tracked(node: tape.append(shape: $0.shape, stride: $0.stride, .none), tape: tape.id)
      }
      let output = try function(tracked).validated()
      var outcome = Outcome()
      chunk.context.tape = nil
      let value = try function(plain).validated()
      outcome.note(
        value.isBatched == batched.contains(true) && chunk.values(output) == chunk.values(value)
          ? 0 : .infinity,
        bound: 1, "value with and without a tape")
      try noteRows(&outcome, chunk, inputs, batched, chunk.values(value))
      let outputRows = output.isBatched ? rows : 1
      let weights = generator.gridFloats(outputRows * output.shape.elementCount, in: -1...1)
      tape.add(
        output.isBatched ? chunk.seed(weights, output.shape) : Tensor(weights, shape: output.shape),
        to: output.node)
      try tape.pullBack()

      for input in shapes.indices {
        guard let gradient = tape.gradient(of: tracked[input].node) else {
          outcome.note(.infinity, bound: 1, "input \(input) has no gradient")
          continue
        }
        let padding = (0..<gradient.shape.elementCount * gradient.stride).contains {
          $0 % gradient.stride >= rows && gradient.pointer[$0] != 0
        }
        outcome.note(
          gradient.shape == shapes[input] && gradient.isBatched == batched[input] && !padding ? 0 : .infinity,
          bound: 1,
          "layout of the gradient of input \(input)")
        try note(&outcome, chunk, plain, input, chunk.values(gradient), weights)
      }
      if let failure = chunk.context.failure { throw failure }
      return outcome
    }
  }

  private func values(_ input: Int, count: Int, rows: Int, _ generator: inout SplitMix) -> [Float] {
    guard isSeparated else { return generator.gridFloats(count * rows, in: domain) }
    return (0..<rows).flatMap { _ in
      (0..<count).map { Float($0 - count / 2) * 0.5 + 0.25 * Float(input) }.shuffled(using: &generator)
    }
  }

  /// Each row of a batched output against the function of that row's inputs alone.
  private func noteRows(
    _ outcome: inout Outcome, _ chunk: Chunk, _ inputs: [[Float]], _ batched: [Bool], _ values: [Float]
  ) throws {
    guard batched.contains(true) else { return }
    let count = values.count / chunk.rows
    for row in [0, chunk.rows / 2, chunk.rows - 1] {
      let alone = try function(
        shapes.indices.map { input in
          let count = shapes[input].elementCount
          let start = batched[input] ? row * count : 0
          return Tensor(inputs[input][start..<start + count], shape: shapes[input])
        }
      ).validated()
      outcome.note(
        distance(Array(values[row * count..<(row + 1) * count]), alone.scalars.map(Double.init)), bound: 2e-6,
        "value of row \(row) alone")
    }
  }

  /// The gradient of one input against finite differences.
  private func note(
    _ outcome: inout Outcome, _ chunk: Chunk, _ plain: [Tensor], _ input: Int, _ gradient: [Float],
    _ weights: [Float]
  ) throws {
    let count = shapes[input].elementCount
    let isBatched = plain[input].isBatched
    for element in 0..<count {
      /// The weighted output for each row, or in all, with the element moved; and the squared norm of its
      /// terms.
      func losses(_ shift: Float) throws -> (sums: [Double], squares: [Double]) {
        var moved = plain
        moved[input] = plain[input].withElement(element, movedBy: shift)
        let output = chunk.values(try function(moved).validated())
        let outputCount = output.count / (plain.contains(where: \.isBatched) ? chunk.rows : 1)
        var sums = Array(repeating: 0.0, count: isBatched ? chunk.rows : 1)
        var squares = sums
        for (index, value) in output.enumerated() {
          let term = Double(value) * Double(weights[index])
          sums[isBatched ? index / outputCount : 0] += term
          squares[isBatched ? index / outputCount : 0] += term * term
        }
        return (sums, squares)
      }
      let step = Self.step
      let (far, near) = try ((losses(step), losses(-step)), (losses(step / 2), losses(-step / 2)))
      for row in far.0.sums.indices {
        let coarse = (far.0.sums[row] - far.1.sums[row]) / Double(2 * step)
        let fine = (near.0.sums[row] - near.1.sums[row]) / Double(step)
        let expected = (4 * fine - coarse) / 3
        let rounding = 8 * 6e-8 * far.0.squares[row].squareRoot() / Double(step)
        let found = Double(gradient[row * count + element])
        outcome.note(
          abs(found - expected), bound: 1e-4 + 1e-3 * abs(expected) + rounding,
          "input \(input), element \(element), row \(row): gradient \(found), differences \(expected)")
      }
    }
  }
}

extension Tensor {
  /// A copy with one element changed, in every row.
  fileprivate func withElement(_ element: Int, movedBy shift: Float) -> Tensor {
    guard let copy = Tensor(undefined: shape, like: self) else { return .outOfMemory }
    copy.pointer.update(from: pointer, count: shape.elementCount * rowCount)
    for lane in 0..<rowCount { copy.pointer[element * rowCount + lane] += shift }
    return copy
  }
}

/// Checks a function's gradient for every combination of batched and uniform inputs and for row counts around
/// those of whole vectors.
func expectGradients(
  _ name: String, _ shapes: [Shape], in domain: ClosedRange<Float> = -2...2, separated: Bool = false,
  sourceLocation: SourceLocation = #_sourceLocation, _ function: @escaping ([Tensor]) -> Tensor
) throws {
  let check = GradientCheck(shapes: shapes, domain: domain, isSeparated: separated, function: function)
  for combination in 0..<1 << shapes.count {
    let batched = shapes.indices.map { combination >> $0 & 1 == 1 }
    for rows in combination == 0 ? [1] : [1, 5, 16, 17, 37] {
      let outcome = try check.outcome(rows: rows, batched: batched, seed: UInt64(rows * 8 + combination))
      #expect(
        outcome.ratio <= 1, "\(name), batched \(batched), \(rows) rows: \(outcome.place)",
        sourceLocation: sourceLocation)
    }
  }
}
