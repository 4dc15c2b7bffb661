import Coix
import Testing

/// Keys, random bits and samplers: the numbers of `jax.random`.
@Suite struct GoldenPRNGTests {
  @Test(arguments: try GoldenFile.cases("prng"))
  func agrees(_ golden: GoldenCase) throws {
    let attributes = Attributes(golden)
    switch try golden.field("op") {
    case "seed", "split", "vmap_split", "stream", "fold_in", "at_split": try checkKeys(golden, attributes)
    case let op where op.hasPrefix("at_"): try checkElements(golden, attributes, op)
    case let op: try checkSampler(golden, attributes, op)
    }
  }

  // MARK: Keys

  private func checkKeys(_ golden: GoldenCase, _ attributes: Attributes) throws {
    func words(_ keys: [PRNGKey]) -> [UInt32] { keys.flatMap { [$0.word0, $0.word1] } }
    switch try golden.field("op") {
    case "seed": report(try golden.difference("key", words([try golden.seedKey()])))
    case "split":
      let key = try golden.key()
      let count = try attributes.sizes("num").reduce(1, *)
      report(try golden.difference("keys", words(key.split(into: count))))
      if count == 2 { report(try golden.difference("keys", words([key.split().0, key.split().1]))) }
    case "vmap_split":
      let count = try attributes.sizes("num").reduce(1, *)
      report(try golden.difference("keys", words(try golden.input("keys").keys.flatMap { $0.split(into: count) })))
    case "stream":
      var stream = KeyStream(try golden.key())
      let draws = (0..<(try attributes.integer("count"))).map { _ in stream.next() }
      report(try golden.difference("subkeys", words(draws)), try golden.difference("final", words([stream.key])))
    case "fold_in":
      let key = try golden.key()
      report(try golden.difference("keys", words(try attributes.integers("data").map { key.folded(in: $0) })))
    default:  // at_split
      let indices = try attributes.integers("indices")
      let keys = try golden.key().split(into: (indices.max() ?? 0) + 1)
      report(try golden.difference("out", words(indices.map { keys[$0] })))
    }
  }

  // MARK: Single elements of large draws

  /// Elements are drawn twice: among all the others, and by themselves, as a chunk draws its slice.
  private func checkElements(_ golden: GoldenCase, _ attributes: Attributes, _ op: String) throws {
    let whole = Draw(key: try golden.key(), shape: Shape(try attributes.sizes("shape")))
    let indices = try attributes.flatIndices("indices", in: whole.shape)
    switch op {
    case "at_bits":
      let all = whole.bits()
      report(try golden.difference("out", indices.map { all[$0] }))
    case "at_randint":
      let all = whole.integers(in: try attributes.range())
      report(try golden.difference("out", indices.map { all[$0] }))
    case "at_uniform": try check(.exact) { $0.uniform() }
    case "at_normal", "at_normal2d": try check(.draw) { $0.normal() }
    case "at_gumbel": try check(.draw) { $0.gumbel() }
    default: Issue.record("\(golden.name): unknown op \(op)")
    }
    func check(_ tolerance: Tolerance, _ sampler: (Draw) -> Tensor) throws {
      let expected = try golden.expectation("out").floats
      let all = sampler(whole).scalars
      // A draw of two elements with a step between them: number 0 and number `index`.
      let alone = indices.map { sampler(Draw(key: whole.key, shape: [2], strides: [$0], rowStride: 0)).scalars[1] }
      report(
        golden.difference("out", expected: expected, found: indices.map { all[$0] }, within: tolerance),
        golden.difference("out, by itself", expected: expected, found: alone, within: tolerance))
    }
  }

  // MARK: Samplers

  private func checkSampler(_ golden: GoldenCase, _ attributes: Attributes, _ op: String) throws {
    let key = try golden.key()
    func draw() throws -> Draw { Draw(key: key, shape: Shape(try attributes.sizes("shape"))) }
    func check(_ found: Tensor, _ tolerance: Tolerance) throws {
      report(try golden.difference("out", found, within: tolerance))
    }
    switch op {
    case "bits": report(try golden.difference("out", try draw().bits()))
    case "uniform":
      let (low, high) = (try attributes.float("minval"), try attributes.float("maxval"))
      try check(try draw().uniform(low: low, high: high), low == 0 && high == 1 ? .exact : .uniformRange)
    case "normal": try check(try draw().normal(), .draw)
    case "gumbel": try check(try draw().gumbel(), .draw)
    case "exponential": try check(try draw().exponential(), .draw)
    case "laplace": try check(try draw().laplace(), .draw)
    case "cauchy": try check(try draw().cauchy(), .gammaDraw)
    case "truncated_normal":
      let (lower, upper) = (try attributes.float("lower"), try attributes.float("upper"))
      try check(try draw().truncatedNormal(lower: lower, upper: upper), .draw)
    case "randint": report(try golden.difference("out", try draw().integers(in: try attributes.range())))
    case "choice":
      guard try attributes.bool("replace") else { throw GoldenError("\(golden.name): choice without replacement") }
      let limit = try attributes.integer("n")
      let count = try golden.expectation("out").count
      report(
        try golden.difference("out", try draw().integers(in: 0..<Int32(limit))),
        try golden.difference("out", key.choice(count, from: limit)))
    case "permutation": report(try golden.difference("out", key.permutation(of: try attributes.integer("n"))))
    case "permutation_axis1":
      try check(key.permuted(try golden.input("x").tensor, axis: try attributes.integer("axis")), .exact)
    case "bernoulli": try check(try draw().bernoulli(try golden.input("p").tensor), .exact)
    case "categorical":
      let (logits, axis) = (try golden.input("logits").tensor, try attributes.integer("axis"))
      let found = try draw().categorical(logits: logits, axis: axis)
      try reportUnlessTied(golden, found, .exact) { NearTie.categorical(try draw(), logits, axis) }
    default: try checkGammaSampler(golden, attributes, op)
    }
  }

  private func checkGammaSampler(_ golden: GoldenCase, _ attributes: Attributes, _ op: String) throws {
    let draw = Draw(key: try golden.key(), shape: Shape(try attributes.sizes("shape")))
    func parameter(_ name: String) throws -> Tensor {
      try golden.inputs[name]?.tensor ?? Tensor(try attributes.float(name))
    }
    func check(_ found: Tensor, _ tolerance: Tolerance, _ margins: () -> [Float]) throws {
      try reportUnlessTied(golden, found, tolerance, margins)
    }
    switch op {
    case "gamma", "gamma_array":
      let alpha = try parameter("alpha")
      try check(draw.gamma(alpha), .gammaDraw) { NearTie.gamma(draw, alpha) }
    case "loggamma":
      let alpha = try parameter("alpha")
      try check(draw.logGamma(alpha), .gammaDraw) { NearTie.gamma(draw, alpha) }
    case "beta":
      let (a, b) = (try parameter("a"), try parameter("b"))
      try check(draw.beta(a, b), .gammaDraw) { NearTie.beta(draw, a, b) }
    case "dirichlet":
      let alpha = try parameter("alpha")
      try check(draw.dirichlet(alpha), .gammaDraw) { NearTie.dirichlet(draw, alpha) }
    case "student_t":
      let freedom = try parameter("df")
      let gammaDraw = draw.with(key: draw.key.split().1)
      try check(draw.studentT(degreesOfFreedom: freedom), .gammaDraw) { NearTie.gamma(gammaDraw, freedom / 2) }
    case "poisson":
      let rate = try parameter("lam")
      try check(draw.poisson(rate), .exact) { NearTie.poisson(draw, rate) }
    default: Issue.record("\(golden.name): no sampler for the op \(op)")
    }
  }

  /// Reports a difference unless it is only in elements where rounding decided.
  private func reportUnlessTied(
    _ golden: GoldenCase, _ found: Tensor, _ tolerance: Tolerance, _ margins: () throws -> [Float]
  ) throws {
    guard let difference = try golden.difference("out", found, within: tolerance) else { return }
    let (numbers, expected, margins) = (found.scalars, try golden.expectation("out").floats, try margins())
    let isTie =
      numbers.count == expected.count && margins.count == expected.count
      && expected.indices.allSatisfy { tolerance.accepts(numbers[$0], expected[$0]) || margins[$0] < NearTie.limit }
    if !isTie { report(difference) }
  }
}

/// What a case says about the draw to be made.
private struct Attributes {
  private let name: String
  private let json: JSON

  init(_ golden: GoldenCase) {
    name = golden.name
    json = golden.fields["attrs"] ?? .null
  }

  private func value<T>(_ key: String, _ read: (JSON) -> T?) throws -> T {
    guard let value = json[key].flatMap(read) else { throw GoldenError("\(name): no attribute \(key)") }
    return value
  }

  func integer(_ key: String) throws -> Int { try value(key, \.integer) }
  func float(_ key: String) throws -> Float { try value(key, \.float) }
  func bool(_ key: String) throws -> Bool { try value(key, \.bool) }
  func integers(_ key: String) throws -> [Int] { try value(key) { $0.array?.compactMap(\.integer) } }
  /// A shape, or a single size.
  func sizes(_ key: String) throws -> [Int] { try value(key) { $0.array?.compactMap(\.integer) ?? $0.integer.map { [$0] } } }

  func range() throws -> Range<Int32> {
    let (low, high) = (try integer("minval"), try integer("maxval"))
    guard low <= high, let low = Int32(exactly: low), let high = Int32(exactly: high) else {
      throw GoldenError("\(name): no range of whole numbers from \(low) to \(high)")
    }
    return low..<high
  }

  /// Indices into a shape, flat or one for each axis.
  func flatIndices(_ key: String, in shape: Shape) throws -> [Int] {
    try value(key) { $0.array }.map { entry in
      let parts = entry.array?.compactMap(\.integer) ?? entry.integer.map { [$0] } ?? []
      let index = parts.count == 1 ? parts[0] : zip(parts, shape).reduce(0) { $0 * $1.1 + $1.0 }
      guard !parts.isEmpty, index >= 0, index < shape.elementCount else { throw GoldenError("\(name): bad index") }
      return index
    }
  }
}
