/// How long a rank waits for the others where the program doesn't say it.
struct RankTimeout {
  static let standard = Duration.seconds(600)
  let duration: Duration

  /// - Parameter text: a number of seconds; nil or empty for the standard.
  /// - Throws: ``CoixError/argument(_:)``.
  init(text: String?) throws(CoixError) {
    guard let text, !text.isEmpty else {
      duration = Self.standard
      return
    }
    // Up to thirty years, so that no sum of times is too large.
    guard let seconds = Double(text), seconds > 0, seconds <= 1e9 else {
      throw .argument(
        "COIX_RANK_TIMEOUT is \"\(text)\"; it must be a number of seconds above 0, such as 600")
    }
    duration = .seconds(seconds)
  }
}
