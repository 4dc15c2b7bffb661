import Foundation
import TestSupport
import Testing

@testable import CoixParallel

@Suite struct ReductionTests {
  /// 0 to 23 as [2, 3, 4].
  let block = Tensor((0..<24).map(Float.init), shape: [2, 3, 4])

  /// Every way to reduce a shape along one axis: first, inner, last, the only one, of size 1.
  static let axisCases: [(Shape, Int)] = [
    ([3], 0), ([4], -1), ([1], 0), ([2, 3], 0), ([2, 3], 1), ([2, 3, 2], 1), ([2, 1, 3], 1), ([2, 2, 3], -1),
  ]

  // MARK: Sum and mean

  @Test func sums() {
    #expect(block.sum().scalars == [276])
    #expect(block.sum().shape == [])
    #expect(block.sum(keepingAxes: true).shape == [1, 1, 1])
    #expect(block.sum(axis: 0).scalars == [12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34])
    #expect(block.sum(axis: 1).scalars == [12, 15, 18, 21, 48, 51, 54, 57])
    #expect(block.sum(axis: -1).scalars == [6, 22, 38, 54, 70, 86])
    #expect(block.sum(axis: 1).shape == [2, 4])
    #expect(block.sum(axis: 1, keepingAxes: true).shape == [2, 1, 4])
  }

  @Test func sumsOverSeveralAxes() {
    #expect(block.sum(axes: [0, 2]).scalars == [60, 92, 124])
    #expect(block.sum(axes: [2, 0]).shape == [3])
    #expect(block.sum(axes: [-1, 0], keepingAxes: true).shape == [1, 3, 1])
    #expect(block.sum(axes: [1, 2]).scalars == [66, 210])
    #expect(block.sum(axes: [0, 1]).scalars == [60, 66, 72, 78])
    #expect(block.sum(axes: [0, 1, 2]).scalars == [276])
    #expect(block.sum(axes: []).scalars == block.scalars)
    #expect(Tensor(3).sum().scalars == [3])
    #expect(Tensor(3).sum(axes: []).scalars == [3])
  }

  @Test func means() {
    #expect(block.mean().scalar == 11.5)
    #expect(block.mean(axis: 0).scalars == (6..<18).map(Float.init))
    #expect(block.mean(axis: -1, keepingAxes: true).shape == [2, 3, 1])
    #expect(block.mean(axes: [0, 2]).scalars == [7.5, 11.5, 15.5])
    #expect(block.mean(axes: []).scalars == block.scalars)
  }

  @Test func sumsOfNothing() {
    let empty = Tensor([], shape: [2, 0, 3])
    #expect(empty.sum().scalar == 0)
    #expect(empty.sum(axis: 1).scalars == [0, 0, 0, 0, 0, 0])
    #expect(empty.sum(axis: 0).shape == [0, 3])
    #expect(empty.sum(axes: [1, 2]).scalars == [0, 0])
    #expect(empty.mean().scalar.isNaN)
    #expect(empty.mean(axis: 1).scalars.filter(\.isNaN).count == 6)
    #expect(empty.logSumExp(axis: 1).scalars == Array(repeating: -.infinity, count: 6))
  }

  @Test func longSumsAreAccurate() {
    // A running float sum of this is off by 1e-3 or more.
    let count = 1 << 18
    #expect(abs(Tensor(repeating: 0.1, shape: [count]).sum().scalar / (0.1 * Float(count)) - 1) < 1e-6)
    let columns = Tensor(repeating: 0.1, shape: [count / 4, 4]).sum(axis: 0).scalars
    #expect(columns.allSatisfy { abs($0 / (0.1 * Float(count / 4)) - 1) < 1e-6 })
  }

  @Test(arguments: axisCases)
  func gradientsOfSumAndMean(_ shape: Shape, _ axis: Int) throws {
    try expectGradients("sum", [shape]) { $0[0].squared.sum(axis: axis) }
    try expectGradients("mean", [shape]) { $0[0].squared.mean(axis: axis, keepingAxes: true) }
  }

  @Test func gradientsOfSumsOverSeveralAxes() throws {
    for axes in [[0, 2], [0, 1], [1, 2], [2, 0, 1], [1], []] {
      try expectGradients("sum \(axes)", [[2, 3, 2]]) { $0[0].squared.sum(axes: axes) }
      try expectGradients("mean \(axes)", [[2, 3, 2]]) { $0[0].squared.mean(axes: axes, keepingAxes: true) }
    }
    try expectGradients("sum", [[2, 3]]) { $0[0].squared.sum() }
    try expectGradients("mean", [[2, 3]]) { $0[0].squared.mean(keepingAxes: true) }
  }

  @Test func gradientsInClosedForm() throws {
    let x = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    #expect(try gradients(of: { $0[0].sum(axis: 0) }, at: [x], weights: [1, 2, 3]) == [[1, 2, 3, 1, 2, 3]])
    #expect(try gradients(of: { $0[0].sum(axis: 1) }, at: [x], weights: [1, 2]) == [[1, 1, 1, 2, 2, 2]])
    #expect(try gradients(of: { $0[0].mean(axis: 1) }, at: [x], weights: [3, 6]) == [[1, 1, 1, 2, 2, 2]])
    #expect(try gradients(of: { $0[0].mean() }, at: [x], weights: [6]) == [[1, 1, 1, 1, 1, 1]])
  }

  // MARK: Extremes

  @Test func extremes() {
    let x = Tensor([3, -1, 2, 5, 7, -4], shape: [2, 3])
    #expect(x.max().scalar == 7)
    #expect(x.min().scalar == -4)
    #expect(x.max(axis: 0).scalars == [5, 7, 2])
    #expect(x.max(axis: 1).scalars == [3, 7])
    #expect(x.min(axis: 0).scalars == [3, -1, -4])
    #expect(x.min(axis: -1, keepingAxes: true).shape == [2, 1])
    #expect(x.max(keepingAxes: true).shape == [1, 1])
    #expect(x.argmax(axis: 0).scalars == [1, 1, 0])
    #expect(x.argmax(axis: 1).scalars == [0, 1])
    #expect(x.argmax(axis: 1, keepingAxes: true).shape == [2, 1])
    #expect(Tensor([1, 4, 4]).argmax(axis: 0).scalar == 1, "the first of the largest")
    #expect(Tensor([1, .nan, 4]).argmax(axis: 0).scalar == 1)
    #expect(Tensor([1, .nan, 4]).max().scalar.isNaN)
    #expect(Tensor([-.infinity, -.infinity]).max().scalar == -.infinity)
    inChunk(rows: 3) { chunk in
      let rows = chunk.batched([1, 2, 9, 8, -1, -1], [2])
      #expect(chunk.values(rows.max(axis: 0)) == [2, 9, -1])
      #expect(chunk.values(rows.argmax(axis: 0)) == [1, 0, 0])
    }
  }

  @Test(arguments: axisCases)
  func gradientsOfExtremes(_ shape: Shape, _ axis: Int) throws {
    try expectGradients("max", [shape], separated: true) { ($0[0] * 2).max(axis: axis).squared }
    try expectGradients("min", [shape], separated: true) {
      ($0[0] * 2).min(axis: axis, keepingAxes: true).squared
    }
    try expectGradients("max of all", [shape], separated: true) { $0[0].max().squared }
  }

  @Test func tiesShareTheGradient() throws {
    let x = Tensor([1, 3, 3, 2, 2, 2], shape: [2, 3])
    let third: Float = 2.0 / 3
    #expect(
      try gradients(of: { $0[0].max(axis: 1) }, at: [x], weights: [1, 2]) == [
        [0, 0.5, 0.5, third, third, third]
      ])
    #expect(
      try gradients(of: { $0[0].min(axis: 1) }, at: [x], weights: [1, 2]) == [[1, 0, 0, third, third, third]])
    #expect(try gradients(of: { $0[0].max() }, at: [x]) == [[0, 0.5, 0.5, 0, 0, 0]])
    #expect(try gradients(of: { $0[0].argmax(axis: 1) }, at: [x]) == [[0, 0, 0, 0, 0, 0]])
  }

  // MARK: Log-sum-exp and softmax

  @Test func logSumExp() {
    let x: [Float] = [0.5, -1, 3, 100, 101, 99.5]
    func exact(_ values: some Sequence<Float>) -> Double {
      let shift = values.map(Double.init).max() ?? 0
      return shift + log(values.reduce(0) { $0 + exp(Double($1) - shift) })
    }
    let tensor = Tensor(x, shape: [2, 3])
    #expect(distance(tensor.logSumExp(axis: 1).scalars, [exact(x[..<3]), exact(x[3...])]) < 2e-7)
    #expect(distance(tensor.logSumExp(axis: 0).scalars, (0..<3).map { exact([x[$0], x[$0 + 3]]) }) < 2e-7)
    #expect(distance([tensor.logSumExp().scalar], [exact(x)]) < 2e-7)
    #expect(tensor.logSumExp(axis: 0, keepingAxes: true).shape == [1, 3])
    #expect(tensor.logSumExp(keepingAxes: true).shape == [1, 1])
    #expect(Tensor([-.infinity, -.infinity]).logSumExp().scalar == -.infinity)
    #expect(Tensor([-.infinity, 2]).logSumExp().scalar == 2)
    #expect(Tensor([.infinity, 2]).logSumExp().scalar == .infinity)
    #expect(Tensor([.nan, 2]).logSumExp().scalar.isNaN)
    #expect(distance([Tensor([-1e30, -1e30]).logSumExp().scalar], [-1e30]) < 1e-7)
  }

  @Test func softmax() {
    let x: [Float] = [0.5, -1, 3]
    let total = x.reduce(0) { $0 + exp(Double($1)) }
    #expect(distance(Tensor(x).softmax(axis: 0).scalars, x.map { exp(Double($0)) / total }) < 2e-7)
    #expect(distance(Tensor(x).logSoftmax(axis: 0).scalars, x.map { Double($0) - log(total) }) < 2e-7)
    #expect(Tensor([1000, 1000]).softmax(axis: 0).scalars == [0.5, 0.5])
    #expect(Tensor([-.infinity, 1]).softmax(axis: 0).scalars == [0, 1])
    #expect(Tensor([-.infinity, 1]).logSoftmax(axis: 0).scalars == [-.infinity, 0])
    #expect(Tensor([-.infinity, -.infinity]).softmax(axis: 0).scalars.filter(\.isNaN).count == 2)
    inChunk(rows: 2) { chunk in
      let rows = chunk.batched([-.infinity, 1, 7, 7], [2])
      #expect(chunk.values(rows.softmax(axis: 0)) == [0, 1, 0.5, 0.5])
      #expect(chunk.values(rows.logSumExp(axis: 0)).first == 1)
    }
  }

  @Test(arguments: axisCases)
  func gradientsOfSoftmax(_ shape: Shape, _ axis: Int) throws {
    try expectGradients("logSumExp", [shape]) { $0[0].logSumExp(axis: axis) }
    try expectGradients("logSumExp of all", [shape]) { $0[0].logSumExp(keepingAxes: true) }
    try expectGradients("softmax", [shape]) { $0[0].softmax(axis: axis) }
    try expectGradients("logSoftmax", [shape]) { $0[0].logSoftmax(axis: axis) }
  }

  @Test func softmaxGradientsInClosedForm() throws {
    let x: [Float] = [0.5, -1, 3]
    let total = x.reduce(0) { $0 + exp(Double($1)) }
    let p = x.map { exp(Double($0)) / total }
    let w: [Double] = [1, 2, -3]
    let mean = zip(w, p).reduce(0) { $0 + $1.0 * $1.1 }
    let weights = w.map(Float.init)
    let logSumExp = try gradients(of: { $0[0].logSumExp(axis: 0) }, at: [Tensor(x)])
    #expect(distance(logSumExp[0], p) < 3e-7)
    let softmax = try gradients(of: { $0[0].softmax(axis: 0) }, at: [Tensor(x)], weights: weights)
    #expect(distance(softmax[0], zip(p, w).map { $0 * ($1 - mean) }) < 5e-7)
    let logSoftmax = try gradients(of: { $0[0].logSoftmax(axis: 0) }, at: [Tensor(x)], weights: weights)
    #expect(distance(logSoftmax[0], zip(p, w).map { $1 - $0 * w.reduce(0, +) }) < 5e-7)
  }

  @Test func gradientsAtMinusInfinity() throws {
    let some = Tensor([-.infinity, 0, 0])
    #expect(try gradients(of: { $0[0].logSumExp() }, at: [some]) == [[0, 0.5, 0.5]])
    #expect(
      try gradients(of: { $0[0].softmax(axis: 0) }, at: [some], weights: [5, 1, 0]) == [[0, 0.25, -0.25]])
    #expect(
      try gradients(of: { $0[0].logSoftmax(axis: 0) }, at: [some], weights: [0, 1, 0]) == [[0, 0.5, -0.5]])
    #expect(try gradients(of: { $0[0].logSumExp() }, at: [[-.infinity, -.infinity]]) == [[0, 0]])
    let rows = Tensor([-.infinity, -.infinity, 1, 1], shape: [2, 2])
    #expect(try gradients(of: { $0[0].logSumExp(axis: 1) }, at: [rows]) == [[0, 0, 0.5, 0.5]])
  }

  // MARK: Running sums

  /// An axis with elements beside one without.
  @Test(
    arguments: [
      ([3, 0], 0), ([2, 0, 3], 0), ([2, 3, 0], 0), ([2, 3, 0], 1), ([3, 0, 0], 0), ([0, 3], 1),
    ] as [(Shape, Int)])
  func normalisingNothing(_ shape: Shape, _ axis: Int) throws {
    let empty = Tensor.zeros(shape)
    #expect(empty.softmax(axis: axis).shape == shape)
    #expect(empty.logSoftmax(axis: axis).shape == shape)
    let sum = try valueWithGradient(at: empty) { $0.logSumExp(axis: axis).sum() }
    #expect(sum.value == 0 && sum.gradient.shape == shape)
  }

  @Test func cumulativeSums() {
    let x = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    #expect(x.cumulativeSum(axis: 0).scalars == [1, 2, 3, 5, 7, 9])
    #expect(x.cumulativeSum(axis: -1).scalars == [1, 3, 6, 4, 9, 15])
    #expect(Tensor([], shape: [0]).cumulativeSum(axis: 0).scalars == [])
  }

  @Test(arguments: axisCases)
  func gradientsOfCumulativeSums(_ shape: Shape, _ axis: Int) throws {
    try expectGradients("cumulativeSum", [shape]) { $0[0].squared.cumulativeSum(axis: axis) }
  }

  @Test func cumulativeSumGradientInClosedForm() throws {
    #expect(
      try gradients(of: { $0[0].cumulativeSum(axis: 0) }, at: [[1, 2, 3]], weights: [1, 10, 100]) == [
        [111, 110, 100]
      ])
  }
}
