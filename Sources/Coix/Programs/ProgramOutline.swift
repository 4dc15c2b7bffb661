/// What a program looks like from outside: for diagrams.
struct ProgramOutline {
  /// A program within it.
  struct Part {
    let program: ProgramNode
    /// What it is there for; nil where there is only one.
    let role: String?

    init(_ program: ProgramNode, _ role: String? = nil) {
      self.program = program
      self.role = role
    }
  }

  /// The combinator, with those arguments that differ from the usual ones.
  var title: String
  /// In the order of its parameters.
  var parts: [Part]

  init(_ title: String, _ parts: [Part] = []) {
    self.title = title
    self.parts = parts
  }
}
