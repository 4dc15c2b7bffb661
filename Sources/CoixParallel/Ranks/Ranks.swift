import CoixMPI
import Foundation
import Synchronization

/// The processes that run a program together, on one machine or many, each of them on its share of the rows.
///
/// All ranks run the same program with the same arguments. Where it evaluates, each rank runs its share of a plate's chunks and keeps
/// their rows; what is computed of all rows is computed by all ranks together. Results have the same bits as those of one rank, so
/// that parameters, optimisers and decisions are the same on all ranks without any further exchange.
///
/// ```swift
/// let ranks = try Ranks.join()
/// let options = EvaluationOptions(workers: Workers(ranks: ranks))
/// let evaluation = try evaluate(program, seed: 0, options: options)(data)
/// if ranks.isFirst { print(try evaluation.metrics.logZ) }
/// ```
///
/// Started as `mpirun -n 4 program`, there are four of them; started without a launcher, the program is alone.
public final class Ranks: Sendable {
  /// This rank's number, from 0.
  public let index: Int
  /// How many ranks there are.
  public let count: Int
  /// Whether this is the rank that prints and writes files.
  public var isFirst: Bool { index == 0 }
  /// How many ranks, this one included, may run on this rank's cores.
  let sharers: Int

  private let transport: (any RankTransport)?
  let hosts: [String]
  /// The name of this rank's host.
  var host: String { hosts[index] }
  /// What a rank is called in messages.
  func name(of rank: Int) -> String { "rank \(rank) (\(hosts[rank]))" }
  let state = Mutex(State())

  /// What changes from meeting to meeting.
  struct State {
    /// How often this rank has come to a meeting.
    var meetings: Int64 = 0
    /// Why the ranks have lost each other.
    var failure: CoixError?
    /// The rank that has told the others its error, and the error, until they meet again.
    var told: (rank: Int, error: String)?
    /// The first rank that got a signal which is to end the program, and the signal.
    var signalled: (rank: Int, signal: Int32)?
    var traffic = RankTraffic()
  }

  /// What has a name.
  private struct Names {
    /// How often the ranks had met when the last name was made, and its number since then.
    var meetings: Int64 = 0
    var number: Int32 = 0
    var things: [RankName: Named] = [:]
  }
  private struct Named {
    weak var thing: (any AnyObject & Sendable)?
  }
  private let names = Mutex(Names())
  /// What this rank evaluates with, which the ranks compare when they meet.
  let keys = Mutex(RankKeys())
  let hasWaitedForFirst = Mutex(false)

  /// What this rank has exchanged with the others so far.
  package var traffic: RankTraffic { state.withLock { $0.traffic } }

  /// A rank of its own: nothing is exchanged.
  public static let alone = Ranks()

  private init() {
    (index, count, sharers) = (0, 1, 1)
    (transport, hosts) = (nil, [])
  }

  /// - Throws: ``CoixError/ranks(_:)`` if the ranks don't fit each other.
  private init(_ transport: some RankTransport) throws {
    let size = RankIdentity.size
    var bytes = [UInt8](repeating: 0, count: transport.count * size)
    try RankIdentity.own.encoded.withUnsafeBytes { own in
      try bytes.withUnsafeMutableBytes { all in
        if let base = all.baseAddress { try transport.gather(own, into: base) }
      }
    }
    let identities = (0..<transport.count).map {
      RankIdentity(decoding: bytes[$0 * size..<($0 + 1) * size])
    }
    try RankIdentity.check(identities)
    (index, count, self.transport) = (transport.index, transport.count, transport)
    hosts = identities.map(\.host)
    sharers = identities.count { $0.sharesCores(with: identities[transport.index]) }
  }

  // MARK: Joining

  static let joined = Mutex<Ranks?>(nil)

  /// The ranks that a launcher has started, such as `mpirun` of Open MPI or MPICH, or `srun`; a rank alone without one.
  ///
  /// The MPI library is looked for when this is called, and only if there is a launcher: `COIX_MPI_LIBRARY` in the
  /// environment may name its file. Whenever a rank exits, so do the others: with its exit status, or with 70 if it leaves the
  /// others in the middle of their work. That a rank is killed, the launcher says, or with MPICH the next rank of the same host.
  ///
  /// - Parameter timeout: how long a rank waits for the others. It must be longer than any rank takes for its share, and for
  ///   what it alone does meanwhile. Nil: as many seconds as `COIX_RANK_TIMEOUT` in the environment says, else ten minutes.
  /// - Throws: ``CoixError/ranks(_:)`` without a fitting MPI library, or if the ranks' hosts would give different results;
  ///   ``CoixError/argument(_:)`` for a text in the environment that is no number of seconds.
  public static func join(timeout: Duration? = nil) throws -> Ranks {
    try joined.withLock { joined in
      if let joined { return joined }
      guard coix_mpi_launched() > 1 else {
        joined = .alone
        return .alone
      }
      let environment = Result { () throws(CoixError) in
        try RankTimeout(text: ProcessInfo.processInfo.environment["COIX_RANK_TIMEOUT"])
      }
      let ranks = try Ranks(
        MPITransport(timeout: timeout ?? (try? environment.get())?.duration ?? RankTimeout.standard))
      joined = ranks
      coix_mpi_at_exit { Ranks.exits($0) }
      try ranks.watchNeighbour()
      // Only now, so that the ranks say it once.
      if timeout == nil { _ = try environment.get() }
      return ranks
    }
  }

  /// Runs `body` as each of `count` ranks, which are threads of this process: the same results as those of processes, for
  /// tests.
  ///
  /// - Parameters:
  ///   - count: how many ranks there are, at least one.
  ///   - timeout: how long a rank waits for the others.
  ///   - body: what each rank does.
  /// - Returns: the ranks' results.
  /// - Throws: ``CoixError/argument(_:)`` for a number below one; the error of the first rank that has one of its own, rather than
  ///   one that says what other ranks do.
  public static func inProcess<Result: Sendable>(
    _ count: Int, timeout: Duration = .seconds(600), _ body: @escaping @Sendable (Ranks) throws -> Result
  ) throws -> [Result] {
    guard count >= 1 else { throw CoixError.argument("there must be at least 1 rank, not \(count)") }
    let results = Mutex<[Swift.Result<Result, any Error>?]>(Array(repeating: nil, count: count))
    let group = DispatchGroup()
    for transport in ThreadTransport.make(count, timeout: timeout) {
      group.enter()
      let thread = Thread {
        let result = Swift.Result {
          let ranks = count == 1 ? .alone : try Ranks(transport)
          // The others are told that this one has come to its end; what they do instead is their error.
          defer { _ = try? ranks.meet(at: .end) }
          return try body(ranks)
        }
        results.withLock { $0[transport.index] = result }
        group.leave()
      }
      thread.stackSize = 16 << 20
      thread.start()
    }
    group.wait()
    let ends = results.withLock { $0.compactMap { $0 } }
    let errors = ends.compactMap { end -> (any Error)? in
      guard case .failure(let error) = end else { return nil }
      return error
    }
    if let error = errors.first(where: { !RankError.isOfLostRanks($0) }) ?? errors.first { throw error }
    return try ends.map { try $0.get() }
  }

  // MARK: Meeting

  /// Waits until all ranks have come.
  ///
  /// - Returns: what each of them says.
  /// - Throws: ``CoixError/ranks(_:)`` if the ranks are at different places, if they have evaluated with different
  ///   keys, and whenever they have lost each other before; ``CoixError/otherRank(_:_:)`` if one has ended.
  @discardableResult
  func meet(at place: RankPlace, size: Int = 0, status: RankNotice.Status = .done, form: UInt64 = 0)
    throws(CoixError) -> [RankNotice]
  {
    try exchange(sending: (count - 1) * MemoryLayout<RankNotice>.stride) {
      (transport, state) throws(CoixError) in
      state.meetings += 1
      state.told = nil
      let own = RankNotice(
        number: state.meetings, place: place, status: status, size: Int64(size), form: form,
        keys: keys.withLock { $0.take() })
      let notices = try notices(own, transport)
      if place != .end, let ended = notices.firstIndex(where: { $0.place == .end }) {
        throw CoixError.otherRank(ended, "has ended, while rank \(index) is \(own.text)")
      }
      if let other = notices.firstIndex(where: { !$0.agrees(with: notices[0]) }) {
        throw CoixError.ranks(
          "\(name(of: 0)) is \(notices[0].text), \(name(of: other)) \(notices[other].text); all "
            + "ranks must run the same program")
      }
      // At the end, the first rank may have evaluated something more for itself.
      if place != .end, let other = notices.firstIndex(where: { $0.keys != notices[0].keys }) {
        throw CoixError.ranks(
          "\(name(of: 0)) evaluates with another seed or key than \(name(of: other)); all "
            + "ranks must run the same program")
      }
      return notices
    }
  }

  private func notices(_ own: RankNotice, _ transport: any RankTransport) throws(CoixError) -> [RankNotice] {
    var notices = Array(repeating: own, count: count)
    do {
      try notices.withUnsafeMutableBytes { all in
        try withUnsafeBytes(of: own) { own in
          // There are several ranks, and so there is an address.
          if let base = all.baseAddress { try transport.gather(own, into: base) }
        }
      }
    } catch {
      let reason = if case .ranks(let reason)? = error as? CoixError { reason } else { "\(error)" }
      throw CoixError.ranks("\(reason), while \(name(of: index)) is \(own.text)")
    }
    return notices
  }

  /// Exchanges something, one exchange at a time.
  func exchange<Result>(
    sending bytes: Int, _ body: (any RankTransport, inout State) throws(CoixError) -> Result
  ) throws(CoixError) -> Result {
    guard let transport else { throw CoixError.ranks("a rank alone has nobody to exchange anything with") }
    return try state.withLock { state throws(CoixError) in
      if let failure = state.failure { throw failure }
      state.traffic.bytes += bytes
      state.traffic.exchanges += 1
      let start = ContinuousClock.now
      defer { state.traffic.time += ContinuousClock.now - start }
      do throws(CoixError) { return try body(transport, &state) } catch {
        let failure = naming(transport.silent(), in: error)
        state.failure = failure
        throw failure
      }
    }
  }

  /// Memory for what ranks exchange next, to be given back by `free`.
  ///
  /// Without it this rank has lost the others, which wait for it there: it comes to no other meeting.
  ///
  /// - Throws: ``CoixError/memory(what:bytes:)``, then and at all later meetings.
  func scratch(bytes: Int, for what: String) throws(CoixError) -> UnsafeMutableRawPointer {
    if let buffer = Memory.buffer(bytes: bytes) { return buffer }
    let failure = CoixError.memory(what: what, bytes: bytes)
    state.withLock { $0.failure = $0.failure ?? failure }
    throw failure
  }

  // MARK: Naming

  /// How often this rank has come to a meeting.
  var meetings: Int64 { state.withLock { $0.meetings } }

  /// A name for something that all ranks make at the same place of their program, between two meetings.
  func makeName() -> RankName {
    let meetings = meetings
    return names.withLock { names in
      if names.meetings != meetings { (names.meetings, names.number) = (meetings, 0) }
      names.number += 1
      return RankName(meetings: meetings, number: names.number)
    }
  }

  func register(_ thing: any AnyObject & Sendable, _ name: RankName) {
    names.withLock { $0.things[name] = Named(thing: thing) }
  }

  func forget(_ name: RankName) {
    names.withLock { $0.things[name] = nil }
  }

  /// What has a name here, if nobody has let go of it.
  func thing(_ name: RankName) -> (any AnyObject & Sendable)? { names.withLock { $0.things[name]?.thing } }

  /// An error that names the ranks that don't answer any more.
  private func naming(_ silent: [Int], in error: CoixError) -> CoixError {
    guard case .ranks(let reason) = error, !silent.isEmpty else { return error }
    let names = silent.map { name(of: $0) }.joined(separator: ", ")
    return .ranks("\(reason): \(names) \(silent.count == 1 ? "does" : "do") not answer")
  }

  // MARK: Sharing work

  /// How a meeting after the ranks' parts of some work has ended without an error.
  enum Outcome {
    /// All have found the same, or not.
    case same, different
    /// Some rank needs rows of others before it can go on; whether another has an error that may have to do with it.
    case lacking(hasFailed: Bool)
  }

  /// Runs this rank's part of some work, then comes together with the others.
  ///
  /// - Parameters:
  ///   - size: how much work it is, on all ranks together.
  ///   - lacks: whether the part has come to a place where it needs rows of other ranks.
  ///   - part: returns a number that stands for what the rank has found.
  /// - Throws: the error of the first rank that has one, on all ranks. If the memory budget refuses that one's part, the
  ///   refusal of the rank that needs most.
  func share(
    _ place: RankPlace, size: Int, lacks: () -> Bool, _ part: () throws -> UInt64
  ) throws -> Outcome {
    let own = Result { try part() }
    var (status, form, failure): (RankNotice.Status, UInt64, (any Error)?) = (.done, 0, nil)
    switch own {
    case .success(let number): form = number
    case .failure(let error):
      (status, failure) = (RankNotice.Status(error), error)
      if case .memoryBudget(_, let bytes, _)? = error as? CoixError { form = UInt64(clamping: bytes) }
    }
    if status == .done || status == .failed, lacks() {
      status = status == .done ? .lacking : .lackingAndFailed
    }
    let notices = try meet(at: place, size: size, status: status, form: form)
    let statuses = notices.map(\.status)
    if statuses.contains(where: { $0 == .lacking || $0 == .lackingAndFailed }) {
      if statuses.contains(.outgrown) { throw ChunkOutgrown() }
      if statuses.contains(.cancelled) { throw CancellationError() }
      return .lacking(hasFailed: statuses.contains { $0 == .failed || $0 == .lackingAndFailed })
    }
    guard let first = statuses.firstIndex(where: { $0 != .done }) else {
      return notices.allSatisfy { $0.form == notices[0].form } ? .same : .different
    }
    switch statuses[first] {
    case .outgrown: throw ChunkOutgrown()
    case .cancelled: throw CancellationError()
    default:
      let failed = statuses.indices.filter { statuses[$0] == .failed }
      let needsMost = failed.max { notices[$0].form < notices[$1].form }
      throw try told(failure, by: notices[first].form > 0 ? needsMost ?? first : first)
    }
  }

  /// The same for work that needs no rows of other ranks.
  ///
  /// - Returns: whether all have found the same.
  func share(_ place: RankPlace, size: Int, _ part: () throws -> UInt64) throws -> Bool {
    if case .same = try share(place, size: size, lacks: { false }, part) { true } else { false }
  }

  /// The error of a rank, which tells it to the others.
  private func told(_ own: (any Error)?, by rank: Int) throws -> any Error {
    var data = Data()
    if rank == index, let own { data = try RankError(own).encoded() }
    var size = data.count
    try meet(at: .error)
    try withUnsafeMutableBytes(of: &size) { try broadcast($0, from: rank) }
    if data.count != size { data = Data(count: size) }
    try data.withUnsafeMutableBytes { try broadcast($0, from: rank) }
    let error = if rank == index, let own { own } else { try RankError(decoding: data).thrown(by: rank) }
    state.withLock { $0.told = (rank, "\(error)") }
    return error
  }
}
