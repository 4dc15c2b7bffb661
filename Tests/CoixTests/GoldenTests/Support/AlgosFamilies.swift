import Coix

/// A family of models that algorithms run on, with its numbers: constants and parameters by name.
protocol AlgosFamily: Sendable {
  /// - Parameters:
  ///   - values: constants and parameters.
  ///   - plate: the particles; around each primitive program.
  ///   - count: the number of targets, where the family has several.
  init(_ values: [String: Tensor], _ plate: Plate, count: Int) throws

  /// The program of an algorithm, by the file's names of algorithm and form.
  func program(_ algorithm: String, _ form: [String]) throws -> AlgosProgram
}

/// A program whose output is read by names.
struct AlgosProgram: Sendable {
  struct Result: Sendable {
    let outputs: [(name: String, tensor: Tensor)]
    let trace: Trace
    let metrics: Metrics
    let stageCount: Int
    let chunkCounts: [Int]
  }

  let run: @Sendable (PRNGKey, EvaluationOptions) throws -> Result

  init(_ program: some InferenceProgram<Tuple<>, some TensorTree>) {
    run = { key, options in
      let result = try evaluate(program, seed: key, options: options)()
      return Result(
        outputs: result.output.namedTensors, trace: result.trace, metrics: result.metrics,
        stageCount: result.stageCount, chunkCounts: result.chunkCounts)
    }
  }
}

/// The family S: one model and one guide.
struct GuidedFamily: AlgosFamily {
  let plate: Plate
  let data, scaleP, locationP, logScaleX, locationQ, logScaleQ: Tensor

  init(_ values: [String: Tensor], _ plate: Plate, count: Int) throws {
    self.plate = plate
    data = try values.entry("data")
    scaleP = try values.entry("scale_p")
    locationP = try values.entry("loc_p")
    logScaleX = try values.entry("log_scale_x")
    locationQ = try values.entry("loc_q")
    logScaleQ = try values.entry("log_scale_q")
  }

  var model: Model<Tuple<>, Tuple<Tensor, Tensor>> {
    plate(
      Model { [self] (trace) in
        let z = trace.sample("z", from: Normal(locationP, scaleP).event(1))
        let x = Normal(z.broadcast(to: data.shape), exp(logScaleX))
        trace.observe("x", data, from: x.event(2))
        return (z, data)
      })
  }

  var guide: Kernel<Tuple<>, Tuple<Tensor>> {
    plate(
      Kernel { [self] (trace) in
        trace.sample("z", from: Normal(locationQ, exp(logScaleQ)).event(1))
      })
  }

  var guideOfState: Kernel<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
    plate(
      Kernel { [self] (trace, _: Tensor, _: Tensor) in
        trace.sample("z", from: Normal(locationQ, exp(logScaleQ)).event(1))
      })
  }

  func program(_ algorithm: String, _ form: [String]) throws -> AlgosProgram {
    switch algorithm {
    case "svi": AlgosProgram(svi(model, guide))
    case "svi_stl": AlgosProgram(sviSTL(model, guide))
    case "svi_iwae": AlgosProgram(sviIWAE(model, guide))
    case "rws": AlgosProgram(rws(model, guide))
    case "apgs":
      AlgosProgram(try apgs(model, initial: guide, kernels: [guideOfState], sweeps: try sweeps(in: form)))
    default: throw GoldenError("family S has no \(algorithm)")
    }
  }
}

/// The family P: a target of two blocks, with a kernel for each.
struct BlockFamily: AlgosFamily {
  struct Blocks: TensorTree {
    var z1, z2: Tensor
    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("z1", &z1)
      try visitor.visit("z2", &z2)
    }
  }

  let plate: Plate
  let y, rho, logSigma, initial, a, b: Tensor

  init(_ values: [String: Tensor], _ plate: Plate, count: Int) throws {
    self.plate = plate
    y = try values.entry("y")
    rho = try values.entry("rho")
    logSigma = try values.entry("log_sigma")
    initial = try values.entry("init")
    a = try values.entry("a")
    b = try values.entry("b")
  }

  var target: Model<Tuple<>, Blocks> {
    plate(
      Model(tree: { [self] (trace, _: Tuple<>) -> Blocks in
        let z1 = trace.sample("z1", from: Normal(0, 1))
        let z2 = trace.sample("z2", from: Normal(rho * z1, 0.8))
        trace.observe("y", y, from: Normal((z1 + z2).broadcast(to: y.shape), exp(logSigma)).event(1))
        return Blocks(z1: z1, z2: z2)
      }))
  }

  /// The first sweep: the one kernel without inputs, the other after it.
  var firstSweep: Kernel<Tuple<>, Tuple<Tensor>> {
    let first = Kernel { [self] (trace) in
      trace.sample("z1", from: Normal(initial[0], exp(initial[1])))
    }
    let second = Kernel { [self] (trace, z1: Tensor) in
      trace.sample("z2", from: Normal(b[0] + b[1] * z1, exp(b[2])))
    }
    return compose(plate(second), plate(first))
  }

  var kernels: [Kernel<Blocks, Blocks>] {
    let first = Kernel(tree: { [self] (trace, blocks: Blocks) -> Blocks in
      let z1 = trace.sample("z1", from: Normal(a[0] + a[1] * blocks.z2, exp(a[2])))
      return Blocks(z1: z1, z2: blocks.z2)
    })
    let second = Kernel(tree: { [self] (trace, blocks: Blocks) -> Blocks in
      let z2 = trace.sample("z2", from: Normal(b[0] + b[1] * blocks.z1, exp(b[2])))
      return Blocks(z1: blocks.z1, z2: z2)
    })
    return [plate(first), plate(second)]
  }

  func program(_ algorithm: String, _ form: [String]) throws -> AlgosProgram {
    guard algorithm == "apgs" else { throw GoldenError("family P has no \(algorithm)") }
    return AlgosProgram(
      try apgs(target, initial: firstSweep, kernels: kernels, sweeps: try sweeps(in: form)))
  }
}

extension AlgosFamily {
  /// The number in `sweeps=…` among the parts of a name.
  fileprivate func sweeps(in form: [String]) throws -> Int {
    for part in form where part.hasPrefix("sweeps=") {
      if let sweeps = Int(part.dropFirst(7)) { return sweeps }
    }
    throw GoldenError("no number of sweeps in \(form)")
  }
}

extension AlgosFamily {
  /// An algorithm whose proposals lead from target to target, as a loop or from lists.
  func sequential<State>(
    _ algorithm: String, _ form: [String], count: Int,
    target: @escaping @Sendable (Int) -> some TargetProgram<Tuple<>, State>,
    initial: some InferenceProgram<Tuple<>, some TensorTree>,
    proposal: @escaping @Sendable (Int) -> some KernelProgram<State, some TensorTree>
  ) throws -> AlgosProgram {
    let isLoop = form.contains("loop")
    let (targets, proposals) = ((0..<count).map(target), (1..<count).map(proposal))
    return switch algorithm {
    case "nasmc":
      AlgosProgram(
        try isLoop
          ? nasmc(count: count, target: target, initial: initial, proposal: proposal)
          : nasmc(targets: targets, initial: initial, proposals: proposals))
    case "nvi_fkl":
      AlgosProgram(
        try isLoop
          ? nviFKL(count: count, target: target, initial: initial, proposal: proposal)
          : nviFKL(targets: targets, initial: initial, proposals: proposals))
    case "vsmc":
      AlgosProgram(
        try isLoop
          ? vsmc(count: count, target: target, initial: initial, proposal: proposal)
          : vsmc(targets: targets, initial: initial, proposals: proposals))
    default: throw GoldenError("there is no \(algorithm) from target to target")
    }
  }
}
