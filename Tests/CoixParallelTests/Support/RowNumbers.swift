@testable import CoixParallel

extension RowIndex {
  /// An index by hand.
  convenience init(_ rows: [Int32]) throws {
    try self.init(count: rows.count, for: "a test") { Int(rows[$0]) }
  }

  /// The row numbers.
  var array: [Int32] { get throws { try Array(rows) } }
}

extension Array where Element: BitwiseCopyable & Sendable {
  /// Numbers that are kept outside of tensors.
  init(_ numbers: Numbers<Element>) {
    self = Array(UnsafeBufferPointer(start: numbers.pointer, count: numbers.count))
  }
}
