import Coix
import CoixParallel
import Foundation

/// A trained autoencoder over the rows of a file: the log-weight of each row's code, in a file.
public struct RowInference {
  /// The autoencoder.
  public let vae: VAE
  /// The points, `[rows, 2]` or as wide as the autoencoder takes them.
  public let data: NPYFile
  /// What codes are drawn from.
  public let seed: Int
  /// The path of the file that the autoencoder's parameters are from.
  private let parametersPath: String
  /// The rows that are evaluated at a time; nil for four million, or fewer where the memory budget has no room for
  /// them. The numbers do not depend on it. In each piece, some row must have a weight that isn't 0.
  public var pieceRows: Int?
  /// The fewest rows that are evaluated at a time where nobody says how many: so many that some have weights, and that all
  /// ranks have some.
  public static let leastPieceRows = 1 << 16
  /// The memory budget of a piece's evaluation, as in `EvaluationOptions`.
  public var memoryBudget: Int?

  /// - Parameter parameters: a `.safetensors` or `.npz` file with the autoencoder's parameters, or a checkpoint of its training.
  /// - Throws: ``CoixError/file(path:reason:)`` for files that cannot be read or don't fit.
  public init(data: String, parameters: String, seed: Int) throws {
    let isNPZ = parameters.lowercased().hasSuffix(".npz")
    let shapes =
      isNPZ
      ? try NPZArchive(contentsOf: parameters).arrays.mapValues(\.shape)
      : try SafetensorsFile(contentsOf: parameters).arrays.mapValues(\.shape)
    let isCheckpoint = !isNPZ && shapes.keys.contains { $0.hasPrefix("parameters.") }
    func refuse(_ reason: String) -> CoixError {
      .file(path: parameters, reason: "does not have an autoencoder's parameters: \(reason)")
    }
    func sizes(_ part: String) throws -> [Int] {
      let layers = (isCheckpoint ? "parameters.\(part)" : part) + ".layers"
      guard let first = shapes["\(layers).0.kernel"]?.first else {
        throw refuse("there is no array \(layers).0.kernel")
      }
      var sizes = [first]
      while let shape = shapes["\(layers).\(sizes.count - 1).kernel"] {
        guard shape.count == 2, shape[0] == sizes.last, !shape.contains(0) else {
          throw refuse("\(layers).\(sizes.count - 1).kernel has the shape \(shape)")
        }
        sizes.append(shape[1])
      }
      return sizes
    }
    let (encoder, decoder) = (try sizes("encoder"), try sizes("decoder"))
    guard encoder.first == decoder.last, encoder.last == decoder.first else {
      throw refuse("the encoder's layers have the sizes \(encoder), the decoder's \(decoder)")
    }
    let untrained = VAE(encoder: MLP(sizes: encoder, key: 0), decoder: MLP(sizes: decoder, key: 0))
    if isCheckpoint {
      vae = try Checkpoint(contentsOf: parameters, for: untrained, by: Adam(for: untrained)).parameters
    } else {
      vae = try isNPZ ? untrained.reading(npz: parameters) : untrained.reading(safetensors: parameters)
    }
    guard vae.isFinite else {
      throw CoixError.file(path: parameters, reason: "has parameters that are not finite")
    }
    self.data = try NPYFile(data)
    parametersPath = parameters
    self.seed = seed
    guard self.data.shape.dropFirst() == encoder.prefix(1) else {
      throw CoixError.file(
        path: data, reason: "rows of \(encoder[0]) numbers are needed; it has the shape \(self.data.shape)")
    }
    guard self.data.rowCount > 0 else { throw CoixError.file(path: data, reason: "has no rows") }
  }

  /// What came of it.
  public struct Results: Sendable {
    /// The log of the estimated evidence.
    public let logZ: Float
    /// The effective sample size over all rows.
    public let ess: Float
    /// The row at which this run went on; 0 if it began.
    public let firstRow: Int
  }

  /// Evaluates all rows that `out` doesn't have yet, piece by piece: the numbers are those of one evaluation
  /// of all rows, however often it was interrupted. Ranks share the work; the first of them writes.
  ///
  /// - Parameters:
  ///   - resumes: whether to go on with what an interrupted run has left.
  ///   - onPiece: is told how many rows there are by now.
  /// - Throws: what evaluations and `onPiece` throw; ``CoixError/file(path:reason:)``, also for a row of the data that has
  ///   no weight; ``Interrupted``.
  public func run(
    to out: String, workers: Workers = .standard, resumes: Bool = false,
    onPiece: (_ rows: Int) throws -> Void = { _ in }
  ) throws -> Results {
    let count = data.rowCount
    let ranks = workers.ranks
    // The first rank's.
    var (file, begun): (PartialNPY?, [String: String]) = (nil, [:])
    try ranks.onFirst {
      try refuseInputs(at: PartialNPY.paths(for: out))
      begun = try settings()
      file = try PartialNPY(out, count: count, settings: begun, resumes: resumes)
    }
    let firstRow = Int(try ranks.first(Double(file?.rowCount ?? 0)))
    let signals = StopSignals()
    defer { signals.stop() }
    var (rowCount, pieceRows) = (firstRow, min(pieceRows ?? 1 << 22, count))
    while rowCount < count {
      // A launcher hands signals on to the ranks one after another.
      if let signal = try ranks.signal(signals.received) { throw Interrupted(signal: signal) }
      let rows = rowCount..<min(rowCount + pieceRows, count)
      let logWeight: Tensor
      do {
        logWeight = try logWeights(of: rows, workers)
      } catch CoixError.memoryBudget where self.pieceRows == nil && pieceRows / 2 >= Self.leastPieceRows {
        pieceRows /= 2
        continue
      }
      try ranks.onFirst { try file?.append(logWeight) }
      rowCount = rows.upperBound
      try onPiece(rowCount)
    }
    var (ess, logZ) = (Float(0), Float(0))
    try ranks.onFirst {
      guard let file else { return }
      guard try settings() == begun else {
        throw CoixError.file(path: data.path, reason: "was written while its rows were read")
      }
      (ess, logZ) = try (effectiveSampleSize(file.tensor).scalar, logEvidence(file.tensor).scalar)
      try file.finish()
    }
    return Results(
      logZ: Float(try ranks.first(Double(logZ))), ess: Float(try ranks.first(Double(ess))), firstRow: firstRow
    )
  }

  private func logWeights(of rows: Range<Int>, _ workers: Workers) throws -> Tensor {
    let plate = VAE.plate(data.rowCount).rows(rows)
    let options = EvaluationOptions(workers: workers, keep: .metrics, memoryBudget: memoryBudget)
    do {
      return try evaluate(vae.inference(plate), seed: seed, options: options)(plate.mapped(data, rows: rows))
        .metrics.logWeight
    } catch let error as CoixError {
      guard let row = error.location?.plates.first?.row else { throw error }
      let numbers = (try? data.rows(row..<row + 1).scalars) ?? []
      let fault = numbers.firstIndex { !$0.isFinite }.map {
        "\(numbers[$0].withoutSignOfNaN) in column \($0)"
      }
      throw CoixError.file(
        path: data.path, reason: "row \(row) has \(fault ?? "no weight"), counted from 0: \(error)")
    }
  }

  /// What the numbers depend on. The data are known by the file's whole path, its shape, and the time when it was last written, to
  /// the nanosecond.
  private func settings() throws -> [String: String] {
    var digest = Digest()
    digest.add(vae)
    var status = stat()
    guard stat(data.path, &status) == 0 else {
      throw CoixError.file(path: data.path, reason: "cannot be read: \(String(cString: strerror(errno)))")
    }
    let seconds = Date(timeIntervalSince1970: TimeInterval(status.st_mtim.tv_sec))
    let fraction = String(format: ".%09ldZ", status.st_mtim.tv_nsec)
    return [
      "model": "vae", "parameters": "\(digest)", "seed": "\(seed)", "data": WholeFile.resolved(data.path),
      "shape": "\(data.shape)",
      "data written at": "\(ISO8601DateFormatter().string(from: seconds).dropLast())\(fraction)",
    ]
  }

  /// - Throws: ``CoixError/file(path:reason:)`` if what is to be written is what is read.
  private func refuseInputs(at paths: [String]) throws {
    for (what, input) in [("data", data.path), ("parameters", parametersPath)] {
      for path in paths where WholeFile.isSame(path, as: input) {
        throw CoixError.file(path: path, reason: "is the file of the \(what), which would be lost")
      }
    }
  }
}
