import ArgumentParser

/// The numbers of threads to measure at.
public enum ThreadCounts: ExpressibleByArgument, Equatable, Sendable {
  /// 1, 2, 4, … and this number.
  case upTo(Int)
  /// These, in their order.
  case list([Int])

  /// Reads `16` or `1,2,4`; nil for anything else.
  public init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    let counts = parts.compactMap(\.self)
    guard !counts.isEmpty, counts.count == parts.count else { return nil }
    self = counts.count == 1 ? .upTo(counts[0]) : .list(counts)
  }

  /// The numbers: at least one of them, not checked to be sensible. With `exact` a single number stands for
  /// itself alone.
  public func counts(exact: Bool = false) -> [Int] {
    switch self {
    case .list(let counts): counts
    case .upTo(let most): exact ? [most] : (0..<62).map { 1 << $0 }.prefix { $0 < most } + [most]
    }
  }
}
