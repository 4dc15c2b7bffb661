import Coix

/// Reweighted wake-sleep for Gaussian mixtures: 50 sets of 100 points, three clusters each, and a proposal
/// that reads a whole set. A particle is one of a set's.
struct MixtureWorkload: Workload {
  let name = "mixture"
  let modes: KeyValuePairs<Mode, Int> = [.train: 20]
  /// All sets, those of a batch, and the points of a set.
  static let (sets, batch, points) = (500, 50, 100)

  func jobs(_ mode: Mode, particles count: Int) throws -> (Workers) throws -> any Job {
    let (particles, instances) = (Plate("particle", count: count), Plate("set", count: Self.batch))
    let data = Self.data
    return { workers in
      let options = EvaluationOptions(workers: workers, keep: .metrics)
      return TrainingJob(SetEncoder(), workers: workers) { encoder, key in
        let (batchKey, seed) = key.split()
        let batch = instances.mapped(data.sampledRows(Self.batch, key: batchKey))
        let program = rws(particles(instances(Self.model)), particles(instances(encoder.proposal)))
        return try evaluate(program, seed: seed, options: options)(batch).metrics.loss
      }
    }
  }

  /// Points drawn from the model, `[sets, points, 2]`.
  private static var data: Tensor {
    let means = 3 * Draw(key: 4, shape: [sets, 3, 2]).normal()
    let clusters = Draw(key: 5, shape: [sets, points]).integers(in: 0..<3)
    let rows = clusters.enumerated().map { Int32($0 / points * 3) + $1 }
    let centers = means.reshaped(to: [3 * sets, 2]).rows(at: rows).reshaped(to: [sets, points, 2])
    return centers + 0.5 * Draw(key: 6, shape: [sets, points, 2]).normal()
  }

  private static let model = Model { (trace, x: Tensor) in
    let means = trace.sample("means", from: Normal(0, 3).expanded(to: [3, 2]).event(2))
    let points = trace.plate("point", points)
    let cluster = points.sample("cluster", from: Categorical(logits: .zeros([3])))
    points.observe("x", x, from: Normal(matmul(cluster.oneHot(depth: 3), means), 0.5).event(1))
    return means
  }
}

/// From a set of points to its clusters' means: features of each point, and what their average tells.
private struct SetEncoder: TensorTree {
  var point = MLP(sizes: [2, 32, 32], activation: .tanh, key: 1)
  var set = MLP(sizes: [32, 64, 12], activation: .tanh, key: 2)

  mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("point", &point)
    try visitor.visit("set", &set)
  }

  /// The clusters' means, and each point's cluster by its distance from them.
  var proposal: Kernel<Tuple<Tensor>, Tuple<>> {
    Kernel { (trace, x: Tensor) in
      let h = set(point(x).mean(axis: 0)).reshaped(to: [2, 3, 2])
      let means = trace.sample("means", from: Normal(3 * h[0], exp(h[1])).event(2))
      let distances = (x.expandingAxis(at: 1) - means).squared.sum(axis: -1)
      let points = trace.plate("point", MixtureWorkload.points)
      _ = points.sample("cluster", from: Categorical(logits: -2 * distances))
    }
  }
}
