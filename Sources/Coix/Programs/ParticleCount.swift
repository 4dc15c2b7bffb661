/// How many particles ``resample(_:count:scheme:when:)`` draws.
public enum ParticleCount: Sendable, ExpressibleByIntegerLiteral {
  /// As many as there are.
  case same
  /// This many.
  case exactly(Int)
  /// One, and no particle axis any more: programs after it stand in the plates of the instances alone.
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
