import Coix
import ExampleModels
import Foundation
import Testing

/// Optimisers against steps computed by hand, and against gradients that are no numbers.
@Suite struct OptimizerTests {
  struct Pair: TensorTree, Equatable {
    var weights: Tensor
    var bias: Tensor

    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("weights", &weights)
      try visitor.visit("bias", &bias)
    }

    static func == (a: Pair, b: Pair) -> Bool {
      a.namedTensors.map(\.tensor.scalars) == b.namedTensors.map(\.tensor.scalars)
    }
  }

  static let start = Pair(weights: Tensor([0.5, -1.5, 2, 0], shape: [2, 2]), bias: Tensor([1, -1]))

  /// Gradients of different sizes and signs, one of them zero.
  static func gradient(_ step: Int) -> Pair {
    let t = Float(step)
    return Pair(
      weights: Tensor([0.25 * t, -3, 0, 1e-4 / (t + 1)], shape: [2, 2]), bias: Tensor([t - 2, 1000]))
  }

  /// Kingma and Ba's algorithm 1, in double.
  private func adam(
    _ steps: Int, rate: Double, beta1: Double = Double(Float(0.9)), beta2: Double = Double(Float(0.999)),
    epsilon: Double = Double(Float(1e-8))
  ) -> [Double] {
    func flat(_ pair: Pair) -> [Double] { pair.namedTensors.flatMap { $0.tensor.scalars.map(Double.init) } }
    var parameters = flat(Self.start)
    var (first, second) = (parameters.map { _ in 0.0 }, parameters.map { _ in 0.0 })
    for step in 1...steps {
      let gradient = flat(Self.gradient(step))
      for index in parameters.indices {
        first[index] = beta1 * first[index] + (1 - beta1) * gradient[index]
        second[index] = beta2 * second[index] + (1 - beta2) * gradient[index] * gradient[index]
        let m = first[index] / (1 - pow(beta1, Double(step)))
        let v = second[index] / (1 - pow(beta2, Double(step)))
        parameters[index] -= rate * m / (v.squareRoot() + epsilon)
      }
    }
    return parameters
  }

  /// Steps are taken in place; whoever holds an earlier copy must not see them.
  @Test func stepsLeaveCopiesAlone() throws {
    var parameters = Self.start
    let whole = parameters
    let part = parameters.weights
    var adam = Adam(for: parameters, learningRate: 0.05)
    try adam.update(&parameters, along: Self.gradient(1))
    let later = (parameters, adam)
    try adam.update(&parameters, along: Self.gradient(2))
    #expect(whole == Self.start && part.scalars == Self.start.weights.scalars)
    #expect(later.0 != parameters)
    var (again, optimizer) = later
    try optimizer.update(&again, along: Self.gradient(2))
    #expect(again == parameters)
  }

  @Test(arguments: [1, 2, 3, 10, 200])
  func adamTakesTheStepsOfItsAlgorithm(_ steps: Int) throws {
    var parameters = Self.start
    var optimizer = Adam(for: parameters, learningRate: 0.05)
    for step in 1...steps { #expect(try optimizer.update(&parameters, along: Self.gradient(step))) }
    #expect(optimizer.stepCount == steps)
    #expect(optimizer.skippedCount == 0)
    let found = parameters.namedTensors.flatMap { $0.tensor.scalars.map(Double.init) }
    for (found, expected) in zip(found, adam(steps, rate: Double(Float(0.05)))) {
      // Besides some units of rounding a step: the single-precision 1 - β₂ᵗ = 0.001 t is off by 6e-8, so the
      // step by rate · 3e-5 / t.
      let bound = 0.05 * 3e-5 * (1 + log(Double(steps))) + 1e-7 * (5 + Double(steps) * expected.magnitude)
      #expect((found - expected).magnitude <= bound, "\(found), \(expected)")
    }
  }

  @Test func adamWithOtherDecays() throws {
    var parameters = Self.start
    var optimizer = Adam(for: parameters, learningRate: 0.1, beta1: 0.5, beta2: 0.75, epsilon: 0.125)
    for step in 1...20 { try optimizer.update(&parameters, along: Self.gradient(step)) }
    let expected = adam(20, rate: Double(Float(0.1)), beta1: 0.5, beta2: 0.75, epsilon: 0.125)
    for (found, expected) in zip(parameters.namedTensors.flatMap { $0.tensor.scalars }, expected) {
      #expect((Double(found) - expected).magnitude <= 4e-6 * (1 + expected.magnitude))
    }
  }

  /// The first step is rate · sign(gradient), whatever the gradient's size; zeros stay.
  @Test func adamsFirstStep() throws {
    var parameters = Self.start
    var optimizer = Adam(for: parameters, learningRate: 0.25)
    try optimizer.update(
      &parameters, along: Pair(weights: Tensor([1e-3, -1e4, 0, 7], shape: [2, 2]), bias: Tensor([-1, 1])))
    let moved = zip(parameters.namedTensors, Self.start.namedTensors).flatMap {
      ($0.tensor - $1.tensor).scalars
    }
    for (found, expected) in zip(moved, [-0.25, 0.25, 0, -0.25, 0.25, -0.25] as [Float]) {
      #expect((found - expected).magnitude < 1e-5)
    }
  }

  /// A copy of an optimiser has a state of its own, and parameters that somebody else holds don't change.
  @Test func optimisersAreValues() throws {
    var parameters = Self.start
    var optimizer = Adam(for: parameters, learningRate: 0.05)
    try optimizer.update(&parameters, along: Self.gradient(1))
    let (kept, keptOptimizer) = (parameters, optimizer)
    try optimizer.update(&parameters, along: Self.gradient(2))
    #expect(parameters != kept)
    var (again, optimizerAgain) = (kept, keptOptimizer)
    try optimizerAgain.update(&again, along: Self.gradient(2))
    #expect(again == parameters)
    #expect(keptOptimizer.stepCount == 1)
    #expect(Self.start.bias.scalars == [1, -1])
  }

  @Test func descentStepsAgainstTheGradient() throws {
    var parameters = Self.start
    var optimizer = SGD<Pair>(learningRate: 0.5)
    #expect(try optimizer.update(&parameters, along: Self.gradient(4)))
    #expect(parameters.weights.scalars == [0, 0, 2, -0.5 * (1e-4 / 5)])
    #expect(parameters.bias.scalars == [0, -501])
    #expect(optimizer.stepCount == 1)
  }

  // MARK: Gradients that are no numbers

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func aGradientThatIsNotFiniteIsSkippedAndCounted(_ number: Float) throws {
    var (parameters, undisturbed) = (Self.start, Self.start)
    var adam = Adam(for: parameters, learningRate: 0.05)
    var undisturbedAdam = adam
    for step in 1...4 {
      try adam.update(&parameters, along: Self.gradient(step))
      try undisturbedAdam.update(&undisturbed, along: Self.gradient(step))
      var broken = Self.gradient(step)
      broken.bias = Tensor([0, number])
      let before = parameters
      #expect(try !adam.update(&parameters, along: broken))
      #expect(parameters == before)
    }
    #expect(adam.stepCount == 4)
    #expect(adam.skippedCount == 4)
    #expect(parameters == undisturbed, "the moments were left alone, too")

    var sgd = SGD<Pair>(learningRate: 0.5)
    var broken = Self.gradient(1)
    broken.weights = Tensor([0, number, 0, 0], shape: [2, 2])
    let before = parameters
    #expect(try !sgd.update(&parameters, along: broken))
    #expect(parameters == before)
    #expect((sgd.stepCount, sgd.skippedCount) == (0, 1))
  }

  /// From the loss on: a gradient through log 0.
  @Test func aLossWithoutAFiniteGradient() throws {
    var parameters = Self.start
    var optimizer = SGD<Pair>(learningRate: 0.5)
    let result = try valueWithGradient(at: parameters) { log($0.weights).sum() + $0.bias.sum() }
    #expect(!result.gradient.isFinite)
    #expect(try !optimizer.update(&parameters, along: result.gradient))
    #expect(parameters == Self.start)
    #expect(optimizer.skippedCount == 1)
  }

  /// A gradient whose square overflows would make a second moment infinite, and its parameter would never
  /// move again.
  @Test(arguments: [1e20, -1e20, 2e19, 3e38] as [Float])
  func oneHugeGradientDoesNotFreezeAdam(_ huge: Float) throws {
    var (parameter, undisturbed) = (Tensor(0), Tensor(0))
    var adam = Adam(for: parameter, learningRate: 0.1)
    var undisturbedAdam = adam
    #expect(try !adam.update(&parameter, along: Tensor(huge)))
    #expect(adam.skippedCount == 1 && parameter.scalar == 0)
    #expect(adam.lastSkippedStep == SkippedStep(cause: .squaredGradient, name: "", value: huge))
    for _ in 0..<10 {
      #expect(try adam.update(&parameter, along: Tensor(1)))
      try undisturbedAdam.update(&undisturbed, along: Tensor(1))
    }
    #expect(parameter.scalar == undisturbed.scalar)
    #expect((parameter.scalar + 1).magnitude < 1e-5, "ten steps of 0.1")
    #expect(adam.stepCount == 10)
  }

  /// The greatest gradient that is taken leaves finite moments: the parameter moves.
  @Test func adamTakesGradientsWithFiniteSquares() throws {
    for (beta1, beta2) in [(0.9, 0.999), (0, 0), (0.9999999, 0.9999999)] {
      var parameter: [Tensor] = [Tensor([1e19, -1e19, 1e-30])]
      var adam = Adam(for: parameter, learningRate: 1, beta1: beta1, beta2: beta2)
      parameter = [Tensor([0, 0, 0])]
      for step in 1...3 {
        #expect(try adam.update(&parameter, along: [Tensor([1e19, -1e19, 1e-30])]))
        let expected = Float(step)
        #expect((parameter[0].scalars[0] + expected).magnitude < 0.3 * expected)
        #expect((parameter[0].scalars[1] - expected).magnitude < 0.3 * expected)
      }
    }
  }

  @Test func skippedStepsSayWhy() throws {
    var parameters = Self.start
    var adam = Adam(for: parameters)
    var sgd = SGD<Pair>(learningRate: 2)
    #expect(adam.lastSkippedStep == nil && sgd.lastSkippedStep == nil)
    func pair(_ weight: Float, _ bias: Float) -> Pair {
      Pair(weights: Tensor([0, 0, weight, 0], shape: [2, 2]), bias: Tensor([0, bias]))
    }
    try adam.update(&parameters, along: pair(1, .nan))
    try sgd.update(&parameters, along: pair(1, .nan))
    #expect(adam.lastSkippedStep?.description == #"the gradient of parameter "bias" is nan"#)
    #expect(sgd.lastSkippedStep?.description == #"the gradient of parameter "bias" is nan"#)
    try adam.update(&parameters, along: pair(1e25, 1))
    #expect(
      adam.lastSkippedStep?.description
        == #"the gradient of parameter "weights" is 1e+25, the square of which overflows"#)
    try sgd.update(&parameters, along: pair(3e38, 1))
    #expect(sgd.lastSkippedStep?.description == #"parameter "weights" would become -inf"#)
    #expect(parameters == Self.start)
    parameters.bias = [.infinity, 1]
    try adam.update(&parameters, along: pair(.nan, 0))
    #expect(adam.lastSkippedStep?.description == #"parameter "bias" was inf already"#)
    try sgd.update(&parameters, along: pair(1, 0))
    #expect(sgd.lastSkippedStep?.description == #"parameter "bias" was inf already"#)

    var number = Tensor(0)
    var single = SGD<Tensor>(learningRate: 1)
    try single.update(&number, along: Tensor(-.infinity))
    #expect(single.lastSkippedStep?.description == "the gradient of the parameter is -inf")
  }

  /// Training that does nothing is said, also to those who look at no count.
  @Test func aHundredSkippedStepsInARowAreAnError() throws {
    func check<Rule: Optimizer<Pair>>(_ rule: Rule, _ name: String) throws {
      var (parameters, optimizer) = (Self.start, rule)
      var broken = Self.gradient(1)
      broken.bias = [0, .nan]
      for _ in 1...99 { #expect(try !optimizer.update(&parameters, along: broken)) }
      try optimizer.update(&parameters, along: Self.gradient(1))
      for _ in 1...99 { #expect(try !optimizer.update(&parameters, along: broken)) }
      let before = parameters
      for count in 100...101 {
        let text = message { try optimizer.update(&parameters, along: broken) }
        #expect(
          text
            == "gradient: \(name) has skipped \(count) steps in a row, the last one because the gradient of "
            + #"parameter "bias" is nan; an evaluation with EvaluationOptions(checks: true) names the site at "#
            + "which a number is no longer finite")
      }
      #expect(parameters == before)
      #expect(optimizer.stepCount == 1 && optimizer.skippedCount == 200)
      #expect(try optimizer.update(&parameters, along: Self.gradient(1)), "it goes on if the gradient does")
    }
    try check(Adam(for: Self.start), "Adam")
    try check(SGD<Pair>(learningRate: 0.1), "SGD")
    try check(SGD(for: Self.start, learningRate: 0.1, momentum: 0.9), "SGD")
    try check(AdamW(for: Self.start), "AdamW")
    try check(RMSProp(for: Self.start, learningRate: 0.1, centered: true, momentum: 0.9), "RMSProp")
    try check(Adam(for: Self.start).clipped(toGlobalNorm: 1), "Adam")
  }

  /// One NaN row in the data: the loss is no number, and the error says what stands in the way.
  @Test func aRowOfDataThatIsNaNIsNamed() throws {
    let rows = Plate("row", count: 4)
    func loss(_ mean: Tensor, checks: Bool) throws -> Tensor {
      let model = Model { (trace, x: Tensor) in trace.observe("x", x, from: Normal(mean, 1)) }
      let data = rows.mapped([1, 2, .nan, 3])
      return try evaluate(rows(model), seed: 0, options: EvaluationOptions(checks: checks))(data)
        .metrics.logWeight.sum()
    }
    var mean = Tensor(0)
    var adam = Adam(for: mean)
    let text = message {
      for _ in 0..<100 {
        let step = try valueWithGradient(at: mean) { try loss($0, checks: false) }
        try adam.update(&mean, along: step.gradient)
      }
    }
    #expect(text?.contains("the last one because the gradient of the parameter is nan") == true)
    #expect(message { try loss(0, checks: true) } == "stage 1: input 0 is NaN (row 2)")
  }

  // MARK: Settings

  @Test(arguments: [Float.nan, .infinity, -.infinity, -0.1])
  func learningRatesOutsideOfTheirDomain(_ rate: Float) throws {
    var parameters = Self.start
    var adam = Adam(for: parameters, learningRate: .constant(rate))
    var sgd = SGD<Pair>(learningRate: .constant(rate))
    #expect(
      message { try adam.update(&parameters, along: Self.gradient(1)) }
        == "Adam: the learning rate must be finite and not negative, is \(rate)")
    #expect(
      message { try sgd.update(&parameters, along: Self.gradient(1)) }
        == "SGD: the learning rate must be finite and not negative, is \(rate)")
    #expect(parameters == Self.start)
    adam.learningRate = 0
    sgd.learningRate = 0
    #expect(try adam.update(&parameters, along: Self.gradient(1)), "a schedule may start at 0")
    #expect(try sgd.update(&parameters, along: Self.gradient(1)))
    #expect(parameters == Self.start)
  }

  @Test func adamsSettingsOutsideOfTheirDomains() throws {
    func complaint(_ adam: Adam<Pair>) -> String? {
      var (parameters, adam) = (Self.start, adam)
      defer { #expect(parameters == Self.start && adam.stepCount == 0) }
      return message { try adam.update(&parameters, along: Self.gradient(1)) }
    }
    for beta in [1, 1.5, -0.1, .nan, .infinity, 1 - 1e-12] {
      #expect(
        complaint(Adam(for: Self.start, beta1: beta))
          == "Adam: beta1 must be at least 0 and less than 1, is \(beta)")
      #expect(
        complaint(Adam(for: Self.start, beta2: beta))
          == "Adam: beta2 must be at least 0 and less than 1, is \(beta)")
    }
    for epsilon in [0, -1e-8, .nan, .infinity] as [Float] {
      #expect(
        complaint(Adam(for: Self.start, epsilon: epsilon))
          == "Adam: epsilon must be positive and finite, is \(epsilon)")
    }
  }

  @Test func settingsOutsideOfTheirDomains() throws {
    func complaint<Rule: Optimizer<Pair>>(_ rule: Rule) -> String? {
      var (parameters, rule) = (Self.start, rule)
      defer { #expect(parameters == Self.start && rule.stepCount == 0 && rule.skippedCount == 0) }
      return message { try rule.update(&parameters, along: Self.gradient(1)) }
    }
    let start = Self.start
    for decay in [1, -0.1, .nan, .infinity, 1 - 1e-12] {
      let reason = "must be at least 0 and less than 1, is \(decay)"
      #expect(complaint(SGD(for: start, learningRate: 1, momentum: decay)) == "SGD: momentum \(reason)")
      #expect(complaint(AdamW(for: start, beta1: decay)) == "AdamW: beta1 \(reason)")
      #expect(complaint(AdamW(for: start, beta2: decay)) == "AdamW: beta2 \(reason)")
      #expect(complaint(RMSProp(for: start, learningRate: 1, decay: decay)) == "RMSProp: decay \(reason)")
      #expect(
        complaint(RMSProp(for: start, learningRate: 1, momentum: decay)) == "RMSProp: momentum \(reason)")
    }
    for number in [-1, .nan, .infinity] as [Float] {
      let rate = Schedule.constant(number)
      let reason = "must be finite and not negative, is \(number)"
      #expect(complaint(AdamW(for: start, learningRate: rate)) == "AdamW: the learning rate \(reason)")
      #expect(complaint(RMSProp(for: start, learningRate: rate)) == "RMSProp: the learning rate \(reason)")
      #expect(complaint(AdamW(for: start, weightDecay: number)) == "AdamW: the weight decay \(reason)")
      #expect(
        complaint(RMSProp(for: start, learningRate: 1, initialScale: number))
          == "RMSProp: the initial scale \(reason)")
      #expect(
        complaint(RMSProp(for: start, learningRate: 1, epsilon: number))
          == "RMSProp: epsilon must be positive and finite, is \(number)")
    }
  }

  // MARK: State

  @Test func tensorsOfTheStateHaveNames() {
    func names(_ rule: some Optimizer<Pair>) -> [String] { rule.namedTensors.map(\.name) }
    func moments(_ name: String) -> [String] { ["\(name).0", "\(name).1"] }
    let (start, head) = (Self.start, ["steps"])
    #expect(names(SGD(for: start, learningRate: 1)) == head)
    #expect(names(SGD(for: start, learningRate: 1, momentum: 0.9)) == head + moments("velocities"))
    #expect(names(Adam(for: start)) == head + moments("firstMoments") + moments("secondMoments"))
    #expect(names(AdamW(for: start)) == names(Adam(for: start)))
    #expect(names(RMSProp(for: start, learningRate: 1)) == head + moments("secondMoments"))
    #expect(
      names(RMSProp(for: start, learningRate: 1, centered: true, momentum: 0.9))
        == head + moments("firstMoments") + moments("secondMoments") + moments("velocities"))
  }

  /// A step that is skipped for its result leaves velocities alone, too.
  @Test func velocitiesOfSkippedSteps() throws {
    var (x, undisturbed) = (Tensor(0), Tensor(0))
    var sgd = SGD(for: x, learningRate: 0.1, momentum: 0.5)
    var undisturbedSGD = sgd
    for step in 0..<6 {
      #expect(try sgd.update(&x, along: -1e38) == true)
      try undisturbedSGD.update(&undisturbed, along: -1e38)
      if step % 2 == 1 { #expect(try !sgd.update(&x, along: -3.4e38)) }
    }
    #expect(sgd.lastSkippedStep?.cause == .result && sgd.skippedCount == 3)
    #expect(x.scalar == undisturbed.scalar)
  }

  /// The running variance of gradients that stay the same is 0, and never less.
  @Test func centeredRMSPropWithoutVariance() throws {
    var x = Tensor(0)
    var rule = RMSProp(for: x, learningRate: 1e-3, centered: true)
    for _ in 0..<500 { #expect(try rule.update(&x, along: 1000)) }
    #expect(x.scalar < 0 && x.isFinite)
  }

  // MARK: Other structures

  @Test func treesOfAnotherStructureForEveryRule() throws {
    let (two, three): ([Tensor], [Tensor]) = ([[1, 2]], [[1, 2, .nan]])
    func check<Rule: Optimizer<[Tensor]>>(_ rule: Rule, _ name: String) {
      for (parameters, gradient, reason) in [
        (two, three, "not what the optimiser was made for (shapes [3])"),
        (two, [], "not what the optimiser was made for (shapes )"),
        (three, two, "parameters, gradient and optimiser are of different structures (shapes [3], [2])"),
      ] {
        var (parameters, rule) = (parameters, rule)
        #expect(message { try rule.update(&parameters, along: gradient) } == "\(name): \(reason)")
        #expect(rule.stepCount == 0 && rule.skippedCount == 0)
      }
    }
    check(SGD(for: two, learningRate: 1), "SGD")
    check(SGD(for: two, learningRate: 1, momentum: 0.9), "SGD")
    check(Adam(for: two), "Adam")
    check(AdamW(for: two), "AdamW")
    check(RMSProp(for: two, learningRate: 1), "RMSProp")
    check(AdamW(for: two).clipped(toGlobalNorm: 1), "AdamW")
  }

  @Test func treesOfAnotherStructure() throws {
    func adam(_ made: [Tensor], _ parameters: [Tensor], _ gradient: [Tensor]) -> String? {
      var (parameters, optimizer) = (parameters, Adam(for: made))
      let text = message { try optimizer.update(&parameters, along: gradient) }
      #expect(optimizer.stepCount == 0 && optimizer.skippedCount == 0)
      return text
    }
    func sgd(_ parameters: [Tensor], _ gradient: [Tensor]) -> String? {
      var (parameters, optimizer) = (parameters, SGD<[Tensor]>(learningRate: 1))
      let before = parameters.map(\.scalars)
      let text = message { try optimizer.update(&parameters, along: gradient) }
      #expect(optimizer.stepCount == 0 && optimizer.skippedCount == 0)
      #expect(parameters.map(\.scalars) == before)
      return text
    }
    let (two, three): ([Tensor], [Tensor]) = ([[1, 2]], [[1, 2, 3]])
    #expect(adam(two, two, three) == "Adam: not what the optimiser was made for (shapes [3])")
    #expect(adam(two, two, two + two) == "Adam: not what the optimiser was made for (shapes [2], [2])")
    #expect(adam(two, two, []) == "Adam: not what the optimiser was made for (shapes )")
    #expect(
      adam(two, three, two)
        == "Adam: parameters, gradient and optimiser are of different structures (shapes [3], [2])")
    #expect(
      sgd(two, three)
        == "SGD: parameters, gradient and optimiser are of different structures (shapes [2], [3])")
    #expect(
      sgd(two, []) == "SGD: parameters, gradient and optimiser are of different structures (shapes [2])")
  }

  // MARK: Training

  /// Training lowers the loss, and is the same for every number of threads.
  @Test func aFewStepsOfTraining() throws {
    let data = Draw(key: 4, shape: [500, 2]).normal()
    func losses(_ threads: Int) throws -> [Float] {
      let loss = VAEBatchLoss(data, workers: try Workers(threads: threads))
      let training = CompiledTraining(VAE(key: 3), by: Adam(for: VAE(key: 3), learningRate: 0.01)) {
        try loss($0, key: $1)
      }
      return try (0..<30).map { try training.step(key: PRNGKey(seed: 1).folded(in: $0)) }
    }
    let one = try losses(1)
    #expect(one[29] < one[0])
    #expect(try losses(3).map(\.bitPattern) == one.map(\.bitPattern))
  }
}
