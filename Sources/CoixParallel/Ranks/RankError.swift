import Foundation

/// A rank's error on its way to the others.
struct RankError: Codable {
  private let error: CoixError?
  private let differs: Bool
  private let text: String

  init(_ error: any Error) {
    let difference = error as? ChunksDiffer
    self.error = difference?.error ?? error as? CoixError
    differs = difference != nil
    text = "\(error)"
  }

  /// The error as the other ranks throw it: a ``CoixError`` as it was, what else a program has thrown as its text.
  func thrown(by rank: Int) -> any Error {
    guard let error else { return CoixError.otherRank(rank, "has failed: \(text)") }
    return differs ? ChunksDiffer(error: error) : error
  }

  /// Whether an error says that ranks have lost each other, or what has become of another one. Behind such an error is
  /// mostly another rank's own.
  static func isOfLostRanks(_ error: any Error) -> Bool {
    switch error as? CoixError {
    case .ranks?, .otherRank?: true
    default: false
    }
  }

  /// A property list, since that has numbers that are not finite.
  func encoded() throws -> Data {
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    return try encoder.encode(self)
  }

  init(decoding data: Data) throws { self = try PropertyListDecoder().decode(RankError.self, from: data) }
}

extension RankNotice.Status {
  /// How a part of some work has ended that has thrown an error.
  init(_ error: any Error) {
    switch error {
    case is ChunkOutgrown: self = .outgrown
    case is CancellationError: self = .cancelled
    default: self = .failed
    }
  }
}
