import Foundation

/// How many inputs a fuzz target tries: `COIX_FUZZ_RUNS` if it is set, else as many as take a second or so.
func fuzzRuns(_ count: Int) -> Int {
  ProcessInfo.processInfo.environment["COIX_FUZZ_RUNS"].flatMap { Int($0) } ?? count
}
