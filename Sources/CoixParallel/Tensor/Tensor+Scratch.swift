// Memory for what operations compute on the way and no program sees: row numbers, and sums in double.

extension Tensor {
  /// Room for `count` numbers in double; nil if there is no memory for it.
  init?(undefinedDoubles count: Int) { self.init(undefined: Shape(2 * count)) }

  /// Calls `body` with the memory of ``init(undefinedDoubles:)``.
  func withDoubles<Result>(_ body: (UnsafeMutablePointer<Double>) -> Result) -> Result {
    pointer.withMemoryRebound(to: Double.self, capacity: storage.capacity / 2, body)
  }

  /// Positions along an axis; nil if there is no memory for them.
  init?(positions: some Collection<Int32>) {
    self.init(undefined: Shape(positions.count))
    write { _ in
      withPositions { target in
        for (place, position) in positions.enumerated() { target[place] = position }
      }
    }
  }

  /// Calls `body` with the memory of ``init(positions:)``.
  func withPositions<Result>(_ body: (UnsafeMutablePointer<Int32>) -> Result) -> Result {
    pointer.withMemoryRebound(to: Int32.self, capacity: storage.capacity, body)
  }
}
