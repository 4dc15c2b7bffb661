import CoixKernels
import TestSupport
import Testing

@testable import CoixParallel

/// The test support itself: it must see what is wrong.
@Suite struct TestSupportTests {
  @Test func rowsComeBackAsTheyWentIn() {
    inChunk(rows: 3) { chunk in
      let x = chunk.batched([1, 2, 3, 4, 5, 6], [2])
      #expect(chunk.values(x) == [1, 2, 3, 4, 5, 6])
      #expect(x.stride == Int(COIX_LANES))
      #expect(x.pointer[0] == 1 && x.pointer[x.stride] == 2)
      #expect(x.pointer[15] == 5, "padding rows repeat the last row")
      #expect(chunk.seed([1, 2, 3, 4, 5, 6], [2]).pointer[15] == 0, "and are zero in gradients")
      #expect(chunk.values(Tensor([7, 8])) == [7, 8])
    }
  }

  @Test func aWrongGradientIsFound() throws {
    let wrong = GradientCheck(shapes: [[3]]) { inputs in
      let x = inputs[0]
      return (x.detached * x.detached * x.detached).recorded(from: x) { $0 * 3 * x }
    }
    #expect(try wrong.outcome(rows: 5, batched: [true], seed: 1).ratio > 10)
    let slightlyWrong = GradientCheck(shapes: [[3]]) { inputs in
      exp(inputs[0]).detached.recorded(from: inputs[0]) { $0 * exp(inputs[0]) * 1.01 }
    }
    #expect(try slightlyWrong.outcome(rows: 5, batched: [true], seed: 1).ratio > 1)
  }

  @Test func aGradientInThePaddingIsFound() throws {
    let leaking = GradientCheck(shapes: [[3]]) { inputs in
      inputs[0].detached.recorded(from: inputs[0]) { gradient in
        for row in 5..<16 { gradient.pointer[row] = 1 }
        return gradient
      }
    }
    let outcome = try leaking.outcome(rows: 5, batched: [true], seed: 1)
    #expect(outcome.ratio > 1)
    #expect(outcome.place == "layout of the gradient of input 0")
  }

  @Test func dependenceOnOtherRowsIsFound() throws {
    let mixing = GradientCheck(shapes: [[3]]) { inputs in
      let x = inputs[0]
      return x + (x.isBatched ? Tensor(x.pointer[0]) : Tensor(0))
    }
    #expect(try mixing.outcome(rows: 5, batched: [true], seed: 1).ratio > 1)
  }

  @Test func distancesSeeInfinitiesAndCounts() {
    #expect(distance([1, .infinity, .nan], [1, .infinity, .nan]) == 0)
    #expect(distance([1], [1, 2]) == .infinity)
    #expect(distance([.nan], [1]) == .infinity)
    #expect(distance([1], [-.infinity]) == .infinity)
    #expect(distance([2], [1]) == 0.5)
  }
}
