import CoixParallel

/// Mini-batches: some rows of the data for each step of a training.
///
/// ```swift
/// let points = try Tensor(contentsOf: "points.csv")
/// let batches = try Batches(of: points, size: 300)
/// let labelled = try Batches(of: images, labels, size: 100, last: .dropped)  // of Tuple<Tensor, Tensor>
/// let large = try Batches(of: NPYFile("rows.npy"), size: 1_000)  // read as they are needed
/// ```
///
/// Each *epoch* goes through all rows once, in an order of its own, which depends on the seed and the number of the
/// epoch alone. So a batch depends on nothing but the seed and its own number, and a training that is resumed finds
/// the batches that it would have had. A batch of all rows is shuffled, too; `order: .stored` saves that.
public struct Batches<Batch: TensorTree>: Sendable {
  /// In which order an epoch goes through the rows.
  public enum Order: String, Sendable, Codable {
    /// In a random order, another one for each epoch.
    case shuffled
    /// From the first to the last.
    case stored
  }

  /// What becomes of the last rows of an epoch if they don't fill a batch.
  public enum LastBatch: String, Sendable, Codable {
    /// They are a shorter batch.
    case short
    /// They are left out of this epoch.
    case dropped
  }

  /// The number of rows in a batch, but for a short last one; all rows, if more were asked for.
  public let size: Int
  /// The number of rows of the data.
  public let rowCount: Int
  /// In which order an epoch goes through the rows.
  public let order: Order
  /// What becomes of the last rows of an epoch if they don't fill a batch.
  public let last: LastBatch
  private let read: @Sendable ([Int]) throws -> Batch

  /// Batches of the rows of a source, such as a tensor `[rows, …]`.
  ///
  /// - Throws: `CoixError.argument(_:)` for a size below 1, a source without rows, batches that would all be dropped,
  ///   or more than 2³¹ - 1 rows that are to be shuffled.
  public init<Source: RowSource<Batch>>(
    of source: Source, size: Int, order: Order = .shuffled, last: LastBatch = .short
  ) throws {
    func require(_ isMet: Bool, _ requirement: String) throws {
      if !isMet { throw CoixError.argument("Batches: \(requirement)") }
    }
    let rowCount = source.rowCount
    try require(size >= 1, "a batch must have at least 1 row, not \(size)")
    try require(rowCount >= 1, "the data has no rows")
    try require(
      last == .short || size <= rowCount,
      "the \(rowCount) rows of the data don't fill a batch of \(size), and a short one is dropped")
    try require(
      order == .stored || rowCount <= Int32.max,
      "at most 2^31 - 1 rows can be shuffled, the data has \(rowCount); take them as stored")
    (self.size, self.rowCount, self.order, self.last) = (min(size, rowCount), rowCount, order, last)
    read = { try source.rows(numbered: $0) }
  }

  /// Batches of two or more sources, whose rows of one number belong together. A batch is a tuple of the sources'
  /// batches.
  ///
  /// - Throws: as for one source; `CoixError.argument(_:)` also if their numbers of rows differ.
  public init<First: RowSource, Second: RowSource, each Other: RowSource>(
    of first: First, _ second: Second, _ others: repeat each Other, size: Int, order: Order = .shuffled,
    last: LastBatch = .short
  ) throws where Batch == Tuple<First.Rows, Second.Rows, repeat (each Other).Rows> {
    try self.init(
      of: RowSources(first, second, repeat each others), size: size, order: order, last: last)
  }

  /// The number of batches in an epoch.
  public var countPerEpoch: Int { last == .short ? (rowCount - 1) / size + 1 : rowCount / size }

  /// The batches in their order, for a loop of your own.
  public func reader(seed: some RandomSeed) -> BatchReader<Batch> { BatchReader(self, key: seed.prngKey) }

  fileprivate func rows(at numbers: [Int]) throws -> Batch { try read(numbers) }
}

/// Reads one batch after another. It is used by one thread at a time.
public final class BatchReader<Batch: TensorTree> {
  private let batches: Batches<Batch>
  private let key: PRNGKey
  /// The order of the rows in the epoch that was read last.
  private var shuffled: (epoch: Int, order: [Int32])?

  /// - Parameter key: what the orders of all epochs are drawn from.
  fileprivate init(_ batches: Batches<Batch>, key: PRNGKey) {
    self.batches = batches
    self.key = key
  }

  /// The epoch of a batch, both counted from 0.
  public func epoch(ofBatch number: Int) -> Int { number / batches.countPerEpoch }

  /// The numbers of a batch's rows.
  ///
  /// - Parameter number: the batch's number, counted from 0 through all epochs.
  /// - Throws: `CoixError.argument(_:)` for a negative number; `CoixError.memory(what:bytes:)`.
  public func rowNumbers(ofBatch number: Int) throws -> [Int] {
    guard number >= 0 else { throw CoixError.argument("Batches: there is no batch \(number)") }
    let (epoch, position) = number.quotientAndRemainder(dividingBy: batches.countPerEpoch)
    let first = position * batches.size
    let range = first..<first + min(batches.size, batches.rowCount - first)
    return batches.order == .stored ? Array(range) : try order(of: epoch)[range].map { Int($0) }
  }

  /// A batch.
  ///
  /// - Parameter number: the batch's number, counted from 0 through all epochs.
  /// - Throws: as ``rowNumbers(ofBatch:)``; what reading the rows throws.
  public func batch(_ number: Int) throws -> Batch {
    try batches.rows(at: rowNumbers(ofBatch: number))
  }

  private func order(of epoch: Int) throws -> [Int32] {
    if let shuffled, shuffled.epoch == epoch { return shuffled.order }
    let order = key.folded(in: epoch).permutation(of: batches.rowCount)
    guard order.count == batches.rowCount else {
      throw CoixError.memory(what: "the order of \(batches.rowCount) rows", bytes: 8 * batches.rowCount)
    }
    shuffled = (epoch, order)
    return order
  }
}
