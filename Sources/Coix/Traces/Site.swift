import CoixParallel

/// One random choice of a program's run.
public struct Site: Sendable {
  /// The site's name, with a `_PREV_` for each composition that made it auxiliary.
  public var name: String { key.text }
  var key: SiteName
  /// The value, `[particles, instances…, local…, event…]`.
  public internal(set) var value: Tensor
  /// The log-probability of the value, `[particles, instances…, local…]`.
  public internal(set) var logProb: Tensor
  /// The number of event axes.
  public let eventRank: Int
  /// Whether the value was observed rather than drawn.
  public let isObserved: Bool
  /// Whether the site ran in a program that a combinator made auxiliary.
  public internal(set) var isSuffixed = false
  /// Whether the value was given by a combinator or by the caller, and not drawn.
  var isGiven = false
  /// Whether the log-weight of a weighted program within this one already contains the site.
  var isWeighed = false

  /// A site made by hand, to use an objective outside of a program.
  public init(
    name: String, value: Tensor, logProb: Tensor, eventRank: Int = 0, isObserved: Bool = false,
    isSuffixed: Bool = false
  ) {
    self.init(SiteName(name), value, logProb, eventRank: eventRank, isObserved: isObserved)
    self.isSuffixed = isSuffixed
  }

  init(_ key: SiteName, _ value: Tensor, _ logProb: Tensor, eventRank: Int = 0, isObserved: Bool = false) {
    self.key = key
    self.value = value
    self.logProb = logProb
    self.eventRank = eventRank
    self.isObserved = isObserved
  }
}
