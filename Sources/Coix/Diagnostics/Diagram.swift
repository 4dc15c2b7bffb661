/// The language of a diagram.
public enum DiagramFormat: String, CaseIterable, Sendable {
  /// Mermaid's flowcharts, which Markdown viewers draw: https://mermaid.js.org/syntax/flowchart.html
  case mermaid
  /// Graphviz's DOT: https://graphviz.org/doc/info/lang.html
  case dot
}

/// A diagram of a program: a node for each combinator, plate, kernel and model, numbered from the outermost
/// one on, and an edge to each of its parts, labelled with the part's role.
///
/// ```swift
/// print(try diagram(of: propose(particles(decoder.named("decoder")), particles(encoder.named("encoder"))), as: .mermaid))
/// ```
///
/// A ``foriLoop(_:initial:body:)`` is shown with its initial program and its first round. Nothing is
/// evaluated.
///
/// - Throws: what the body of a loop throws.
public func diagram(of program: some InferenceProgram, as format: DiagramFormat) throws -> String {
  var lines: [String] = [format.header]
  // Parts wait on a list, so that programs may be nested as deep as memory allows.
  var waiting: [(part: ProgramOutline.Part, parent: Int?)] = [(.init(program.node), nil)]
  var count = 0
  while let (part, parent) = waiting.popLast() {
    guard let outline = try part.program.emitter?.outline() else { continue }
    lines.append(format.node(count, outline.title))
    if let parent { lines.append(format.edge(parent, count, part.role)) }
    for inner in outline.parts.reversed() { waiting.append((inner, count)) }
    count += 1
  }
  if let footer = format.footer { lines.append(footer) }
  return lines.joined(separator: "\n") + "\n"
}

extension DiagramFormat {
  fileprivate var header: String {
    switch self {
    case .mermaid: "flowchart TD"
    case .dot: "digraph program {\n  node [shape=box]"
    }
  }

  fileprivate var footer: String? { self == .dot ? "}" : nil }

  fileprivate func node(_ number: Int, _ title: String) -> String {
    switch self {
    case .mermaid: "  n\(number)[\(quoted(title))]"
    case .dot: "  n\(number) [label=\(quoted(title))]"
    }
  }

  fileprivate func edge(_ from: Int, _ to: Int, _ role: String?) -> String {
    switch self {
    case .mermaid: "  n\(from) -->\(role.map { "|\(quoted($0))|" } ?? "") n\(to)"
    case .dot: "  n\(from) -> n\(to)\(role.map { " [label=\(quoted($0))]" } ?? "")"
    }
  }

  /// Text in quotes, on one line.
  private func quoted(_ text: String) -> String {
    var result = "\""
    for character in text {
      switch (self, character) {
      case (_, _) where character.isNewline: result += " "
      // Mermaid's own entities; `&`, `<` and `>` would be read as HTML, and "#" would start another one.
      case (.mermaid, "\""): result += "#quot;"
      case (.mermaid, "#"): result += "#35;"
      case (.mermaid, "&"): result += "#amp;"
      case (.mermaid, "<"): result += "#lt;"
      case (.mermaid, ">"): result += "#gt;"
      case (.mermaid, "`"): result += "#96;"
      case (.dot, "\""): result += "\\\""
      case (.dot, "\\"): result += "\\\\"
      default: result.append(character)
      }
    }
    return result + "\""
  }
}
