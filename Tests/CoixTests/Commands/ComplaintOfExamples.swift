import Coix
import examples

/// What `examples` says about its arguments or its run; empty if all goes well.
func complaintOfExamples(_ arguments: [String]) -> String {
  do {
    var command = try Examples.command(arguments)
    try command.run()
    return ""
  } catch let error as CoixError {
    return error.description
  } catch {
    return Examples.message(for: error)
  }
}
