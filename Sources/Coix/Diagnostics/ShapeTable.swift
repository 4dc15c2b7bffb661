import CoixParallel

extension Trace {
  /// The sites' shapes as a table, one line a site in the order in which they ran:
  ///
  /// ```
  /// plates: "particle" of 3 × "instance" of 4
  /// site  observed  value      batch   local  event  log-prob
  /// z               [3, 4, 2]  [3, 4]  []     [2]    [3, 4]
  /// x     yes       [3, 4, 5]  [3, 4]  [5]    []     [3, 4, 5]
  /// ```
  ///
  /// A value's shape is its batch (the plates around the program), local plates and event; a
  /// log-probability's the first two.
  public var shapeTable: String {
    let heading = ["site", "observed", "value", "batch", "local", "event", "log-prob"]
    let rows = sites.map { site in
      let value = site.value.shape
      let batch = min(plates.count, value.rank)
      let event = max(0, min(site.eventRank, value.rank - batch))
      return [
        site.name, site.isObserved ? "yes" : "", value.description, value.leading(batch).description,
        value.leading(value.rank - event).dropping(batch).description,
        value.dropping(value.rank - event).description, site.logProb.shape.description,
      ]
    }
    let widths = heading.indices.map { column in
      ([heading] + rows).map { $0[column].count }.max() ?? 0
    }
    let lines = ([heading] + rows).map { row in
      var line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
        .joined(separator: "  ")
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }
    let names = plates.isEmpty ? "none" : plates.map(\.description).joined(separator: " × ")
    return (["plates: \(names)"] + lines).joined(separator: "\n")
  }
}
