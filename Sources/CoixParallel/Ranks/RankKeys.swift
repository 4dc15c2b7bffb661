import Synchronization

/// The keys that a rank has evaluated with since the ranks last met, as a number that they compare when they meet again.
struct RankKeys {
  private var form = RankForm()
  /// How many evaluations and steps are under way, each within the one before.
  private var depth = 0

  /// Notes that something is evaluated with a key. Keys of what is evaluated within it are not compared.
  mutating func begin(_ key: PRNGKey) {
    if depth == 0 { key.add(to: &form) }
    depth += 1
  }

  /// Notes that the last thing that has begun is over.
  mutating func end() { depth -= 1 }

  /// The number, which then begins anew.
  mutating func take() -> UInt64 {
    defer { form = RankForm() }
    return form.value
  }
}

extension Ranks {
  /// Evaluates something with a key, which must be the same on all ranks: they compare it when they next meet.
  ///
  /// A recorded step's key stands for those of the evaluations within it, which don't run where the step is replayed.
  package func evaluating<Result>(with key: PRNGKey, _ body: () throws -> Result) rethrows -> Result {
    guard count > 1 else { return try body() }
    keys.withLock { $0.begin(key) }
    defer { keys.withLock { $0.end() } }
    return try body()
  }
}
