import Testing

@testable import CoixParallel

/// The record of operations, by itself.
@Suite struct TapeTests {
  /// A tape of a chunk without rows, as the caller's thread has it.
  private func withTape(parent: Tape? = nil, _ body: (Tape, ExecutionContext) throws -> Void) rethrows {
    let tape = Tape(parent: parent)
    let context = ExecutionContext(pool: nil, tape: tape, team: 1)
    try context.withCurrent { try body(tape, context) }
  }

  @Test func gradientsAddUp() throws {
    try withTape { tape, _ in
      let x = tape.record(Tensor([1, 2]), .none)
      let y = x * 3 + x * x + x
      tape.add(Tensor([1, 10]), to: y.node)
      tape.add(Tensor([0, 1]), to: y.node)
      try tape.pullBack()
      // d(3x + x² + x) = 4 + 2x
      #expect(tape.gradient(of: x.node)?.scalars == [6, 88])
    }
  }

  /// A trial leaves nothing behind, also where it ends in an error.
  @Test func whatATrialRecordsIsRemoved() throws {
    struct Ended: Error {}
    try withTape { tape, context in
      let x = tape.record(Tensor([1, 2]), .none)
      let y = x * 3
      context.noteSite("before")
      weak var kept: Storage?
      #expect(throws: Ended.self) {
        try ExecutionContext.trial {
          let z = y * x
          kept = z.storage
          ExecutionContext.current?.noteSite("within")
          ExecutionContext.remember(.argument("of a trial"))
          #expect(ExecutionContext.current !== context && ExecutionContext.current?.hasFailed == true)
          #expect(tape.count == 3)
          throw Ended()
        }
      }
      #expect(tape.count == 2 && kept == nil && !context.hasFailed)
      let z = y * x
      tape.add(Tensor([1, 10]), to: z.node)
      try tape.pullBack()
      // d(3x²) = 6x
      #expect(tape.gradient(of: x.node)?.scalars == [6, 120])
    }
  }

  /// Adding to a gradient must not change a tensor that somebody else holds.
  @Test func addedTensorsStayAsTheyAre() {
    withTape { tape, _ in
      let x = tape.record(Tensor([1, 2]), .none)
      let seed = Tensor([1, 1])
      tape.add(seed, to: x.node)
      tape.add(seed, to: x.node)
      #expect(tape.gradient(of: x.node)?.scalars == [2, 2])
      #expect(seed.scalars == [1, 1])
    }
  }

  @Test func whatWasBroadcastIsSummed() throws {
    try withTape { tape, _ in
      let scalar = tape.record(Tensor(2), .none)
      let column = tape.record(Tensor([1, 2], shape: [2, 1]), .none)
      let row = tape.record(Tensor([1, 2, 3]), .none)
      let sum = scalar * column * row
      #expect(sum.shape == [2, 3])
      tape.add(Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]), to: sum.node)
      try tape.pullBack()
      #expect(tape.gradient(of: scalar.node)?.scalars == [78])
      #expect(tape.gradient(of: column.node)?.scalars == [28, 64])
      #expect(tape.gradient(of: column.node)?.shape == [2, 1])
      #expect(tape.gradient(of: row.node)?.scalars == [18, 24, 30])
    }
  }

  @Test func whatIsNotReachedHasNoGradient() throws {
    try withTape { tape, _ in
      let (x, y) = (tape.record(Tensor(1), .none), tape.record(Tensor(2), .none))
      let unused = y * 2
      let z = x * y.detached
      tape.add(Tensor(1), to: z.node)
      try tape.pullBack()
      #expect(tape.gradient(of: x.node)?.scalar == 2)
      #expect(tape.gradient(of: y.node) == nil)
      #expect(unused.node >= 0)
      #expect(tape.gradient(of: -1) == nil)
      tape.add(Tensor(1), to: -1)  // a constant: nothing to add to
    }
  }

  @Test func constantsAreNotRecorded() {
    withTape { tape, _ in
      let x = exp(Tensor([1, 2])) * 3
      #expect(x.node == -1)
      #expect(tape.count == 0)
    }
  }

  /// Nothing is recorded while gradients are pulled back.
  @Test func theWayBackIsNotRecorded() throws {
    try withTape { tape, context in
      let x = tape.record(Tensor([1, 2]), .none)
      let y = exp(x) * x
      let count = tape.count
      tape.add(Tensor([1, 1]), to: y.node)
      try tape.pullBack()
      #expect(tape.count == count)
      #expect(context.tape === tape)
    }
  }

  @Test func bodiesThatAlwaysRun() throws {
    try withTape { tape, _ in
      var order: [String] = []
      _ = tape.append(shape: .scalar, stride: 0, .always { _ in order.append("first") })
      let x = tape.record(Tensor(1), .none)
      let y = tape.record(
        Tensor(2),
        .one(input: x.node) {
          order.append("y")
          return $0
        })
      _ = tape.record(
        Tensor(3),
        .one(input: x.node) {
          order.append("unreached")
          return $0
        })
      tape.add(Tensor(1), to: y.node)
      try tape.pullBack()
      #expect(order == ["y", "first"], "later nodes first")
    }
  }

  // MARK: Leaves

  @Test func tensorsOfTheParentBecomeLeaves() throws {
    let parent = Tape()
    let (x, y) = (parent.record(Tensor([1, 2]), .none), parent.record(Tensor(5), .none))
    try withTape(parent: parent) { tape, _ in
      let z = x * x + x * y
      #expect(tape.leaves.map(\.parentNode) == [x.node, y.node], "one leaf each, in the order of reading")
      tape.add(Tensor([1, 10]), to: z.node)
      try tape.pullBack()
      let gradients = tape.leaves.map { tape.gradient(of: $0.node)?.scalars }
      // d(x² + x y): 2x + y and x.
      #expect(gradients == [[7, 90], [21]])
    }
    #expect(parent.gradient(of: x.node) == nil, "collecting is the caller's business")
  }

  @Test func tensorsOfOtherTapesAreRefused() {
    let stranger = Tape()
    let x = stranger.record(Tensor(1), .none)
    withTape(parent: Tape()) { tape, context in
      let y = x * 2
      #expect(y.scalar == 2)
      #expect(tape.leaves.isEmpty)
      #expect(
        context.failure?.description
          == "gradient: a tensor of another gradient computation is used here; take its `detached` value")
    }
  }

  // MARK: Reuse

  @Test func aTapeIsUsedAgain() throws {
    let parent = Tape()
    let x = parent.record(Tensor(3), .none)
    try withTape(parent: parent) { tape, context in
      var ids: Set<UInt32> = []
      for round in 1...100 {
        tape.reset(parent: parent)
        ids.insert(tape.id)
        #expect(tape.count == 0 && tape.leaves.isEmpty)
        // More nodes than the buffer has at first.
        var y = x * Tensor(Float(round))
        for _ in 0..<round { y = y + 1 }
        tape.add(Tensor(1), to: y.node)
        try tape.pullBack()
        #expect(tape.gradient(of: tape.leaves[0].node)?.scalar == Float(round))
      }
      #expect(ids.count == 100, "each use has an identity of its own")
      #expect(context.failure == nil)
    }
  }

  /// A tensor from before the tape was used again is a stranger.
  @Test func tensorsFromBeforeAResetAreRefused() {
    withTape { tape, context in
      let stale = tape.record(Tensor(1), .none)
      tape.reset(parent: nil)
      _ = stale * 2
      #expect(context.failure != nil)
    }
  }

  @Test func tapesComeBackFromThePool() throws {
    let pool = BufferPool()
    let parent = Tape()
    let tape = pool.takeTape(parent: parent)
    let id = tape.id
    _ = tape.append(shape: .scalar, stride: 0, .none)
    pool.giveTape(tape)
    #expect(tape.count == 0)
    let again = pool.takeTape(parent: parent)
    #expect(again === tape)
    #expect(again.id != id)
  }

  /// What a node refers to is let go of with the node.
  @Test func nodesAreReleased() {
    final class Token {}
    weak var token: Token?
    withTape { tape, _ in
      do {
        let strong = Token()
        token = strong
        let x = tape.record(Tensor(1), .none)
        _ = tape.record(
          Tensor(1),
          .one(input: x.node) {
            withExtendedLifetime(strong) {}
            return $0
          })
      }
      #expect(token != nil)
      tape.reset(parent: nil)
      #expect(token == nil)
    }
  }
}
