import CoixKernels

/// The values of a recording: which operations write and read them, and what follows from that.
///
/// A value is a buffer that was made while the chunk was recorded; its number is that of the buffer in
/// ``Recording/storages``. Memory that was there before has no number.
struct RecordedValues {
  /// What a pointer of an operation points to: a value and an offset in bytes; value -1 for other memory.
  struct Place {
    let value: Int
    let offset: Int
  }

  private let operations: [Operation]
  private let storages: [Storage]
  /// The values in the order of their addresses, which are kept beside them.
  private let order: [(address: UInt, value: Int)]
  /// For each operation, the places of its pointers: those that it writes, then those that it reads.
  private let allPlaces: [Place]
  private let firstPlaces: [Int]
  /// By operation: whether what it computes differs from chunk to chunk. By value: whether any operation that
  /// writes it is such an operation.
  private var operationVaries: [Bool]
  private var valueVaries: [Bool]
  /// Whether every value that is read was written by an operation, or is a constant.
  private(set) var areComplete = true

  init(_ recording: Recording) {
    operations = recording.operations
    self.storages = recording.storages
    let storages = recording.storages
    let order = storages.indices.map { (UInt(bitPattern: storages[$0].pointer), $0) }
      .sorted { $0.0 < $1.0 }
    self.order = order
    var (places, firsts): ([Place], [Int]) = ([], [])
    places.reserveCapacity(4 * operations.count)
    firsts.reserveCapacity(operations.count + 1)
    for operation in operations {
      firsts.append(places.count)
      operation.withPointers { pointers in
        for pointer in pointers { places.append(Self.place(of: pointer, order, storages)) }
      }
    }
    firsts.append(places.count)
    (allPlaces, firstPlaces) = (places, firsts)
    operationVaries = Array(repeating: false, count: operations.count)
    valueVaries = Array(repeating: false, count: storages.count)
    findVarying()
    checkWrites(constants: recording.constants)
  }

  private static func place(
    of pointer: UnsafeRawPointer?, _ order: [(address: UInt, value: Int)], _ storages: [Storage]
  ) -> Place {
    guard let pointer else { return Place(value: -1, offset: 0) }
    let address = UInt(bitPattern: pointer)
    // The last value that starts at or before the address.
    var (low, high) = (0, order.count)
    while low < high {
      let middle = (low + high) / 2
      if order[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return Place(value: -1, offset: 0) }
    let found = order[low - 1]
    let offset = Int(address - found.address)
    let bytes = storages[found.value].capacity * MemoryLayout<Float>.stride
    return offset < bytes ? Place(value: found.value, offset: offset) : Place(value: -1, offset: 0)
  }

  /// The places of an operation's pointers: those that it writes, then those that it reads.
  func places(of operation: Int) -> ArraySlice<Place> {
    allPlaces[firstPlaces[operation]..<firstPlaces[operation + 1]]
  }

  private func written(by operation: Int) -> ArraySlice<Place> {
    places(of: operation).prefix(operations[operation].writes)
  }

  private func read(by operation: Int) -> ArraySlice<Place> {
    operations[operation].isUpdate
      ? places(of: operation) : places(of: operation).dropFirst(operations[operation].writes)
  }

  /// The number of the value at an address; -1 if there is none.
  func number(of pointer: UnsafePointer<Float>) -> Int { Self.place(of: pointer, order, storages).value }

  // MARK: What differs from chunk to chunk

  private mutating func findVarying() {
    // A value may be written in parts. If a later part varies, so does the whole.
    var hasChanged = true
    while hasChanged {
      hasChanged = false
      for index in operations.indices {
        let varies =
          operations[index].isPlaced || places(of: index).contains { $0.value >= 0 && valueVaries[$0.value] }
        guard varies else { continue }
        operationVaries[index] = true
        for place in written(by: index) where place.value >= 0 && !valueVaries[place.value] {
          valueVaries[place.value] = true
          hasChanged = true
        }
      }
    }
  }

  private mutating func checkWrites(constants: Set<UnsafeMutablePointer<Float>>) {
    var isWritten = storages.map { constants.contains($0.pointer) }
    for index in operations.indices {
      if read(by: index).contains(where: { $0.value >= 0 && !isWritten[$0.value] }) { areComplete = false }
      for (position, place) in written(by: index).enumerated() {
        if place.value >= 0 {
          isWritten[place.value] = true
        } else if !operations[index].isPlaced && operations[index].withPointers({ $0[position] != nil }) {
          // Nothing but exports may write to memory outside of the chunk.
          areComplete = false
        }
      }
    }
  }

  // MARK: What is needed

  /// By operation: whether it must run for each chunk. Those must that vary and lead to an export, a guard, or
  /// a value that is wanted.
  func liveOperations(wanted: [Int]) -> [Bool] {
    var isLive = Array(repeating: false, count: operations.count)
    var isNeeded = Array(repeating: false, count: storages.count)
    for value in wanted where value >= 0 { isNeeded[value] = true }
    for index in operations.indices.reversed() where operationVaries[index] {
      let leads =
        operations[index].isGuard
        || written(by: index).contains {
          $0.value >= 0 ? isNeeded[$0.value] : operations[index].isUpdate && operations[index].isPlaced
        }
      guard leads else { continue }
      isLive[index] = true
      for place in read(by: index) where place.value >= 0 { isNeeded[place.value] = true }
    }
    return isLive
  }

  /// Where values lie in an arena. Values that are not needed at the same time share their places.
  struct Layout {
    /// By value, in bytes; nil for values that are not in the arena.
    var offsets: [Int?]
    var bytes = 0
  }

  func layout(of isLive: [Bool], wanted: [Int]) -> Layout {
    var lastUse = Array(repeating: -1, count: storages.count)
    for index in operations.indices where isLive[index] {
      for place in places(of: index) where place.value >= 0 { lastUse[place.value] = index }
    }
    for value in wanted where value >= 0 { lastUse[value] = operations.count }
    var layout = Layout(offsets: Array(repeating: nil, count: storages.count))
    var free: [Range<Int>] = []
    for index in operations.indices where isLive[index] {
      for place in places(of: index)
      where place.value >= 0 && valueVaries[place.value] && layout.offsets[place.value] == nil {
        let size = storages[place.value].capacity * MemoryLayout<Float>.stride
        layout.offsets[place.value] = Self.take(size, from: &free, &layout.bytes)
      }
      for place in places(of: index) where place.value >= 0 && lastUse[place.value] == index {
        guard let offset = layout.offsets[place.value] else { continue }
        lastUse[place.value] = -1
        let size = storages[place.value].capacity * MemoryLayout<Float>.stride
        Self.give(offset..<offset + size, to: &free)
      }
    }
    return layout
  }

  /// The first free range of a size, or a new one at the end.
  private static func take(_ size: Int, from free: inout [Range<Int>], _ end: inout Int) -> Int {
    if let index = free.firstIndex(where: { $0.count >= size }) {
      let start = free[index].lowerBound
      if free[index].count == size {
        free.remove(at: index)
      } else {
        free[index] = start + size..<free[index].upperBound
      }
      return start
    }
    defer { end += size }
    return end
  }

  /// Makes a range free; ranges that touch become one.
  private static func give(_ range: Range<Int>, to free: inout [Range<Int>]) {
    var index = free.firstIndex { $0.lowerBound > range.lowerBound } ?? free.count
    free.insert(range, at: index)
    if index + 1 < free.count, free[index].upperBound == free[index + 1].lowerBound {
      free[index] = free[index].lowerBound..<free.remove(at: index + 1).upperBound
    }
    if index > 0, free[index - 1].upperBound == free[index].lowerBound {
      index -= 1
      free[index] = free[index].lowerBound..<free.remove(at: index + 1).upperBound
    }
  }
}
