import Foundation
import TestSupport
import Testing

@testable import CoixParallel

@Suite struct PowerTests {
  @Test func values() {
    let base: [Float] = [0.5, 1, 2, 3]
    let exponent: [Float] = [3, -2.5, 0.5, -1]
    let expected = zip(base, exponent).map { pow(Double($0), Double($1)) }
    #expect(distance(pow(Tensor(base), Tensor(exponent)).scalars, expected) < 1e-7)
    for exponent: Float in [-2, -0.5, 0, 0.5, 1, 2, 2.5, 3] {
      let expected = base.map { pow(Double($0), Double(exponent)) }
      #expect(distance(pow(Tensor(base), exponent).scalars, expected) < 2e-7)
      #expect(distance(pow(Tensor(base), Tensor(exponent)).scalars, expected) < 2e-7)
    }
    #expect(pow(Tensor([1, 2]), 3).scalars == [1, 8], "a literal exponent is not ambiguous")
    #expect(pow(2, Tensor([1, 2])).scalars == [2, 4])
  }

  @Test func specialValues() {
    let base = Tensor([0, 0, 0, -2, -2, .infinity, .nan])
    let exponent = Tensor([0, 2, -1, 3, 0.5, -1, 0])
    #expect(distance(pow(base, exponent).scalars, [1, 0, .infinity, -8, .nan, 0, 1]) == 0)
  }

  @Test(arguments: [[[3], [3]], [[3], []], [[], [3]], [[2, 1], [3]]] as [[Shape]])
  func differences(_ shapes: [Shape]) throws {
    try expectGradients("pow", shapes, in: 0.5...2) { pow($0[0], $0[1]) }
  }

  @Test(arguments: [-2, -0.5, 0, 0.5, 1, 2, 2.5, 3] as [Float])
  func differencesWithANumber(_ exponent: Float) throws {
    try expectGradients("pow(x, \(exponent))", [[2, 3]], in: 0.5...2) { pow($0[0], exponent) }
    if exponent.rounded() == exponent && exponent >= 0 {
      try expectGradients("pow(x, \(exponent))", [[2, 3]]) { pow($0[0], exponent) }
    }
  }

  @Test func closedForm() throws {
    let (x, y) = ([0.5, 1.25, 2] as [Double], [3, -2, 0.5] as [Double])
    let found = try gradients(
      of: { pow($0[0], $0[1]) }, at: [Tensor(x.map(Float.init)), Tensor(y.map(Float.init))])
    #expect(distance(found[0], zip(x, y).map { $1 * pow($0, $1 - 1) }) < 1e-6)
    #expect(distance(found[1], zip(x, y).map { pow($0, $1) * log($0) }) < 1e-6)
  }

  @Test func gradientsAtBaseZero() throws {
    let exponent = Tensor([0, 1, 2, 0.5, 3])
    let found = try gradients(of: { pow($0[0], $0[1]) }, at: [.zeros([5]), exponent])
    #expect(found[0] == [0, 1, 0, .infinity, 0])
    #expect(found[1] == [-.infinity, 0, 0, 0, 0])
    for (exponent, slope): (Float, Float) in [(0, 0), (1, 1), (2, 0), (0.5, .infinity), (3, 0)] {
      #expect(try gradients(of: { pow($0[0], exponent) }, at: [[0]]) == [[slope]])
    }
  }
}
