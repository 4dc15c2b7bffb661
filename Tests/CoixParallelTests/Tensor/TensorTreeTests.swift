import Testing

@testable import CoixParallel

/// Trees of tensors: names, order, replacement.
@Suite struct TensorTreeTests {
  struct Layer: TensorTree {
    var kernel: Tensor = 1
    var bias: Tensor? = 2
    var label = "not a tensor"

    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("kernel", &kernel)
      try visitor.visit("bias", &bias)
    }
  }

  struct Network: TensorTree {
    var layers = [Layer(), Layer(bias: nil), Layer()]
    var heads: [String: Tensor] = ["b": 3, "a": 4, "c": 5]
    var pair = Tuple(Tensor(6), [Tensor(7), Tensor(8)])
    var nothing: [Tensor] = []
    var absent: Layer?

    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("layers", &layers)
      try visitor.visit("heads", &heads)
      try visitor.visit("pair", &pair)
      try visitor.visit("nothing", &nothing)
      try visitor.visit("absent", &absent)
    }
  }

  static let names = [
    "layers.0.kernel", "layers.0.bias", "layers.1.kernel", "layers.2.kernel", "layers.2.bias", "heads.a",
    "heads.b",
    "heads.c", "pair.0", "pair.1.0", "pair.1.1",
  ]
  static let numbers: [Float] = [1, 2, 1, 1, 2, 4, 3, 5, 6, 7, 8]

  @Test func namesOfNestedParts() {
    let network = Network()
    #expect(network.namedTensors.map(\.name) == Self.names)
    #expect(network.namedTensors.map(\.tensor.scalar) == Self.numbers)
    #expect(network.flattened.map(\.scalar) == Self.numbers)
  }

  @Test func leavesAndTheirNames() {
    #expect(Tensor(1).namedTensors.map(\.name) == [""])
    #expect(Tuple(Tensor(1), Tensor(2)).namedTensors.map(\.name) == ["0", "1"])
    #expect(Tuple(Tensor(1)).namedTensors.map(\.name) == ["0"])
    #expect(Tuple().namedTensors.isEmpty)
    #expect([Tensor]().namedTensors.isEmpty)
    #expect(Optional<Tensor>.none.namedTensors.isEmpty)
    #expect(["x": Tuple(Tensor(1), ["y": Tensor(2)])].namedTensors.map(\.name) == ["x.0", "x.1.y"])
    #expect([[Tensor(1)], [], [Tensor(2), Tensor(3)]].namedTensors.map(\.name) == ["0.0", "2.0", "2.1"])
  }

  @Test func partsAreReplaced() throws {
    let doubled = try Network().mapTensors { $0 * 2 }
    #expect(doubled.flattened.map(\.scalar) == Self.numbers.map { 2 * $0 })
    #expect(doubled.layers[1].bias == nil)
    #expect(doubled.layers[0].label == "not a tensor")
    #expect(doubled.heads.keys.sorted() == ["a", "b", "c"])
    var visited: [String] = []
    let named = try Network().mapNamedTensors { name, tensor in
      visited.append(name)
      return name == "heads.b" ? 100 : tensor
    }
    #expect(visited == Self.names)
    #expect(named.heads["b"]?.scalar == 100)
    #expect(named.heads["a"]?.scalar == 4)
  }

  @Test func replacementsMayThrow() throws {
    struct Refusal: Error {}
    var count = 0
    #expect(throws: Refusal.self) {
      try Network().mapTensors { tensor in
        count += 1
        if count == 3 { throw Refusal() }
        return tensor
      }
    }
    #expect(count == 3)
  }

  @Test func updatesNeedTheSameStructure() throws {
    var tree = [Tensor(1), Tensor([2, 3])]
    try tree.update(with: [Tensor(10), Tensor([20, 30])], "test") { $0 = $0 + $1 * Tensor(Float($2 + 1)) }
    #expect(tree.map(\.scalars) == [[11], [42, 63]])
    for others: [Tensor] in [[], [1], [1, 2], [1, [2, 3], 4]] {
      let error = #expect(throws: CoixError.self) {
        try tree.update(with: others, "test") { $0 = $1 + Tensor(Float($2)) }
      }
      #expect(
        error?.description.hasPrefix("test: parameters, gradient and optimiser are of different structures")
          == true)
    }
    #expect(tree.map(\.scalars) == [[11], [42, 63]], "nothing was replaced")
  }

  @Test func gradientsHaveTheStructureOfTheParameters() throws {
    let result = try valueWithGradient(at: Network()) { network -> Tensor in
      network.layers[0].kernel * 5 + (network.heads["c"] ?? 0) * network.pair.values.1[1]
    }
    #expect(result.value == 45)
    #expect(result.gradient.namedTensors.map(\.name) == Self.names)
    #expect(result.gradient.flattened.map(\.scalar) == [5, 0, 0, 0, 0, 0, 0, 8, 0, 0, 5])
    #expect(result.gradient.layers[1].bias == nil)
  }

  @Test func tuplesHoldSwiftTuples() {
    let tuple = Tuple(values: (Tensor(1), [Tensor(2)]))
    let (first, second) = tuple.values
    #expect(first.scalar == 1)
    #expect(second[0].scalar == 2)
    let part: Tensor = Tuple(Tensor(3)).values
    #expect(part.scalar == 3, "the part itself where there is one")
  }
}
