import CoixKernels
import Foundation
import TestSupport
import Testing

@testable import CoixParallel

/// Buffers come back, by size; what can't be had is an error.
@Suite struct BufferPoolTests {
  static let lanes = Int(COIX_LANES)
  /// Whole vectors around every power of two and between.
  static let sizes = (0..<16).flatMap { octave in
    [1, 5, 6, 7].flatMap { quarter in [-17, -1, 0, 1, 17].map { (lanes << octave) * quarter / 4 + $0 } }
  }.filter { $0 > 0 }

  /// Runs `body` with a pool of its own on this thread.
  private func withPool(_ body: () throws -> Void) rethrows {
    try ExecutionContext(pool: BufferPool(), tape: nil, team: 1).withCurrent(body)
  }

  @Test func capacitiesAreRoundedUpALittle() {
    for size in Self.sizes {
      let capacity = BufferPool.roundedCapacity(size)
      #expect(capacity >= size)
      #expect(capacity % Self.lanes == 0)
      #expect(Double(capacity) <= Double(size + Self.lanes) * 1.25)
      #expect(BufferPool.roundedCapacity(capacity) == capacity)
      #expect(BufferPool.roundedCapacity(size + 1) >= capacity)
    }
    #expect(BufferPool.roundedCapacity(0) == Self.lanes, "no buffer is empty")
    #expect(BufferPool.roundedCapacity(1) == Self.lanes)
  }

  @Test func aBufferIsUsedAgain() throws {
    try withPool {
      for capacity in Set(Self.sizes.map(BufferPool.roundedCapacity)) {
        let first = try #require(BufferPool.allocate(capacity))
        #expect(Int(bitPattern: first) % 64 == 0)
        BufferPool.release(first, capacity: capacity)
        let again = try #require(BufferPool.allocate(capacity))
        #expect(again == first)
        let other = try #require(BufferPool.allocate(capacity))
        #expect(other != first)
        BufferPool.release(other, capacity: capacity)
        BufferPool.release(again, capacity: capacity)
        #expect(BufferPool.allocate(capacity) == first, "the last one given back comes first")
        BufferPool.release(first, capacity: capacity)
      }
    }
  }

  /// A buffer never comes back for a larger request: each is filled to its end.
  @Test func classesDoNotMix() throws {
    try withPool {
      var generator = SplitMix(seed: 1)
      var held: [(pointer: UnsafeMutablePointer<Float>, capacity: Int, mark: Float)] = []
      for round in 0..<2_000 {
        if held.count > 40 || round % 3 == 2, let position = held.indices.randomElement(using: &generator) {
          let buffer = held.remove(at: position)
          #expect((0..<buffer.capacity).allSatisfy { buffer.pointer[$0] == buffer.mark })
          BufferPool.release(buffer.pointer, capacity: buffer.capacity)
        } else if let size = Self.sizes.filter({ $0 < 20_000 }).randomElement(using: &generator) {
          let capacity = BufferPool.roundedCapacity(size)
          let pointer = try #require(BufferPool.allocate(capacity))
          pointer.update(repeating: Float(round), count: capacity)
          held.append((pointer, capacity, Float(round)))
        }
      }
      for buffer in held { BufferPool.release(buffer.pointer, capacity: buffer.capacity) }
    }
  }

  /// Steady-state operations allocate nothing: the same memory serves every round.
  @Test func operationsUseTheirBuffersAgain() {
    inChunk(rows: 100) { chunk in
      let x = chunk.batched((0..<300).map(Float.init), [3])
      func round() -> Int { Int(bitPattern: (exp(-x) + x * 2).sum().pointer) }
      let first = round()
      for _ in 0..<10 { #expect(round() == first) }
    }
  }

  @Test func withoutAContextTheSystemServes() throws {
    #expect(ExecutionContext.current == nil)
    let pointer = try #require(BufferPool.allocate(Self.lanes))
    pointer.update(repeating: 1, count: Self.lanes)
    BufferPool.release(pointer, capacity: Self.lanes)
  }

  @Test func poolsComeBackFromTheShelf() {
    let pool = BufferPool.borrow()
    let other = BufferPool.borrow()
    #expect(pool !== other)
    BufferPool.handBack(other)
    BufferPool.handBack(pool)
  }

  /// Outside of evaluations the last large buffer is kept for the next one of its size. In a process of its
  /// own, where nobody else takes it. AddressSanitizer, if it is there, keeps memory that was freed.
  @Test(.enabled(if: dlsym(nil, "__asan_init") == nil))
  func theLastLargeBufferIsKept() async {
    await #expect(processExitsWith: .success) {
      let (size, otherSize) = (10 << 20, 12 << 20)
      /// A buffer whose pages are all there.
      func filled(_ capacity: Int) throws -> UnsafeMutablePointer<Float> {
        let buffer = try #require(BufferPool.allocate(capacity))
        buffer.update(repeating: 1, count: capacity)
        return buffer
      }
      /// What the process has resident, in floats.
      func resident() throws -> Int {
        let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .ascii).split(separator: " ")
        return try #require(Int(fields[1])) * sysconf(Int32(_SC_PAGESIZE)) / MemoryLayout<Float>.stride
      }
      let (atFirst, tolerance) = (try resident(), 1 << 20)
      let first = try filled(size)
      BufferPool.release(first, capacity: size)
      #expect(try resident() > atFirst + size - tolerance)
      #expect(BufferPool.allocate(size) == first)
      // Another one takes its place.
      let other = try filled(otherSize)
      BufferPool.release(first, capacity: size)
      BufferPool.release(other, capacity: otherSize)
      #expect(abs(try resident() - atFirst - otherSize) < tolerance)
      // Where memory is short it goes back.
      BufferPool.drainIdlePools()
      #expect(abs(try resident() - atFirst) < tolerance)
      // So does at once what is larger than the limit.
      let large = try filled(20 << 20)
      BufferPool.release(large, capacity: 20 << 20)
      #expect(abs(try resident() - atFirst) < tolerance)
    }
  }

  // MARK: Sizes that callers choose

  @Test(arguments: [Int.max, Int.max / 2, 1 << 60, 1 << 45])
  func memoryThatCannotBeHad(_ capacity: Int) {
    let bytes = capacity > Int.max / 4 ? Int.max : 4 * capacity
    let expected = CoixError.memory(what: "a test", bytes: bytes)
    #expect(throws: expected) { try BufferPool.allocateChecked(capacity, for: "a test") }
    #expect(throws: expected) { try Memory.bytes(capacity, of: 4, for: "a test") }
    #expect(throws: expected) { try Memory.require(capacity, of: Float.self, for: "a test") }
    #expect(throws: expected) { try Numbers<Int32>(count: capacity, for: "a test") }
    #expect(throws: expected) { try Table<Float>(count: capacity, for: "a test") { 0 } }
    let number = bytes == .max ? "more than 2^63" : String(bytes)
    #expect(expected.description == "a test needs \(number) bytes, more than this machine can give")
  }

  @Test func memoryThatCanBeHad() throws {
    let pointer = try BufferPool.allocateChecked(1_024, for: "a test")
    pointer.update(repeating: 1, count: 1_024)
    BufferPool.release(pointer, capacity: 1_024)
    #expect(try Memory.bytes(1_024, of: 4, for: "a test") == 4_096)
    #expect(try Memory.bytes(0, of: 4, for: "a test") == 0)
  }
}
