/// How many particles ``resample(_:count:scheme:when:)`` draws.
public enum ParticleCount: Sendable, ExpressibleByIntegerLiteral {
  /// As many as there are.
  case same
  /// This many.
  case exactly(Int)
  /// One, without a particle axis: what comes after it stands in the instances' plates alone.
  case one

  /// This many.
  public init(integerLiteral count: Int) { self = .exactly(count) }

  func resolved(_ particles: Int) -> Int {
    switch self {
    case .same: particles
    case .exactly(let count): count
    case .one: 1
    }
  }
}
