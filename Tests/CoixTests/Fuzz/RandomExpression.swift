import Coix
import TestSupport

/// A tensor expression made at random: what a program computes between its sites.
indirect enum RandomExpression: Sendable {
  case number(Float)
  case constant(Shape, Float)
  /// One of the program's values so far; counted from the last, cyclically.
  case variable(Int)
  case unary(Int, RandomExpression)
  case binary(Int, RandomExpression, RandomExpression)
  case choice(RandomExpression, RandomExpression, RandomExpression)

  private struct Unary: Sendable {
    let name: String
    let apply: @Sendable (Tensor) -> Tensor
  }

  private struct Binary: Sendable {
    let name: String
    let apply: @Sendable (Tensor, Tensor) -> Tensor
  }

  private static let unary: [Unary] = [
    Unary(name: "-") { -$0 }, Unary(name: "exp") { exp($0) }, Unary(name: "log") { log($0) },
    Unary(name: "sqrt") { sqrt($0) }, Unary(name: "tanh") { tanh($0) },
    Unary(name: "sigmoid") { sigmoid($0) }, Unary(name: "softplus") { softplus($0) },
    Unary(name: "reciprocal") { $0.reciprocal }, Unary(name: "squared") { $0.squared },
    Unary(name: "abs") { abs($0) }, Unary(name: "floor") { $0.floor }, Unary(name: "sin") { sin($0) },
    Unary(name: "logGamma") { logGamma($0) }, Unary(name: "digamma") { digamma($0) },
    Unary(name: "normalCDF") { normalCDF($0) }, Unary(name: "logNormalCDF") { logNormalCDF($0) },
    Unary(name: "erfInverse") { erfInverse($0) }, Unary(name: "detached") { $0.detached },
    Unary(name: "sum") { $0.sum() }, Unary(name: "mean") { $0.mean() }, Unary(name: "max") { $0.max() },
    Unary(name: "sum, axis -1") { $0.sum(axis: -1) }, Unary(name: "softmax") { $0.softmax(axis: -1) },
    Unary(name: "logSoftmax") { $0.logSoftmax(axis: -1) }, Unary(name: "logSumExp") { $0.logSumExp() },
    Unary(name: "cumulativeSum") { $0.cumulativeSum(axis: 0) }, Unary(name: "flattened") { $0.flattened() },
    Unary(name: "transposed") { $0.transposed() }, Unary(name: "[0]") { $0[0] },
    Unary(name: "sliced") { $0.sliced(axis: 0, 0..<1) },
    Unary(name: "axis in front") { $0.expandingAxis(at: 0) },
    Unary(name: "broadcast to [2, 3]") { $0.broadcast(to: [2, 3]) }, Unary(name: "diagonal") { $0.diagonal },
    Unary(name: "cholesky") { cholesky($0) }, Unary(name: "clamped") { $0.clamped(to: -1...1) },
  ]

  private static let binary: [Binary] = [
    Binary(name: "+") { $0 + $1 }, Binary(name: "-") { $0 - $1 }, Binary(name: "*") { $0 * $1 },
    Binary(name: "/") { $0 / $1 }, Binary(name: "pow") { pow($0, $1) },
    Binary(name: "maximum") { maximum($0, $1) }, Binary(name: "minimum") { minimum($0, $1) },
    Binary(name: ".<") { $0 .< $1 }, Binary(name: ".==") { $0 .== $1 }, Binary(name: "dot") { dot($0, $1) },
    Binary(name: "matmul") { matmul($0, $1) }, Binary(name: "gathered") { $0.gathered(at: $1) },
    Binary(name: "stack") { Tensor.stack([$0, $1]) },
    Binary(name: "concatenate") { Tensor.concatenate([$0, $1]) },
  ]

  /// Ordinary numbers, and those at which formulas come apart.
  static let extremes: [Float] = [
    0, -0.0, 1e-45, -1e-45, 1e-38, 1e-20, 1e-7, -1e-7, 1, -1, 1 + 1e-6, 17.5, -88, 88.5, 1e7, -1e7, 1e20,
    1e38, -1e38,
    .infinity, -.infinity, .nan,
  ]

  static func anyNumber(_ random: inout SplitMix) -> Float {
    Int.random(in: 0..<4, using: &random) == 0
      ? extremes.randomElement(using: &random) ?? 0 : Float.random(in: -3...3, using: &random)
  }

  static func anyShape(_ random: inout SplitMix) -> Shape {
    let shapes: [Shape] = [[], [], [], [3], [3], [1], [2, 3], [3, 3], [0], [1, 1, 2]]
    return shapes.randomElement(using: &random) ?? []
  }

  init(depth: Int, _ random: inout SplitMix) {
    guard depth > 0 else {
      switch Int.random(in: 0..<5, using: &random) {
      case 0: self = .number(Self.anyNumber(&random))
      case 1: self = .constant(Self.anyShape(&random), Self.anyNumber(&random))
      default: self = .variable(Int.random(in: 0..<4, using: &random))
      }
      return
    }
    func part() -> RandomExpression {
      RandomExpression(depth: Int.random(in: 0..<depth, using: &random), &random)
    }
    switch Int.random(in: 0..<8, using: &random) {
    case 0..<4: self = .unary(Int.random(in: 0..<Self.unary.count, using: &random), part())
    case 7: self = .choice(part(), part(), part())
    default: self = .binary(Int.random(in: 0..<Self.binary.count, using: &random), part(), part())
    }
  }

  /// The expression's value, given the values so far.
  func value(_ values: [Tensor]) -> Tensor {
    switch self {
    case .number(let number): Tensor(number)
    case .constant(let shape, let number): Tensor(repeating: number, shape: shape)
    case .variable(let index): values.isEmpty ? 0 : values[values.count - 1 - index % values.count]
    case .unary(let index, let x): Self.unary[index].apply(x.value(values))
    case .binary(let index, let x, let y): Self.binary[index].apply(x.value(values), y.value(values))
    case .choice(let condition, let x, let y):
      select(condition.value(values), x.value(values), y.value(values))
    }
  }
}

extension RandomExpression: CustomStringConvertible {
  var description: String {
    switch self {
    case .number(let number): "\(number)"
    case .constant(let shape, let number): "\(number) of \(shape)"
    case .variable(let index): "v\(index)"
    case .unary(let index, let x): "\(Self.unary[index].name)(\(x))"
    case .binary(let index, let x, let y): "\(Self.binary[index].name)(\(x), \(y))"
    case .choice(let condition, let x, let y): "select(\(condition), \(x), \(y))"
    }
  }
}
