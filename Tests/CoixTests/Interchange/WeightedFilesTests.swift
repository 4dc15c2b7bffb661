import Coix
import Foundation
import Testing

/// Statistics of files are those of tensors in memory.
@Suite struct WeightedFilesTests {
  /// Both as files.
  private func withFiles<Result>(
    _ values: Tensor, _ logWeights: Tensor, _ body: (NPYFile, NPYFile) throws -> Result
  ) throws -> Result {
    try withTemporaryFolder { folder in
      try values.write(npy: "\(folder)/x.npy")
      try logWeights.write(npy: "\(folder)/w.npy")
      return try body(NPYFile("\(folder)/x.npy"), NPYFile("\(folder)/w.npy"))
    }
  }

  private static let levels = [0, 1e-9, 0.05, 0.1, 0.3, 0.5, 0.6, 0.9, 0.95, 0.99, 1]

  private func expectSame(
    _ values: Tensor, _ logWeights: Tensor, sourceLocation: SourceLocation = #_sourceLocation
  )
    throws
  {
    func expectNear(_ found: Tensor, _ expected: Tensor) {
      #expect(found.shape == expected.shape, sourceLocation: sourceLocation)
      for (found, expected) in zip(found.scalars, expected.scalars) {
        let isNear = (found - expected).magnitude <= 1e-6 * expected.magnitude
        #expect(
          isNear || found == expected || (found.isNaN && expected.isNaN), "\(found), \(expected)",
          sourceLocation: sourceLocation)
      }
    }
    try withFiles(values, logWeights) { x, w in
      expectNear(try weightedMean(in: x, logWeights: w), try weightedMean(of: values, logWeights: logWeights))
      expectNear(
        try weightedVariance(in: x, logWeights: w), try weightedVariance(of: values, logWeights: logWeights))
      expectNear(try effectiveSampleSize(in: w), try effectiveSampleSize(logWeights))
      expectNear(try logEvidence(in: w), try logEvidence(logWeights))
      let quantiles = try weightedQuantiles(Self.levels, in: x, logWeights: w)
      let expected = try weightedQuantiles(Self.levels, of: values, logWeights: logWeights)
      #expect(quantiles.shape == expected.shape, sourceLocation: sourceLocation)
      for (found, expected) in zip(quantiles.scalars, expected.scalars) {
        #expect(
          found == expected || (found.isNaN && expected.isNaN), "\(found), \(expected)",
          sourceLocation: sourceLocation)
      }
    }
  }

  @Test func instancesAndEvents() throws {
    try expectSame(
      Draw(key: 1, shape: [500, 3, 2, 2]).normal(), 3 * Draw(key: 2, shape: [500, 3]).normal())
    try expectSame(Draw(key: 1, shape: [700]).normal(), Draw(key: 2, shape: [700]).normal())
    try expectSame(Draw(key: 3, shape: [1, 2]).normal(), [0.5])
  }

  /// More rows than are read at once.
  @Test func manyRows() throws {
    try expectSame(Draw(key: 1, shape: [300_000]).normal(), Draw(key: 2, shape: [300_000]).normal())
    let wide = 1 << 19
    try withFiles(Draw(key: 1, shape: [3, wide]).normal(), [0, 1, 2]) { x, w in
      let mean = try weightedMean(in: x, logWeights: w)
      #expect(mean.shape == [wide])
    }
  }

  /// Equal values, equal weights, both zeros, and numbers of all sizes.
  @Test(arguments: 0..<20)
  func ties(_ seed: Int) throws {
    let count = 10 + 7 * seed
    let numbers: [Float] = [
      0, -0.0, 1, 1, 1, -1, 2, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 1e-38, -3e38, 3e38, 7,
      7.0000005, 1e10,
    ]
    let choices = Draw(key: PRNGKey(seed: seed), shape: [count]).uniform().scalars
    let values = Tensor(choices.map { numbers[Int($0 * 14.99)] })
    // All weights the same: quantiles lie where the number of particles below is a whole number.
    try expectSameQuantiles(values, Tensor(repeating: 2, shape: [count]))
    let weights = Draw(key: PRNGKey(seed: seed + 100), shape: [count]).uniform().scalars
    try expectSameQuantiles(values, Tensor(weights.map { ($0 * 4).rounded() }))
    try expectSame(Tensor(choices.map { ($0 * 8).rounded() - 4 }), Tensor(weights.map { ($0 * 4).rounded() }))
  }

  private func expectSameQuantiles(_ values: Tensor, _ logWeights: Tensor) throws {
    try withFiles(values, logWeights) { x, w in
      let found = try weightedQuantiles(Self.levels, in: x, logWeights: w).scalars
      let expected = try weightedQuantiles(Self.levels, of: values, logWeights: logWeights).scalars
      #expect(found == expected)
      // By hand: the smallest of the values below which there is enough.
      let weights = logWeights.scalars.map { exp(Double($0 - (logWeights.scalars.max() ?? 0))) }
      let total = weights.reduce(0, +)
      for (level, quantile) in zip(Self.levels, found) {
        let upTo = zip(values.scalars, weights).reduce(0) { $1.0 <= quantile ? $0 + $1.1 : $0 }
        let below = zip(values.scalars, weights).reduce(0) { $1.0 < quantile ? $0 + $1.1 : $0 }
        #expect(upTo >= level * total * (1 - 1e-12))
        #expect(below <= level * total * (1 + 1e-12))
      }
    }
  }

  /// Particles without weight are not there, not even a NaN of theirs; infinite values are values.
  @Test func extremes() throws {
    let some = Tensor([-.infinity, 0, 0, -.infinity, -800])
    try expectSame([3, -1, 2, 5, 0], some)
    try expectSame([.nan, 1, 2, .infinity, .nan], some)
    try expectSame([0, 1, .nan, 3, 0], some)
    // A NaN with weight makes its own column's statistics NaN, and no others.
    try expectSame(Tensor([1, .nan, 2, 3, 4, 5], shape: [3, 2]), [0, 1, 2])
    try expectSame([-.infinity, 1, .infinity, 0, 2], [0, 1, 2, 3, 4])
    try expectSame([3, -1, 1], [1e17, -1e17, 1e17])
    try expectSame([3, -1, 2, 5, 0], [1e4, 1e4, -1e4, -1e4, -1e4])
    // So little weight that only the ends notice it.
    try expectSame([-7, 1, 2, 3, 9], [-600, 0, 1, 0, -600])
  }

  @Test func doublesAndIntegers() throws {
    try withTemporaryFolder { folder in
      try NPYArray(shape: [4], scalars: .float64([0.1, 0.2, 0.3, 0.4])).write(to: "\(folder)/w.npy")
      try NPYArray(shape: [4, 1], scalars: .int32([4, 3, 2, 1])).write(to: "\(folder)/x.npy")
      let (x, w) = (try NPYFile("\(folder)/x.npy"), try NPYFile("\(folder)/w.npy"))
      #expect(try weightedQuantiles([0, 0.5, 1], in: x, logWeights: w).scalars == [1, 2, 4])
    }
  }

  @Test func summaries() throws {
    let plate = Plate("particle", count: 400, chunkRows: 64)
    let model = Model { trace in
      let scale = trace.sample("scale", from: LogNormal(0, 1))
      let z = trace.sample("z", from: Normal(0, scale).expanded(to: [2]).event(1))
      trace.observe("x", [0.5, 1], from: Normal(z, 1).event(1))
      return z
    }
    let levels = [0.1, 0.5]
    let expected = try evaluate(plate(model), seed: 0)().summary(quantiles: levels)
    try withTemporaryFolder { folder in
      let files: [RowResult: RowFile] = [
        .site("scale"): .npy("\(folder)/scale.npy"), .site("z"): .npy("\(folder)/z.npy"),
        .logWeight: .npy("\(folder)/w.npy"),
      ]
      _ = try evaluate(plate(model), seed: 0, options: EvaluationOptions(keep: .metrics, files: files))()
      let found = try PosteriorSummary(
        in: ["scale": NPYFile("\(folder)/scale.npy"), "z": NPYFile("\(folder)/z.npy")],
        logWeights: NPYFile("\(folder)/w.npy"), quantiles: levels)
      #expect(found.levels == levels)
      #expect(found.rows.map(\.name) == ["scale", "z[0]", "z[1]"])
      #expect(found.description == expected.description)
      #expect(found.rows.map(\.quantiles) == expected.rows.map(\.quantiles))
    }
  }

  // MARK: Errors

  @Test func errors() throws {
    func complaint(_ values: Tensor, _ logWeights: Tensor) throws -> [String?] {
      try withFiles(values, logWeights) { x, w in
        let texts = [
          message { try weightedMean(in: x, logWeights: w) },
          message { try weightedVariance(in: x, logWeights: w) },
          message { try weightedQuantiles([0.5], in: x, logWeights: w) },
          message { try PosteriorSummary(in: ["x": x], logWeights: w) },
        ]
        return texts.map { $0?.replacing(x.path, with: "X").replacing(w.path, with: "W") }
      }
    }
    let other = "the first axes of the values must be those of the weights; the shape in X is"
    for text in try complaint([1, 2, 3], [1, 2]) { #expect(text?.contains("\(other) [3], in W [2]") == true) }
    for text in try complaint([1, 2, 3], Tensor([1, 2, 3], shape: [3, 1])) {
      #expect(text?.contains("\(other) [3], in W [3, 1]") == true)
    }
    for weights in [Tensor([1, .nan, 0]), Tensor([1, .infinity, .nan])] {
      let expected = message { try weightedMean(of: [1, 2, 3], logWeights: weights) }
      for text in try complaint([1, 2, 3], weights) { #expect(text == expected) }
    }
    let nowhere = Tensor(repeating: -.infinity, shape: [3])
    for text in try complaint([1, 2, 3], nowhere) {
      #expect(text == "weights: the log-weights of all particles are -inf (instance 0)")
    }
    let last = try withFiles(
      Tensor([1, 2, 3, 4], shape: [2, 2]), Tensor([0, -.infinity, 0, -.infinity], shape: [2, 2])
    ) { x, w in
      message { try weightedMean(in: x, logWeights: w) }
    }
    #expect(last == "weights: the log-weights of all particles are -inf (instance 1)")
    try withFiles([1, 2, 3], [1, 2, 3]) { x, w in
      let text = "quantiles: levels must lie between 0 and 1, one is 5.0; that of 5 % is 0.05"
      #expect(message { try weightedQuantiles([0.5, 5], in: x, logWeights: w) } == text)
      #expect(message { try PosteriorSummary(in: ["x": x], logWeights: w, quantiles: [5]) } == text)
      let notANumber = message { try weightedQuantiles([.nan], in: x, logWeights: w) }
      #expect(notANumber?.hasPrefix("quantiles: levels must lie between") == true)
      let none = try weightedQuantiles([], in: x, logWeights: w)
      #expect(none.shape == [0])
    }
    try withTemporaryFolder { folder in
      try NPYArray(shape: [0], scalars: .float32([])).write(to: "\(folder)/w.npy")
      let empty = try NPYFile("\(folder)/w.npy")
      let text = "log-weights need particles on their first axis; the shape in \(empty.path) is [0]"
      #expect(message { try logEvidence(in: empty) } == text)
      #expect(message { try effectiveSampleSize(in: empty) } == text)
      // A file that has become shorter.
      try Tensor([1, 2, 3]).write(npy: "\(folder)/x.npy")
      let file = try NPYFile("\(folder)/x.npy")
      truncate("\(folder)/x.npy", 132)
      #expect(
        message { try logEvidence(in: file) } == "\(folder)/x.npy: has become shorter since it was opened")
    }
  }
}
