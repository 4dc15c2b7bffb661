import CoixParallel
import Foundation

// Statistics of values and log-weights that lie in files, of any number of rows, in bounded memory: the files are read
// several times, some rows at once.

/// The mean under log-weights in a file, `[particles, instances…]`, of values in another one, `[particles, instances…, event…]`:
/// `[instances…, event…]`.
///
/// It is that of ``weightedMean(of:logWeights:)``, for tensors, but for the rounding of sums in double, which are taken in another order.
///
/// - Throws: `CoixError.shape(operation:shapes:reason:)` if the shapes don't fit; `CoixError.argument(_:)` for a file without particles;
///   `CoixError.weights(instance:reason:)` where an instance's weights are all -inf, or one is NaN or +inf;
///   `CoixError.file(path:reason:)`; `CoixError.memory(what:bytes:)`.
public func weightedMean(in values: NPYFile, logWeights: NPYFile) throws -> Tensor {
  try WeightedFile("weightedMean", values, logWeights).mean()
}

/// The variance, Σ w (x - mean)² with weights that sum to 1, of values in a file; see ``weightedMean(in:logWeights:)``.
///
/// - Throws: as for the mean.
public func weightedVariance(in values: NPYFile, logWeights: NPYFile) throws -> Tensor {
  try WeightedFile("weightedVariance", values, logWeights).variance()
}

/// Quantiles `[levels, instances…, event…]` of values in a file; see ``weightedMean(in:logWeights:)``.
///
/// They are those of ``weightedQuantiles(_:of:logWeights:)``, for tensors, exactly. The values are read three times.
///
/// - Throws: as for the mean; `CoixError.argument(_:)` for levels outside of 0...1.
public func weightedQuantiles(_ levels: [Double], in values: NPYFile, logWeights: NPYFile) throws -> Tensor {
  try requireLevels(levels)
  return try WeightedFile("weightedQuantiles", values, logWeights).quantiles(levels)
}

/// The effective sample size 1 / Σ w² of the normalised weights of log-weights in a file, `[particles, instances…]`: `[instances…]`.
///
/// - Throws: as for ``weightedMean(in:logWeights:)``.
public func effectiveSampleSize(in logWeights: NPYFile) throws -> Tensor {
  let weights = try FileWeights(logWeights)
  return try weights.forEachInstance { $0.sum * $0.sum / $0.squares }
}

/// The log of the estimated evidence, logsumexp(w) - log S, of log-weights in a file, `[particles, instances…]`: `[instances…]`.
///
/// - Throws: as for ``weightedMean(in:logWeights:)``.
public func logEvidence(in logWeights: NPYFile) throws -> Tensor {
  let weights = try FileWeights(logWeights)
  return try weights.forEachInstance { $0.greatest + log($0.sum) - log(Double(logWeights.rowCount)) }
}

extension PosteriorSummary {
  /// The table of sites whose values are in files, under log-weights in another one: what ``EvaluationOptions/files`` has written.
  ///
  /// ```swift
  /// let summary = try PosteriorSummary(in: ["z": NPYFile("z.npy")], logWeights: NPYFile("weights.npy"))
  /// ```
  ///
  /// - Parameters:
  ///   - sites: the values, `[particles, instances…, event…]`, by names of the caller's.
  ///   - logWeights: `[particles, instances…]`.
  ///   - levels: the quantiles' levels, from 0 to 1.
  /// - Throws: as for ``weightedQuantiles(_:in:logWeights:)``.
  public init(
    in sites: KeyValuePairs<String, NPYFile>, logWeights: NPYFile,
    quantiles levels: [Double] = [0.05, 0.5, 0.95]
  ) throws {
    try requireLevels(levels)
    let weights = try FileWeights(logWeights)
    let ess = try weights.forEachInstance { $0.sum * $0.sum / $0.squares }.scalars
    let rows = try sites.flatMap { name, values in
      let site = try WeightedFile("PosteriorSummary", values, weights)
      return Self.rows(
        name, mean: try site.mean(), variance: try site.variance(), quantiles: try site.quantiles(levels),
        ess: ess)
    }
    self.init(levels: levels, rows: rows)
  }
}

/// Log-weights in a file, and their sums for each instance.
private struct FileWeights {
  struct BlockMoments {
    var greatest = -Double.infinity
    /// The sums of exp(w - greatest) and of its square.
    var sum = 0.0
    var squares = 0.0
    /// The first particle whose log-weight is NaN or +inf, and that log-weight.
    var invalid: (particle: Int, logWeight: Float)?

    mutating func add(_ logWeight: Float, of particle: Int) {
      let number = Double(logWeight)
      if number > greatest {
        guard number < .infinity else { return note(logWeight, particle) }
        let scale = exp(greatest - number)
        (sum, squares, greatest) = (sum * scale + 1, squares * scale * scale + 1, number)
      } else if number > -.infinity {
        let weight = exp(number - greatest)
        sum += weight
        squares += weight * weight
      } else if number.isNaN {
        note(logWeight, particle)
      }
    }

    private mutating func note(_ logWeight: Float, _ particle: Int) {
      if invalid == nil { invalid = (particle, logWeight) }
    }
  }

  let file: NPYFile
  let instanceShape: Shape
  /// [instance].
  let moments: [BlockMoments]

  init(_ file: NPYFile) throws {
    guard file.rowCount > 0, file.shape.count <= Shape.maximumRank else {
      throw CoixError.argument(
        "log-weights need particles on their first axis; the shape in \(file.path) is \(file.shape)")
    }
    self.file = file
    instanceShape = Shape(file.shape.dropFirst())
    let instances = instanceShape.elementCount
    try Memory.require(instances, of: BlockMoments.self, for: "weights of \(instances) instances")
    var moments = [BlockMoments](repeating: BlockMoments(), count: instances)
    try file.forEachBlock { first, rows in
      for (index, logWeight) in rows.enumerated() {
        moments[index % instances].add(logWeight, of: first + index / instances)
      }
    }
    self.moments = moments
    for (instance, own) in moments.enumerated() {
      if let (particle, logWeight) = own.invalid {
        throw CoixError.weights(
          instance: RowLocation(row: instance),
          reason: "the log-weight of particle \(particle) is \(logWeight.isNaN ? "NaN" : "+inf")")
      }
      if own.greatest == -.infinity {
        throw CoixError.weights(
          instance: RowLocation(row: instance), reason: "the log-weights of all particles are -inf")
      }
    }
  }

  func forEachInstance(_ number: (BlockMoments) -> Double) throws -> Tensor {
    try Tensor(moments.map { Float(number($0)) }, shape: instanceShape).validated()
  }
}

/// Values in a file under weights in another one.
private struct WeightedFile {
  private let values: NPYFile
  private let weights: FileWeights
  private let event: Shape
  /// The numbers of a particle: instances times those of an event.
  private var columns: Int { weights.moments.count * event.elementCount }

  init(_ operation: String, _ values: NPYFile, _ logWeights: NPYFile) throws {
    try self.init(operation, values, FileWeights(logWeights))
  }

  init(_ operation: String, _ values: NPYFile, _ weights: FileWeights) throws {
    let rank = weights.file.shape.count
    guard values.shape.count >= rank, values.shape.prefix(rank) == weights.file.shape[...] else {
      throw CoixError.argument(
        "\(operation): the first axes of the values must be those of the weights; the shape in \(values.path) is \(values.shape), "
          + "in \(weights.file.path) \(weights.file.shape)")
    }
    (self.values, self.weights) = (values, weights)
    event = Shape(values.shape.dropFirst(rank))
  }

  /// Calls `body` for each value of a particle with a weight, in the order of the files.
  private func forEachValue(
    _ body: (_ column: Int, _ value: Float, _ logWeight: Double, _ greatest: Double) -> Void
  ) throws {
    let (instances, width) = (weights.moments.count, event.elementCount)
    try values.forEachBlock(beside: weights.file) { _, values, logWeights in
      for row in 0..<logWeights.count {
        let (instance, logWeight) = (row % instances, Double(logWeights[row]))
        guard logWeight > -.infinity else { continue }
        let greatest = weights.moments[instance].greatest
        for element in 0..<width {
          body(instance * width + element, values[row * width + element], logWeight, greatest)
        }
      }
    }
  }

  /// The sum of each column's terms, divided by its weights' sum.
  private func means(_ term: (_ column: Int, _ value: Double) -> Double) throws -> [Double] {
    try Memory.require(2 * columns, of: Double.self, for: "statistics of \(columns) columns")
    var sums = [Double](repeating: 0, count: columns)
    try forEachValue { column, value, logWeight, greatest in
      let weight = exp(logWeight - greatest)
      // Particles without weight don't count, whatever their values.
      if weight > 0 { sums[column] += weight * term(column, Double(value)) }
    }
    return sums.enumerated().map { $1 / weights.moments[$0 / event.elementCount].sum }
  }

  private func tensor(_ numbers: [Double], _ shape: Shape) throws -> Tensor {
    try Tensor(numbers.map { Float($0) }, shape: shape).validated()
  }

  private var shape: Shape { weights.instanceShape.appending(event) }

  func mean() throws -> Tensor { try tensor(means { $1 }, shape) }

  func variance() throws -> Tensor {
    let centers = try means { $1 }
    return try tensor(means { ($1 - centers[$0]) * ($1 - centers[$0]) }, shape)
  }

  /// The quantiles' bits are found from the highest on, some of them in each pass: the weights of all values that share the bits
  /// which are known are summed by the next ones.
  func quantiles(_ levels: [Double]) throws -> Tensor {
    let (columns, bits) = (columns, [11, 11, 10])
    try Memory.require(
      columns * levels.count * 1 << bits[0], of: Bin.self, for: "quantiles of \(columns) columns")
    // [column, level]: the known bits, and the weight of all values below them.
    var searches = [Search](repeating: Search(), count: columns * levels.count)
    var hasNaN = [Bool](repeating: false, count: columns)
    var totals = [WeightUnits](repeating: WeightUnits(), count: columns)
    var shift = 32
    for (pass, bits) in bits.enumerated() {
      shift -= bits
      // As long as nothing is known, all levels have the same bins.
      let searched = pass == 0 ? min(levels.count, 1) : levels.count
      var bins = [Bin](repeating: Bin(), count: columns * searched << bits)
      try forEachValue { column, value, logWeight, greatest in
        guard let units = WeightUnits.units(logWeight, greatest: greatest) else { return }
        if value.isNaN {
          hasNaN[column] = true
          return
        }
        if pass == 0 { totals[column].add(units) }
        let key = UInt64(Self.key(value)) >> shift
        for level in 0..<searched where key >> bits == searches[column * levels.count + level].prefix {
          bins[(column * searched + level) << bits + Int(key & (1 << bits - 1))].add(units)
        }
      }
      for index in searches.indices {
        let (column, level) = (index / levels.count, index % levels.count)
        let first = (column * searched + min(level, searched - 1)) << bits
        searches[index].go(
          into: bins[first..<first + 1 << bits], upTo: levels[level] * totals[column].number, bits)
      }
    }
    let numbers = levels.indices.flatMap { level in
      (0..<columns).map { column in
        hasNaN[column]
          ? .nan : Self.value(UInt32(truncatingIfNeeded: searches[column * levels.count + level].prefix))
      }
    }
    return try Tensor(numbers, shape: Shape([levels.count]).appending(shape)).validated()
  }

  /// Values and weights that share some bits.
  private struct Bin {
    var isEmpty = true
    var weight = WeightUnits()

    mutating func add(_ units: UInt64) {
      isEmpty = false
      weight.add(units)
    }
  }

  /// What is known of a quantile.
  private struct Search {
    /// The highest bits of its key.
    var prefix: UInt64 = 0
    /// The weight of all values with lower ones.
    var below = WeightUnits()

    /// Finds further bits: those of the first bin that has values, and up to which there is so much weight.
    mutating func go(into bins: ArraySlice<Bin>, upTo weight: Double, _ bits: Int) {
      var (sum, found, isFound) = (below, 0, false)
      for (index, bin) in bins.enumerated() where !bin.isEmpty {
        (below, found, isFound) = (sum, index, true)
        sum.add(bin.weight)
        if sum.number >= weight { break }
      }
      prefix = prefix << UInt64(bits) | UInt64(isFound ? found : 0)
    }
  }

  /// A number whose order among others is the value's; one for both zeros.
  private static func key(_ value: Float) -> UInt32 {
    let bits = (value == 0 ? 0 : value).bitPattern
    return bits >> 31 == 1 ? ~bits : bits | 1 << 31
  }

  private static func value(_ key: UInt32) -> Float {
    Float(bitPattern: key >> 31 == 1 ? key & ~(1 << 31) : ~key)
  }
}

extension NPYFile {
  /// About so many numbers are read at once.
  private static let blockNumbers = 1 << 18

  /// Calls `body` with the first row's number and the numbers of some rows, for all rows in order.
  fileprivate func forEachBlock(_ body: (Int, UnsafeBufferPointer<Float>) throws -> Void) throws {
    let count = max(Self.blockNumbers / max(shape.dropFirst().reduce(1, *), 1), 1)
    for first in stride(from: 0, to: rowCount, by: count) {
      try rows(first..<min(first + count, rowCount)).withScalars { try body(first, $0) }
    }
  }

  /// The same with the numbers of the same rows of another file.
  fileprivate func forEachBlock(
    beside other: NPYFile,
    _ body: (Int, UnsafeBufferPointer<Float>, UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    try forEachBlock { first, numbers in
      let count = numbers.count / max(shape.dropFirst().reduce(1, *), 1)
      try other.rows(first..<first + count).withScalars { try body(first, numbers, $0) }
    }
  }
}
