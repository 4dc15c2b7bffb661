/// The rows of one chunk: a range of particles times a range of instances. From row to row, the instance
/// changes fastest.
struct ChunkRows: Equatable {
  let particles: Range<Int>
  let instances: Range<Int>
  let plate: PlateRows

  /// Outside of plates: no rows.
  static let none = ChunkRows(particles: 0..<0, instances: 0..<0, plate: PlateRows(particles: 0))

  var count: Int { particles.count * instances.count }

  /// Whether another chunk has as many rows of each plate.
  func hasForm(of other: ChunkRows) -> Bool {
    particles.count == other.particles.count && instances.count == other.instances.count
  }
  /// The first row's number in the plate.
  var first: Int { number(0) }
  /// A range that has all rows' numbers.
  var numbers: Range<Int> { isConsecutive ? first..<first + count : 0..<plate.count }
  /// Whether the rows follow each other in the plate.
  var isConsecutive: Bool { particles.count <= 1 || instances.count == plate.instances }
  /// The rows' numbers, in ranges that have no others.
  var runs: [Range<Int>] {
    if isConsecutive { return [numbers] }
    return particles.map { particle in
      let start = particle * plate.instances
      return start + instances.lowerBound..<start + instances.upperBound
    }
  }

  /// A row's number in the plate.
  func number(_ row: Int) -> Int {
    guard !instances.isEmpty else { return 0 }
    return (particles.lowerBound + row / instances.count) * plate.instances + instances.lowerBound
      + row % instances.count
  }

  /// Writes each row's number in the plate to a buffer with room for them.
  func writeNumbers(to buffer: UnsafeMutableBufferPointer<UInt64>) {
    var row = 0
    for particle in particles {
      for instance in instances {
        buffer[row] = UInt64(particle * plate.instances + instance)
        row += 1
      }
    }
  }

  /// The number, in the plates of `axes`, of the row that a tensor which varies over them has its value
  /// number `value` for.
  func number(_ value: Int, along axes: PlateAxes) -> Int {
    switch axes {
    case .all: number(value)
    case .particles: particles.lowerBound + value
    case .instances: instances.lowerBound + value
    }
  }

  /// How many values a tensor that varies over `axes` has in this chunk.
  func count(along axes: PlateAxes) -> Int {
    switch axes {
    case .all: count
    case .particles: particles.count
    case .instances: instances.count
    }
  }
}

/// How a plate is cut into chunks: into rectangles of particles times instances. The cut never depends on the
/// number of threads.
///
/// Chunks are rectangles rather than runs of consecutive rows, so that a value that varies over instances
/// only is computed once for many particles.
struct ChunkGrid {
  private let plate: PlateRows
  /// The most instances that a chunk has.
  private let width: Int
  /// The most particles that a chunk has.
  private let height: Int

  /// Chunks of at most `chunkRows` rows.
  init(_ plate: PlateRows, chunkRows: Int) {
    self.plate = plate
    let wanted = ExecutionContext.paddedRows(
      chunkRows / min(plate.particles, Limits.particlesBeforeInstances))
    let greatest = min(max(wanted, 1), chunkRows)
    let columns = (plate.instances + greatest - 1) / greatest
    width = (plate.instances + columns - 1) / columns
    height = max(1, min(plate.particles, chunkRows / width))
  }

  /// Chunks of at most `chunkRows` consecutive rows, in the order of the plate's rows.
  init(consecutive plate: PlateRows, chunkRows: Int) {
    self.plate = plate
    width = min(plate.instances, chunkRows)
    height = width == plate.instances ? max(1, chunkRows / width) : 1
  }

  private var columns: Int { (plate.instances + width - 1) / width }
  var chunkCount: Int { (plate.particles + height - 1) / height * columns }
  /// Whether there are no plates within the plate.
  var isFlat: Bool { plate.instances == 1 }
  /// Whether the rows of each chunk follow those of the chunk before.
  var isInRowOrder: Bool { columns == 1 || height == 1 }

  subscript(chunk: Int) -> ChunkRows {
    let (particle, instance) = (chunk / columns * height, chunk % columns * width)
    return ChunkRows(
      particles: particle..<min(particle + height, plate.particles),
      instances: instance..<min(instance + width, plate.instances), plate: plate)
  }
}
