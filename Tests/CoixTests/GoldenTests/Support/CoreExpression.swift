/// An expression of the file `core`: programs put together from definitions by combinators, in Python's
/// notation.
indirect enum CoreExpression: Equatable, Sendable {
  case name(String)
  case number(Int)
  case flag(Bool)
  /// `()`
  case empty
  case call(String, [Argument])

  struct Argument: Equatable, Sendable {
    let label: String?
    let value: CoreExpression
  }

  init(parsing text: String) throws {
    var parser = CoreParser(text)
    self = try parser.whole()
  }

  /// Everything that is called, here and within.
  var calls: Set<String> {
    guard case .call(let function, let arguments) = self else { return [] }
    return arguments.reduce([function]) { $0.union($1.value.calls) }
  }

  /// The definitions that are named, here and within.
  var names: Set<String> {
    switch self {
    case .name(let name): [name]
    case .call(_, let arguments): arguments.reduce([]) { $0.union($1.value.names) }
    default: []
    }
  }
}

private struct CoreParser {
  private let text: String
  private let tokens: [String]
  private var position = 0

  init(_ text: String) {
    self.text = text
    var tokens: [String] = []
    var isWord = false
    for character in text {
      let continuesWord = character.isLetter || character.isNumber || character == "_" || character == "-"
      if continuesWord && isWord {
        tokens[tokens.count - 1].append(character)
      } else if !character.isWhitespace {
        tokens.append(String(character))
      }
      isWord = continuesWord
    }
    self.tokens = tokens
  }

  private var next: String? { position < tokens.count ? tokens[position] : nil }

  private mutating func take(_ token: String) -> Bool {
    guard next == token else { return false }
    position += 1
    return true
  }

  private func failure() -> GoldenError {
    GoldenError("cannot read the expression \(text) from token \(position)")
  }

  mutating func whole() throws -> CoreExpression {
    let expression = try expression()
    guard next == nil else { throw failure() }
    return expression
  }

  private mutating func expression() throws -> CoreExpression {
    if take("(") {
      guard take(")") else { throw failure() }
      return .empty
    }
    guard let word = next, word.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }) else {
      throw failure()
    }
    position += 1
    if let number = Int(word) { return .number(number) }
    if word == "True" || word == "False" { return .flag(word == "True") }
    return take("(") ? .call(word, try arguments()) : .name(word)
  }

  private mutating func arguments() throws -> [CoreExpression.Argument] {
    var arguments: [CoreExpression.Argument] = []
    if take(")") { return arguments }
    repeat {
      var label: String?
      if position + 1 < tokens.count, tokens[position + 1] == "=" {
        label = tokens[position]
        position += 2
      }
      arguments.append(.init(label: label, value: try expression()))
    } while take(",")
    guard take(")") else { throw failure() }
    return arguments
  }
}
