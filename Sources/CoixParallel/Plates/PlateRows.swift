/// Which plates of a nest a tensor has values for: all of them, the outermost one alone, or those inside of
/// it.
///
/// A value that varies over instances only, such as a network applied to data, is computed once for all
/// particles of a chunk.
package enum PlateAxes: UInt32, Sendable {
  /// One value for each row.
  case all
  /// One value for each particle, the same for all its instances.
  case particles
  /// One value for each instance, the same for all particles.
  case instances
}

extension PlateAxes {
  /// The plates that at least one of `tensors`, all of the running chunk, varies over; nil if all are the
  /// same for all rows.
  package init?(of tensors: [Tensor]) {
    guard let context = ExecutionContext.current else { return nil }
    let axes = Set(tensors.filter(\.isBatched).compactMap(context.axes))
    guard let first = axes.first else { return nil }
    self = axes.count == 1 ? first : .all
  }
}

/// The rows of a nest of plates: particles, which are the rows of the outermost plate, times instances, those
/// of the plates within.
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

  /// How many rows there are: particles times instances.
  package var count: Int { particles * instances }

  /// Whether it makes a difference which of the plates a value varies over.
  package var isNested: Bool { particles > 1 && instances > 1 }

  /// How many values a tensor that varies over `axes` has.
  package func count(along axes: PlateAxes) -> Int {
    switch axes {
    case .all: count
    case .particles: particles
    case .instances: instances
    }
  }

  /// For each row, its number along the plates of `axes`.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``.
  func index(along axes: PlateAxes) throws(CoixError) -> RowIndex {
    try RowIndex(count: count, for: "\(count) rows of nested plates") {
      axes == .particles ? $0 / instances : axes == .instances ? $0 % instances : $0
    }
  }
}
