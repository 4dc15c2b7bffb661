import Coix
import Foundation
import Testing

/// Exact enumeration of finite programs.
@Suite struct EnumerationTests {
  /// A coin, then a die whose faces depend on it; what is seen depends on both.
  private static let model = Model { (trace, x: Tensor) in
    let coin = trace.sample("coin", from: Bernoulli(probabilities: 0.25))
    let faces = select(coin, Tensor([0.5, 0.3, 0.2]), Tensor([0.1, 0.1, 0.8]))
    let die = trace.sample("die", from: Categorical(probabilities: faces))
    trace.observe("x", x, from: Normal(die - coin, 1))
    return die
  }

  @Test func allRunsByHand() throws {
    let enumeration = try enumerate(Self.model)(0.5)
    #expect(enumeration.assignments.count == 6)
    let faces = [[0.1, 0.1, 0.8], [0.5, 0.3, 0.2]]
    var joint: [Double] = []
    for coin in 0..<2 {
      for die in 0..<3 {
        let prior = (coin == 1 ? 0.25 : 0.75) * faces[coin][die]
        joint.append(prior * exp(normalLogDensity(0.5, Double(die - coin), 1)))
        let assignment = enumeration.assignments[3 * coin + die]
        #expect(assignment.trace["coin"]?.value.scalar == Float(coin))
        #expect(assignment.trace["die"]?.value.scalar == Float(die))
        #expect(assignment.output.values.scalar == Float(die))
        #expect(abs(exp(Double(assignment.logJoint.scalar)) - joint[3 * coin + die]) < 1e-6)
      }
    }
    let evidence = joint.reduce(0, +)
    #expect(abs(Double(enumeration.logEvidence.scalar) - log(evidence)) < 1e-6)
    #expect(
      zip(enumeration.probabilities.scalars, joint).allSatisfy { abs(Double($0) - $1 / evidence) < 1e-6 })
    let mean = enumeration.expectation { $0.output.values }
    let exact = joint.enumerated().reduce(0) { $0 + Double($1.offset % 3) * $1.element } / evidence
    #expect(abs(Double(mean.scalar) - exact) < 1e-6)
  }

  /// Which sites there are, and what they may be, depends on earlier values.
  @Test func laterSupportsMayDependOnEarlierValues() throws {
    let model = Kernel { (trace) in
      let sides = trace.sample("sides", from: Categorical(probabilities: [0.2, 0.3, 0.5]))
      guard sides.scalar > 0 else { return sides }
      let face = trace.sample(
        "face", from: Categorical(logits: Tensor.zeros([Int(sides.scalar) + 1])))
      return face.scalar == 2 ? trace.sample("last", from: Bernoulli(probabilities: 0.5)) : face
    }
    let enumeration = try enumerate(model)()
    let names = enumeration.assignments.map { $0.trace.names.joined(separator: " ") }
    #expect(
      names == [
        "sides", "sides face", "sides face", "sides face", "sides face", "sides face last", "sides face last",
      ])
    #expect(abs(enumeration.logEvidence.scalar) < 1e-6, "without observations the evidence is 1")
  }

  @Test func wrappedDistributions() throws {
    func values(_ distribution: some Distribution) throws -> [[Float]] {
      let kernel = Kernel { (trace) in trace.sample("z", from: distribution.event(distribution.shape.rank)) }
      let enumeration = try enumerate(kernel)()
      #expect(abs(enumeration.logEvidence.scalar) < 1e-5)
      return enumeration.assignments.map(\.output.values.scalars)
    }
    let pairs: [[Float]] = [[0, 0], [0, 1], [1, 0], [1, 1]]
    #expect(try values(Bernoulli(probabilities: [0.1, 0.7])) == pairs)
    #expect(try values(Bernoulli(logits: 0.3).expanded(to: [2])) == pairs)
    #expect(try values(Categorical(logits: [0.3, -1, 2])) == [[0], [1], [2]])
    #expect(try values(Binomial(2, probabilities: 0.3)) == [[0], [1], [2]])
    #expect(try values(Binomial(1, logits: [0.3, -2])) == pairs)
    // Of different numbers of trials, the greatest counts; beyond its own an element has probability 0.
    #expect(try values(Binomial([1, 2], probabilities: 0.3)).count == 9)
    #expect(try values(Binomial(0, probabilities: 0.3)) == [[0]])
    for count: Tensor in [1_001, -1, Tensor(.nan), Tensor(.infinity)] {
      #expect(Binomial(count, probabilities: 0.3).finiteSupport?.points.count == nil)
    }
    #expect(try values(Categorical(logits: [0.3, -1, 2]).expanded(to: [3])).count == 27)
    #expect(try values(Delta([1, 2])) == [[1, 2]])
    #expect(try values(Delta([1, 2]).expanded(to: [2, 2])) == [[1, 2, 1, 2]])
    // Where a mask is 0, values count as if each had probability 1.
    let masked = Kernel { (trace) in
      trace.sample("z", from: Bernoulli(probabilities: [0.1, 0.7]).masked(Tensor([1, 0])).event(1))
    }
    #expect(abs(try enumerate(masked)().logEvidence.scalar - log(2)) < 1e-6)
    let scaled = Kernel { (trace) in trace.sample("z", from: Bernoulli(probabilities: 0.3).scaled(by: 2)) }
    #expect(abs(try enumerate(scaled)().logEvidence.scalar - log(0.58)) < 1e-6)
    let plated = Kernel { (trace) in
      trace.plate("N", 3).sample("z", from: Bernoulli(probabilities: 0.5))
    }
    #expect(try enumerate(plated)().assignments.count == 8)
  }

  /// The values that an enumeration gives a site, and their probabilities.
  private func table(_ distribution: some Distribution) throws -> [[Float]: Double] {
    let kernel = Kernel { (trace) in
      trace.sample("z", from: distribution.event(distribution.batchShape.rank))
    }
    let enumeration = try enumerate(kernel)()
    let entries = enumeration.assignments.map { ($0.output.values.scalars, exp(Double($0.logJoint.scalar))) }
    return try Dictionary(entries) { _, _ in throw CoixError.argument("a value twice") }
  }

  private func expect(
    _ table: [[Float]: Double], _ expected: [[Float]: Double], location: SourceLocation = #_sourceLocation
  ) {
    #expect(Set(table.keys) == Set(expected.keys), sourceLocation: location)
    for (value, probability) in expected {
      #expect(abs((table[value] ?? .nan) - probability) < 1e-6, "\(value)", sourceLocation: location)
    }
  }

  @Test func mixturesOfOneFamily() throws {
    let weights = Categorical(probabilities: [0.3, 0.7])
    let p = 0.3 * 0.1 + 0.7 * 0.6
    let coin = Mixture(weights, of: Bernoulli(probabilities: [0.1, 0.6]))
    expect(try table(coin), [[0]: 1 - p, [1]: p])
    expect(
      try table(coin.expanded(to: [2])),
      [[0, 0]: (1 - p) * (1 - p), [0, 1]: (1 - p) * p, [1, 0]: p * (1 - p), [1, 1]: p * p])
    // A batch of two, whose weights differ.
    let batch = Mixture(
      Categorical(probabilities: Tensor([0.3, 0.7, 1, 0], shape: [2, 2])),
      of: Bernoulli(probabilities: [0.1, 0.6]))
    expect(
      try table(batch), [[0, 0]: (1 - p) * 0.9, [0, 1]: (1 - p) * 0.1, [1, 0]: p * 0.9, [1, 1]: p * 0.1])
    // Faces of two dice; an event of two coins, which are not independent.
    let faces = Mixture(
      weights, of: Categorical(probabilities: Tensor([0.2, 0.3, 0.5, 0.6, 0.4, 0], shape: [2, 3])))
    expect(
      try table(faces), [[0]: 0.3 * 0.2 + 0.7 * 0.6, [1]: 0.3 * 0.3 + 0.7 * 0.4, [2]: 0.3 * 0.5])
    let pair = Mixture(
      weights, of: Bernoulli(probabilities: Tensor([0.1, 0.2, 0.6, 0.9], shape: [2, 2])).event(1))
    expect(
      try table(pair),
      [
        [0, 0]: 0.3 * 0.9 * 0.8 + 0.7 * 0.4 * 0.1, [0, 1]: 0.3 * 0.9 * 0.2 + 0.7 * 0.4 * 0.9,
        [1, 0]: 0.3 * 0.1 * 0.8 + 0.7 * 0.6 * 0.1, [1, 1]: 0.3 * 0.1 * 0.2 + 0.7 * 0.6 * 0.9,
      ])
    // Three points, of which two are one; vectors as points.
    let three = Categorical(probabilities: [0.2, 0.3, 0.5])
    expect(try table(Mixture(three, of: Delta([4, -1, 4]))), [[4]: 0.7, [-1]: 0.3])
    let corners = Delta(Tensor([1, 0, 0, 1, 0, 0], shape: [3, 2]), eventRank: 1)
    expect(try table(Mixture(three, of: corners)), [[1, 0]: 0.2, [0, 1]: 0.3, [0, 0]: 0.5])
    // Points of their own for each place of the batch.
    expect(
      try table(Mixture(weights, of: Delta(Tensor([1, 2, 2, 5], shape: [2, 2])))),
      [[1, 2]: 0.09, [1, 5]: 0.21, [2, 2]: 0.21, [2, 5]: 0.49])
  }

  @Test func mixturesOfSeveralFamilies() throws {
    let weights = Categorical(probabilities: [0.5, 0.3, 0.2])
    let mixture = GeneralMixture(
      weights,
      of: [Categorical(probabilities: [0.2, 0.3, 0.5]), Bernoulli(probabilities: 0.4), Delta(5)])
    expect(
      try table(mixture),
      [[0]: 0.5 * 0.2 + 0.3 * 0.6, [1]: 0.5 * 0.3 + 0.3 * 0.4, [2]: 0.5 * 0.5, [5]: 0.2])
    // Zeros besides those of the coins; the components' batches broadcast.
    let inflated = GeneralMixture(
      Categorical(probabilities: [0.25, 0.75]), of: [Delta(0), Bernoulli(probabilities: [0.2, 0.8])])
    let (a, b) = (0.75 * 0.2, 0.75 * 0.8)
    expect(
      try table(inflated),
      [[0, 0]: (1 - a) * (1 - b), [0, 1]: (1 - a) * b, [1, 0]: a * (1 - b), [1, 1]: a * b])
    // A vector, or coins each for itself.
    let vector = GeneralMixture(
      Categorical(probabilities: [0.25, 0.75]),
      of: [Delta([1, 0], eventRank: 1), Bernoulli(probabilities: [0.2, 0.8]).event(1)])
    expect(
      try table(vector),
      [
        [0, 0]: 0.75 * 0.8 * 0.2, [0, 1]: 0.75 * 0.8 * 0.8, [1, 0]: 0.25 + 0.75 * 0.2 * 0.2,
        [1, 1]: 0.75 * 0.2 * 0.8,
      ])
    // Vectors that share an element.
    let shared = GeneralMixture(
      Categorical(probabilities: [0.25, 0.75]), of: [Delta([1, 0]).event(1), Delta([2, 0]).event(1)])
    #expect(throws: CoixError.self, "one element has two points, the other one") { try table(shared) }
    let whole = GeneralMixture(
      Categorical(probabilities: [0.25, 0.75]),
      of: [Delta([1, 0], eventRank: 1), Delta([2, 0], eventRank: 1)])
    expect(try table(whole), [[1, 0]: 0.25, [2, 0]: 0.75])
  }

  @Test func mixturesWithoutFiniteSupport() throws {
    let weights = Categorical(probabilities: [0.3, 0.7])
    func text(_ distribution: some Distribution) -> String? { message { try table(distribution) } }
    let infinite = #"site "z": its distribution has no finite support to enumerate"#
    #expect(text(Mixture(weights, of: Normal([0, 1], 1))) == infinite)
    #expect(text(GeneralMixture(weights, of: [Normal(0, 1), Delta(0)])) == infinite)
    #expect(text(Normal(0, 1).scaled(by: 2)) == infinite)
    // One place of the batch would have two points, the other one.
    #expect(text(Mixture(weights, of: Delta(Tensor([1, 2, 3, 3], shape: [2, 2])))) == infinite)
    #expect(text(Mixture(weights, of: Bernoulli(logits: [0, 0, 0])))?.contains("Mixture: ") == true)
    #expect(
      text(GeneralMixture(weights, of: [Bernoulli(logits: 0)]))?.contains("GeneralMixture: ") == true)
    #expect(
      text(GeneralMixture(weights, of: [Delta(Tensor([1, 2]) + Tensor([1, 2, 3])), Delta(0)])) != nil)
    try expectThatEvaluationsWork()
  }

  /// log Σ p^f: what is observed several times.
  @Test func scaledDistributions() throws {
    let coins = Bernoulli(probabilities: [0.1, 0.7])
    let values = try table(coins.scaled(by: 3))
    #expect(values.count == 4)
    for (x, p) in [(0, 0.9), (1, 0.1)] {
      for (y, q) in [(0, 0.3), (1, 0.7)] {
        #expect(abs((values[[Float(x), Float(y)]] ?? .nan) - pow(p * q, 3)) < 1e-6)
      }
    }
    let each = try table(coins.scaled(by: Tensor([1, 2])))
    #expect(abs((each[[1, 0]] ?? .nan) - 0.1 * 0.09) < 1e-6)
  }

  /// Points of mixtures pass on gradients as a point alone does.
  @Test func gradientsOfPoints() throws {
    let result = try valueWithGradient(at: Tensor([0.2, 1.5])) { points in
      let kernel = Kernel { (trace) in
        trace.sample(
          "z",
          from: Mixture(Categorical(probabilities: [0.3, 0.7]), of: Delta(points)).expanded(to: [2]).event(1))
      }
      return try enumerate(kernel)().expectation {
        $0.output.values.selecting(0, axis: 0) * 3 + $0.output.values.selecting(1, axis: 0).squared
      }
    }
    let exact = 3 * (0.3 * 0.2 + 0.7 * 1.5) + (0.3 * 0.04 + 0.7 * 2.25)
    #expect(abs(Double(result.value) - exact) < 1e-5)
    for (gradient, expected) in zip(result.gradient.scalars, [0.3 * (3 + 0.4), 0.7 * (3 + 3)]) {
      #expect(abs(Double(gradient) - expected) < 1e-5)
    }
  }

  @Test func combinedTargets() throws {
    let extended = try enumerate(extend(Self.model, Self.reverse))(0.5)
    #expect(extended.assignments.count == 12)
    #expect(extended.assignments[0].trace.names == ["coin", "die", "x", "back"])
    #expect(extended.assignments[0].trace["back"]?.isSuffixed == true)
    let evidence = try enumerate(Self.model)(0.5).logEvidence.scalar
    #expect(abs(extended.logEvidence.scalar - evidence) < 1e-6, "a kernel adds no evidence")
    let composed = try enumerate(compose(Self.reverse, suffix(detach(Self.model)), suffix: false))(0.5)
    #expect(abs(composed.logEvidence.scalar - evidence) < 1e-6)
    let given = try enumerate(Self.model, latents: ["coin": 1])(0.5)
    #expect(given.assignments.count == 3)
    #expect(given.logJoint.scalars == Array(try enumerate(Self.model)(0.5).logJoint.scalars[3...]))
  }

  private static let reverse = Kernel { (trace, die: Tensor) in
    trace.sample("back", from: Bernoulli(logits: die - 1))
  }

  /// d log p(x) / dθ is the posterior expectation of d log p(x, z) / dθ (Fisher's identity).
  @Test func gradients() throws {
    func model(_ logit: Tensor) -> Model<Tuple<Tensor>, Tuple<Tensor>> {
      Model { (trace, x: Tensor) in
        let z = trace.sample("z", from: Bernoulli(logits: logit))
        let point = trace.sample("point", from: Delta(z + logit))
        trace.observe("x", x, from: Normal(point, 1))
        return z
      }
    }
    let result = try valueWithGradient(at: Tensor(0.4)) { try enumerate(model($0))(1.2).logEvidence }
    let exact = try enumerate(model(0.4))(1.2).expectation {
      let z = $0.output.values
      return z - sigmoid(0.4) + (1.2 - z - 0.4)
    }
    #expect(abs(result.gradient.scalar - exact.scalar) < 1e-5)
  }

  @Test func impossibleAssignments() throws {
    let model = Model { (trace) in
      let z = trace.sample("z", from: Categorical(probabilities: [0.5, 0, 0.5]))
      trace.factor("even", select(z .== 2, Tensor(-.infinity), Tensor(0)))
      return z
    }
    let enumeration = try enumerate(model)()
    #expect(enumeration.probabilities.scalars == [1, 0, 0])
    #expect(abs(enumeration.logEvidence.scalar - log(0.5)) < 1e-6)
  }

  @Test func whatCannotBeEnumerated() throws {
    #expect(
      message { try enumerate(ConjugateNormal().model)() }
        == #"site "z": its distribution has no finite support to enumerate"#)
    #expect(
      message { try enumerate(Self.model, limit: 5)(0.5) }
        == "enumerate: the latent sites have more than 5 joint assignments; allow for more by limit:")
    #expect(try enumerate(Self.model, limit: 6)(0.5).assignments.count == 6)
    let many = Kernel { (trace) in
      trace.sample("z", from: Bernoulli(logits: Tensor.zeros([100])).event(1))
    }
    #expect(throws: CoixError.tooManyAssignments(limit: .max)) { try enumerate(many, limit: .max)() }
    #expect(
      message { try enumerate(Plate("particle", count: 3)(Self.model))(0.5) }
        == "enumerate: the program stands within a plate; enumerate it as it is for one row")
    let poisoned = Kernel { (trace) in
      trace.sample("z", from: Bernoulli(probabilities: Tensor([0.5, 0.5]) + Tensor([1, 2, 3])))
    }
    #expect(throws: CoixError.self) { try enumerate(poisoned)() }
    try expectThatEvaluationsWork()
  }

  @Test func programsPutTogetherAtRunTime() throws {
    let coin = AnyProgram(
      Kernel<[Tensor], [Tensor]>(tree: { trace, _ in
        [trace.sample("z", from: Bernoulli(probabilities: 0.5))]
      }))
    #expect(try enumerate(coin).run([]).assignments.count == 2)
    #expect(
      message { try enumerate(AnyProgram.resample(coin)) }
        == "enumerate needs a target with a density; an inference program has none to evaluate")
  }

  /// A choice without probability poisons neither value nor gradient, whatever comes of it.
  @Test func impossibleChoicesDoNotCount() throws {
    func model(_ scale: Tensor) -> Model<Tuple<>, Tuple<Tensor>> {
      Model { (trace: ModelTrace) -> Tensor in
        let k = trace.sample("k", from: Categorical(probabilities: [0, 0.25, 0.75]))
        // Of 0 it is NaN.
        trace.factor("f", k * log(k) * scale)
        return log(k)
      }
    }
    // The factors are 1 and 1/2.
    let result = try valueWithGradient(at: Tensor(-0.5)) { scale in
      try enumerate(model(scale))().logEvidence
    }
    #expect(abs(Double(result.value) - Foundation.log(0.625)) < 1e-6)
    #expect(abs(Double(result.gradient.scalar) - 0.6 * 2 * Foundation.log(2.0)) < 1e-5)
    let enumeration = try enumerate(model(-0.5))()
    #expect(enumeration.assignments[0].logJoint.scalar == -.infinity)
    #expect(abs(Double(enumeration.expectation { $0.output.values }.scalar) - 0.6 * log(2.0)) < 1e-6)
    let slope = try valueWithGradient(at: Tensor(-0.5)) { scale in
      try enumerate(model(scale))().expectation { $0.output.values * scale }
    }.gradient.scalar
    // The mean of log k and what the probabilities add: -1/2 log 2 times the slope of p(2), 0.6 · 0.4 · 2 log
    // 2.
    let expected = 0.6 * log(2.0) - 0.5 * log(2.0) * 0.24 * 2 * log(2.0)
    #expect(abs(Double(slope) - expected) < 1e-5)
  }
}
