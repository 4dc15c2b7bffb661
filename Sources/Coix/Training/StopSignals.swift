import Foundation
import Synchronization

/// Takes notice of SIGINT and SIGTERM instead of ending the process, once each: a second one ends it.
///
/// Signals belong to the process. Where several trainings take notice of them at a time, all of them stop.
package final class StopSignals {
  /// The signal that came last, or 0. A signal handler can do nothing but set it.
  private static let lastReceived = Atomic<Int32>(0)
  private static let signals = [SIGINT, SIGTERM]
  /// How many take notice, and what was done with the signals before.
  private static let users = Mutex<(count: Int, former: [sigaction])>((0, []))

  private var formerMask = sigset_t()
  private var isOn = true

  /// Takes notice from now on, on the thread that calls.
  package init() {
    // A process inherits the mask of the thread that started it, and Dispatch's threads block all signals.
    var mask = sigset_t()
    sigemptyset(&mask)
    for signal in Self.signals { sigaddset(&mask, signal) }
    Self.users.withLock { users in
      users.count += 1
      guard users.count == 1 else { return }
      Self.lastReceived.store(0, ordering: .relaxed)
      users.former = Self.signals.map { signal in
        var (action, former) = (sigaction(), sigaction())
        action.__sigaction_handler.sa_handler = { StopSignals.lastReceived.store($0, ordering: .relaxed) }
        // With SA_RESETHAND, the next signal of the kind does what it does by default.
        action.sa_flags = SA_RESTART | Int32(bitPattern: UInt32(SA_RESETHAND))
        sigaction(signal, &action, &former)
        return former
      }
    }
    pthread_sigmask(SIG_UNBLOCK, &mask, &formerMask)
  }

  /// Takes no more notice. The last one gives the signals back to those who had them before.
  package func stop() {
    guard isOn else { return }
    isOn = false
    pthread_sigmask(SIG_SETMASK, &formerMask, nil)
    Self.users.withLock { users in
      users.count -= 1
      guard users.count == 0 else { return }
      for (signal, former) in zip(Self.signals, users.former) {
        var former = former
        sigaction(signal, &former, nil)
      }
    }
  }

  /// The signal that has come; nil if there was none.
  package var received: Int32? {
    let signal = Self.lastReceived.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }
}
