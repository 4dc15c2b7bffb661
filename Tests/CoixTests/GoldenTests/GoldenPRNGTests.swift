import Coix
import Testing

/// Keys, random bits and samplers: the numbers of `jax.random`.
@Suite struct GoldenPRNGTests {
  @Test(arguments: try GoldenFile.cases("prng"))
  func agrees(_ golden: GoldenCase) throws {
    let attributes = DrawAttributes(golden)
    switch try golden.field("op") {
    case "seed", "split", "vmap_split", "stream", "fold_in", "at_split": try checkKeys(golden, attributes)
    case let op where op.hasPrefix("at_"): try checkElements(golden, attributes, op)
    case let op: try checkSampler(golden, attributes, op)
    }
  }

  // MARK: Keys

  private func checkKeys(_ golden: GoldenCase, _ attributes: DrawAttributes) throws {
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
      report(
        try golden.difference("keys", words(try golden.input("keys").keys.flatMap { $0.split(into: count) })))
    case "stream":
      var stream = KeyStream(try golden.key())
      let draws = (0..<(try attributes.integer("count"))).map { _ in stream.next() }
      report(
        try golden.difference("subkeys", words(draws)), try golden.difference("final", words([stream.key])))
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
  private func checkElements(_ golden: GoldenCase, _ attributes: DrawAttributes, _ op: String) throws {
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
      let alone = indices.map {
        sampler(Draw(key: whole.key, shape: [2], strides: [$0], rowStride: 0)).scalars[1]
      }
      report(
        golden.difference("out", expected: expected, found: indices.map { all[$0] }, within: tolerance),
        golden.difference("out, by itself", expected: expected, found: alone, within: tolerance))
    }
  }

  // MARK: Samplers

  private func checkSampler(_ golden: GoldenCase, _ attributes: DrawAttributes, _ op: String) throws {
    let key = try golden.key()
    func integers() throws -> Draw { Draw(key: key, shape: Shape(try attributes.sizes("shape"))) }
    switch op {
    case "bits": report(try golden.difference("out", try integers().bits()))
    case "randint": report(try golden.difference("out", try integers().integers(in: try attributes.range())))
    case "choice":
      guard try attributes.bool("replace") else {
        throw GoldenError("\(golden.name): choice without replacement")
      }
      let limit = try attributes.integer("n")
      let count = try golden.expectation("out").count
      report(
        try golden.difference("out", try integers().integers(in: 0..<Int32(limit))),
        try golden.difference("out", key.choice(count, from: limit)))
    case "permutation": report(try golden.difference("out", key.permutation(of: try attributes.integer("n"))))
    case "permutation_axis1":
      let permuted = key.permuted(try golden.input("x").tensor, axis: try attributes.integer("axis"))
      report(try golden.difference("out", permuted, within: .exact))
    default: try check(golden, try GoldenSampler(golden, attributes, op), try integers())
    }
  }

  /// The whole draw at once, and the same draw with its first axis as rows of a plate.
  private func check(_ golden: GoldenCase, _ sampler: GoldenSampler, _ draw: Draw) throws {
    try reportUnlessTied(golden, sampler, draw, sampler.sample(draw))
    guard draw.shape.rank > sampler.parameterRank, sampler.isElementwise else { return }
    let (key, rest) = (draw.key, Shape(draw.shape.dropFirst()))
    let program = Kernel { (_) in sampler.sample(Draw(key: key, shape: rest)) }
    let plate = Plate("row", count: draw.shape[0])
    let rows = try evaluate(plate(program), seed: 0)().output.values
    try reportUnlessTied(golden, sampler, draw, rows)
  }

  /// Reports a difference unless it is only in elements where rounding decided.
  private func reportUnlessTied(
    _ golden: GoldenCase, _ sampler: GoldenSampler, _ draw: Draw, _ found: Tensor
  ) throws {
    guard let difference = try golden.difference("out", found, within: sampler.tolerance) else { return }
    let (numbers, expected) = (found.scalars, try golden.expectation("out").floats)
    let margins = sampler.margins?(draw) ?? []
    let isTie =
      numbers.count == expected.count && margins.count == expected.count
      && expected.indices.allSatisfy {
        sampler.tolerance.accepts(numbers[$0], expected[$0]) || margins[$0] < NearTie.limit
      }
    if !isTie { report(difference) }
  }
}
