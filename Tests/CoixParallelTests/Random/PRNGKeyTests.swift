import Testing

@testable import CoixParallel

/// Keys and streams of keys. (That they are JAX's is tested with the golden files.)
@Suite struct PRNGKeyTests {
  @Test func seeds() {
    let seven: PRNGKey = 7
    #expect(seven == PRNGKey(seed: 7))
    #expect(seven == PRNGKey(word0: 0, word1: 7))
    #expect(PRNGKey(seed: 7 + (1 << 32)) == seven, "as in JAX without 64-bit mode")
    #expect(PRNGKey(seed: -1) == PRNGKey(word0: 0, word1: .max))
    _ = (PRNGKey(seed: Int.max), PRNGKey(seed: Int.min))
  }

  @Test func splitting() {
    let key: PRNGKey = 42
    let (first, second) = key.split()
    let many = key.split(into: 100)
    #expect(many[0] == first && many[1] == second)
    #expect(key.split(into: 3) == Array(many[0..<3]))
    #expect(Set(many + [key]).count == 101)
    #expect(key.split(into: 0).isEmpty && key.split(into: -1).isEmpty)
  }

  @Test func folding() {
    let key: PRNGKey = 42
    #expect(Set((0..<100).map { key.folded(in: $0) }).count == 100)
    #expect(key.folded(in: 3) == key.folded(in: 3 + (1 << 32)))
    #expect(key.folded(in: -1) == key.folded(in: (1 << 32) - 1))
  }

  @Test func streams() {
    var stream = KeyStream(5)
    var key: PRNGKey = 5
    var draws: [PRNGKey] = []
    for _ in 0..<10 {
      let (next, draw) = key.split()
      draws.append(stream.next())
      #expect(draws.last == draw)
      #expect(stream.key == next)
      key = next
    }
    #expect(Set(draws).count == 10)
    let copy = stream
    _ = stream.next()
    #expect(copy.key != stream.key, "a stream is a value")
  }

  @Test func choicesAndPermutations() {
    let key: PRNGKey = 3
    let choice = key.choice(1_000, from: 7)
    #expect(Set(choice) == Set(0..<7))
    #expect(key.choice(0, from: 7).isEmpty && key.choice(-1, from: 7).isEmpty)
    #expect(
      key.choice(5, from: 0).isEmpty && key.choice(5, from: -3).isEmpty
        && key.choice(5, from: 1 << 31).isEmpty)
    #expect(key.choice(5, from: 1) == [0, 0, 0, 0, 0])
    for count in [1, 2, 100, 1_000] {
      #expect(key.permutation(of: count).sorted() == (0..<Int32(count)).map { $0 })
    }
    // By random words, those of equal words as they were, in two rounds.
    let count = 50_000
    var (order, rest) = ((0..<Int32(count)).map { $0 }, key)
    for _ in 0..<2 {
      let (next, sub) = rest.split()
      rest = next
      let words = Draw(key: sub, shape: [count]).bits().enumerated()
      order = words.sorted { ($0.element, $0.offset) < ($1.element, $1.offset) }.map { order[$0.offset] }
    }
    #expect(key.permutation(of: count) == order)
    #expect(key.permutation(of: 0).isEmpty && key.permutation(of: -1).isEmpty)
    let few = key.permutation(of: 3)
    let permuted = key.permuted(Tensor([0, 1, 2, 10, 11, 12], shape: [2, 3]), axis: -1)
    #expect(permuted.scalars == few.map(Float.init) + few.map { Float($0) + 10 })
    #expect(
      key.permuted(Tensor(1), axis: 0).failure?.description == "permuted: there is no axis 0 (shapes [])")
  }
}
