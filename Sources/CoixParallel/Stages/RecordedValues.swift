import CoixKernels
import Foundation

/// The values of a recording: which operations write and read them, and what follows from that.
///
/// A value is a buffer that was made while the recording was on; its number is that of the buffer in
/// ``Recording/buffers``. Memory that was there before has no number.
struct RecordedValues {
  /// What makes a difference when the recording is replayed.
  enum Variation {
    /// The rows of the chunk.
    case rows
    /// The numbers at some addresses.
    case inputs([UnsafeRawPointer])
  }

  /// What a pointer of an operation points to: a value and an offset in bytes; value -1 for other memory.
  struct Place {
    let value: Int
    let offset: Int
    static let elsewhere = Place(value: -1, offset: 0)
  }

  private let operations: [Operation]
  /// By value: where it was recorded, and its size in bytes.
  private let addresses: [UnsafeMutableRawPointer]
  private let sizes: [Int]
  /// The values in the order of their addresses, which are kept beside them.
  private let order: [(address: UInt, value: Int)]
  /// For each operation, the places of its pointers: those that it writes, then those that it reads.
  private var allPlaces: [Place] = []
  private var firstPlaces: [Int] = []
  private var writeCounts: [Int] = []
  /// The calls between operations, and for each the places of what it writes and then reads. It may read less when it
  /// is known what is needed: see ``liveOperations(wanted:exports:)``.
  private let calls: [any RecordedCall]
  private var callPlaces: [(writes: [Place], reads: [Place])] = []
  /// By operation: whether what it computes varies. By value: whether any operation that writes it is such an
  /// operation.
  private var operationVaries: [Bool]
  private var valueVaries: [Bool]
  /// By value: whether it keeps the address that it was recorded with.
  private var isFixed: [Bool]
  /// By value: the value that stands for it, which has the same numbers; itself for most.
  private var standIns: [Int]
  /// By operation: whether an earlier one has computed the same.
  private var isRepeated: [Bool]
  /// Whether the operations say all that was computed.
  private(set) var areComplete = true

  /// - Parameter pinned: what must stay at its address, whatever else has the same numbers.
  init(_ recording: Recording, variation: Variation, pinned: [UnsafeRawPointer] = []) {
    operations = recording.operations
    addresses = recording.buffers.map(\.address)
    sizes = recording.buffers.map(\.bytes)
    calls = recording.calls
    order = recording.buffers.enumerated().map { (UInt(bitPattern: $1.address), $0) }.sorted { $0.0 < $1.0 }
    operationVaries = Array(repeating: false, count: operations.count)
    valueVaries = Array(repeating: false, count: sizes.count)
    isFixed = Array(repeating: false, count: sizes.count)
    standIns = Array(sizes.indices)
    isRepeated = Array(repeating: false, count: operations.count)
    findPlaces()
    findVarying(variation)
    checkWrites(recording, variation)
    for address in pinned {
      let value = number(of: address)
      if value >= 0 { isFixed[value] = true }
    }
    unifyEquals(recording)
  }

  // MARK: Places

  private mutating func findPlaces() {
    allPlaces.reserveCapacity(4 * operations.count)
    firstPlaces.reserveCapacity(operations.count + 1)
    writeCounts.reserveCapacity(operations.count)
    for call in calls {
      callPlaces.append((call.writes.map { place(of: $0) }, call.reads.map { place(of: $0) }))
    }
    for operation in operations {
      firstPlaces.append(allPlaces.count)
      writeCounts.append(operation.writes)
      operation.withPointers { pointers in
        for pointer in pointers { allPlaces.append(place(of: pointer)) }
      }
    }
    firstPlaces.append(allPlaces.count)
  }

  private func place(of pointer: UnsafeRawPointer?) -> Place {
    guard let pointer else { return .elsewhere }
    let address = UInt(bitPattern: pointer)
    // The last value that starts at or before the address.
    var (low, high) = (0, order.count)
    while low < high {
      let middle = (low + high) / 2
      if order[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return .elsewhere }
    let found = order[low - 1]
    let offset = Int(address - found.address)
    return offset < sizes[found.value] ? Place(value: found.value, offset: offset) : .elsewhere
  }

  /// The places of an operation's pointers: those that it writes, then those that it reads.
  func places(of operation: Int) -> ArraySlice<Place> {
    guard !operations[operation].isCall else {
      let places = callPlaces[operations[operation].callNumber]
      return (places.writes + places.reads)[...]
    }
    return allPlaces[firstPlaces[operation]..<firstPlaces[operation + 1]]
  }

  private func written(by operation: Int) -> ArraySlice<Place> {
    operations[operation].isCall
      ? callPlaces[operations[operation].callNumber].writes[...]
      : places(of: operation).prefix(writeCounts[operation])
  }

  private func read(by operation: Int) -> ArraySlice<Place> {
    if operations[operation].isCall { return callPlaces[operations[operation].callNumber].reads[...] }
    return operations[operation].isUpdate
      ? places(of: operation) : places(of: operation).dropFirst(writeCounts[operation])
  }

  /// The number of the value at an address; -1 if there is none.
  func number(of pointer: UnsafeRawPointer) -> Int {
    place(standingFor: pointer).value
  }

  /// Where the numbers at an address are after equal values have been unified.
  private func place(standingFor pointer: UnsafeRawPointer?) -> Place {
    let place = place(of: pointer)
    return place.value < 0 ? place : Place(value: standIns[place.value], offset: place.offset)
  }

  // MARK: What varies

  private mutating func findVarying(_ variation: Variation) {
    var rowsVary = true
    if case .inputs(let addresses) = variation {
      rowsVary = false
      for address in addresses {
        let value = number(of: address)
        if value >= 0 { (valueVaries[value], isFixed[value]) = (true, true) }
      }
    }
    // A value may be written in parts. If a later part varies, so does the whole.
    var hasChanged = true
    while hasChanged {
      hasChanged = false
      for index in operations.indices where !operationVaries[index] {
        let operation = operations[index]
        guard
          operation.isCall || (rowsVary && operation.isPlaced)
            || places(of: index).contains(where: { $0.value >= 0 && valueVaries[$0.value] })
        else { continue }
        (operationVaries[index], hasChanged) = (true, true)
        for place in written(by: index) where place.value >= 0 { valueVaries[place.value] = true }
      }
    }
  }

  /// Whether a value is another one each time.
  func isVarying(_ value: Int) -> Bool { valueVaries[value] }

  /// Whether an operation computes something else each time.
  func varies(_ operation: Int) -> Bool { operationVaries[operation] }

  private mutating func checkWrites(_ recording: Recording, _ variation: Variation) {
    areComplete = !recording.isRefused
    let constantBytes = addresses.map { recording.constants[$0] }
    var isWritten = constantBytes.map { $0 != nil }
    if case .inputs(let addresses) = variation {
      for address in addresses {
        let value = number(of: address)
        if value >= 0 { isWritten[value] = true }
      }
    }
    for index in operations.indices {
      if read(by: index).contains(where: { $0.value >= 0 && !isWritten[$0.value] }) { areComplete = false }
      for (position, place) in written(by: index).enumerated() {
        if place.value >= 0 {
          isWritten[place.value] = true
          // The operation would overwrite, or change once more, what Swift code has written.
          if let bytes = constantBytes[place.value], bytes > 0 { areComplete = false }
        } else if !operations[index].isExport && !operations[index].isCall
          && operations[index].withPointers({ $0[position] != nil })
        {
          // Nothing but what leaves a chunk may be written to memory that was there before.
          areComplete = false
        }
      }
    }
    // What Swift code has read must be the same each time.
    for address in recording.readings {
      let value = number(of: address)
      if value >= 0, valueVaries[value] { areComplete = false }
    }
  }

  // MARK: What is computed twice

  /// What an operation computes: two of the same name give the same numbers.
  private struct Computation: Hashable {
    let kind: [Int]
    let places: [Int]
  }

  /// Lets the first of several equal constants or operations stand for the others.
  private mutating func unifyEquals(_ recording: Recording) {
    // A value that is written once, by Swift code or by an operation, keeps its numbers.
    var writers = addresses.map { recording.constants[$0] == nil ? 0 : 1 }
    for index in operations.indices {
      for place in written(by: index) where place.value >= 0 { writers[place.value] += 1 }
    }
    unifyConstants(recording) { writers[$0] == 1 }
    var known: [Computation: Int] = [:]
    var entry = 0
    for index in operations.indices {
      let operation = operations[index]
      if operation.isEntry { entry = index }
      if operation.isCall {
        unifyPlaces(ofCall: operation.callNumber)
        continue
      }
      let range = firstPlaces[index]..<firstPlaces[index + 1]
      for position in range where allPlaces[position].value >= 0 {
        let place = allPlaces[position]
        allPlaces[position] = Place(value: standIns[place.value], offset: place.offset)
      }
      guard operation.isPure,
        places(of: index).allSatisfy({ $0.value < 0 || writers[$0.value] <= 1 }),
        written(by: index).allSatisfy({ $0.value < 0 || ($0.offset == 0 && !isFixed[$0.value]) })
      else { continue }
      let computation = operation.withPointers { pointers in
        let read = zip(pointers, places(of: index)).dropFirst(operation.writes)
        return Computation(
          kind: operation.words + [operation.isPlaced ? entry : 0]
            + pointers.prefix(operation.writes).map { $0 == nil ? 0 : 1 },
          places: read.flatMap { $1.value < 0 ? [-1, Int(bitPattern: $0)] : [$1.value, $1.offset] })
      }
      guard let first = known[computation] else {
        known[computation] = index
        continue
      }
      isRepeated[index] = true
      for (own, other) in zip(written(by: index), written(by: first)) where own.value >= 0 {
        standIns[own.value] = other.value
      }
    }
  }

  /// Small numbers that Swift code has written, such as a program's literals, are often the same.
  private mutating func unifyConstants(_ recording: Recording, where mayBeUnified: (Int) -> Bool) {
    var known: [Data: Int] = [:]
    for value in addresses.indices where !isFixed[value] && mayBeUnified(value) {
      guard let bytes = recording.constants[addresses[value]], (1...Limits.comparedBytes).contains(bytes)
      else {
        continue
      }
      let numbers = Data(bytes: addresses[value], count: min(bytes, sizes[value]))
      if let first = known[numbers] { standIns[value] = first } else { known[numbers] = value }
    }
  }

  private mutating func unifyPlaces(ofCall number: Int) {
    let reads = callPlaces[number].reads
    callPlaces[number].reads = reads.map { place in
      place.value < 0 ? place : Place(value: standIns[place.value], offset: place.offset)
    }
  }

  // MARK: What is needed

  /// By operation: whether it leads to something that leaves the recording (an export, a value that is wanted),
  /// or decides whether it can be replayed.
  ///
  /// Calls no longer compute what is not needed.
  ///
  /// - Parameter isWanted: whether an export to an address is.
  mutating func liveOperations(
    wanted: [Int], exports isWanted: (UnsafeRawPointer) -> Bool = { _ in true }
  ) -> [Bool] {
    var isLive = Array(repeating: false, count: operations.count)
    var isNeeded = Array(repeating: false, count: sizes.count)
    for value in wanted where value >= 0 { isNeeded[value] = true }
    for index in operations.indices.reversed() where !isRepeated[index] {
      let operation = operations[index]
      let decides = operation.isCall ? calls[operation.callNumber].decides : operation.isGuard
      let leads =
        decides || operation.isEntry
        || written(by: index).contains {
          $0.value >= 0 && isNeeded[$0.value]
        }
        || operation.isExport && exportedAddresses(of: index).contains(where: isWanted)
      guard leads else { continue }
      isLive[index] = true
      if operation.isCall { narrow(call: operation.callNumber, isNeeded) }
      for place in read(by: index) where place.value >= 0 { isNeeded[place.value] = true }
    }
    return isLive
  }

  /// Where an operation writes to memory that was there before the recording.
  private func exportedAddresses(of index: Int) -> [UnsafeRawPointer] {
    operations[index].withPointers { pointers in
      zip(pointers, written(by: index)).compactMap { $1.value < 0 ? $0.map { UnsafeRawPointer($0) } : nil }
    }
  }

  /// Lets a call compute only what is needed.
  private mutating func narrow(call number: Int, _ isNeeded: [Bool]) {
    let call = calls[number]
    call.narrow { address in
      let value = self.number(of: address)
      return value < 0 || isNeeded[value]
    }
    callPlaces[number] = (
      call.writes.map { place(standingFor: $0) }, call.reads.map { place(standingFor: $0) }
    )
  }

  /// The memory from before the recording that some values were computed from.
  func sources(of values: [Int]) -> [UnsafeRawPointer] {
    var isNeeded = Array(repeating: false, count: sizes.count)
    for value in values { isNeeded[value] = true }
    var sources: [UnsafeRawPointer] = []
    for index in operations.indices.reversed()
    where written(by: index).contains(where: { $0.value >= 0 && isNeeded[$0.value] }) {
      for place in read(by: index) where place.value >= 0 { isNeeded[place.value] = true }
      operations[index].withPointers { pointers in
        for (pointer, place) in zip(pointers, places(of: index)) where place.value < 0 {
          if let pointer { sources.append(UnsafeRawPointer(pointer)) }
        }
      }
    }
    return sources
  }

  /// A layout for the values that the given operations write and read, and that vary.
  ///
  /// - Parameter isShared: whether ranks touch their part of each value alone.
  func layout(of isLive: [Bool], wanted: [Int], isShared: Bool = false) -> ArenaLayout {
    var lastUse = Array(repeating: -1, count: sizes.count)
    for index in operations.indices where isLive[index] {
      for place in places(of: index) where place.value >= 0 { lastUse[place.value] = index }
    }
    for value in wanted where value >= 0 { lastUse[value] = operations.count }
    var layout = ArenaLayout(values: sizes.count, keepsSizes: isShared)
    for index in operations.indices where isLive[index] {
      for place in places(of: index)
      where place.value >= 0 && valueVaries[place.value] && !isFixed[place.value]
        && layout.offsets[place.value] == nil
      {
        layout.take(size(place.value), for: place.value)
      }
      for place in places(of: index) where place.value >= 0 && lastUse[place.value] == index {
        lastUse[place.value] = -1
        layout.give(size(place.value), of: place.value)
      }
    }
    return layout
  }

  /// A value's size in an arena, in whole cache lines.
  private func size(_ value: Int) -> Int { (sizes[value] + 63) / 64 * 64 }

  /// The only operation that writes a value, and the number of its pointer to it; nil if there are several, or
  /// some other of the given operations reads the value.
  func soleMention(of value: Int, in isLive: [Bool]) -> (operation: Int, pointer: Int)? {
    var found: (operation: Int, pointer: Int)?
    for index in operations.indices where isLive[index] {
      for (pointer, place) in places(of: index).enumerated() where place.value == value {
        guard found == nil, pointer < writeCounts[index] else { return nil }
        found = (index, pointer)
      }
    }
    return found
  }

  /// The last of the given operations that mentions a value; nil if none does.
  func lastMention(of value: Int, in isLive: [Bool]) -> Int? {
    operations.indices.last { index in isLive[index] && places(of: index).contains { $0.value == value } }
  }

  /// The values that the given operations need besides an arena.
  func fixedValues(of isLive: [Bool], _ layout: ArenaLayout, wanted: [Int]) -> [Int] {
    var isUsed = Array(repeating: false, count: sizes.count)
    for index in operations.indices where isLive[index] {
      for place in places(of: index) where place.value >= 0 { isUsed[place.value] = true }
    }
    for value in wanted where value >= 0 { isUsed[value] = true }
    return sizes.indices.filter { isUsed[$0] && layout.offsets[$0] == nil }
  }

  /// Where the numbers at an address are to be found: in an arena with some layout, or where they were recorded;
  /// nil for memory from before the recording.
  func address(
    of pointer: UnsafeRawPointer, _ layout: ArenaLayout, in arena: UnsafeMutableRawPointer
  ) -> UnsafeMutableRawPointer? {
    let place = place(standingFor: pointer)
    guard place.value >= 0, let offset = layout.offsets[place.value] else { return address(of: place) }
    return arena + offset + place.offset
  }

  /// Where the numbers at an address are that are not in an arena.
  func address(of pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    address(of: place(standingFor: pointer)) ?? pointer
  }

  /// Where a value was recorded.
  private func address(of place: Place) -> UnsafeMutableRawPointer? {
    place.value < 0 ? nil : addresses[place.value] + place.offset
  }

  /// An operation of the recording, which reads what stands for its operands.
  func operation(_ index: Int) -> Operation {
    var operation = operations[index]
    guard !operation.isCall else { return operation }
    for (pointer, place) in places(of: index).enumerated() {
      if let address = address(of: place) { operation.setPointer(pointer, to: address) }
    }
    return operation
  }

  /// Operations of the recording, and their pointers into the arena.
  func relocated(_ numbers: [Int], _ layout: ArenaLayout) -> RelocatableOperations {
    var result = RelocatableOperations(arenaBytes: layout.bytes)
    for index in numbers {
      let places = operations[index].isCall ? [] : places(of: index)
      let offsets = places.enumerated().compactMap { pointer, place in
        (place.value < 0 ? nil : layout.offsets[place.value]).map { (pointer, $0 + place.offset) }
      }
      result.append(operation(index), offsets)
    }
    return result
  }
}
