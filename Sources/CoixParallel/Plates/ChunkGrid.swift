/// The rows of one chunk: some particles of some instances, the particles slowest.
struct ChunkRows: Equatable {
  let particles: Range<Int>
  let instances: Range<Int>
  let plate: PlateRows

  /// Outside of plates: no rows.
  static let none = ChunkRows(particles: 0..<0, instances: 0..<0, plate: PlateRows(particles: 0))

  var count: Int { particles.count * instances.count }
  /// The number of the first row in the plate.
  var first: Int { number(0) }
  /// Whether the rows follow each other in the plate.
  var isConsecutive: Bool { particles.count <= 1 || instances.count == plate.instances }

  /// A row's number in the plate.
  func number(_ row: Int) -> Int {
    guard !instances.isEmpty else { return 0 }
    return (particles.lowerBound + row / instances.count) * plate.instances + instances.lowerBound
      + row % instances.count
  }

  /// A number for each row, where each particle and each instance counts for so much.
  func numbers(particleStride: Int, instanceStride: Int) -> [UInt64] {
    var numbers: [UInt64] = []
    numbers.reserveCapacity(count)
    for particle in particles {
      for instance in instances {
        numbers.append(UInt64(particle &* particleStride &+ instance &* instanceStride))
      }
    }
    return numbers
  }

  /// How many values there are along some of the plates.
  func count(along axes: PlateAxes) -> Int {
    switch axes {
    case .all: count
    case .particles: particles.count
    case .instances: instances.count
    }
  }

  /// The number of the first of them.
  func first(along axes: PlateAxes) -> Int {
    switch axes {
    case .all: first
    case .particles: particles.lowerBound
    case .instances: instances.lowerBound
    }
  }
}

/// How a plate is cut into chunks, never by the number of threads: into rectangles of particles and
/// instances.
///
/// A rectangle rather than a run of rows, so that what varies over instances only is computed for few
/// particles' sake more than once.
struct ChunkGrid {
  private let plate: PlateRows
  /// A chunk's instances.
  private let width: Int
  /// A chunk's particles.
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

  /// The same, but each chunk's rows follow those of the chunk before.
  init(consecutive plate: PlateRows, chunkRows: Int) {
    self.plate = plate
    width = min(plate.instances, chunkRows)
    height = width == plate.instances ? max(1, chunkRows / width) : 1
  }

  private var columns: Int { (plate.instances + width - 1) / width }
  var chunkCount: Int { (plate.particles + height - 1) / height * columns }

  subscript(chunk: Int) -> ChunkRows {
    let (particle, instance) = (chunk / columns * height, chunk % columns * width)
    return ChunkRows(
      particles: particle..<min(particle + height, plate.particles),
      instances: instance..<min(instance + width, plate.instances), plate: plate)
  }
}
