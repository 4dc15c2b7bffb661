import CoixParallel

/// Throws unless there are targets, and lists of programs for the steps between them are one shorter.
func requireSteps(_ algorithm: String, targets: Int, _ lists: KeyValuePairs<String, Int> = [:]) throws {
  guard targets >= 1 else {
    throw CoixError.argument("\(algorithm): needs at least one target, has \(targets)")
  }
  for (name, count) in lists where count != targets - 1 {
    throw CoixError.argument(
      "\(algorithm): \(name) must be one fewer than targets; there are \(count), and \(targets) targets")
  }
}
