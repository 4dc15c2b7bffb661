import CoixParallel

/// The local plates around a statement, outermost first.
struct LocalPlates {
  private(set) var sizes = Shape.scalar
  private var names: [String] = []

  mutating func add(_ name: String, _ count: Int, _ recorder: Recorder, _ treatment: SiteTreatment) {
    if count < 1 {
      recorder.remember(.emptyPlate(name: name, count: count))
    } else if names.contains(name) || treatment.plates.contains(where: { $0.name == name }) {
      recorder.remember(
        .illFormedProgram(
          "plate \"\(name)\" stands inside a plate of the same name; nested plates need different ones"))
    }
    let inner = sizes.appending([max(count, 1)])
    guard inner.isValid else {
      return recorder.remember(
        .shape(operation: "plate \"\(name)\"", shapes: [sizes], reason: "too many elements"))
    }
    names.append(name)
    sizes = inner
  }
}
