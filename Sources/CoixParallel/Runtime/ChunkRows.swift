/// Which plates of a nest a tensor has values for: all of them, the outermost one alone, or those inside of it.
///
/// What varies over instances only, a network applied to data say, is computed once for all particles of a chunk.
package enum PlateAxes: UInt32, Sendable {
  /// One value for each row.
  case all
  /// One value for each particle, the same for all its instances.
  case particles
  /// One value for each instance, the same for all particles.
  case instances
}

extension PlateAxes {
  /// The plates that any of the running chunk's tensors varies over; nil if they are the same for all rows.
  package init?(of tensors: [Tensor]) {
    guard let context = ExecutionContext.current else { return nil }
    let axes = Set(tensors.filter(\.isBatched).compactMap(context.axes))
    guard let first = axes.first else { return nil }
    self = axes.count == 1 ? first : .all
  }
}

/// The rows of a nest of plates: particles, which are the rows of the outermost plate, times instances, those of the plates within.
package struct PlateRows: Hashable, Sendable {
  package let particles: Int
  /// 1 for a plate that stands alone.
  package let instances: Int

  package init(particles: Int, instances: Int = 1) {
    self.particles = particles
    self.instances = instances
  }

  /// A nest of plates of these sizes, outermost first; nil without any.
  package init?(batch: [Int]) {
    guard let particles = batch.first else { return nil }
    self.init(particles: particles, instances: batch.dropFirst().reduce(1, *))
  }

  /// Counted through all plates, the outermost slowest.
  package var count: Int { particles * instances }

  /// Whether it makes a difference which of the plates a value varies over.
  package var isNested: Bool { particles > 1 && instances > 1 }

  /// How many values there are along some of the plates.
  package func count(along axes: PlateAxes) -> Int {
    switch axes {
    case .all: count
    case .particles: particles
    case .instances: instances
    }
  }

  /// For each row, its number along some of the plates.
  package func index(along axes: PlateAxes) -> RowIndex {
    RowIndex(
      (0..<count).map {
        Int32(axes == .particles ? $0 / instances : axes == .instances ? $0 % instances : $0)
      })
  }
}

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

/// How a plate is cut into chunks, never by the number of threads: into rectangles of particles and instances.
///
/// A rectangle rather than a run of rows, so that what varies over instances only is computed for few particles' sake more than once.
struct ChunkGrid {
  private let plate: PlateRows
  /// A chunk's instances.
  private let width: Int
  /// A chunk's particles.
  private let height: Int

  /// A chunk has as many particles for each instance, if there are, before another instance is added.
  private static let sharing = 32

  /// Chunks of at most `chunkRows` rows.
  init(_ plate: PlateRows, chunkRows: Int) {
    self.plate = plate
    let wanted = ExecutionContext.paddedRows(chunkRows / min(plate.particles, Self.sharing))
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
