/// A program's description for diagrams: what it is, and which programs it is made of.
struct ProgramOutline {
  /// A program within it.
  struct Part {
    let program: ProgramNode
    /// Its role in the program around it ("target"); nil where there is only one part.
    let role: String?

    init(_ program: ProgramNode, _ role: String? = nil) {
      self.program = program
      self.role = role
    }
  }

  /// The name of the combinator, with those of its arguments that are not the default.
  var title: String
  /// The programs within it, in the order of the combinator's parameters.
  var parts: [Part]

  init(_ title: String, _ parts: [Part] = []) {
    self.title = title
    self.parts = parts
  }
}
