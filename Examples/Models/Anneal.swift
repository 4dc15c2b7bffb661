import Coix
import Foundation

/// The annealed sampler of coix's example: on the way from a wide normal distribution to eight modes on a
/// circle, particles pass K targets, and kernels carry them from each target to the next.
///
/// Target k has the log-density βₖ log γ(x) + (1 − βₖ) log Normal(x; 0, 25 I), where γ is the sum of eight
/// normal densities. The inverse temperature β rises from 0 to 1, in equal steps or as it is learned. The last
/// target's log-evidence is log 8 = 2.0794.
///
/// Zimmermann, Wu, Esmaeili and van de Meent, "Nested variational inference", 2021, section E.1.
public struct AnnealedSampler: TensorTree {
  /// The kernels from each target to the next, K - 1.
  public var forwards: [Network]
  /// The kernels from each target but the first to the one before, K - 1.
  public var reverses: [Network]
  /// What the inverse temperatures of the targets between the first and the last are made from, `[K - 2]`; nil
  /// for equal steps.
  public var temperatures: Tensor?

  /// A sampler with given kernels and temperatures.
  public init(forwards: [Network], reverses: [Network], temperatures: Tensor?) {
    (self.forwards, self.reverses, self.temperatures) = (forwards, reverses, temperatures)
  }

  /// A sampler with random kernels, which at first move particles by noise alone.
  ///
  /// - Parameters:
  ///   - count: the number of targets K, at least 2.
  ///   - learnsPath: whether inverse temperatures are learned. With two targets there are none to learn.
  ///   - hiddenLayers: how hidden layers are drawn.
  ///   - seed: what the kernels' hidden layers are drawn from, by the keys 2 `seed` + 1 and 2 `seed` + 2: not those that
  ///     training with the same seed uses.
  public init(
    targets count: Int = 8, learnsPath: Bool = true, hiddenLayers: HiddenLayers = .lecunNormal, seed: Int = 0
  ) {
    self.init(
      forwards: Network.random(count - 1, hiddenLayers, key: PRNGKey(seed: 2 &* seed &+ 1)),
      reverses: Network.random(count - 1, hiddenLayers, key: PRNGKey(seed: 2 &* seed &+ 2)),
      temperatures: learnsPath && count > 2 ? Tensor(repeating: -1, shape: [count - 2]) : nil)
  }

  public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("forwards", &forwards)
    try visitor.visit("reverses", &reverses)
    try visitor.visit("temperatures", &temperatures)
  }

  /// The number of targets, K.
  public var targetCount: Int { forwards.count + 1 }

  // MARK: Kernels

  /// How the networks' hidden layers are drawn.
  public enum HiddenLayers: String, Sendable {
    /// As in coix's example, by flax: kernels from a normal distribution (see `Dense`), biases of zero.
    case lecunNormal
    /// As in the paper's program, by PyTorch: kernels and biases from between ± 1 / √inputs.
    case uniform
  }

  /// From a point to the distribution of the next one: Normal(x + f(x), softplus(g(x))), where f and g share a
  /// hidden layer.
  public struct Network: TensorTree {
    var hidden: Dense
    var shift: Dense
    var scale: Dense

    /// A network of layers given by kernel, `[in, out]`, and bias, `[out]`.
    public init(
      hidden: (kernel: Tensor, bias: Tensor), shift: (kernel: Tensor, bias: Tensor),
      scale: (kernel: Tensor, bias: Tensor)
    ) {
      self.hidden = Dense(kernel: hidden.kernel, bias: hidden.bias, activation: .relu)
      self.shift = Dense(kernel: shift.kernel, bias: shift.bias)
      self.scale = Dense(kernel: scale.kernel, bias: scale.bias, activation: .softplus)
    }

    /// Networks with random hidden layers of 50 units; everything else is zero.
    static func random(_ count: Int, _ hiddenLayers: HiddenLayers, key: PRNGKey) -> [Network] {
      key.split(into: max(count, 0)).map { key in
        var hidden = Dense(inputs: 2, outputs: 50, key: key)
        if hiddenLayers == .uniform {
          let (kernelKey, biasKey) = key.split()
          let bound = Float(0.5).squareRoot()
          hidden.kernel = Draw(key: kernelKey, shape: [2, 50]).uniform(low: -bound, high: bound)
          hidden.bias = Draw(key: biasKey, shape: [50]).uniform(low: -bound, high: bound)
        }
        let zeros = (kernel: Tensor.zeros([50, 2]), bias: Tensor.zeros([2]))
        return Network(hidden: (hidden.kernel, hidden.bias), shift: zeros, scale: zeros)
      }
    }

    public mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("hidden", &hidden)
      try visitor.visit("shift", &shift)
      try visitor.visit("scale", &scale)
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
  public var inverseTemperatures: [Tensor] {
    let between = max(targetCount - 2, 0)
    guard let temperatures else {
      return (0...between + 1).map { Tensor(Float($0) / Float(between + 1)) }
    }
    let steps = Tensor.concatenate([[0], softplus(temperatures[1..<between]).cumulativeSum(axis: 0)])
    let rising = sigmoid(temperatures[0] + steps)
    return [0] + (0..<between).map { rising[$0] } + [1]
  }

  private func targets(_ plate: Plate) -> [Model<Tuple<>, Tuple<Tensor>>] {
    inverseTemperatures.map { temperature in
      plate(
        Model { trace in
          let x = trace.sample("x", from: Self.wide.masked(false))
          let atModes = Self.modes.logProb(of: x.expandingAxis(at: 0)).logSumExp()
          let density = temperature * atModes + (1 - temperature) * Self.wide.logProb(of: x)
          // Latent, so that it is no part of the first particles' weights.
          _ = trace.sample("anneal_density", from: Unit(density))
          return x
        })
    }
  }

  // MARK: Programs

  /// Weighted samples of a target.
  ///
  /// - Parameters:
  ///   - resamples: whether particles are resampled before each step.
  ///   - target: the number of the target, from 0; nil for the last one.
  public func inference(
    _ plate: Plate, resamples: Bool = true, target: Int? = nil
  ) -> Inference<Tuple<>, Tuple<Tensor>> {
    steps(plate, count: target) { target, forward, reverse, q in
      propose(extend(target, reverse), compose(forward, resamples ? resample(q) : q))
    }
  }

  /// What a sampler learns by.
  public enum Method: String, CaseIterable, Sendable {
    /// Stochastic variational inference: the evidence lower bound of all steps together. Its gradient goes from each
    /// step back through those before it.
    case svi
    /// The annealed variational objective: each step has a bound of its own.
    case avo
    /// Nested variational inference: each step has its reverse Kullback-Leibler divergence.
    case nvi
    /// The same, with particles that are resampled before each step.
    case nvir

    /// Whether particles are resampled before each step.
    public var resamples: Bool { self == .nvir }
  }

  /// Weighted samples of the last target, with the loss that trains kernels and temperatures.
  public func training(_ plate: Plate, by method: Method = .nvir) throws
    -> Inference<Tuple<>, Tuple<Tensor>>
  {
    let targets = targets(plate)
    let (forwards, reverses) = (forwards.map { $0.kernel(plate) }, reverses.map { $0.kernel(plate) })
    switch method {
    case .svi:
      // The steps' bounds add up to that of the whole; nothing is detached between them.
      return steps(plate) { target, forward, reverse, q in
        propose(extend(target, reverse), compose(forward, q), loss: .avo)
      }
    case .avo: return try nviAVO(targets: targets, forwards: forwards, reverses: reverses)
    case .nvi:
      return steps(plate) { target, forward, reverse, q in
        propose(extend(target, reverse), compose(stickTheLanding(forward), q), loss: .rkl, detach: true)
      }
    case .nvir: return try nviRKL(targets: targets, forwards: forwards, reverses: reverses)
    }
  }

  /// The first target, followed by `count` steps, or by all.
  private func steps(
    _ plate: Plate, count: Int? = nil,
    _ step: (
      _ target: Model<Tuple<>, Tuple<Tensor>>, _ forward: Kernel<Tuple<Tensor>, Tuple<Tensor>>,
      _ reverse: Kernel<Tuple<Tensor>, Tuple<Tensor>>, _ q: Inference<Tuple<>, Tuple<Tensor>>
    ) -> Inference<Tuple<>, Tuple<Tensor>>
  ) -> Inference<Tuple<>, Tuple<Tensor>> {
    let targets = targets(plate)
    let kernels = zip(forwards, reverses).prefix(max(count ?? .max, 0))
    return zip(targets.dropFirst(), kernels).reduce(Inference(targets[0])) { q, next in
      step(next.0, next.1.0.kernel(plate), next.1.1.kernel(plate), q)
    }
  }
}
