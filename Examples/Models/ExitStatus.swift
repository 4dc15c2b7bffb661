import Coix

extension CoixError {
  /// What a command ends with when this error ends it: as `sysexits.h` has it.
  public var exitStatus: Int32 {
    switch self {
    case .threads, .argument, .memoryBudget: 64  // EX_USAGE
    case .file: 65  // EX_DATAERR
    case .memory: 71  // EX_OSERR
    default: 70  // EX_SOFTWARE
    }
  }
}
