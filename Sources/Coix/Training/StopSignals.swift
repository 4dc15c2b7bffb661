import Foundation
import Synchronization

/// Takes notice of SIGINT and SIGTERM instead of ending the process, once each: a second one ends it.
///
/// Signals belong to the process. Where several trainings take notice of them at a time, all of them stop.
final class StopSignals {
  /// The signal that came last, or 0. A signal handler can do nothing but set it.
  private static let lastReceived = Atomic<Int32>(0)
  private static let signals = [SIGINT, SIGTERM]
  private var former: [sigaction] = []

  /// Takes notice from now on.
  init() {
    Self.lastReceived.store(0, ordering: .relaxed)
    for signal in Self.signals {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { StopSignals.lastReceived.store($0, ordering: .relaxed) }
      // With SA_RESETHAND, the next signal of the kind does what it does by default.
      action.sa_flags = SA_RESTART | Int32(bitPattern: UInt32(SA_RESETHAND))
      var before = sigaction()
      sigaction(signal, &action, &before)
      former.append(before)
    }
  }

  /// Gives the signals back to those who had them before.
  func stop() {
    for (signal, action) in zip(Self.signals, former) {
      var action = action
      sigaction(signal, &action, nil)
    }
    former = []
  }

  deinit { stop() }

  /// The signal that has come; nil if there was none.
  var received: Int32? {
    let signal = Self.lastReceived.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }
}
