import CoixParallel

/// What is checked of distributions' parameters and of values.
enum CheckLevel: Comparable {
  /// Parameters that are the same for all rows.
  case uniformParameters
  /// All parameters and values, where weights have no meaning and the reason is looked for.
  case sources
  /// Log-probabilities, too.
  case everything
}

extension Recorder {
  /// Looks at a site's parameters, and at its value if more than parameters is checked.
  func check(
    _ name: String, _ value: Tensor, _ distribution: some Distribution, isObserved: Bool,
    in context: ExecutionContext?
  ) {
    // What is the same for all rows, the first chunk looks at; and one that is recorded, since a step that is
    // replayed may have other parameters.
    guard checks > .uniformParameters || context?.firstRow ?? 0 == 0 || context?.isRecorded ?? false else {
      return
    }
    for parameter in distribution.parameters where isChecked(parameter.tensor) {
      if let range = parameter.requirement.range, parameter.tensor.isWithin(range) { continue }
      if let (row, number) = parameter.tensor.firstRow(where: { !parameter.requirement.holds(for: $0) }) {
        remember(
          .parameter(
            site: name, parameter: parameter.name, requirement: parameter.requirement.rawValue,
            value: number, at: RowLocation(row: row)),
          isOfNaN: number.isNaN)
      }
    }
    guard checks > .uniformParameters else { return }
    checkForNaN(
      distribution.counted(value), "the \(isObserved ? "observed " : "")value of site \"\(name)\"")
  }

  private func isChecked(_ parameter: Tensor) -> Bool {
    checks > .uniformParameters
      || (!parameter.isBatched && parameter.shape.elementCount <= Self.mostChecked)
  }

  /// Uniform parameters of more numbers are checked on demand only.
  private static let mostChecked = 1 << 12

  /// Remembers an error if there is a NaN in a tensor.
  func checkForNaN(_ tensor: Tensor, _ source: @autoclosure () -> String) {
    guard let (row, _) = tensor.firstRow(where: \.isNaN) else { return }
    remember(.notANumber(source: source(), at: RowLocation(row: row)), isOfNaN: true)
  }

  /// Remembers what a check has found. If it is a NaN, and there is one in the chunk's input, that is where
  /// it comes from.
  private func remember(_ failure: CoixError, isOfNaN: Bool) {
    remember((isOfNaN ? ExecutionContext.current?.brokenInput : nil) ?? failure)
  }
}
