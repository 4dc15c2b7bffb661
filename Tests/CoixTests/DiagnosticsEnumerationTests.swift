import Coix
import Foundation
import Testing

/// Exact enumeration of finite programs.
@Suite struct DiagnosticsEnumerationTests {
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
}
