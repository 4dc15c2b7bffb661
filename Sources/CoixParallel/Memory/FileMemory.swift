import CoixKernels
import Foundation
import Synchronization

/// Memory for floats that lies in a file which nobody else knows by now. The system holds in memory what it has room for, and writes the
/// rest into the file.
///
/// Ranks write a file together: each has the blocks of it that begin in its rows. The other rows are memory of its own, in
/// which it may hold what it gets from others. No two ranks have the same page of a file, so that it doesn't matter whether they
/// share a cache of it.
package final class FileMemory: MemoryOwner, @unchecked Sendable {
  // @unchecked: written as other tensors are. It ends when nobody else refers to it, or by its one call of
  // `close`.

  /// The bytes of the file that are an array's, with what stands before it.
  package let fileBytes: Int
  private let path: String
  private let descriptor: Int32
  private let base: UnsafeMutableRawPointer
  private let mappedBytes: Int
  /// Where the numbers start.
  private let start: Int
  /// The file, and whose rows of it are whose, where ranks write it together.
  private let file: ObjectIdentifier?
  private let shares: RowShares?
  private var unit: Int { shares.map { (fileBytes - start) / max($0.count, 1) } ?? 0 }
  /// The moments of the log-weights that are stored in it, if they are.
  let weights: StoredWeights?

  /// What is stored, by blocks of the file.
  private struct Progress {
    var blocks: StoredBlocks
    /// The last blocks that have begun to go to the disk, in the order in which they did.
    var begun: [Int] = []
  }
  private let progress: Mutex<Progress>

  /// Maps a file of log-weights whose disk space is reserved.
  ///
  /// - Parameters:
  ///   - count: how many log-weights it is to have, at least one.
  ///   - path: the path that it will have.
  ///   - start: where in the file they start: a multiple of 64.
  /// - Throws: ``CoixError/memory(what:bytes:)`` if the system has no addresses for it.
  package convenience init(_ descriptor: Int32, start: Int, logWeights count: Int, for path: String)
    throws(CoixError)
  {
    let bytes = count * MemoryLayout<Float>.stride
    let all = start + Self.padded(bytes)
    try self.init(
      descriptor, 0..<all, of: all, start: start, bytes: bytes, for: path, nil, nil,
      StoredWeights(count: count))
  }

  /// Memory for an array of a shape in a new file. Room on the disk is reserved for this rank's part.
  ///
  /// - Parameters:
  ///   - shares: whose of the array's rows are whose, where ranks write the file together.
  ///   - hasLogWeights: whether they are log-weights.
  /// - Throws: ``CoixError/file(path:reason:)``, for a full disk too; ``CoixError/memory(what:bytes:)``.
  convenience init(_ file: any NewRowFile, shape: Shape, shares: RowShares?, hasLogWeights: Bool = false)
    throws
  {
    let header = file.header(of: shape)
    let bytes = shape.elementCount * MemoryLayout<Float>.stride
    let all = header.count + Self.padded(bytes)
    let own = shares.map {
      Self.blocks($0, start: header.count, unit: bytes / max($0.count, 1), of: all)[$0.ranks.index]
    }
    try file.reserve(own ?? 0..<all, of: all)
    try self.init(
      file.descriptor, own ?? 0..<all, of: all, start: header.count, bytes: bytes, for: file.path,
      ObjectIdentifier(file), shares,
      hasLogWeights && shares == nil && shape.rank == 1 ? StoredWeights(count: shape[0]) : nil)
    if own?.lowerBound ?? 0 == 0 { base.copyMemory(from: header, byteCount: header.count) }
  }

  private init(
    _ descriptor: Int32, _ own: Range<Int>, of all: Int, start: Int, bytes: Int, for path: String,
    _ file: ObjectIdentifier?, _ shares: RowShares?, _ weights: StoredWeights?
  ) throws(CoixError) {
    // What is no rank's own part is shared memory, too: what is let go there is not lost.
    let access = PROT_READ | PROT_WRITE
    let flags = own.count < all ? MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED
    guard let base = mmap(nil, all, access, flags, own.count < all ? -1 : descriptor, 0), base != MAP_FAILED
    else {
      throw CoixError.memory(what: path, bytes: bytes)
    }
    if own.count < all, !own.isEmpty {
      let place = base + own.lowerBound
      guard
        mmap(place, own.count, access, MAP_SHARED | MAP_FIXED, descriptor, off_t(own.lowerBound))
          != MAP_FAILED
      else {
        munmap(base, all)
        throw CoixError.memory(what: path, bytes: bytes)
      }
    }
    (self.path, self.descriptor, self.base) = (path, descriptor, base)
    (self.start, mappedBytes, fileBytes) = (start, all, start + bytes)
    (self.file, self.shares, self.weights) = (file, shares, weights)
    var blocks = StoredBlocks(count: start + bytes, size: Limits.storedBytes)
    _ = blocks.store(0..<start)
    progress = Mutex(Progress(blocks: blocks))
    super.init(address: base + start)
  }

  deinit { munmap(base, mappedBytes) }

  /// So many bytes that kernels, which take whole vectors, find all that they read.
  private static func padded(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

  /// The bytes of a file that each rank writes: whole blocks of it, each by the rank that has its first byte.
  private static func blocks(_ shares: RowShares, start: Int, unit: Int, of all: Int) -> [Range<Int>] {
    let size = Limits.fileBlock
    // What stands before the rows is the first rank's.
    let borders = shares.borders.enumerated().map { rank, row in
      rank == 0
        ? 0 : rank == shares.ranks.count ? all : min((start + row * unit + size - 1) / size * size, all)
    }
    return (0..<shares.ranks.count).map { borders[$0]..<borders[$0 + 1] }
  }

  /// Whether it lies in a file.
  package func lies(in file: any NewRowFile) -> Bool { self.file == ObjectIdentifier(file) }

  /// Tells that some floats have been stored. Of a block of the file that is complete by them, the system may take back the memory,
  /// since the file has it. It begins to go to the disk at once: at the end there is little left to wait for. (Where a
  /// rank stores some again, since a chunk of the same task lacked rows, their block may stay in memory to the end.)
  package func stored(_ floats: Range<Int>) {
    weights?.store(floats, in: address.assumingMemoryBound(to: Float.self))
    let size = MemoryLayout<Float>.stride
    let (complete, forgotten) = progress.withLock { progress in
      let complete = progress.blocks.store(
        start + floats.lowerBound * size..<start + floats.upperBound * size)
      progress.begun += complete
      let forgotten = progress.begun.dropLast(Limits.rememberedBlocks)
      progress.begun.removeFirst(forgotten.count)
      return (complete, forgotten)
    }
    for block in complete {
      discard(block)
      coix_begin_writing(descriptor, Int64(block * Limits.storedBytes), Limits.storedBytes)
    }
    for block in forgotten {
      // What somebody has touched since is mapped again, and would be kept.
      discard(block)
      coix_forget_written(descriptor, Int64(block * Limits.storedBytes), Limits.storedBytes)
    }
  }

  /// Lets the system take back the memory of a block of the file.
  private func discard(_ block: Int) {
    let place = block * Limits.storedBytes
    Memory.discard(base + place, bytes: min(Limits.storedBytes, mappedBytes - place))
  }

  /// Writes a whole tensor's numbers from a place on.
  package func write(_ tensor: Tensor, at place: Int) {
    let numbers = address.assumingMemoryBound(to: Float.self) + place
    let count = tensor.shape.elementCount
    for start in stride(from: 0, to: count, by: Limits.fileFloats) {
      let part = start..<min(start + Limits.fileFloats, count)
      (numbers + start).update(from: tensor.pointer + start, count: part.count)
      stored(place + part.lowerBound..<place + part.upperBound)
    }
  }

  /// Writes some of a mapped tensor's rows, which are here, to their places.
  ///
  /// - Throws: as ``Tensor/copyRows(_:to:)``.
  fileprivate func write(_ rows: Range<Int>, of tensor: Tensor) throws(CoixError) {
    let numbers = address.assumingMemoryBound(to: Float.self)
    let width = tensor.shape.elementCount
    let step = max(Limits.fileFloats / max(width, 1), 1)
    for start in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
      let end = min(start + step, rows.upperBound)
      try tensor.copyRows(start..<end, to: numbers + start * width)
      stored(start * width..<end * width)
    }
  }

  /// Brings together the blocks in which several ranks have rows, each on the rank that writes it. All ranks call it.
  ///
  /// - Throws: what ranks throw.
  package func completeBlocks() throws {
    guard let shares else { return }
    let held = shares.all.map { start + $0.lowerBound * unit..<start + $0.upperBound * unit }
    let wanted = Self.blocks(shares, start: start, unit: unit, of: mappedBytes)
    try shares.ranks.meet(at: .files, size: shares.count, form: UInt64(unit))
    try shares.ranks.spread(base, unit: 1, held: held, wanted: wanted)
  }

  /// Ends its being the file's. There are zeros in it from now on: others may shorten a file that has a name, and whoever
  /// touches what is gone is ended by the system.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  package func close() throws(CoixError) {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
    guard mmap(base, mappedBytes, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED else {
      throw CoixError.memory(what: "closing a file", bytes: mappedBytes)
    }
  }
}

extension Tensor {
  /// The memory in a file where the numbers of all rows lie, one after another; nil if they don't.
  package func memory(in file: any NewRowFile) -> FileMemory? {
    guard !storage.isPlain, storage.mapping?.index == nil, let memory = storage.fileMemory,
      memory.lies(in: file),
      memory.address == storage.address
    else { return nil }
    return memory
  }

  /// The same numbers in memory, if they lie in a file.
  package var inMemory: Tensor {
    guard !storage.isPlain, storage.fileMemory != nil else { return self }
    guard let copy = Tensor(undefined: shape) else { return .outOfMemory }
    copy.write { $0.update(from: pointer, count: shape.elementCount) }
    return copy
  }

  /// The numbers of a file's memory.
  package init(_ memory: FileMemory, shape: Shape) {
    self.init(storage: Storage(in: memory, capacity: shape.elementCount), shape: shape)
  }
}

extension Population {
  /// Whose rows of a tensor's are whose in a file that ranks write together; nil where one rank writes all of them.
  private func fileShares(of tensor: Tensor) -> RowShares? {
    guard let mapping = tensor.storage.mapping, tensor.failure == nil else { return nil }
    if let resultShares { return resultShares }
    guard mapping.index == nil, case .all = mapping.axes else { return nil }
    return tensor.storage.rankRows?.ifInParts?.shares
  }

  /// Whether a tensor, as programs read it, goes to a file row by row, so that not all of its rows need be in memory.
  package func isWrittenByRows(_ tensor: Tensor) -> Bool {
    if isSharedInFiles(tensor) { return true }
    guard workers.ranks.count == 1, tensor.failure == nil, tensor.storage.file == nil,
      let mapping = tensor.storage.mapping, case .all = mapping.axes
    else { return false }
    return mapping.rows.count == rows
  }

  /// Whether each rank writes its own rows of a tensor, as programs read it, to a file.
  package func isSharedInFiles(_ tensor: Tensor) -> Bool { fileShares(of: tensor) != nil }

  /// Brings to each rank what its own rows read. All ranks call it.
  ///
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``.
  package func bringFileRows(of tensor: Tensor) throws {
    if let shares = fileShares(of: tensor) { try tensor.bringRows(sharedBy: shares) }
  }

  /// Memory in a file, with this rank's own rows of a tensor that ``bringFileRows(of:)`` has been called for.
  ///
  /// - Throws: ``CoixError/file(path:reason:)``; ``CoixError/memory(what:bytes:)``.
  package func fileRows(of tensor: Tensor, in file: any NewRowFile) throws -> FileMemory {
    guard let shares = fileShares(of: tensor) else {
      throw CoixError.ranks("\(file.path) is to have rows that ranks don't share")
    }
    let memory = try FileMemory(file, shape: Shape(shares.count).appending(tensor.shape), shares: shares)
    try memory.write(shares.own, of: tensor)
    return memory
  }
}

extension RowFile {
  /// Writes a tensor to a new file of this process alone: a whole one, or one that goes there row by row.
  ///
  /// - Returns: what gives the file its name.
  /// - Throws: ``CoixError/file(path:reason:)``; ``CoixError/memory(what:bytes:)``; the error that poisoned the tensor.
  package func write(_ tensor: Tensor, of population: Population) throws -> () throws -> Void {
    let tensor = try tensor.validated()
    let file = try new()
    let memory: FileMemory
    if population.isWrittenByRows(tensor) {
      let shape = Shape(population.batch).appending(tensor.shape)
      memory = try FileMemory(file, shape: shape, shares: nil)
      try memory.write(0..<population.rows, of: tensor)
    } else {
      memory = try FileMemory(file, shape: tensor.shape, shares: nil)
      memory.write(tensor, at: 0)
    }
    try memory.close()
    try file.sync()
    return { try file.finish(bytes: memory.fileBytes) }
  }
}
