import Coix
import Testing

/// Mini-batches: which rows they have, in which order, and what is refused.
@Suite struct BatchesTests {
  private static let rows = Tensor((0..<20).map(Float.init), shape: [10, 2])

  private func numbers(
    _ epochs: Int, _ size: Int, _ order: Batches<Tensor>.Order, _ last: Batches<Tensor>.LastBatch,
    seed: Int = 0
  ) throws -> [[[Int]]] {
    let batches = try Batches(of: Self.rows, size: size, order: order, last: last)
    let reader = batches.reader(seed: seed)
    return try (0..<epochs).map { epoch in
      try (0..<batches.countPerEpoch).map {
        let number = epoch * batches.countPerEpoch + $0
        #expect(reader.epoch(ofBatch: number) == epoch)
        return try reader.rowNumbers(ofBatch: number)
      }
    }
  }

  @Test func everyEpochHasEveryRowOnce() throws {
    for epoch in try numbers(5, 3, .shuffled, .short) {
      #expect(epoch.map(\.count) == [3, 3, 3, 1])
      #expect(epoch.flatMap { $0 }.sorted() == Array(0..<10))
    }
    for epoch in try numbers(5, 3, .shuffled, .dropped) {
      #expect(epoch.map(\.count) == [3, 3, 3])
      #expect(Set(epoch.flatMap { $0 }).count == 9)
    }
    #expect(try numbers(2, 5, .shuffled, .short).map { $0.map(\.count) } == [[5, 5], [5, 5]])
    #expect(try numbers(2, .max, .shuffled, .short).map { $0.map(\.count) } == [[10], [10]])
    let stored = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    #expect(try numbers(2, 4, .stored, .short) == [stored, stored])
    #expect(try numbers(2, 4, .stored, .dropped) == [Array(stored[..<2]), Array(stored[..<2])])
  }

  /// The order is that of `jax.random.permutation(jax.random.fold_in(key, epoch), n)`.
  @Test func ordersDependOnSeedAndEpochAlone() throws {
    let first = try numbers(6, 4, .shuffled, .short)
    #expect(Set(first).count == 6)
    #expect(try numbers(6, 4, .shuffled, .short) == first)
    #expect(try numbers(6, 4, .shuffled, .short, seed: 1) != first)
    for (epoch, batches) in first.enumerated() {
      let order = PRNGKey(seed: 0).folded(in: epoch).permutation(of: 10)
      #expect(batches.flatMap { $0 } == order.map { Int($0) })
    }
    let reader = try Batches(of: Self.rows, size: 4).reader(seed: 0)
    for number in [17, 3, 16, 0, 3] {
      #expect(try reader.rowNumbers(ofBatch: number) == first[number / 3][number % 3])
    }
  }

  @Test func rowsOfSeveralSourcesBelongTogether() throws {
    let labels = Tensor((0..<10).map { Float(100 + $0) })
    let batches = try Batches(of: Self.rows, labels, size: 4)
    let reader = batches.reader(seed: 7)
    for number in 0..<6 {
      let (rows, labels) = try reader.batch(number).values
      let order = try reader.rowNumbers(ofBatch: number)
      #expect(rows.shape == [order.count, 2] && labels.shape == [order.count])
      #expect(labels.scalars == order.map { Float(100 + $0) })
      let numbers = order.flatMap { [2 * $0, 2 * $0 + 1] }
      #expect(rows.scalars == numbers.map(Float.init))
    }
  }

  @Test func rowsOfAFileAreThoseOfItsTensor() throws {
    try withTemporaryFolder { folder in
      try Self.rows.write(npy: "\(folder)/rows.npy")
      let file = try Batches(of: NPYFile("\(folder)/rows.npy"), size: 3).reader(seed: 4)
      let memory = try Batches(of: Self.rows, size: 3).reader(seed: 4)
      for number in 0..<9 {
        let (read, kept) = (try file.batch(number), try memory.batch(number))
        #expect(read.shape == kept.shape && read.scalars == kept.scalars)
      }
    }
  }

  @Test func whatIsRefused() throws {
    func reason<Batch: TensorTree>(_ make: () throws -> Batches<Batch>) -> String? {
      do {
        _ = try make()
        return nil
      } catch { return "\(error)" }
    }
    #expect(
      reason { try Batches(of: Self.rows, size: 0) } == "Batches: a batch must have at least 1 row, not 0")
    #expect(
      reason { try Batches(of: Self.rows, size: .min) }
        == "Batches: a batch must have at least 1 row, not \(Int.min)")
    #expect(reason { try Batches(of: Tensor(1), size: 1) } == "Batches: the data has no rows")
    #expect(reason { try Batches(of: Tensor.zeros([0, 3]), size: 1) } == "Batches: the data has no rows")
    #expect(
      reason { try Batches(of: Self.rows, size: 11, last: .dropped) }
        == "Batches: the 10 rows of the data don't fill a batch of 11, and a short one is dropped")
    #expect(
      reason { try Batches(of: Self.rows, Tensor.zeros([9]), size: 1) }
        == "Batches: the sources need the same number of rows, have [10, 9]")
    #expect(
      reason { try Batches(of: Endless(), size: 1) }
        == "Batches: at most 2^31 - 1 rows can be shuffled, the data has \(Int.max); take them as stored")
    let endless = try Batches(of: Endless(), size: .max, order: .stored).reader(seed: 0)
    #expect(throws: CoixError.argument("Batches: there is no batch -1")) { try endless.batch(-1) }
    #expect(throws: CoixError.self) { try Self.rows.rows(numbered: [10]) }
    #expect(throws: CoixError.self) { try Self.rows.rows(numbered: [.max]) }
  }

  /// More rows than anybody has.
  private struct Endless: RowSource {
    var rowCount: Int { .max }
    func rows(numbered numbers: [Int]) throws -> Tensor { Tensor(numbers.map { Float($0) }) }
  }

  @Test func aTwoBillionthRow() throws {
    let reader = try Batches(of: Endless(), size: 1 << 40, order: .stored).reader(seed: 0)
    #expect(reader.epoch(ofBatch: 1 << 22) == 0)
    let small = try Batches(of: Endless(), size: 2, order: .stored).reader(seed: 0)
    #expect(try small.rowNumbers(ofBatch: 1 << 40) == [1 << 41, 1 << 41 + 1])
  }
}
