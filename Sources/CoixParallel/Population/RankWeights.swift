import CoixKernels
import Foundation

/// Log-weights of particles of which each rank has its own: what is computed of all of them is computed in blocks, each by the rank
/// that has its first row. What ranks tell each other are the blocks' sums.
struct RankWeights {
  fileprivate let shares: RowShares
  fileprivate var address: UnsafeMutableRawPointer
  fileprivate let team: Int32
  /// Whether the weights lie in a file.
  fileprivate let isInFile: Bool

  /// nil unless these are log-weights of the particles of one instance, not all of which are on each rank.
  init?(_ tensor: Tensor, of population: Population) {
    guard population.hasParticles, population.batch.count == 1, !tensor.storage.isPlain,
      let mapping = tensor.storage.mapping, mapping.index == nil, tensor.shape.rank == 0,
      let rows = tensor.storage.rankRows?.ifInParts, rows.shares.count == population.particles
    else { return nil }
    (shares, address, team) = (rows.shares, rows.address, Int32(population.workers.team))
    isInFile = rows.file != nil
  }

  fileprivate var ranks: Ranks { shares.ranks }
  fileprivate var numbers: UnsafeMutablePointer<Float> { address.assumingMemoryBound(to: Float.self) }
  fileprivate mutating func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    address = target(address) ?? address
  }

  /// Whether there are so many weights that each rank computes its own blocks, rather than all of them.
  var areMany: Bool { shares.areOfManyRows }

  /// How many blocks of so many rows there are.
  fileprivate func blockCount(_ size: Int) -> Int { (shares.count + size - 1) / size }

  /// Brings the ranks together for a computation in blocks of so many rows. Each rank gets the rows that its last
  /// block has of others.
  ///
  /// - Returns: this rank's blocks.
  fileprivate func meet(size: Int) throws(CoixError) -> Range<Int> {
    try ranks.meet(at: .weights, size: shares.count, form: UInt64(size))
    let wanted = (0..<ranks.count).map { rank in
      let (start, blocks) = (shares.borders[rank], shares.blocks(of: rank, size: size))
      return blocks.isEmpty ? start..<start : start..<min(blocks.upperBound * size, shares.count)
    }
    try ranks.spread(
      address, unit: MemoryLayout<Float>.stride, held: shares.all, wanted: wanted)
    return shares.blocks(of: ranks.index, size: size)
  }

  /// Fills in the other ranks' parts of an array with something for each block.
  fileprivate func complete<Part>(_ parts: inout [Part], size: Int) throws(CoixError) {
    try ranks.gather(&parts, counts: shares.blockCounts(size: size))
  }

  /// Runs a call, and notes it in the recording of the step that is on.
  fileprivate static func run(_ call: some RecordedCall) throws -> Bool {
    let holds = try call.run()
    ExecutionContext.current?.recording?.append(call)
    return holds
  }

  // MARK: What is computed

  /// Writes the greatest log-weight, and sums of exp(w - greatest) and its square.
  func moments(
    to greatest: UnsafeMutablePointer<Double>, _ sum: UnsafeMutablePointer<Double>,
    _ squares: UnsafeMutablePointer<Double>
  ) throws {
    _ = try Self.run(Moments(weights: self, results: [greatest, sum, squares]))
  }

  /// Writes the log of the sum of all weights, the greatest log-weight, and the sum of exp(w - greatest).
  func logSum(to result: UnsafeMutablePointer<Float>, _ parts: Numbers<Double>) throws {
    _ = try Self.run(LogSum(weights: self, result: result, parts: parts.pointer))
  }

  /// The gradient of the log of the sum, given that of the result, by each rank's own weights.
  ///
  /// - Parameter parts: what ``logSum(to:_:)`` has written.
  /// - Throws: what ranks throw; ``CoixError/memory(what:bytes:)``, on all ranks.
  func slopeOfLogSum(_ parts: Numbers<Double>, _ gradient: Tensor) throws -> Tensor {
    var slope = Tensor(0)
    _ = try ranks.share(.weights, size: shares.count) {
      slope = try Tensor(rowsOf: shares, event: .scalar)
      return 0
    }
    slope.storage.rankRows?.takeName()
    _ = try Self.run(
      LogSumSlope(weights: self, parts: parts.pointer, gradient: gradient.pointer, slope: slope.pointer))
    return slope
  }

  /// Draws ancestors; false if the weights have no meaning.
  ///
  /// - Parameters:
  ///   - random: the scheme's random numbers, on each rank all of them.
  ///   - positions: room for sorted positions, if the scheme needs it.
  ///   - children: whose rows the ancestors are; nil where each rank is to know all of them.
  func ancestors(
    _ scheme: coix_resampling_scheme, _ random: Tensor, positions: Numbers<Double>?, to index: Numbers<Int32>,
    _ children: RowShares?
  ) throws -> Bool {
    let readers = children?.all ?? Array(repeating: 0..<index.count, count: ranks.count)
    return try Self.run(
      Ancestry(
        weights: self, scheme: scheme, random: random.pointer, positions: positions?.pointer,
        index: index.pointer, count: index.count, readers: readers))
  }
}

/// The moments of weights.
private final class Moments: RecordedCall {
  private var weights: RankWeights
  private var results: [UnsafeMutablePointer<Double>]

  init(weights: RankWeights, results: [UnsafeMutablePointer<Double>]) {
    (self.weights, self.results) = (weights, results)
  }

  var reads: [UnsafeRawPointer] { [UnsafeRawPointer(weights.address)] }
  var writes: [UnsafeMutableRawPointer] { results.map { UnsafeMutableRawPointer($0) } }
  var ranks: Ranks { weights.ranks }
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    weights.move(target)
    for number in results.indices { results[number].follow(target) }
  }
  func add(to form: inout RankForm) { form.add(1) }

  func run() throws -> Bool {
    let count = weights.shares.count
    let size = coix_weight_block(count)
    let own = try weights.meet(size: size)
    var parts = Array(repeating: coix_block_moments(), count: weights.blockCount(size))
    coix_weight_block_moments(
      weights.numbers, &parts, count, own.lowerBound, own.upperBound, weights.isInFile ? 1 : 0, weights.team)
    try weights.complete(&parts, size: size)
    coix_weight_merge_blocks(parts, parts.count, results[0], results[1], results[2])
    return true
  }
}

/// The log of the sum of weights.
private final class LogSum: RecordedCall {
  private var weights: RankWeights
  private var result: UnsafeMutablePointer<Float>
  /// The greatest log-weight, and the sum of exp(w - greatest).
  private var parts: UnsafeMutablePointer<Double>

  init(weights: RankWeights, result: UnsafeMutablePointer<Float>, parts: UnsafeMutablePointer<Double>) {
    (self.weights, self.result, self.parts) = (weights, result, parts)
  }

  var reads: [UnsafeRawPointer] { [UnsafeRawPointer(weights.address)] }
  var writes: [UnsafeMutableRawPointer] {
    [UnsafeMutableRawPointer(result), UnsafeMutableRawPointer(parts)]
  }
  var ranks: Ranks { weights.ranks }
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    weights.move(target)
    result.follow(target)
    parts.follow(target)
  }
  func add(to form: inout RankForm) { form.add(2) }

  func run() throws -> Bool {
    let count = weights.shares.count
    let size = coix_row_block(count)
    let own = try weights.meet(size: size)
    var maxima = Array(repeating: Float(0), count: weights.blockCount(size))
    coix_row_block_maxima(weights.numbers, &maxima, count, own.lowerBound, own.upperBound, weights.team)
    try weights.complete(&maxima, size: size)
    let greatest = coix_row_max(maxima, maxima.count)
    var sums = Array(repeating: 0.0, count: maxima.count)
    coix_row_block_sums_exp(
      weights.numbers, &sums, greatest, count, own.lowerBound, own.upperBound, weights.team)
    try weights.complete(&sums, size: size)
    (parts[0], parts[1]) = (Double(greatest), sums.reduce(0, +))
    result.pointee = greatest.isFinite ? Float(parts[0] + Foundation.log(parts[1])) : greatest
    return true
  }
}

/// The gradient of the log of the sum of weights: each rank computes that of its own weights. Nothing is exchanged.
private final class LogSumSlope: RecordedCall {
  private var weights: RankWeights
  private var parts: UnsafeMutablePointer<Double>
  private var gradient: UnsafeMutablePointer<Float>
  private var slope: UnsafeMutablePointer<Float>

  init(
    weights: RankWeights, parts: UnsafeMutablePointer<Double>, gradient: UnsafeMutablePointer<Float>,
    slope: UnsafeMutablePointer<Float>
  ) {
    (self.weights, self.parts, self.gradient, self.slope) = (weights, parts, gradient, slope)
  }

  var reads: [UnsafeRawPointer] {
    [UnsafeRawPointer(weights.address), UnsafeRawPointer(parts), UnsafeRawPointer(gradient)]
  }
  var writes: [UnsafeMutableRawPointer] { [UnsafeMutableRawPointer(slope)] }
  var ranks: Ranks { weights.ranks }
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    weights.move(target)
    parts.follow(target)
    gradient.follow(target)
    slope.follow(target)
  }
  func add(to form: inout RankForm) { form.add(4) }

  func run() -> Bool {
    let own = weights.shares.own
    coix_logsumexp_backward_part(
      weights.numbers + own.lowerBound, gradient, slope + own.lowerBound, own.count, Float(parts[0]),
      parts[1], weights.team)
    return true
  }
}

/// A draw of ancestors in proportion to weights.
private final class Ancestry: RecordedCall {
  private var weights: RankWeights
  private let scheme: coix_resampling_scheme
  private var random: UnsafeMutablePointer<Float>
  private var positions: UnsafeMutablePointer<Double>?
  private var index: UnsafeMutablePointer<Int32>
  private let count: Int
  private let readers: [Range<Int>]

  init(
    weights: RankWeights, scheme: coix_resampling_scheme, random: UnsafeMutablePointer<Float>,
    positions: UnsafeMutablePointer<Double>?, index: UnsafeMutablePointer<Int32>, count: Int,
    readers: [Range<Int>]
  ) {
    (self.weights, self.scheme, self.random, self.positions) = (weights, scheme, random, positions)
    (self.index, self.count, self.readers) = (index, count, readers)
  }

  var reads: [UnsafeRawPointer] { [UnsafeRawPointer(weights.address), UnsafeRawPointer(random)] }
  var writes: [UnsafeMutableRawPointer] {
    [UnsafeMutableRawPointer(index)] + (positions.map { [UnsafeMutableRawPointer($0)] } ?? [])
  }
  var ranks: Ranks { weights.ranks }
  func move(_ target: (UnsafeRawPointer) -> UnsafeMutableRawPointer?) {
    weights.move(target)
    random.follow(target)
    positions?.follow(target)
    index.follow(target)
  }
  func add(to form: inout RankForm) { form.add(3) }
  /// The weights may have no meaning.
  var decides: Bool { true }

  /// How the kernel reaches the other ranks.
  private struct Exchange {
    let ranks: Ranks
    let counts: [Int]
    var failure: CoixError?
  }

  func run() throws -> Bool {
    let size = coix_resampling_block(weights.shares.count)
    let own = try weights.meet(size: size)
    var exchange = Exchange(ranks: ranks, counts: weights.shares.blockCounts(size: size))
    var picks = coix_picks()
    let result = withUnsafeMutablePointer(to: &exchange) { exchange in
      var others = coix_other_blocks()
      others.context = UnsafeMutableRawPointer(exchange)
      others.complete = { context, parts, unit in
        // Both are given, by this call and by the kernel.
        guard let context, let parts else { return 2 }
        let exchange = context.assumingMemoryBound(to: Exchange.self)
        do throws(CoixError) {
          try exchange.pointee.ranks.gather(parts: parts, counts: exchange.pointee.counts, unit: unit)
          return 0
        } catch {
          exchange.pointee.failure = error
          return 2
        }
      }
      return coix_resample_blocks(
        scheme, weights.numbers, random, positions, index, weights.shares.count, count, own.lowerBound,
        own.upperBound, &others, &picks, weights.team)
    }
    if let failure = exchange.failure { throw failure }
    guard result == 0 else { return false }
    try withUnsafePointer(to: picks.starts) { starts in
      let length = MemoryLayout.size(ofValue: picks.starts.0) / MemoryLayout<Int>.stride
      try starts.withMemoryRebound(to: Int.self, capacity: 2 * length) { starts in
        for round in 0..<picks.count {
          let picked = (0..<ranks.count).map { rank in
            let blocks = weights.shares.blocks(of: rank, size: size)
            return starts[round * length + blocks.lowerBound]..<starts[round * length + blocks.upperBound]
          }
          try ranks.spread(index, unit: MemoryLayout<Int32>.stride, held: picked, wanted: readers)
        }
      }
    }
    return true
  }
}
