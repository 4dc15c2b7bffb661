import CoixKernels
import Foundation
import Testing

@Suite struct MachineTests {
  @Test func theInstructionSetIsOneOfThree() {
    #expect(["avx512", "avx2", "baseline"].contains(String(cString: coix_instruction_set())))
  }

  /// The environment lowers the choice: run the tests with COIX_INSTRUCTION_SET=baseline or avx2 to test the
  /// other copies.
  @Test func theEnvironmentLowersTheChoice() {
    let ranks = ["baseline": 0, "avx2": 1, "avx512": 2]
    let chosen = String(cString: coix_instruction_set())
    guard let wish = ProcessInfo.processInfo.environment["COIX_INSTRUCTION_SET"], let most = ranks[wish]
    else { return }
    #expect(ranks[chosen, default: 9] <= most)
  }

  @Test func kernelsAreOptimisedInDebugBuildsToo() {
    #expect(coix_is_optimised() == 1)
  }

  @Test func eachThreadHasItsOwnSlot() async {
    var here = 1
    withUnsafeMutablePointer(to: &here) { pointer in
      coix_set_thread_slot(pointer)
      defer { coix_set_thread_slot(nil) }
      #expect(coix_get_thread_slot() == UnsafeMutableRawPointer(pointer))
      let thread = Thread {
        #expect(coix_get_thread_slot() == nil)
      }
      thread.start()
      while !thread.isFinished { Thread.sleep(forTimeInterval: 0.001) }
    }
    #expect(coix_get_thread_slot() == nil)
  }
}
