import CoixParallel

/// One of the runs of a program whose latent sites have finitely many values each: the number of the value
/// that each site takes, in the order of the sites.
struct SupportPath {
  /// A latent site's value, and how many there are.
  private struct Turn {
    let number: Int
    let count: Int
  }

  /// The numbers of the values of the first sites. The sites after them take their first value.
  private let prescribed: [Int]
  /// The values that sites have taken so far in this run.
  private var turns: [Turn] = []
  /// The names of the latent sites in this run and those before it, if values are given to any.
  var names: Set<String> = []
  /// The greatest number of runs.
  let limit: Int

  /// The first run.
  init(limit: Int) { self.init(prescribed: [], limit: limit) }

  private init(prescribed: [Int], limit: Int) {
    self.prescribed = prescribed
    self.limit = limit
  }

  /// The value of the next site.
  ///
  /// - Throws: `CoixError.site(name:reason:)` if there are not finitely many;
  ///   `CoixError.tooManyAssignments(limit:)`.
  mutating func take(_ name: String, _ distribution: some Distribution) throws -> Tensor {
    guard let support = distribution.finiteSupport, let first = support.points.first else {
      throw CoixError.site(name: name, reason: "its distribution has no finite support to enumerate")
    }
    _ = try first.validated()
    guard let count = support.count, count <= limit else {
      throw CoixError.tooManyAssignments(limit: limit)
    }
    let number = turns.count < prescribed.count ? prescribed[turns.count] : 0
    turns.append(Turn(number: number, count: count))
    return support.value(number)
  }

  /// The run that comes after this one, which is over; nil after the last: depth first, the last site's value
  /// changes fastest.
  ///
  /// What comes before the site that changes is as it was, so that a later site's support may depend on it.
  var next: SupportPath? {
    guard let last = turns.lastIndex(where: { $0.number + 1 < $0.count }) else { return nil }
    var next = SupportPath(
      prescribed: turns[..<last].map(\.number) + [turns[last].number + 1], limit: limit)
    next.names = names
    return next
  }
}
