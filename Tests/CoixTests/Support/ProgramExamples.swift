import Coix
import Foundation
import TestSupport
import Testing

// Programs, numbers and comparisons that several suites share.

/// The one-dimensional normal model with a normal prior, whose evidence and posterior are known:
/// z ~ Normal(0, 1), x ~ Normal(z, noise).
struct ConjugateNormal: Sendable {
  var noise: Float = 0.5
  var x: Float = 1.25

  var model: Model<Tuple<>, Tuple<Tensor>> {
    Model { [noise, x] (trace) in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", Tensor(x), from: Normal(z, Tensor(noise)))
      return z
    }
  }

  static func proposal(_ mean: Tensor, _ scale: Tensor) -> Kernel<Tuple<>, Tuple<Tensor>> {
    Kernel { (trace) in trace.sample("z", from: Normal(mean, scale)) }
  }

  var posterior: (mean: Double, scale: Double) {
    let precision = 1 + 1 / Double(noise * noise)
    return (Double(x) / Double(noise * noise) / precision, 1 / precision.squareRoot())
  }

  /// log Normal(x; 0, 1 + noise²).
  var logEvidence: Double {
    let variance = 1 + Double(noise) * Double(noise)
    return -0.5 * (Double(x) * Double(x) / variance + logTwoPi + Foundation.log(variance))
  }
}

/// log 2π.
let logTwoPi = 1.837_877_066_409_345_5

/// log Normal(x; mean, scale), in double.
func normalLogDensity(_ x: Double, _ mean: Double, _ scale: Double) -> Double {
  let z = (x - mean) / scale
  return -0.5 * (z * z + logTwoPi) - Foundation.log(scale)
}

/// The parameters of ``chainedInference(_:particles:loss:)``.
struct ChainParameters: TensorTree {
  var proposalMean: Tensor = 0.3
  var proposalLogScale: Tensor = -0.2
  var modelMean: Tensor = 0.1
  var kernelSlope: Tensor = 0.8
  var kernelLogScale: Tensor = -0.4
  var targetSlope: Tensor = 0.6

  mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("proposalMean", &proposalMean)
    try visitor.visit("proposalLogScale", &proposalLogScale)
    try visitor.visit("modelMean", &modelMean)
    try visitor.visit("kernelSlope", &kernelSlope)
    try visitor.visit("kernelLogScale", &kernelLogScale)
    try visitor.visit("targetSlope", &targetSlope)
  }

  /// z ~ Normal(modelMean, 1), x1 ~ Normal(z, 0.7); takes the observations, returns z and them.
  var model: Model<Tuple<Tensor>, Tuple<Tensor, Tensor>> {
    Model { [modelMean] (trace, x: Tensor) in
      let z = trace.sample("z", from: Normal(modelMean, 1))
      trace.observe("x1", x[0], from: Normal(z, 0.7))
      return (z, x)
    }
  }

  /// The first proposal, for z.
  var proposal: Kernel<Tuple<Tensor>, Tuple<Tensor>> {
    Kernel { [self] (trace, x: Tensor) in
      trace.sample("z", from: Normal(proposalMean + 0.25 * x[0], exp(proposalLogScale)))
    }
  }

  /// The second proposal, for y given z.
  var kernel: Kernel<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
    Kernel { [self] (trace, z: Tensor, x: Tensor) in
      trace.sample("y", from: Normal(kernelSlope * z + 0.25 * x[1], exp(kernelLogScale)))
    }
  }

  /// y ~ Normal(targetSlope · z, 1), x2 ~ Normal(y, 0.7), after the model.
  var continuation: Model<Tuple<Tensor, Tensor>, Tuple<Tensor>> {
    Model { [targetSlope] (trace, z: Tensor, x: Tensor) in
      let y = trace.sample("y", from: Normal(targetSlope * z, 1))
      trace.observe("x2", x[1], from: Normal(y, 0.7))
      return y
    }
  }

  /// Both steps as one density, in a plate.
  func target(_ plate: Plate) -> Target<Tuple<Tensor>, Tuple<Tensor>> {
    plate(compose(continuation, model, suffix: false))
  }

  /// The first step: z proposed and resampled.
  func firstStep(_ plate: Plate, loss: Objective?) -> Inference<Tuple<Tensor>, Tuple<Tensor, Tensor>> {
    propose(plate(model), plate(proposal), loss: loss)
  }

  /// Two steps of a particle filter with a resampling in between, whose gradient flows through the gather.
  func inference(_ plate: Plate, loss: Objective?) -> Inference<Tuple<Tensor>, Tuple<Tensor>> {
    propose(target(plate), compose(plate(kernel), resample(firstStep(plate, loss: loss))), loss: loss)
  }
}

/// What two steps of a particle filter observe.
let chainData: Tensor = [0.9, -0.4]

/// Numbers by name, as bit patterns: to compare runs that must agree to the last bit.
struct Bits: Sendable {
  private var parts: [(name: String, shape: Shape, numbers: [Float])] = []

  mutating func add(_ name: String, _ tensor: Tensor?) {
    parts.append((name, tensor?.shape ?? .scalar, tensor?.scalars ?? []))
  }

  mutating func addTree(_ name: String, _ tree: some TensorTree) {
    for (part, tensor) in tree.namedTensors { add("\(name).\(part)", tensor) }
  }

  mutating func add<Output: TensorTree>(_ evaluation: Evaluation<Output>) {
    addTree("output", evaluation.output)
    add(evaluation.trace, evaluation.metrics)
  }

  mutating func add(_ trace: Trace, _ metrics: Metrics) {
    for site in trace.sites {
      add("value of \(site.name)", site.value)
      add("log-probability of \(site.name)", site.logProb)
    }
    add("log-weight", metrics.logWeight)
    add("ess", try? metrics.ess)
    add("logZ", try? metrics.logZ)
    add("logDensity", try? metrics.logDensity)
    add("loss", try? metrics.loss)
  }

  /// How many numbers there are.
  var count: Int { parts.reduce(0) { $0 + $1.numbers.count } }

  /// The names of what differs.
  func differences(from other: Bits) -> [String] {
    guard parts.map(\.name) == other.parts.map(\.name) else { return ["the names: \(parts.map(\.name))"] }
    return zip(parts, other.parts).compactMap { own, other in
      guard own.shape == other.shape else { return "\(own.name): shape \(own.shape) and \(other.shape)" }
      if sameBits(own.numbers, other.numbers) { return nil }
      let different = zip(own.numbers, other.numbers).count { $0.bitPattern != $1.bitPattern }
      return "\(own.name): \(different) of \(own.numbers.count) numbers"
    }
  }
}

/// The greatest difference between two trees' numbers, relative to 1 + the greatest magnitude of the tensor.
func greatestDifference<Tree: TensorTree>(_ one: Tree, _ other: Tree) -> Double {
  zip(one.namedTensors, other.namedTensors).reduce(0) { worst, pair in
    let (a, b) = (pair.0.tensor.scalars.map(Double.init), pair.1.tensor.scalars.map(Double.init))
    guard a.count == b.count else { return .infinity }
    let scale = 1 + (b.map(\.magnitude).max() ?? 0)
    return zip(a, b).reduce(worst) { worst, pair in
      let difference = (pair.0 - pair.1).magnitude / scale
      return difference.isNaN ? .infinity : max(worst, difference)
    }
  }
}

/// A site's tensor that must be there.
func required(_ tensor: Tensor?, sourceLocation: SourceLocation = #_sourceLocation) throws -> Tensor {
  try #require(tensor, sourceLocation: sourceLocation)
}

/// The message of the error that `body` throws; nil, and a test issue, if it throws none.
func message(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> some Any) -> String? {
  do {
    _ = try body()
    Issue.record("no error was thrown", sourceLocation: sourceLocation)
    return nil
  } catch let error as CoixError {
    return error.description
  } catch {
    Issue.record("not a CoixError: \(error)", sourceLocation: sourceLocation)
    return nil
  }
}
