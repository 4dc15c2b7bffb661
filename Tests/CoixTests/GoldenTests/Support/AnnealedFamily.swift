import Coix

/// The family A: an annealed path of K targets over x, with kernels, flows and Hamiltonian steps along it.
struct AnnealedFamily: AlgosFamily {
  let plate: Plate
  let count: Int
  let mean, scale0, scale1, bend: Tensor
  let betas: [Tensor]
  let forwards, reverses: KernelNumbers
  let flowScales, flowShifts, initial, logStep, persistence: Tensor

  /// What kernels of one direction are made from: slopes, shifts and log-scales, a row for each step.
  struct KernelNumbers: Sendable {
    let slopes, shifts, logScales: Tensor

    init(_ values: [String: Tensor], _ prefix: String) throws {
      slopes = try values.entry("\(prefix)a")
      shifts = try values.entry("\(prefix)b")
      logScales = try values.entry("\(prefix)s")
    }
  }

  init(_ values: [String: Tensor], _ plate: Plate, count: Int) throws {
    self.plate = plate
    self.count = count
    mean = try values.entry("m")
    scale0 = try values.entry("s0")
    scale1 = try values.entry("s1")
    bend = try values.entry("bend")
    let raw = try values.entry("beta_raw")
    betas = [0] + (0..<max(count - 2, 0)).map { sigmoid(raw[$0]) } + [1]
    forwards = try KernelNumbers(values, "f")
    reverses = try KernelNumbers(values, "r")
    flowScales = try values.entry("flow_a")
    flowShifts = try values.entry("flow_b")
    initial = try values.entry("p0")
    logStep = try values.entry("log_eps")
    persistence = sigmoid(try values.entry("alpha_raw"))
  }

  typealias State = Tuple<Tensor, Tensor>

  // MARK: Targets

  private func logDensity(_ step: Int, _ x: Tensor) -> Tensor {
    let beta = betas[step]
    return (1 - beta) * Normal(0, scale0).logProb(of: x).sum()
      + beta * Normal(mean, scale1).logProb(of: x).sum()
  }

  private var base: some Distribution { Normal(0, scale0).expanded(to: mean.shape).masked(false).event(1) }

  /// With a latent factor.
  func target(_ step: Int) -> Model<Tuple<>, Tuple<Tensor>> {
    plate(
      Model { [self] (trace) in
        let x = trace.sample("x", from: base)
        _ = trace.sample("gamma", from: Unit(logDensity(step, x)))
        return x
      })
  }

  /// With an observed factor, extended by a reverse kernel but for the first.
  func extended(_ step: Int) -> Target<Tuple<>, Tuple<Tensor>> {
    let target = plate(
      Model { [self] (trace) in
        let x = trace.sample("x", from: base)
        trace.factor("gamma", logDensity(step, x))
        return x
      })
    return step == 0 ? Target(target) : extend(target, reverse(step - 1))
  }

  // MARK: Kernels

  private func kernel(_ numbers: KernelNumbers, _ step: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    plate(
      Kernel { [bend] (trace, x: Tensor) in
        let location = numbers.slopes[step] * x + numbers.shifts[step] + bend * tanh(x)
        return trace.sample("x", from: Normal(location, exp(numbers.logScales[step])).event(1))
      })
  }

  func forward(_ step: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> { kernel(forwards, step) }
  func reverse(_ step: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> { kernel(reverses, step) }

  func flow(_ step: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    plate(
      Kernel { [self] (trace, x: Tensor) in
        let point = exp(flowScales[step]) * x + flowShifts[step]
        return trace.sample("x", from: Delta(point, logDensity: -flowScales[step].sum(), eventRank: 1))
      })
  }

  var firstProposal: Kernel<Tuple<>, Tuple<Tensor>> {
    plate(
      Kernel { [initial] (trace) in
        trace.sample("x", from: Normal(initial[0], exp(initial[1])).event(1))
      })
  }

  /// The proposal for the target of a step but the first.
  func proposal(_ step: Int) -> Kernel<Tuple<Tensor>, Tuple<Tensor>> { forward(step - 1) }

  // MARK: Hamiltonian steps

  var momentum: Kernel<Tuple<Tensor>, State> {
    plate(
      Kernel { [mean] (trace, x: Tensor) in
        (x, trace.sample("v", from: Normal(0, 1).expanded(to: mean.shape).event(1)))
      })
  }

  var leapfrog: Kernel<State, State> {
    plate(
      Kernel { [self] (trace, x: Tensor, v: Tensor) in
        let step = exp(logStep)
        let half = x + step * v / 2
        let newV = v + step * (-0.5 * half / scale0.squared - 0.5 * (half - mean) / scale1.squared)
        let newX = half + step * newV / 2
        let density = Normal(0, 1).logProb(of: v).sum()
        return (
          trace.sample("x", from: Delta(newX, eventRank: 1)),
          trace.sample("v", from: Delta(newV, logDensity: density, eventRank: 1))
        )
      })
  }

  var refreshment: Kernel<State, State> {
    plate(
      Kernel { [persistence] (trace, x: Tensor, v: Tensor) in
        (x, trace.sample("v", from: Normal(persistence * v, sqrt(1 - persistence.squared)).event(1)))
      })
  }

  // MARK: Algorithms

  func program(_ algorithm: String, _ form: [String]) throws -> AlgosProgram {
    switch (algorithm, form.first) {
    case ("nasmc", _), ("nvi_fkl", _), ("vsmc", _):
      try sequential(
        algorithm, form, count: count, target: { extended($0) }, initial: firstProposal,
        proposal: { proposal($0) })
    case (_, "list"): try listed(algorithm)
    case (_, "loop"): try looped(algorithm)
    default: throw GoldenError("family A has no form \(form)")
    }
  }

  private func listed(_ algorithm: String) throws -> AlgosProgram {
    let targets = (0..<count).map(target)
    let (forwards, reverses) = ((0..<count - 1).map(forward), (0..<count - 1).map(reverse))
    return switch algorithm {
    case "aft": AlgosProgram(try aft(targets: targets, flows: (0..<count - 1).map(flow)))
    case "nvi_avo": AlgosProgram(try nviAVO(targets: targets, forwards: forwards, reverses: reverses))
    case "nvi_rkl": AlgosProgram(try nviRKL(targets: targets, forwards: forwards, reverses: reverses))
    case "dais":
      AlgosProgram(
        try dais(targets: targets, momentum: momentum, leapfrog: leapfrog, refreshment: refreshment))
    default: throw GoldenError("family A has no \(algorithm)")
    }
  }

  private func looped(_ algorithm: String) throws -> AlgosProgram {
    switch algorithm {
    case "aft": AlgosProgram(try aft(count: count, target: { target($0) }, flow: { flow($0) }))
    case "nvi_avo":
      AlgosProgram(
        try nviAVO(
          count: count, target: { target($0) }, forward: { forward($0) }, reverse: { reverse($0) }))
    case "nvi_rkl":
      AlgosProgram(
        try nviRKL(
          count: count, target: { target($0) }, forward: { forward($0) }, reverse: { reverse($0) }))
    case "dais":
      AlgosProgram(
        try dais(
          count: count, target: { target($0) }, momentum: momentum, leapfrog: leapfrog,
          refreshment: refreshment))
    default: throw GoldenError("family A has no \(algorithm)")
    }
  }
}
