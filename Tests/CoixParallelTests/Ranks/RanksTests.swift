import CoixKernels
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import CoixParallel

/// Ranks by themselves, as threads of this process: what they exchange, and how they lose each other.
@Suite struct RanksTests {
  static let counts = [2, 3, 4]

  /// The error that `body` throws.
  static func error(_ body: () throws -> Void) -> (any Error)? {
    do {
      try body()
      return nil
    } catch {
      return error
    }
  }

  /// Each rank's error.
  static func errors(
    _ count: Int, timeout: Duration = .seconds(60), _ body: @escaping @Sendable (Ranks) throws -> Void
  )
    throws -> [(any Error)?]
  {
    try Ranks.inProcess(count, timeout: timeout) { ranks in error { try body(ranks) } }
  }

  // MARK: Who is there

  @Test func withoutALauncherARankIsAlone() throws {
    let ranks = try Ranks.join()
    #expect((ranks.index, ranks.count, ranks.isFirst, ranks.sharers) == (0, 1, true, 1))
    #expect(ranks === (try Ranks.join()))
    #expect(try ranks.first(3) == 3)
    var isDone = false
    try ranks.onFirst { isDone = true }
    #expect(isDone)
    #expect(dlsym(nil, "MPI_Init_thread") == nil, "no MPI library is loaded")
  }

  @Test func ranksAreNumbered() throws {
    for count in [1, 2, 5] {
      let found = try Ranks.inProcess(count) { [$0.index, $0.count, $0.isFirst ? 1 : 0, $0.sharers] }
      #expect(found == (0..<count).map { [$0, count, $0 == 0 ? 1 : 0, count] })
    }
    let error = #expect(throws: CoixError.self) { _ = try Ranks.inProcess(0) { _ in 0 } }
    #expect(error == .argument("there must be at least 1 rank, not 0"))
  }

  /// Threads of a rank: the cores that it may use, divided by the ranks that may use them, too.
  @Test func coresAreDivided() throws {
    let cores = Workers.standard.threads
    #expect(cores >= 1 && cores <= ProcessInfo.processInfo.processorCount)
    #expect(
      try Ranks.inProcess(4) { Workers(ranks: $0).threads } == Array(repeating: max(cores / 4, 1), count: 4))
    let threads = try Ranks.inProcess(2) { ranks in
      let workers = try Workers(threads: 7, ranks: ranks)
      return [workers.threads, workers.ranks.count]
    }
    #expect(threads == [[7, 2], [7, 2]])
  }

  @Test func identitiesTravel() throws {
    let own = RankIdentity.own
    let decoded = RankIdentity(decoding: own.encoded)
    #expect(own.encoded.count == RankIdentity.size)
    #expect((decoded.host, decoded.arithmetic, decoded.cores) == (own.host, own.arithmetic, own.cores))
    #expect(own.arithmetic.hasPrefix("Coix \(Library.version) with"))
    func identity(_ host: String, _ cores: UInt64, arithmetic: String = "same") -> RankIdentity {
      RankIdentity(host: host, arithmetic: arithmetic, cores: [cores] + [UInt64](repeating: 0, count: 15))
    }
    #expect(identity("a", 0b11).sharesCores(with: identity("a", 0b10)))
    #expect(!identity("a", 0b01).sharesCores(with: identity("a", 0b10)))
    #expect(!identity("a", 0b11).sharesCores(with: identity("b", 0b11)))
    #expect(identity("a", 0).sharesCores(with: identity("a", 0)), "a system that does not tell")
    try RankIdentity.check([identity("a", 1), identity("b", 1)])
    let error = #expect(throws: CoixError.self) {
      try RankIdentity.check([identity("a", 1), identity("b", 1), identity("c", 1, arithmetic: "other")])
    }
    #expect(
      error?.description == "ranks: rank 0 (a) has same, rank 2 (c) other: their results would differ")
  }

  // MARK: Exchanges

  @Test(arguments: counts) func lists(_ count: Int) throws {
    let expected = (0..<count).map { rank -> [Int32] in
      let first = 100 * Int32(rank)
      return Array(first..<first + Int32(rank * 3 % 4))
    }
    let lists = try Ranks.inProcess(count) { ranks in try ranks.gather(expected[ranks.index]) }
    #expect(lists == Array(repeating: expected, count: count))
    #expect(
      try Ranks.inProcess(count) { try $0.gather([]) }
        == Array(repeating: Array(repeating: [], count: count), count: count))
  }

  /// Parts of different sizes, some of them empty, again and again.
  @Test(arguments: counts) func parts(_ count: Int) throws {
    let sizes = (0..<count).map { 3 * ($0 % 3) }
    let total = sizes.reduce(0, +)
    let found = try Ranks.inProcess(count) { ranks -> [[Double]] in
      try (0..<20).map { round in
        let first = sizes.prefix(ranks.index).reduce(0, +)
        var all = (0..<2 * total).map { position in
          (2 * first..<2 * (first + sizes[ranks.index])).contains(position) ? Double(round + position) : -1
        }
        try ranks.meet(at: .backward)
        try all.withUnsafeMutableBytes { bytes in
          if let base = bytes.baseAddress { try ranks.gather(parts: base, counts: sizes, unit: 16) }
        }
        return all
      }
    }
    let expected = (0..<20).map { round in (0..<2 * total).map { Double(round + $0) } }
    #expect(found == Array(repeating: expected, count: count))
  }

  @Test(arguments: counts) func numbersThatRanksAgreeOn(_ count: Int) throws {
    let found = try Ranks.inProcess(count) { ranks in
      [try ranks.first(Double(ranks.index) + 0.5), Double(try ranks.greatest(UInt64(7 - ranks.index)))]
    }
    #expect(found == Array(repeating: [0.5, 7], count: count))
  }

  @Test(arguments: counts) func numbersThatMustBeTheSame(_ count: Int) throws {
    _ = try Ranks.inProcess(count) { try $0.requireSame(7, advice: "") { _ in "" } }
    let errors = try Self.errors(count) { ranks in
      try ranks.requireSame(ranks.index == 1 ? 3 : 7, advice: "all must have 7") { "has \($0)" }
    }
    let text = (errors[0] as? CoixError)?.description ?? ""
    #expect(text.hasPrefix("ranks: rank 0 (") && text.contains(") has 7, rank 1 ("), "\(text)")
    #expect(text.hasSuffix(") has 3; all must have 7"), "\(text)")
    #expect(errors.allSatisfy { $0 as? CoixError == errors[0] as? CoixError })
  }

  /// The first rank whose arguments differ from rank 0's says so.
  @Test(arguments: counts) func argumentsMustBeTheSame(_ count: Int) throws {
    for arguments in [[], ["vae", "--out", "ä b"]] {
      _ = try Ranks.inProcess(count) { try $0.requireSame(arguments: arguments) }
    }
    for other in [[], ["--out", "b"], ["--out a"], ["--out", "a", ""]] {
      let errors = try Self.errors(count) { ranks in
        try ranks.requireSame(arguments: ranks.index == 0 ? ["--out", "a"] : other)
      }
      guard case .argument(let text)? = errors[0] as? CoixError else {
        Issue.record("\(errors)")
        continue
      }
      #expect(
        text.hasPrefix("rank 1 (") && text.contains(") was started with the arguments \(other), rank 0 ("))
      #expect(text.hasSuffix(") with [\"--out\", \"a\"]; all ranks need the same"), "\(text)")
      #expect(errors.allSatisfy { $0 as? CoixError == .argument(text) })
    }
  }

  @Test(arguments: counts) func theFirstRankWorksForAll(_ count: Int) throws {
    let runs = Mutex(0)
    _ = try Ranks.inProcess(count) { try $0.onFirst { runs.withLock { $0 += 1 } } }
    #expect(runs.withLock { $0 } == 1)
    let errors = try Self.errors(count) {
      try $0.onFirst { throw CoixError.file(path: "x", reason: "is full") }
    }
    #expect(
      errors.map { $0 as? CoixError } == Array(repeating: .file(path: "x", reason: "is full"), count: count))
  }

  /// A chain through the ranks has the bits of one sum after the other, and writes them everywhere.
  @Test(arguments: counts) func sumsGoFromRankToRank(_ count: Int) throws {
    let sizes = [1, Limits.passedOnSums + 3, 5]
    // Each rank has two parts of each sum, but the last rank none of the first, and rank 0 none of the last one.
    @Sendable func numbers(_ rank: Int, _ total: Int, _ part: Int) -> [Double] {
      // Large ones and small ones, so that another order would give other sums; and zeros of both signs.
      var random = SplitMix(seed: UInt64(1 + rank * 100 + total * 10 + part))
      return random.floats(sizes[total]).enumerated().map { index, number in
        index % 7 == 0 ? -0.0 : Double(number) * (index % 2 == 0 ? 1e8 : 1)
      }
    }
    @Sendable func has(_ rank: Int, _ total: Int) -> Bool {
      !(total == 0 && rank == count - 1) && !(total == 2 && rank == 0)
    }
    let expected = sizes.indices.map { total in
      var sum: [Double]?
      for rank in 0..<count where has(rank, total) {
        for part in 0..<2 {
          let own = numbers(rank, total, part)
          sum = sum.map { zip($0, own).map(+) } ?? own
        }
      }
      return (sum ?? []).map { Float($0).bitPattern }
    }
    let found = try Ranks.inProcess(count) { ranks -> [[UInt32]] in
      let tensors = sizes.map { Tensor(repeating: 7, shape: [$0]) }
      let parts = sizes.indices.map { total in
        has(ranks.index, total) ? (0..<2).map { numbers(ranks.index, total, $0) } : []
      }
      let pointers = parts.map {
        $0.map { own in
          let buffer = UnsafeMutablePointer<Double>.allocate(capacity: own.count)
          buffer.initialize(from: own, count: own.count)
          return buffer
        }
      }
      defer { for buffer in pointers.joined() { buffer.deallocate() } }
      let totals = tensors.enumerated().map { GradientSums.Total(Int32($0), in: $1) }
      try ranks.addUp(totals, team: 1) { node, position in
        #expect(Int(node) == position)
        return pointers[position].map { coix_part(sums: UnsafePointer($0), numbers: nil) }
      }
      return tensors.map { $0.scalars.map(\.bitPattern) }
    }
    #expect(found == Array(repeating: expected, count: count))
  }

  @Test func trafficIsCounted() throws {
    let traffic = try Ranks.inProcess(3) { ranks -> Int in
      let before = ranks.traffic.bytes
      try ranks.meet(at: .backward)
      var all = [UInt8](repeating: 0, count: 6)
      try all.withUnsafeMutableBytes { bytes in
        if let base = bytes.baseAddress { try ranks.gather(parts: base, counts: [1, 2, 3], unit: 1) }
      }
      return ranks.traffic.bytes - before - 2 * MemoryLayout<RankNotice>.stride
    }
    #expect(traffic == [2, 4, 6])
  }

  // MARK: Shared work

  @Test(arguments: counts) func ranksCompareWhatTheyFound(_ count: Int) throws {
    #expect(try Ranks.inProcess(count) { try $0.share(.forward, size: 3) { 5 } }.allSatisfy(\.self))
    let found = try Ranks.inProcess(count) { ranks in
      try ranks.share(.forward, size: 3) { ranks.index == 1 ? 6 : 5 }
    }
    #expect(!found.contains(true))
  }

  struct Failure: Error {}

  /// A budget that one rank has asked for does for all.
  @Test(arguments: counts) func theGreatestNeedIsTold(_ count: Int) throws {
    @Sendable func refusal(_ rank: Int) -> CoixError {
      .memoryBudget(what: "rows of rank \(rank)", bytes: rank == 1 ? 103 : 100 + rank % 3, budget: 90 + rank)
    }
    let errors = try Self.errors(count) { ranks in
      _ = try ranks.share(.forward, size: 9) { throw refusal(ranks.index) }
    }
    #expect(errors.map { $0 as? CoixError } == Array(repeating: refusal(1), count: count))
    let others = try Self.errors(count) { ranks in
      _ = try ranks.share(.forward, size: 9) { () -> UInt64 in
        if ranks.index == 0 { throw CoixError.argument("another error comes first") }
        throw refusal(ranks.index)
      }
    }
    #expect(
      others.map { $0 as? CoixError }
        == Array(repeating: .argument("another error comes first"), count: count))
    let last = try Self.errors(count) { ranks in
      _ = try ranks.share(.forward, size: 9) {
        if ranks.index == count - 1 { throw refusal(ranks.index) }
        return 1_000
      }
    }
    #expect(last.map { $0 as? CoixError } == Array(repeating: refusal(count - 1), count: count))
  }

  /// The first rank's error is thrown on all of them, and they may go on together.
  @Test(arguments: counts) func theErrorOfTheFirstRankWins(_ count: Int) throws {
    let errors = try Self.errors(count) { ranks in
      for round in 0..<3 {
        let error = Self.error {
          _ = try ranks.share(.forward, size: round) {
            if ranks.index > 0 { throw CoixError.argument("rank \(ranks.index), round \(round)") }
            return 0
          }
        }
        #expect(error as? CoixError == .argument("rank 1, round \(round)"))
      }
      _ = try ranks.share(.forward, size: 9) { if ranks.index == 1 { throw Failure() } else { 0 } }
    }
    #expect(errors[1] is Failure, "its own")
    for rank in 0..<count where rank != 1 {
      #expect(errors[rank] as? CoixError == .otherRank(1, "has failed: Failure()"))
    }
    #expect(CoixError.otherRank(1, "has failed: Failure()").description == "rank 1 has failed: Failure()")
    let cancelled = try Self.errors(count) { ranks in
      _ = try ranks.share(.forward, size: 9) { if ranks.index == 1 { throw CancellationError() } else { 0 } }
    }
    #expect(cancelled.allSatisfy { $0 is CancellationError })
    let outgrown = try Self.errors(count) { ranks in
      _ = try ranks.share(.forward, size: 9) { if ranks.index == 1 { throw ChunkOutgrown() } else { 0 } }
    }
    #expect(outgrown.allSatisfy { $0 is ChunkOutgrown })
  }

  /// Every error comes out as it went in.
  @Test(arguments: [
    CoixError.shape(
      operation: "+", shapes: [[2, 3], [], [-1], Shape([Int](repeating: 2, count: 9))], reason: "why"),
    .misplacedTensor(operation: "a", reason: "b"), .eventShape(site: "z", value: [1], distribution: [2]),
    .undeclaredAxes(site: "z", shape: [4]), .duplicateSite("z"), .unstableSites(first: ["a"], other: []),
    .site(name: "z", reason: "b"),
    .atSite(name: "z", error: .weights(instance: RowLocation(row: 3), reason: "NaN")), .unequalPlates(["a"]),
    .emptyPlate(name: "p", count: 0), .rowCount(plate: "p", expected: 1, found: 2),
    CoixError.notANumber(source: "x", at: RowLocation(row: 731)).located(
      stage: 2, [Plate("a", count: 100), Plate("b", count: 20)]),
    .parameter(
      site: "z", parameter: "scale", requirement: "positive", value: -.infinity, at: RowLocation(row: 1)),
    .metric(name: "loss", reason: "b"), .tooManyAssignments(limit: 3), .illFormedProgram("a"),
    .memory(what: "a", bytes: .max), .threads(0), .gradient("a"), .argument("ä"),
    .file(path: "a", reason: "b"),
    .ranks("a"), .otherRank(2, "a"),
  ])
  func errorsTravel(_ error: CoixError) throws {
    let sent = RankError(error)
    #expect(try RankError(decoding: sent.encoded()).thrown(by: 1) as? CoixError == error)
    let difference = RankError(ChunksDiffer(error: error))
    #expect((try RankError(decoding: difference.encoded()).thrown(by: 1) as? ChunksDiffer)?.error == error)
  }

  @Test func aNumberThatIsNoneTravels() throws {
    let error = CoixError.parameter(
      site: "z", parameter: "scale", requirement: "positive", value: .nan, at: RowLocation(row: 1))
    let thrown = try RankError(decoding: RankError(error).encoded()).thrown(by: 1)
    #expect("\(thrown)" == "\(error)")
  }

  // MARK: Why ranks exit

  @Test func theRankWithTheErrorSaysSo() throws {
    let found = try Ranks.inProcess(3) { ranks -> [String] in
      func cause() -> String { ranks.state.withLock { $0.cause(of: 70).map { "\($0)" } ?? "none" } }
      let before = cause()
      _ = Self.error {
        _ = try ranks.share(.each, size: 0) { if ranks.index == 1 { throw Failure() } else { 0 } }
      }
      let after = cause()
      try ranks.meet(at: .agreement)
      return [before, after, cause()]
    }
    for causes in found {
      #expect([causes[0], causes[2]] == ["none", "none"])
      #expect(causes[1].hasPrefix("(rank: 1, text: \""))
      #expect(causes[1].contains("Failure()"))
    }
  }

  /// The first rank that has got a signal says so, if all exit because of it.
  @Test(arguments: counts) func theRankWithTheSignalSaysSo(_ count: Int) throws {
    let found = try Ranks.inProcess(count) { ranks -> [String] in
      func cause(_ status: Int32) -> String {
        ranks.state.withLock { $0.cause(of: status).map { "\($0)" } ?? "none" }
      }
      let none = try ranks.signal(nil)
      let before = cause(128 + SIGTERM)
      let signal = try ranks.signal(ranks.index == 0 ? nil : ranks.index == 1 ? SIGTERM : SIGINT)
      try ranks.meet(at: .agreement)
      return ["\(none ?? 0)", before, "\(signal ?? 0)", cause(128 + SIGTERM), cause(70)]
    }
    let text = "(rank: 1, text: \"it received signal 15 (Terminated)\")"
    #expect(found == Array(repeating: ["0", "none", "15", text, "none"], count: count))
  }

  // MARK: Ranks that lose each other

  @Test(
    arguments: [(nil, 600), ("", 600), ("1", 1), ("0.5", 0.5), ("7200", 7_200), ("1e9", 1e9)]
      as [(String?, Double)])
  func timeouts(_ text: String?, _ seconds: Double) throws {
    #expect(try RankTimeout(text: text).duration == .seconds(seconds))
  }

  @Test(arguments: ["soon", "0", "-5", "10 s", "nan", "inf", "1e10"])
  func timeoutsThatAreNone(_ text: String) {
    #expect(
      throws: CoixError.argument(
        "COIX_RANK_TIMEOUT is \"\(text)\"; it must be a number of seconds above 0, such as 600")
    ) { try RankTimeout(text: text) }
  }

  @Test(arguments: counts) func ranksAtDifferentPlaces(_ count: Int) throws {
    let errors = try Self.errors(count) { ranks in
      if ranks.index == 1 {
        try ranks.meet(at: .backward, size: 8)
      } else {
        try ranks.meet(at: .forward, size: 20)
      }
    }
    for error in errors {
      let text = (error as? CoixError)?.description ?? ""
      #expect(text.hasPrefix("ranks: rank 0 ("), "\(text)")
      #expect(text.contains("is at the end of a stage (size 20, meeting 1), rank 1 ("), "\(text)")
      #expect(
        text.contains(
          "at the end of a stage's way back (size 8, meeting 1); all ranks must run the same program"),
        "\(text)")
    }
    // Nothing can be exchanged any more.
    let later = try Self.errors(count) { ranks in
      let first = Self.error { try ranks.meet(at: .backward, size: ranks.index) }
      let second = Self.error { try ranks.meet(at: .backward, size: 0) }
      #expect(first as? CoixError == second as? CoixError)
      if let second { throw second }
    }
    #expect(!later.contains { $0 == nil })
  }

  @Test(arguments: counts) func aRankThatEnds(_ count: Int) throws {
    for failure in [nil, CoixError.argument("broken")] {
      let errors = Mutex<[(any Error)?]>(Array(repeating: nil, count: count))
      let result = Self.error {
        _ = try Ranks.inProcess(count) { ranks in
          if ranks.index == 1 {
            if let failure { throw failure }
            return
          }
          let error = Self.error { try ranks.meet(at: .forward, size: 20) }
          errors.withLock { $0[ranks.index] = error }
        }
      }
      #expect(result as? CoixError == failure)
      for rank in 0..<count where rank != 1 {
        #expect(
          errors.withLock { $0[rank] } as? CoixError
            == .otherRank(1, "has ended, while rank \(rank) is at the end of a stage (size 20, meeting 1)"))
      }
    }
  }

  /// A rank's own error is what is thrown, not that of the ranks before it, which wait for it in vain.
  @Test(arguments: counts) func aRanksOwnErrorIsThrown(_ count: Int) throws {
    #expect(throws: Failure.self) {
      _ = try Ranks.inProcess(count) { ranks in
        if ranks.index == 1 { throw Failure() }
        try ranks.meet(at: .forward, size: 20)
      }
    }
    let lost = #expect(throws: CoixError.self) {
      _ = try Ranks.inProcess(count) { ranks in
        if ranks.index == 1 { return }
        try ranks.meet(at: .forward, size: 20)
      }
    }
    #expect(lost == .otherRank(1, "has ended, while rank 0 is at the end of a stage (size 20, meeting 1)"))
  }

  /// Those that wait name those that don't come, wherever they wait for them.
  @Test(arguments: [2, 3, 4]) func ranksThatDoNotCome(_ count: Int) throws {
    let missing = count == 4 ? [1, 2] : [1]
    let isOver = DispatchGroup()
    for _ in missing.count..<count { isOver.enter() }
    let errors = Mutex<[(any Error)?]>(Array(repeating: nil, count: count))
    _ = try Ranks.inProcess(count, timeout: .seconds(1)) { ranks in
      if missing.contains(ranks.index) { isOver.wait() }
      defer { if !missing.contains(ranks.index) { isOver.leave() } }
      let error = Self.error { try ranks.meet(at: .forward, size: 20) }
      errors.withLock { $0[ranks.index] = error }
    }
    // Who comes too late gets nothing of those that are gone.
    for rank in missing {
      let text = (errors.withLock { $0[rank] } as? CoixError)?.description ?? ""
      #expect(
        text.hasPrefix("ranks: other ranks have waited too long, while rank \(rank) (")
          && text.contains("is at the end of a stage (size 20, meeting 1)"), "\(text)")
    }
    for rank in 0..<count where !missing.contains(rank) {
      let text = (errors.withLock { $0[rank] } as? CoixError)?.description ?? ""
      #expect(
        text.hasPrefix("ranks: other ranks did not come within 1.0 seconds, while rank \(rank) ("), "\(text)")
      #expect(text.contains("is at the end of a stage (size 20, meeting 1): rank 1 ("), "\(text)")
      #expect(text.hasSuffix(count == 4 ? ") do not answer" : ") does not answer"), "\(text)")
      #expect(text.contains("rank 2 (") == (rank == 2 || count == 4), "\(text)")
    }
  }

  /// One waits for another's message, and that one for the message of one that hangs.
  @Test func aRankThatHandsNothingOn() throws {
    let isOver = DispatchSemaphore(value: 0)
    let texts = try Ranks.inProcess(3, timeout: .seconds(1)) { ranks -> String? in
      if ranks.index == 0 {
        isOver.wait()
        return nil
      }
      defer { if ranks.index == 2 { isOver.signal() } }
      var number = 0.0
      // Rank 2 begins later, and so gives up when rank 1 has done so.
      if ranks.index == 2 { Thread.sleep(forTimeInterval: 0.05) }
      let error = Self.error {
        try withUnsafeMutableBytes(of: &number) { try ranks.receiveFromPrevious($0) }
      }
      return error.map { "\($0)" }
    }
    for text in texts.dropFirst() {
      #expect(text?.hasPrefix("ranks: other ranks did not come within 1.0 seconds: rank 0 (") == true)
      #expect(text?.hasSuffix(") does not answer") == true, "\(text ?? "")")
    }
  }
}
