import CoixKernels
import Synchronization

/// What tensor operators find through the thread's slot: the tape, the buffers and the rows of the chunk that
/// runs.
///
/// A worker has one while it works on a chunk (`rows > 0`, or an unplated stage); the caller has one within
/// ``valueWithGradient(at:_:)``. Without a context, operators work on uniform tensors and record nothing.
package final class ExecutionContext {
  /// Buffers of the thread; nil on the caller, where the system's allocator serves.
  let pool: BufferPool?
  /// Names this context, so that tensors of another chunk are noticed. The next numbers name those of its
  /// tensors that vary over some of the plates only, by ``PlateAxes``.
  private(set) var scope: UInt32
  /// The rows of the chunk.
  private(set) var chunk = ChunkRows.none
  /// The real rows of the chunk, 0 outside of a plate.
  package private(set) var rows = 0
  /// The padded rows: a multiple of `COIX_LANES`.
  package private(set) var stride = 0
  /// The first row of the chunk, counted in the plate.
  package private(set) var firstRow = 0
  /// The rows of the whole plate.
  package var plate: PlateRows { chunk.plate }
  /// The numbers of the chunk's rows in the plate, where they don't follow each other.
  private(set) var rowNumbers: [UInt64]?
  /// Where operations on tracked tensors are recorded; nil while nothing is.
  var tape: Tape?
  /// The first shape error that happened here.
  package var failure: CoixError? {
    get { firstFailure?.error }
    set { firstFailure = newValue.map(Failure.init) }
  }
  /// That the chunk's input has a NaN, for checks that find one later on.
  package var brokenInput: CoixError?
  /// Whether anything went wrong here.
  package var hasFailed: Bool { firstFailure != nil }
  /// A box, so that looking whether there is none costs next to nothing.
  private var firstFailure: Failure?

  private final class Failure {
    let error: CoixError
    init(_ error: CoixError) { self.error = error }
  }

  /// OpenMP threads that kernels may use: 1 within workers.
  let team: Int
  /// Floats handed out to operations, for the choice of the chunk size.
  var allocatedFloats = 0
  /// Whether the plate may be cut finer if this chunk outgrows its budget.
  private(set) var mayBeCut = false
  /// Whether the chunk was refused a tensor that a finer cut may give it.
  var hasOutgrown = false

  /// Whether indices that vary over particles are checked, rather than clamped.
  package var checksIndices = false

  /// What was done with row numbers here, for tests that count it.
  package var rowWork = RowWork()

  private static let lastScope = Atomic<UInt32>(0)

  init(pool: BufferPool?, tape: Tape?, team: Int, isCaller: Bool = false) {
    self.isCaller = isCaller
    self.pool = pool
    self.tape = tape
    self.team = team
    scope = Self.nextScope()
  }

  private static func nextScope() -> UInt32 {
    lastScope.wrappingAdd(PlateAxes.instances.rawValue + 1, ordering: .relaxed).oldValue &+ 1
  }

  /// A context for the caller of an evaluation, whose work outside of the workers may use `team` threads.
  package static func caller(team: Int) -> ExecutionContext {
    ExecutionContext(pool: nil, tape: nil, team: team, isCaller: true)
  }

  /// Makes the context that of another chunk.
  func enter(_ chunk: ChunkRows, tape: Tape?, mayBeCut: Bool = false) {
    scope = Self.nextScope()
    take(chunk)
    self.tape = tape
    firstFailure = nil
    brokenInput = nil
    allocatedFloats = 0
    hasOutgrown = false
    self.mayBeCut = mayBeCut
  }

  /// Makes the context that of a chunk that ran before, for its backward pass.
  func reenter(_ chunk: ChunkRows, scope: UInt32) {
    self.scope = scope
    take(chunk)
    tape = nil
    firstFailure = nil
  }

  private func take(_ chunk: ChunkRows) {
    self.chunk = chunk
    rows = chunk.count
    firstRow = chunk.first
    stride = Self.paddedRows(rows)
    rowNumbers =
      chunk.isConsecutive ? nil : chunk.numbers(particleStride: chunk.plate.instances, instanceStride: 1)
  }

  /// What a tensor with values for some of the plates is marked with; see ``Tensor/scope``.
  func scope(of axes: PlateAxes) -> UInt32 { scope &+ axes.rawValue }

  /// The plates that one of the chunk's tensors varies over; nil for a tensor of another chunk.
  func axes(of tensor: Tensor) -> PlateAxes? { PlateAxes(rawValue: tensor.scope &- scope) }

  /// Throws the first error that happened here.
  package func throwFailure() throws {
    if let firstFailure { throw firstFailure.error }
  }

  /// Row counts are padded to whole vectors.
  static func paddedRows(_ rows: Int) -> Int {
    (rows + Int(COIX_LANES) - 1) / Int(COIX_LANES) * Int(COIX_LANES)
  }

  /// The calling thread's context.
  package static var current: ExecutionContext? {
    guard let slot = coix_get_thread_slot() else { return nil }
    return Unmanaged<ExecutionContext>.fromOpaque(slot).takeUnretainedValue()
  }

  /// The calling thread's context, for as long as `body` runs: without counting a reference.
  @inline(__always)
  static func withCurrent<Result>(_ body: (ExecutionContext?) -> Result) -> Result {
    guard let slot = coix_get_thread_slot() else { return body(nil) }
    return Unmanaged<ExecutionContext>.fromOpaque(slot)._withUnsafeGuaranteedRef { body($0) }
  }

  /// Runs `body` with this context as the thread's.
  package func withCurrent<Result>(_ body: () throws -> Result) rethrows -> Result {
    let previous = coix_get_thread_slot()
    coix_set_thread_slot(Unmanaged.passUnretained(self).toOpaque())
    defer { coix_set_thread_slot(previous) }
    return try withExtendedLifetime(self) { try body() }
  }

  /// Whether this is the caller's context of a gradient computation rather than a worker's.
  package let isCaller: Bool

  /// Remembers the first error, for the evaluation to throw.
  static func remember(_ failure: CoixError) {
    guard let context = current, !context.hasFailed else { return }
    context.failure = failure
  }
}
