import Coix
import ExampleModels
import Testing

/// One of the algorithms on a small model, with numbers of its own.
struct AlgorithmExample: Sendable, CustomTestStringConvertible {
  let algorithm: String
  let form: [String]
  let family: any AlgosFamily.Type
  /// The number of targets.
  let count: Int
  /// How many times the particles are resampled.
  let resamplings: Int
  let constants: [String: Tensor]
  let parameters: [String: Tensor]

  var testDescription: String { ([algorithm] + form).joined(separator: "/") }

  func program(_ plate: Plate, at parameters: [String: Tensor]) throws -> AlgosProgram {
    try family.init(constants.merging(parameters) { $1 }, plate, count: count).program(algorithm, form)
  }

  /// All twelve, where there are two forms in both.
  static let all: [AlgorithmExample] =
    ["svi", "svi_stl", "svi_iwae", "rws"].map { guided($0) }
    + [0, 1, 2].map { guided("apgs", form: ["sweeps=\($0)"], resamplings: $0) }
    + [0, 1, 2].map { blocks(sweeps: $0) }
    + ["list", "loop"].flatMap { form in
      ["nasmc", "nvi_fkl", "vsmc", "nvi_rkl", "aft"].map { annealed($0, form) }
        + ["nvi_avo", "dais"].map { annealed($0, form, resamples: false) }
        + ["nasmc", "nvi_fkl", "vsmc"].map { stateSpace($0, form, steps: 4) }
    }

  /// Numbers near 0.
  private static func numbers(_ key: PRNGKey, _ shape: Shape, scale: Float = 0.4) -> Tensor {
    scale * Draw(key: key, shape: shape).normal()
  }

  static func guided(_ algorithm: String, form: [String] = [], resamplings: Int = 0) -> AlgorithmExample {
    AlgorithmExample(
      algorithm: algorithm, form: form, family: GuidedFamily.self, count: 1, resamplings: resamplings,
      constants: ["data": 0.5 + numbers(1, [4, 2]), "scale_p": [0.8, 1.3]],
      parameters: [
        "loc_p": [0.2, -0.3], "log_scale_x": 0.1, "loc_q": [0.4, 0.1], "log_scale_q": [-0.6, -0.4],
      ])
  }

  static func blocks(sweeps: Int) -> AlgorithmExample {
    AlgorithmExample(
      algorithm: "apgs", form: ["two-kernels", "sweeps=\(sweeps)"], family: BlockFamily.self, count: 1,
      resamplings: 2 * sweeps, constants: ["y": [0.3, 0.9, 0.6]],
      parameters: [
        "rho": 0.4, "log_sigma": -0.2, "init": [0.2, 0.1], "a": [0.1, -0.3, -0.2], "b": [0.4, -0.2, -0.1],
      ])
  }

  static func annealed(_ algorithm: String, _ form: String, count: Int = 4, resamples: Bool = true)
    -> AlgorithmExample
  {
    let steps = max(count - 1, 1)
    return AlgorithmExample(
      algorithm: algorithm, form: [form], family: AnnealedFamily.self, count: count,
      resamplings: resamples ? count - 1 : 0,
      constants: ["m": [1, -0.5], "s0": 1.5, "s1": 0.8, "bend": 0.1],
      parameters: [
        "beta_raw": Tensor((0..<max(count - 2, 1)).map { Float($0) / Float(steps) }),
        "fa": 0.7 + numbers(2, [steps, 2], scale: 0.1), "fb": numbers(3, [steps, 2]),
        "fs": numbers(4, [steps, 2]) - 0.3,
        "ra": 0.7 + numbers(5, [steps, 2], scale: 0.1), "rb": numbers(6, [steps, 2]),
        "rs": numbers(7, [steps, 2]) - 0.3,
        "flow_a": numbers(8, [steps, 2], scale: 0.2), "flow_b": numbers(9, [steps, 2]),
        "p0": numbers(10, [2, 2]), "log_eps": -1.2, "alpha_raw": 0.3,
      ])
  }

  /// With the locally optimal proposals z_t ~ p(z_t | z_{t-1}, y_t).
  static func stateSpace(_ algorithm: String, _ form: String, steps: Int) -> AlgorithmExample {
    let model = KalmanModel(observations: KalmanModel.observations(steps))
    return AlgorithmExample(
      algorithm: algorithm, form: [form] + (form == "list" ? ["states"] : []), family: StateSpaceFamily.self,
      count: steps, resamplings: steps - 1, constants: ["y": Tensor(model.observations.map { Float($0) })],
      parameters: model.parameters)
  }
}

/// The state-space model of the family L in double, with what is known of it in closed form.
struct KalmanModel: Sendable {
  let observations: [Double]
  let slope = 0.8
  let scaleZ = 0.6
  let emission = 1.1
  let scaleY = 0.7
  let firstScale = 1.5

  /// Observations that the model might make.
  static func observations(_ steps: Int) -> [Double] {
    let noise = Draw(key: 12, shape: [steps, 2]).normal().scalars.map(Double.init)
    let model = KalmanModel(observations: [])
    var z = 0.0
    return (0..<steps).map { step in
      z = step == 0 ? model.firstScale * noise[0] : model.slope * z + model.scaleZ * noise[2 * step]
      return model.emission * z + model.scaleY * noise[2 * step + 1]
    }
  }

  /// The model's numbers, and those of its locally optimal proposals.
  var parameters: [String: Tensor] {
    let gain = emission / (scaleY * scaleY)
    let variances = observations.indices.map { step in
      let prior = step == 0 ? firstScale : scaleZ
      return 1 / (1 / (prior * prior) + emission * gain)
    }
    return [
      "a": Tensor(Float(slope)), "log_sz": log(Tensor(Float(scaleZ))), "c": Tensor(Float(emission)),
      "log_sy": log(Tensor(Float(scaleY))),
      "pa": Tensor(variances.map { Float($0 * slope / (scaleZ * scaleZ)) }),
      "pb": Tensor(variances.map { Float($0 * gain) }),
      "ps": 0.5 * log(Tensor(variances.map { Float($0) })),
    ]
  }

  /// The log-evidence of all observations, and mean and scale of the last state.
  var filtered: (logEvidence: Double, mean: Double, scale: Double) {
    let filter = KalmanFilter(
      transition: Matrix([[slope]]), emission: Matrix([[emission]]), prior: firstScale * firstScale,
      drift: scaleZ * scaleZ, noise: scaleY * scaleY)
    let (logEvidence, mean, covariance) = filter.filtered(observations.map { [$0] })
    return (logEvidence, mean[0, 0], covariance[0, 0].squareRoot())
  }
}

extension Bits {
  mutating func add(_ result: AlgosProgram.Result) {
    for (name, tensor) in result.outputs { add("output \(name)", tensor) }
    add(result.trace, result.metrics)
  }
}
