import Foundation
import Synchronization

/// Runs `body` on a thread with a stack of 512 KiB, what secondary threads have on some systems.
package func onSmallStack(_ body: @escaping @Sendable () throws -> Void) throws {
  let result = Box()
  let done = DispatchSemaphore(value: 0)
  let thread = Thread {
    let outcome = Result { try body() }
    result.content.withLock { $0 = outcome }
    done.signal()
  }
  thread.stackSize = 512 << 10
  thread.start()
  done.wait()
  try result.content.withLock { $0 }?.get()
}

private final class Box: Sendable {
  let content = Mutex<Result<Void, any Error>?>(nil)
}
