import CoixKernels

/// Operations some of whose pointers are offsets into an arena that is yet to be made.
struct RelocatableOperations {
  /// A pointer of an operation into the arena; the offset is in bytes.
  private struct Relocation {
    let operation: Int
    let pointer: Int
    let offset: Int
  }

  private(set) var operations: [Operation] = []
  private var relocations: [Relocation] = []
  let arenaBytes: Int

  init(arenaBytes: Int) { self.arenaBytes = arenaBytes }

  /// Adds an operation, with the numbers of its pointers into the arena and their offsets in bytes.
  mutating func append(_ operation: Operation, _ offsets: [(pointer: Int, offset: Int)]) {
    for (pointer, offset) in offsets {
      relocations.append(Relocation(operation: operations.count, pointer: pointer, offset: offset))
    }
    operations.append(operation)
  }

  /// Changes the pointers to what has moved.
  ///
  /// - Parameter target: the new address of an address; nil for what stays.
  mutating func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    for index in operations.indices { operations[index].movePointers(target) }
  }

  /// The operations with the pointers of an arena.
  func placed(in arena: UnsafeMutableRawPointer) -> [Operation] {
    var placed = operations
    for relocation in relocations {
      placed[relocation.operation].setPointer(relocation.pointer, to: arena + relocation.offset)
    }
    return placed
  }
}
