/// The row at which an evaluation met an invalid number.
public struct RowLocation: Hashable, Codable, Sendable {
  /// The row of one of the plates that the number belongs to.
  public struct PlateRow: Hashable, Codable, Sendable {
    /// The plate's name.
    public let plate: String
    /// The row, from 0; where a plate is some rows of a larger one, the row there.
    public let row: Int
  }

  /// The number, from 1, of the stage in which it happened: a pass of the evaluation over the particles. nil
  /// if it is not known yet.
  public private(set) var stage: Int?
  /// The row's number among those that are evaluated, counted through all plates that it belongs to, the outermost slowest.
  public let row: Int
  /// The same row, plate by plate, the outermost first.
  public private(set) var plates: [PlateRow] = []

  /// A row whose stage and plates are not known yet.
  package init(row: Int) { self.row = row }

  fileprivate func located(stage: Int, _ plates: [Plate]) -> RowLocation {
    guard self.stage == nil else { return self }
    var result = self
    result.stage = stage
    var rest = row
    for plate in plates.reversed() {
      let row = (plate.part?.start ?? 0) + rest % max(plate.count, 1)
      result.plates.insert(PlateRow(plate: plate.name, row: row), at: 0)
      rest /= max(plate.count, 1)
    }
    return result
  }

  /// The row of each plate: "particle 3, instance 0".
  var rows: String { plates.map { "\($0.plate) \($0.row)" }.joined(separator: ", ") }

  /// A message with the place around it: "stage 2: … (particle 3, instance 0)".
  func message(_ text: String) -> String {
    "\(stage.map { "stage \($0): " } ?? "")\(text)\(rows.isEmpty ? "" : " (\(rows))")"
  }
}

extension CoixError {
  /// The row that the error is about; nil if it is about no single one.
  package var location: RowLocation? {
    switch self {
    case .notANumber(_, let location), .parameter(_, _, _, _, let location): location
    default: nil
    }
  }

  /// The same error, with its row given by stage and plates.
  package func located(stage: Int, _ plates: [Plate]) -> CoixError {
    switch self {
    case .notANumber(let source, let location):
      .notANumber(source: source, at: location.located(stage: stage, plates))
    case .parameter(let site, let parameter, let requirement, let value, let location):
      .parameter(
        site: site, parameter: parameter, requirement: requirement, value: value,
        at: location.located(stage: stage, plates))
    case .weights(let instance, let reason):
      .weights(instance: instance.located(stage: stage, Array(plates.dropFirst())), reason: reason)
    case .atSite(let name, let error): .atSite(name: name, error: error.located(stage: stage, plates))
    default: self
    }
  }
}
