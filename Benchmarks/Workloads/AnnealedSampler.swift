import Coix
import Foundation

/// Eight targets from a wide normal to eight modes on a circle, and the kernels between them.
///
/// Zimmermann, Wu, Esmaeili and van de Meent, "Nested variational inference", 2021, section E.1.
struct AnnealedSampler: TensorTree {
  /// The targets.
  static let count = 8

  var forwards = Network.some(key: 1)
  var reverses = Network.some(key: 2)
  /// What the inverse temperatures of the targets between the first and the last are made from.
  var temperatures = Tensor(repeating: -1, shape: [count - 2])

  mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("forwards", &forwards)
    try visitor.visit("reverses", &reverses)
    try visitor.visit("temperatures", &temperatures)
  }

  /// From a point to the distribution of the next one.
  struct Network: TensorTree {
    var hidden: Dense
    var shift = Dense(kernel: .zeros([50, 2]), bias: .zeros([2]))
    var scale = Dense(kernel: .zeros([50, 2]), bias: .zeros([2]), activation: .softplus)

    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("hidden", &hidden)
      try visitor.visit("shift", &shift)
      try visitor.visit("scale", &scale)
    }

    /// One for each way between neighbouring targets.
    static func some(key: PRNGKey) -> [Network] {
      key.split(into: count - 1).map { key in
        Network(hidden: Dense(inputs: 2, outputs: 50, activation: .relu, key: key))
      }
    }

    func kernel(_ plate: Plate) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
      plate(
        Kernel { (trace, x: Tensor) in
          let h = hidden(x)
          return trace.sample("x", from: Normal(x + shift(h), scale(h)).event(1))
        })
    }
  }

  // MARK: Targets

  private static let wide = Normal(0, 5).expanded(to: [2]).event(1)
  private static let modes: some Distribution = {
    let means = (1...8).flatMap { mode in
      let angle = Double(mode) * .pi / 4
      return [Float(10 * sin(angle)), Float(10 * cos(angle))]
    }
    return Normal(Tensor(means, shape: [8, 2]), Tensor(Float(0.5.squareRoot()))).event(1)
  }()

  /// The inverse temperature of each target, rising from 0 to 1.
  private var inverseTemperatures: [Tensor] {
    let steps = Tensor.concatenate([[0], softplus(temperatures[1..<Self.count - 2]).cumulativeSum(axis: 0)])
    let between = sigmoid(temperatures[0] + steps)
    return [0] + (0..<Self.count - 2).map { between[$0] } + [1]
  }

  private func targets(_ plate: Plate) -> [Model<Tuple<>, Tuple<Tensor>>] {
    inverseTemperatures.map { temperature in
      plate(
        Model { trace in
          let x = trace.sample("x", from: Self.wide.masked(false))
          let atModes = Self.modes.logProb(of: x.expandingAxis(at: 0)).logSumExp()
          let density = temperature * atModes + (1 - temperature) * Self.wide.logProb(of: x)
          // Latent, so that it is no part of the first particles' weights.
          _ = trace.sample("density", from: Unit(density))
          return x
        })
    }
  }

  // MARK: Programs

  /// Weighted samples of the last target.
  func inference(_ plate: Plate) -> Inference<Tuple<>, Tuple<Tensor>> {
    let targets = targets(plate)
    return zip(targets.dropFirst(), zip(forwards, reverses)).reduce(Inference(targets[0])) { q, step in
      let (target, (forward, reverse)) = step
      return propose(extend(target, reverse.kernel(plate)), compose(forward.kernel(plate), resample(q)))
    }
  }

  /// The same with the loss that trains kernels and temperatures.
  func training(_ plate: Plate) throws -> Inference<Tuple<>, Tuple<Tensor>> {
    try nviRKL(
      targets: targets(plate), forwards: forwards.map { $0.kernel(plate) },
      reverses: reverses.map { $0.kernel(plate) })
  }
}
