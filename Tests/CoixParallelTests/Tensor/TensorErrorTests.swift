import Testing

@testable import CoixParallel

/// Operators don't throw or trap: misuse gives a poisoned tensor, whose message says what was wrong.
@Suite struct TensorErrorTests {
  static let matrix = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
  static let deep = Tensor(repeating: 1, shape: [1, 1, 1, 1, 1, 1, 1, 1])
  static let huge: Shape = [1 << 20, 1 << 19]

  /// A misuse and the message it gives.
  struct Misuse: Sendable, CustomTestStringConvertible {
    let message: String
    let body: @Sendable () -> Tensor
    var testDescription: String { message }
    init(_ message: String, _ body: @escaping @Sendable () -> Tensor) {
      (self.message, self.body) = (message, body)
    }
  }

  static let misuses: [Misuse] = [
    Misuse("+: the shapes don't broadcast (shapes [2, 3], [2])") { matrix + [1, 2] },
    Misuse("/: the shapes don't broadcast (shapes [2, 3], [2])") { matrix / [1, 2] },
    Misuse(".<: the shapes don't broadcast (shapes [2, 3], [2])") { matrix .< [1, 2] },
    Misuse("pow: the shapes don't broadcast (shapes [2, 3], [2])") { pow(matrix, [1, 2]) },
    Misuse("maximum: the shapes don't broadcast (shapes [2, 3], [2])") { maximum(matrix, [1, 2]) },
    Misuse("minimum: the shapes don't broadcast (shapes [2], [2, 3])") { minimum([1, 2], matrix) },
    Misuse("select: the shapes don't broadcast (shapes [2], [2, 3], [])") { select([1, 0], matrix, 0) },
    Misuse("select: the shapes don't broadcast (shapes [], [2, 3], [2])") { select(1, matrix, [1, 0]) },

    Misuse("sum: there is no axis 2 (shapes [2, 3])") { matrix.sum(axis: 2) },
    Misuse("sum: there is no axis -3 (shapes [2, 3])") { matrix.sum(axis: -3) },
    Misuse("sum: there is no axis 0 (shapes [])") { Tensor(1).sum(axis: 0) },
    Misuse("sum: [0, -2] are not different axes of the tensor (shapes [2, 3])") {
      matrix.sum(axes: [0, -2])
    },
    Misuse("sum: [0, 2] are not different axes of the tensor (shapes [2, 3])") { matrix.sum(axes: [0, 2]) },
    Misuse("mean: there is no axis 9223372036854775807 (shapes [2, 3])") { matrix.mean(axis: .max) },
    Misuse("mean: there is no axis -9223372036854775808 (shapes [2, 3])") { matrix.mean(axis: .min) },
    Misuse("mean: [1, 1] are not different axes of the tensor (shapes [2, 3])") {
      matrix.mean(axes: [1, 1])
    },
    Misuse("mean: [0, 0, 0] are not different axes of the tensor (shapes [1073741824, 0])") {
      Tensor([], shape: [1 << 30, 0]).mean(axes: [0, 0, 0])
    },
    Misuse("max: there is no axis 2 (shapes [2, 3])") { matrix.max(axis: 2) },
    Misuse("max: there are no elements to choose from (shapes [2, 0])") {
      Tensor([], shape: [2, 0]).max(axis: 1)
    },
    Misuse("min: there are no elements to choose from (shapes [0])") { Tensor([], shape: [0]).min() },
    Misuse("argmax: there is no axis 2 (shapes [2, 3])") { matrix.argmax(axis: 2) },
    Misuse("argmax: an axis without elements has no largest one (shapes [0])") {
      Tensor([], shape: [0]).argmax(axis: 0)
    },
    Misuse("logSumExp: there is no axis 2 (shapes [2, 3])") { matrix.logSumExp(axis: 2) },
    Misuse("softmax: there is no axis 2 (shapes [2, 3])") { matrix.softmax(axis: 2) },
    Misuse("logSoftmax: there is no axis 2 (shapes [2, 3])") { matrix.logSoftmax(axis: 2) },
    Misuse("cumulativeSum: there is no axis 2 (shapes [2, 3])") { matrix.cumulativeSum(axis: 2) },

    Misuse("Tensor: 2 numbers given (shapes [3])") { Tensor([1, 2], shape: [3]) },
    Misuse("Tensor: the rows of a matrix must be of one length, are of [1, 2]") { Tensor([[1], [2, 3]]) },
    Misuse("reshaped: the numbers of elements differ (shapes [2, 3], [4])") { matrix.reshaped(to: [4]) },
    Misuse("reshaped: the numbers of elements differ (shapes [2, 3], [invalid])") {
      matrix.reshaped(to: [-2, -3])
    },
    Misuse("expandingAxis: there is no axis 3 (shapes [2, 3])") { matrix.expandingAxis(at: 3) },
    Misuse("expandingAxis: more than 8 axes (shapes [1, 1, 1, 1, 1, 1, 1, 1])") { deep.expandingAxis(at: 0) },
    Misuse("squeezingAxis: axis 1 has size 3, not 1 (shapes [2, 3])") { matrix.squeezingAxis(at: -1) },
    Misuse("squeezingAxis: there is no axis 2 (shapes [2, 3])") { matrix.squeezingAxis(at: 2) },
    Misuse("broadcast: the first shape doesn't stretch to the second (shapes [2, 3], [2, 4])") {
      matrix.broadcast(to: [2, 4])
    },
    Misuse("broadcast: the first shape doesn't stretch to the second (shapes [2, 3], [3])") {
      matrix.broadcast(to: [3])
    },
    Misuse("transposed: [0] doesn't name each axis once (shapes [2, 3])") {
      matrix.transposed(permutation: [0])
    },
    Misuse("transposed: [0, 0] doesn't name each axis once (shapes [2, 3])") {
      matrix.transposed(permutation: [0, 0])
    },
    Misuse("transposed: [0, 2] doesn't name each axis once (shapes [2, 3])") {
      matrix.transposed(permutation: [0, 2])
    },

    Misuse("sliced: 2..<4 leaves axis 1 of size 3 (shapes [2, 3])") { matrix.sliced(axis: 1, 2..<4) },
    Misuse("sliced: -1..<1 leaves axis 0 of size 2 (shapes [2, 3])") { matrix[-1..<1] },
    Misuse("sliced: there is no axis 0 (shapes [])") { Tensor(1)[0..<0] },
    Misuse("selecting: there is no element 2 along axis 0 of size 2 (shapes [2, 3])") { matrix[2] },
    Misuse("selecting: there is no element -3 along axis 0 of size 2 (shapes [2, 3])") { matrix[-3] },
    Misuse("selecting: there is no axis 0 (shapes [])") { Tensor(1)[0] },
    Misuse("concatenate: there are no tensors to join") { Tensor.concatenate([]) },
    Misuse("concatenate: there is no axis 0 (shapes [])") { Tensor.concatenate([1, 2]) },
    Misuse("concatenate: the shapes differ in more than axis 1 (shapes [2, 3], [3])") {
      Tensor.concatenate([matrix, [1, 2, 3]], axis: 1)
    },
    Misuse("concatenate: the shapes differ in more than axis 1 (shapes [2, 3], [1, 3])") {
      Tensor.concatenate([matrix, matrix[0..<1]], axis: -1)
    },
    Misuse("stack: there are no tensors to join") { Tensor.stack([]) },
    Misuse("stack: the shapes differ (shapes [2], [3])") { Tensor.stack([[1, 2], [1, 2, 3]]) },
    Misuse("stack: there is no axis 3 (shapes [2, 3])") { Tensor.stack([matrix, matrix], axis: 3) },
    Misuse("stack: more than 8 axes (shapes [1, 1, 1, 1, 1, 1, 1, 1])") { Tensor.stack([deep, deep]) },

    Misuse("gathered: there is no axis 2 (shapes [2, 3])") { matrix.gathered(at: 0, axis: 2) },
    Misuse("gathered: index 2 is outside of 0 ..< 2, the positions along axis 0 (shapes [2, 3])") {
      matrix.gathered(at: [0, 2])
    },
    Misuse("gathered: index -1.0 is outside of 0 ..< 2, the positions along axis 0 (shapes [2, 3])") {
      matrix.gathered(at: -1)
    },
    Misuse("gathered: axis 0 has no elements (shapes [0])") { Tensor([], shape: [0]).gathered(at: 0) },
    Misuse("oneHot: a further axis of size -1 gives no legal shape (shapes [2, 3])") {
      matrix.oneHot(depth: -1)
    },
    Misuse("oneHot: a further axis of size 2 gives no legal shape (shapes [1, 1, 1, 1, 1, 1, 1, 1])") {
      deep.oneHot(depth: 2)
    },

    Misuse("matmul: the inner sizes differ (shapes [2, 3], [2, 3])") { matmul(matrix, matrix) },
    Misuse("matmul: the operands must be matrices or vectors (shapes [], [2, 3])") { matmul(1, matrix) },
    Misuse("matmul: the operands must be matrices or vectors (shapes [2, 3], [2, 3, 1])") {
      matmul(matrix, matrix.expandingAxis(at: 2))
    },
    Misuse(
      "conv2d: needs images [..., height, width] and kernels [..., h, w] that fit into them (shapes [2, 3], [3, 1])"
    ) { conv2d(matrix, .ones([3, 1])) },
    Misuse(
      "conv2d: needs images [..., height, width] and kernels [..., h, w] that fit into them (shapes [2, 3], [3])"
    ) { conv2d(matrix, [1, 2, 3]) },
    Misuse(
      "conv2d: needs images [..., height, width] and kernels [..., h, w] that fit into them (shapes [2, 3], [0, 3])"
    ) { conv2d(matrix, .zeros([0, 3])) },
    Misuse(
      "conv2d: needs images [..., height, width] and kernels [..., h, w] that fit into them (shapes [2, 2, 3], [3, 1, 1])"
    ) { conv2d(.stack([matrix, matrix]), .ones([3, 1, 1])) },
    Misuse(
      "translated: needs images [..., height, width], offsets [..., 2] and a size, none of them empty "
        + "(shapes [2, 3], [3], [1, 1])"
    ) { matrix.translated(by: [1, 2, 3], to: (1, 1)) },
    Misuse(
      "translated: needs images [..., height, width], offsets [..., 2] and a size, none of them empty "
        + "(shapes [2, 3], [2], [0, 1])"
    ) { matrix.translated(by: [1, 2], to: (0, 1)) },
    Misuse(
      "translated: needs images [..., height, width], offsets [..., 2] and a size, none of them empty "
        + "(shapes [3], [2], [1, 1])"
    ) { Tensor([1, 2, 3]).translated(by: [1, 2], to: (1, 1)) },
    Misuse("dot: the operands must be vectors (shapes [2, 3], [3])") { dot(matrix, [1, 2, 3]) },
    Misuse("dot: the inner sizes differ (shapes [2], [3])") { dot([1, 2], [1, 2, 3]) },
  ]

  @Test(arguments: misuses)
  func messages(_ misuse: Misuse) {
    let result = misuse.body()
    #expect(result.failure?.description == misuse.message)
    #expect(result.scalars.count == 1 && result.scalars[0].isNaN)
    #expect(result.scalar.isNaN)
    #expect(throws: CoixError.self) { try result.validated() }
    // Inside of an evaluation the error is remembered as well.
    inChunk(rows: 1) { chunk in
      _ = misuse.body()
      #expect(chunk.context.failure?.description == misuse.message)
    }
  }

  /// What would need more memory than the machine has.
  static let excesses: [Misuse] = [
    Misuse("Tensor") { Tensor(repeating: 0, shape: huge) },
    Misuse("broadcast") { Tensor(1).broadcast(to: huge) },
    Misuse("+") { Tensor.ones([1 << 20, 1]) + Tensor.ones([1 << 19]) },
    Misuse("select") { select(Tensor.ones([1 << 20, 1]), Tensor.ones([1 << 19]), 0) },
    Misuse("oneHot") { Tensor.ones([1 << 10]).oneHot(depth: 1 << 29) },
    Misuse("matmul") { matmul(Tensor.ones([1 << 20, 1]), Tensor.ones([1, 1 << 19])) },
    Misuse("conv2d") { conv2d(Tensor.ones([1 << 20, 1, 1, 1]), Tensor.ones([1 << 19, 1, 1])) },
    Misuse("translated") { matrix.translated(by: [0, 0], to: (1 << 20, 1 << 19)) },
  ]

  @Test(arguments: excesses)
  func hugeResults(_ excess: Misuse) {
    #expect(
      excess.body().failure?.description
        == "\(excess.message) needs 2199023255552 bytes, more than this machine can give")
  }

  @Test func poisonSpreads() {
    let poisoned = Tensor([1, 2]) + Tensor([1, 2, 3])
    let message = "+: the shapes don't broadcast (shapes [2], [3])"
    let results: [Tensor] = [
      -poisoned, poisoned * 2, 2 / poisoned, exp(poisoned), poisoned .< 1, select(poisoned, 1, 2),
      select(1, poisoned, 2),
      select(1, 2, poisoned), maximum(1, poisoned), poisoned.clamped(to: 0...1), pow(poisoned, 2),
      pow(2, poisoned),
      pow(poisoned, 3), stopGradient(poisoned), poisoned.sum(), poisoned.sum(axis: 3), poisoned.mean(axis: 3),
      poisoned.mean(axes: [4]), poisoned.max(), poisoned.argmax(axis: 7), poisoned.logSumExp(),
      poisoned.softmax(axis: 0),
      poisoned.logSoftmax(axis: 0), poisoned.cumulativeSum(axis: 0), poisoned.reshaped(to: [7]),
      poisoned.flattened(),
      poisoned.transposed(), poisoned.broadcast(to: [3]), poisoned.expandingAxis(at: 5),
      poisoned.squeezingAxis(at: 5),
      poisoned[0], poisoned[0..<1], Tensor.concatenate([[1], poisoned]), Tensor.stack([1, poisoned]),
      poisoned.gathered(at: 0), Tensor([1, 2]).gathered(at: poisoned), poisoned.oneHot(depth: 2),
      matmul(poisoned, [1]),
      matmul([1], poisoned), dot(poisoned, [1]), conv2d(poisoned, [1]), conv2d([1], poisoned),
      poisoned.translated(by: [1, 2], to: (1, 1)), Self.matrix.translated(by: poisoned, to: (1, 1)),
    ]
    for (index, result) in results.enumerated() {
      #expect(result.failure?.description == message, "result \(index)")
    }
  }

  @Test func theFirstErrorIsRemembered() {
    inChunk(rows: 1) { chunk in
      let poisoned = Tensor([1, 2]) + Tensor([1, 2, 3])
      _ = matmul(poisoned, [1, 2]) + Tensor(1)[5]
      #expect(chunk.context.failure?.description == "+: the shapes don't broadcast (shapes [2], [3])")
    }
  }

  @Test func tensorsOfAnotherChunkAreRefused() {
    let stray = inChunk(rows: 2) { $0.batched([1, 2], []) }
    let message =
      "a tensor of another chunk or evaluation is used here; programs must not keep tensors in outer variables"
    #expect(exp(stray).failure?.description == "exp: \(message)")
    inChunk(rows: 2) { chunk in
      let own = chunk.batched([1, 2], [])
      #expect((own + stray).failure?.description == "+: \(message)")
      #expect(Tensor.stack([own, stray]).failure?.description == "stack: \(message)")
      #expect(own.gathered(at: stray).failure?.description == "gathered: \(message)")
      #expect(select(stray, own, own).failure?.description == "select: \(message)")
      #expect(matmul(own.flattened(), stray.flattened()).failure?.description == "flattened: \(message)")
      #expect(stray.sum().failure?.description == "sum: \(message)")
    }
  }

  @Test func mappedTensorsHaveNoValuesOutside() {
    let mapping = PlateMapping(
      plate: "particle", rows: PlateRows(particles: 2), index: nil, sourceRows: 2)
    let mapped = Tensor(storage: Storage(viewing: Tensor([1, 2]).storage, mapping: mapping), shape: [])
    #expect(
      (mapped + 1).failure?.description
        == "+: a tensor mapped over plate \"particle\" has values only inside of the plate's programs, "
        + "which take it as an argument and don't capture it")
    #expect(pow(2, mapped).failure != nil)
    #expect(mapped.sum(axis: 0).failure?.description.contains("mapped over plate") == true)
  }

  @Test func aTensorOfAnotherGradientIsRefused() throws {
    let other = Tape()
    let stray = Tensor([1, 2]).tracked(node: other.append(shape: [2], stride: 0, .none), tape: other.id)
    #expect(
      throws: CoixError.gradient(
        "a tensor of another gradient computation is used here; take its `detached` value")
    ) {
      try gradients(of: { $0[0] * stray }, at: [[1, 2]])
    }
  }
}
