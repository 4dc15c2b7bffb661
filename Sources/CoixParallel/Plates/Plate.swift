/// A set of conditionally independent copies of a program: particles, or instances of data.
///
/// A program is written for one row; the plate runs it for all of them, cut into chunks of rows that workers
/// take one after another. How the plate is cut depends on the row count, the program and ``chunkRows``,
/// never on the number of threads.
///
/// Plates nest: `particles(instances(program))`. A value that a program computes from data mapped over the
/// instances alone, such as a network's features, is computed once for each instance of a chunk. A chunk has
/// 32 or more particles of each of its instances, if the plate has as many. A value computed from data mapped
/// over the particles alone is computed once for each particle of a chunk.
public struct Plate: Hashable, Sendable {
  /// The plate's name, for mapped data and messages.
  public let name: String
  /// The number of rows.
  public let count: Int
  /// The most rows of a chunk; nil leaves the choice to the runtime.
  public let chunkRows: Int?
  /// Which rows of a larger plate these are; nil for a plate by itself. See ``rows(_:)``.
  package private(set) var part: PlatePart?

  /// A plate.
  ///
  /// A count or chunk size below one is an error when a program of the plate is evaluated.
  public init(_ name: String, count: Int, chunkRows: Int? = nil) {
    self.name = name
    self.count = count
    self.chunkRows = chunkRows
  }

  /// Some rows of the plate, as a plate.
  ///
  /// Its programs draw for each row what they draw for it in the whole plate. So a program whose rows have
  /// nothing to do with each other gives the same bits when it is evaluated for some rows after the others as
  /// for all rows at once. Data that is mapped over it has those rows alone. What rows have in common
  /// (evidence, a resampling) is that of these rows.
  ///
  /// ```swift
  /// for rows in [0..<500_000, 500_000..<1_000_000] {
  ///   let part = Plate("particle", count: 1_000_000).rows(rows)
  ///   let points = part.mapped(try file.rows(rows))
  ///   …
  /// }
  /// ```
  ///
  /// Around other plates such a plate must be the outermost one, and have more than one row. An evaluation
  /// throws for other plates, and for rows that the plate doesn't have.
  public func rows(_ range: Range<Int>) -> Plate {
    let start = part?.start ?? 0
    var result = Plate(name, count: range.count, chunkRows: chunkRows)
    let isWithin = range.lowerBound >= 0 && range.upperBound <= count
    result.part = PlatePart(start: start &+ range.lowerBound, whole: isWithin ? part?.whole ?? count : -1)
    return result
  }

  /// Maps data over the plate: data with one row for each row of the plate, `[count, event...]`. Inside the
  /// plate's programs, the result is a tensor of the event shape.
  ///
  /// If the data has another number of rows than the plate, the evaluation that the data is given to throws.
  public func mapped(_ data: Tensor) -> Tensor {
    guard data.failure == nil else { return data }
    guard data.shape.rank > 0 else {
      return Tensor.mismatch("plate \"\(name)\"", of: [data], "data mapped over a plate needs rows")
    }
    return data.mapped(plate: name)
  }

  /// Maps an array of numbers over the plate, one for each row.
  @_disfavoredOverload
  public func mapped(_ data: some TensorConvertible) -> Tensor { mapped(data.asTensor) }

  /// Maps each tensor of a tree over the plate.
  public func mapped<Tree: TensorTree>(_ tree: Tree) -> Tree {
    (try? tree.mapTensors { mapped($0) }) ?? tree  // the transform doesn't throw
  }

  /// - Throws: ``CoixError/argument(_:)`` for rows that a larger plate doesn't have.
  package func requireRows() throws(CoixError) {
    guard let part, part.whole < 0 else { return }
    throw CoixError.argument(
      "plate \"\(name)\" doesn't have the \(count) rows from row \(part.start) on")
  }

  package var description: String { "\"\(name)\" of \(count)" }
}

/// Where a plate lies in a larger one whose rows it has some of.
package struct PlatePart: Hashable, Sendable {
  /// The number, there, of the first row.
  package let start: Int
  /// How many rows the larger plate has; -1 if it doesn't have those that were asked for.
  package let whole: Int
}
