/// What each rank tells all others before anything is exchanged.
struct RankNotice: BitwiseCopyable, Sendable {
  /// How often the rank has come to a meeting.
  var number: Int64
  var place: RankPlace
  var status: Status
  /// How much it is: a stage's chunks, a recording's calls, or rows.
  var size: Int64
  /// A number that stands for what the rank has found: ranks go on together where all have the same.
  var form: UInt64
  /// A number that stands for the keys that the rank has evaluated with since it last came to a meeting.
  var keys: UInt64

  /// How a rank's part of some work has ended.
  enum Status: Int32, Sendable {
    case done, outgrown, cancelled, failed
    /// Rows of other ranks are needed before the rest can run; also where something else has failed meanwhile.
    case lacking, lackingAndFailed
  }

  /// Whether two ranks are at the same place of the same program. Where they exchange rows, they must mean the same ones.
  func agrees(with other: RankNotice) -> Bool {
    (place, size, number) == (other.place, other.size, other.number)
      && (place != .rows && place != .weights || form == other.form)
  }

  /// Where a rank is, for messages.
  var text: String { "at \(place.text) (size \(size), meeting \(number))" }
}

/// Where ranks come together.
enum RankPlace: Int32, Sendable {
  case forward, backward, replay, recording, lists, gradients, rows, weights, error, agreement, first, each,
    files, end

  var text: String {
    switch self {
    case .forward: "the end of a stage"
    case .backward: "the end of a stage's way back"
    case .replay: "the end of a recorded stage"
    case .recording: "the end of a recording"
    case .lists: "the lists of a stage's parameters"
    case .gradients: "the gradients of a stage"
    case .rows: "an exchange of rows"
    case .weights: "the weights of all particles"
    case .error: "an error"
    case .agreement: "a number that ranks agree on"
    case .first: "the end of what the first rank does for all"
    case .each: "the end of what each rank does by itself"
    case .files: "a file that ranks write together"
    case .end: "the end of the program"
    }
  }
}
