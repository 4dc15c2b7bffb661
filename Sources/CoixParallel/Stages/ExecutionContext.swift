import CoixKernels
import Synchronization

/// The tape, the buffers and the rows of the chunk that a thread is running. Tensor operators find it through
/// a thread-local pointer.
///
/// A worker has one while it works on a chunk (`rows` is 0 in a stage outside of plates); the caller has one
/// within ``valueWithGradient(at:_:)``. Without a context, operators work on uniform tensors and record
/// nothing.
package final class ExecutionContext {
  /// The thread's pool of buffers; nil for a caller outside of a gradient computation.
  let pool: BufferPool?
  /// The number that marks this chunk's tensors, so that tensors of another chunk are noticed. This number
  /// plus the raw value of a ``PlateAxes`` marks a tensor that varies over those plates only.
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
  /// Where the plate's particles are in a larger plate that they are a part of.
  var part: PlatePart?
  /// The rows of the plate that draws count through: those of the larger one, where the plate is a part of
  /// it.
  package var drawnPlate: PlateRows {
    part.map { PlateRows(particles: $0.whole, instances: plate.instances) } ?? plate
  }
  /// The chunk's rows as operations read them; nil outside of plates.
  private(set) var place: UnsafeMutablePointer<coix_place>?
  /// What ``place`` points to.
  private let placeStorage: UnsafeMutablePointer<coix_place>
  /// Room for a number for each row, twice: the rows' numbers in the plate, and scratch.
  private var rowNumbers: UnsafeMutableBufferPointer<UInt64>
  /// What notes the chunk's operations; nil while nobody does.
  var recording: Recording?
  /// The recording of the step that the chunk is a part of, whether or not the chunk itself is recorded.
  var step: Recording? {
    get { recording?.step ?? stepOfStage }
    set { stepOfStage = newValue }
  }
  private var stepOfStage: Recording?
  /// Whether the chunk's operations are noted.
  package var isRecorded: Bool { recording != nil }
  /// Whether a tape notes operations.
  package var recordsTape: Bool { tape != nil }
  /// The tape that operations on tracked tensors are recorded on; nil while nothing is recorded.
  var tape: Tape?
  /// The first error of an operation in this context.
  package var failure: CoixError? {
    get { firstFailure?.error }
    set { firstFailure = newValue.map(Failure.init) }
  }
  /// The error that the chunk's input has a NaN, for checks that find a NaN later on; nil if it has none.
  package var brokenInput: CoixError?
  /// Whether an operation in this context has failed.
  package var hasFailed: Bool { firstFailure != nil }
  /// An object rather than the error itself, so that checking for nil is cheap.
  private var firstFailure: Failure?

  private final class Failure {
    let error: CoixError
    init(_ error: CoixError) { self.error = error }
  }

  /// Threads that kernels may use: 1 within workers that share chunks.
  let team: Int
  /// Floats handed out to operations, for the choice of the chunk size.
  var allocatedFloats = 0
  /// Whether the plate may be cut finer if this chunk outgrows its budget.
  private(set) var mayBeCut = false
  /// Whether the chunk was refused a tensor that a finer cut may give it.
  var hasOutgrown = false

  /// Whether each rank runs all chunks of the stage, and so needs all rows.
  var runsAllChunks = true
  /// The rows of other ranks that the chunk needs and does not have.
  var lacking: [RowNeed] = []

  /// Whether indices that vary over particles are checked, rather than clamped.
  package var checksIndices = false

  /// Counts of the work on row numbers in this context, for tests.
  package var rowWork = RowWork()

  private static let lastScope = Atomic<UInt32>(0)

  init(pool: BufferPool?, tape: Tape?, team: Int, isCaller: Bool = false) {
    self.isCaller = isCaller
    self.pool = pool
    self.tape = tape
    self.team = team
    scope = Self.nextScope()
    placeStorage = .allocate(capacity: 1)
    placeStorage.initialize(to: coix_place())
    rowNumbers = UnsafeMutableBufferPointer(start: nil, count: 0)
  }

  deinit {
    placeStorage.deallocate()
    rowNumbers.deallocate()
  }

  private static func nextScope() -> UInt32 {
    lastScope.wrappingAdd(PlateAxes.instances.rawValue + 1, ordering: .relaxed).oldValue &+ 1
  }

  /// A context for the caller of an evaluation, whose work outside of the workers may use `team` threads.
  package static func caller(team: Int) -> ExecutionContext {
    ExecutionContext(pool: nil, tape: nil, team: team, isCaller: true)
  }

  /// Makes this the context of another chunk.
  func enter(_ chunk: ChunkRows, number: Int = 0, tape: Tape?, mayBeCut: Bool = false) {
    scope = Self.nextScope()
    take(chunk, number)
    self.tape = tape
    firstFailure = nil
    brokenInput = nil
    allocatedFloats = 0
    hasOutgrown = false
    self.mayBeCut = mayBeCut
  }

  /// Makes this the context of a chunk that ran before, for the chunk's backward pass.
  func reenter(_ chunk: ChunkRows, number: Int, scope: UInt32) {
    self.scope = scope
    take(chunk, number)
    tape = nil
    firstFailure = nil
  }

  /// Takes the rows of a chunk, for operations that run on it.
  func take(_ chunk: ChunkRows, _ number: Int) {
    self.chunk = chunk
    rows = chunk.count
    firstRow = chunk.first
    stride = Self.paddedRows(rows)
    guard rows > 0 else {
      place = nil
      return
    }
    var place = coix_place()
    place.chunk = number
    (place.rows, place.padded_rows, place.first_row) = (rows, stride, firstRow)
    (place.first_particle, place.particles) = (chunk.particles.lowerBound, chunk.particles.count)
    (place.first_instance, place.instances) = (chunk.instances.lowerBound, chunk.instances.count)
    if chunk.plate.isNested {
      if rowNumbers.count < 2 * rows {
        rowNumbers.deallocate()
        rowNumbers = .allocate(capacity: 2 * rows)
      }
      place.scratch = rowNumbers.baseAddress.map { $0 + rows }
      if !chunk.isConsecutive {
        chunk.writeNumbers(to: rowNumbers)
        place.row_numbers = UnsafePointer(rowNumbers.baseAddress)
      }
    }
    placeStorage.pointee = place
    self.place = placeStorage
  }

  /// The number that marks a tensor of this chunk that varies over `axes`; see ``Tensor/scope``.
  func scope(of axes: PlateAxes) -> UInt32 { scope &+ axes.rawValue }

  /// The plates that one of the chunk's tensors varies over; nil for a tensor of another chunk.
  func axes(of tensor: Tensor) -> PlateAxes? { PlateAxes(rawValue: tensor.scope &- scope) }

  /// Throws the first error of an operation in this context, if there is one.
  package func throwFailure() throws {
    if let firstFailure { throw firstFailure.error }
  }

  /// `rows` padded to whole vectors: rounded up to a multiple of `COIX_LANES`.
  static func paddedRows(_ rows: Int) -> Int {
    (rows + Int(COIX_LANES) - 1) / Int(COIX_LANES) * Int(COIX_LANES)
  }

  /// The calling thread's context.
  package static var current: ExecutionContext? {
    guard let slot = coix_get_thread_slot() else { return nil }
    return Unmanaged<ExecutionContext>.fromOpaque(slot).takeUnretainedValue()
  }

  /// The threads that an operation may use which is made now.
  static var team: Int32 { Int32(clamping: current?.team ?? Workers.standard.team) }

  /// Calls `body` with the calling thread's context, without reference counting.
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

  /// Runs `body`, which computes something for all chunks, as a part of the step rather than of the chunk that
  /// happens to need it first.
  static func asPartOfStep<Result, Failure>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    guard let context = current, let step = context.step else { return try body() }
    let recording = context.recording
    context.recording = step
    defer { context.recording = recording }
    return try body()
  }

  /// Whether this is the caller's context of a gradient computation rather than a worker's.
  package let isCaller: Bool

  /// Notes on the tape that records, where there is one, that a site has been recorded whose gradients are to be checked.
  package func noteSite(_ name: String) { tape?.noteSite(name) }

  /// Remembers the first error, for the evaluation to throw.
  static func remember(_ failure: CoixError) {
    guard let context = current, !context.hasFailed else { return }
    context.failure = failure
  }
}
