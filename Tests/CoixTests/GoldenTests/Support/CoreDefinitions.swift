import Coix

/// The programs that the file `core` defines in words, over the constants in its head.
struct CoreDefinitions: Sendable {
  /// Numbers and vectors by name.
  struct Constants: Sendable {
    fileprivate let values: [String: Tensor]
    func callAsFunction(_ name: String) throws -> Tensor { try values.entry(name) }
  }

  let constants: Constants
  private let definitions: [String: JSON]

  init(_ file: GoldenFile) throws {
    guard case .object(let definitions)? = file.head["definitions"] else {
      throw GoldenError("core: no definitions")
    }
    self.definitions = definitions
    guard case .object(let members)? = file.head["constants"] else { throw GoldenError("core: no constants") }
    constants = Constants(
      values: try members.mapValues { member in
        if let number = member.float { return Tensor(number) }
        guard let numbers = member.array else {
          throw GoldenError("core: a constant is neither number nor list")
        }
        return Tensor(numbers.compactMap(\.float))
      })
  }

  /// The body of a loop as the file defines it, an expression of the program `p`.
  func loopBody(_ name: String) throws -> CoreExpression {
    guard let text = definitions["\(name)(i, p)"]?.string else {
      throw GoldenError("core: no definition of \(name)")
    }
    return try CoreExpression(parsing: text)
  }

  /// The program of a definition.
  func program(_ name: String) throws -> AnyProgram {
    let constants = constants
    if let body = Self.kernels[name] { return AnyProgram(Kernel(tree: { try body($0, $1, constants) })) }
    if let body = Self.models[name] { return AnyProgram(Model(tree: { try body($0, $1, constants) })) }
    throw GoldenError("core: no definition of \(name)")
  }

  /// The definitions with a plate inside whose axis is an instance's: every site stands in it.
  static let instanced: Set<String> = ["b", "bq"]

  /// The constant that a definition observes at its site `o`, by name.
  static let observations = ["g": "g_obs", "h": "g_obs", "v": "v_obs", "d": "d_obs", "w": "g_obs"]

  private typealias KernelBody = @Sendable (KernelTrace, [Tensor], Constants) throws -> [Tensor]
  private typealias ModelBody = @Sendable (ModelTrace, [Tensor], Constants) throws -> [Tensor]

  private static func only(_ input: [Tensor]) throws -> Tensor {
    guard input.count == 1 else {
      throw GoldenError("core: a program of one argument was given \(input.count)")
    }
    return input[0]
  }

  private static let kernels: [String: KernelBody] = [
    "q": { trace, _, c in [trace.sample("x", from: Normal(try c("q_loc"), try c("q_scale")))] },
    "k": { trace, input, c in
      [trace.sample("y", from: Normal(try c("k_a") * only(input) + c("k_b"), try c("k_scale")))]
    },
    "kx": { trace, input, c in
      [trace.sample("x", from: Normal(try c("kx_a") * only(input) + c("kx_b"), try c("kx_scale")))]
    },
    "rx": { trace, input, c in
      [trace.sample("x", from: Normal(try c("rx_a") * only(input), try c("rx_scale")))]
    },
    "a": { trace, _, c in
      let x = trace.sample("x", from: Normal(try c("q_loc"), try c("q_scale")))
      return [x, trace.sample("u", from: Normal(x, try c("u_scale")))]
    },
    "vq": { trace, _, c in [trace.sample("z", from: Normal(try c("vq_loc"), try c("vq_scale")).event(1))] },
    "vk": { trace, input, c in
      [trace.sample("z", from: Normal(0.5 * (try only(input)), try c("vq_scale")).event(1))]
    },
    "dq": { trace, _, c in [trace.sample("c", from: Categorical(logits: try c("dq_logits")))] },
    "bq": { trace, input, c in
      let data = try only(input)
      return [trace.sample("z", from: Normal(0.6 * data, 0.7)), data]
    },
    "bgq": { trace, input, c in
      let data = try only(input)
      let mean = trace.sample("m0", from: Normal(0.1, 0.9))
      let z = trace.plate("m", data.shape[0]).sample("z", from: Normal(0.6 * data + 0.1 * mean, 0.7))
      return [mean, z, data]
    },
    "wq": { trace, _, c in [trace.sample("s", from: Gamma(try c("gq_a"), try c("gq_b")))] },
  ]

  private static let models: [String: ModelBody] = [
    "f": { trace, _, c in
      let x = trace.sample("x", from: Normal(try c("f_loc"), try c("f_scale")))
      trace.factor("phi_x", -0.5 * ((x - (try c("phi_loc"))) / (try c("phi_scale"))).squared)
      return [x]
    },
    "g": { trace, _, c in
      let x = trace.sample("x", from: Normal(0, try c("g_scale")))
      trace.observe("o", try c("g_obs"), from: Normal(x, try c("g_obs_scale")))
      return [x]
    },
    "h": { trace, input, c in
      let x = trace.sample("x", from: Normal(try c("h_a") * only(input), try c("h_scale")))
      let z = trace.sample("z", from: Normal(try only(input), 1))
      trace.observe("o", try c("g_obs"), from: Normal(x + z, try c("g_obs_scale")))
      return [x, z]
    },
    "v": { trace, _, c in
      let z = trace.sample("z", from: Normal(try c("v_loc"), try c("v_scale")).event(1))
      trace.observe("o", try c("v_obs"), from: Normal(z, try c("v_obs_scale")).event(1))
      return [z]
    },
    "d": { trace, _, c in
      let index = trace.sample("c", from: Categorical(probabilities: try c("d_probs")))
      trace.observe("o", try c("d_obs"), from: Normal(try c("d_mu").gathered(at: index), try c("d_scale")))
      return [index]
    },
    "w": { trace, _, c in
      let scale = trace.sample("s", from: Gamma(try c("ga"), try c("gb")))
      trace.observe("o", try c("g_obs"), from: Normal(0, scale))
      return [scale]
    },
    "b": { trace, input, c in
      let data = try only(input)
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("o", data, from: Normal(z, try c("g_obs_scale")))
      return [z, data]
    },
    "bg": { trace, input, c in
      let data = try only(input)
      let mean = trace.sample("m0", from: Normal(0, 1))
      let elements = trace.plate("m", data.shape[0])
      let z = elements.sample("z", from: Normal(mean, 1))
      elements.observe("o", data, from: Normal(z, try c("g_obs_scale")))
      return [mean, z, data]
    },
    "t": { trace, _, c in
      let x = trace.sample("x", from: Normal(0, try c("t_scale")).masked(false))
      _ = trace.sample("dens", from: Unit(Normal(try c("t_loc"), 1).logProb(of: x)))
      return [x]
    },
  ]
}
