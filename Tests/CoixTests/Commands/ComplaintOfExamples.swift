import Coix
import Foundation
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

/// `examples` as a process.
///
/// - Parameters:
///   - output: where its standard output goes; its standard error is a pipe.
///   - budget: what `COIX_MEMORY_BUDGET` is.
func processOfExamples(_ arguments: [String], output: Any?, budget: String? = nil) -> Process {
  let process = Process()
  process.executableURL = Bundle.module.bundleURL.deletingLastPathComponent().appending(path: "examples")
  process.arguments = arguments
  process.environment = ProcessInfo.processInfo.environment
  process.environment?["COIX_MEMORY_BUDGET"] = budget
  process.standardOutput = output
  process.standardError = Pipe()
  return process
}

extension Process {
  /// What the process says on standard error until it ends, and its status.
  func end() throws -> (errors: String, status: Int32) {
    let errors = try (standardError as? Pipe)?.fileHandleForReading.readToEnd()
    waitUntilExit()
    return (String(decoding: errors ?? Data(), as: UTF8.self), terminationStatus)
  }
}

/// What a process of `examples` says on standard error, and its status.
func runExamples(
  _ arguments: [String], output: Any? = FileHandle.nullDevice, budget: String? = nil
) throws -> (errors: String, status: Int32) {
  let process = processOfExamples(arguments, output: output, budget: budget)
  try process.run()
  return try process.end()
}
