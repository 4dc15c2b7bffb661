import Coix
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  // MARK: What Python wrote

  @Test func readsWhatPythonWroteAndWritesTheSameBytes() throws {
    for file in try SafetensorsFiles().files {
      try withFile(Array(file.bytes), "a.safetensors") { path in
        let read = try SafetensorsFile(contentsOf: path)
        #expect(read.metadata == file.metadata, "\(file.name)")
        #expect(read.arrays.count == file.arrays.count, "\(file.name)")
        for expected in file.arrays {
          let array = try #require(read.arrays[expected.name], "\(file.name)")
          #expect(array.shape == expected.shape, "\(file.name)")
          let (type, numbers) = array.scalars.described
          #expect(type == expected.type, "\(file.name)")
          #expect(numbers == expected.numbers, "\(file.name)")
        }
        let copy = "\(path).copy"
        try read.write(to: copy)
        let written = try Data(contentsOf: URL(filePath: copy))
        #expect((written == file.bytes) == file.isKept, "\(file.name)")
        try SafetensorsFile(contentsOf: copy).write(to: path)
        #expect(try Data(contentsOf: URL(filePath: path)) == written, "\(file.name)")
      }
    }
  }

  @Test func refusesArraysOfOtherTypes() throws {
    let refused = try SafetensorsFiles().refused
    #expect(!refused.isEmpty)
    for file in refused {
      try withFile(Array(file.bytes), "a.safetensors") { path in
        let reason = complaint(about: path) { _ = try SafetensorsFile(contentsOf: path) }
        #expect(reason.hasPrefix("the array y has the type '"), "\(reason)")
        #expect(
          reason.hasSuffix(
            "', which is not supported; BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64 are"),
          "\(reason)")
      }
    }
  }

  private struct Heads: TensorTree {
    var trunk: MLP
    var heads: [Dense]
    func callAsFunction(_ x: Tensor) -> Tensor {
      let trunk = trunk(x)
      return Tensor.concatenate(heads.map { $0(trunk) }, axis: -1)
    }
    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("trunk", &trunk)
      try visitor.visit("heads", &heads)
    }
  }

  @Test func flaxParametersComeAndGo() throws {
    let perceptron = MLP(sizes: [3, 4, 4, 2], key: 0)
    let heads = Heads(
      trunk: perceptron, heads: [1, 2].map { Dense(inputs: 2, outputs: 1, key: $0) })
    func check(
      _ module: SafetensorsFiles.Module, _ model: some TensorTree, _ outputs: (String) throws -> [Float]
    )
      throws
    {
      try withFile(Array(module.bytes), "a.safetensors") { path in
        #expect(distance(try outputs(path), module.outputs) < 1e-5, "\(module.name)")
        let names = TensorNames.flax(separator: module.separator)
        try model.reading(safetensors: path, named: names).write(safetensors: "\(path).copy", named: names)
        #expect(try Data(contentsOf: URL(filePath: "\(path).copy")) == module.bytes, "\(module.name)")
      }
    }
    for module in try SafetensorsFiles().flax {
      let names = TensorNames.flax(separator: module.separator)
      let inputs = Tensor(module.inputs, shape: [2, 3])
      switch module.name {
      case "perceptron":
        try check(module, perceptron) {
          try perceptron.reading(safetensors: $0, named: names)(inputs).validated().scalars
        }
      case "heads":
        try check(module, heads) {
          try heads.reading(safetensors: $0, named: names)(inputs).validated().scalars
        }
      default: Issue.record("what is \(module.name)?")
      }
    }
  }

  @Test(arguments: [
    ("", "params"), ("kernel", "params/kernel"), ("layers.0.kernel", "params/Dense_0/kernel"),
    ("encoder.layers.12.bias", "params/encoder/Dense_12/bias"), ("heads.1.kernel", "params/heads_1/kernel"),
    ("layers.1.layers.0.bias", "params/layers_1/Dense_0/bias"), ("grid.0.1", "params/grid_0_1"),
    ("0.kernel", "params/0/kernel"), ("layers.scale", "params/layers/scale"),
  ])
  func flaxNames(_ own: String, _ expected: String) {
    #expect(TensorNames.flax()(own) == expected)
    #expect(TensorNames.flax(separator: ".")(own) == expected.replacingOccurrences(of: "/", with: "."))
    #expect(TensorNames.own(own) == own)
  }

  // MARK: Trees

  private struct Pair: TensorTree {
    var kernel: Tensor
    var layers: [Tensor]
    mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
      try visitor.visit("kernel", &kernel)
      try visitor.visit("layers", &layers)
    }
  }

  @Test func treesComeBack() throws {
    let pair = Pair(kernel: Tensor([1, 2, 3, 4], shape: [2, 2]), layers: [5, [6, 7]])
    let zeros = Pair(kernel: .zeros([2, 2]), layers: [0, [0, 0]])
    try withTemporaryFolder { folder in
      let path = "\(folder)/pair.safetensors"
      try pair.write(safetensors: path, metadata: ["made by": "a test"])
      let file = try SafetensorsFile(contentsOf: path)
      #expect(file.arrays.keys.sorted() == ["kernel", "layers.0", "layers.1"])
      #expect(file.metadata == ["made by": "a test"])
      let again = try zeros.reading(safetensors: path)
      #expect(again.namedTensors.map(\.tensor.scalars) == [[1, 2, 3, 4], [5], [6, 7]])
      try Tensor([8, 9]).write(safetensors: path)
      #expect(try SafetensorsFile(contentsOf: path).arrays.keys.sorted() == ["arr_0"])
      #expect(try Tensor.zeros([2]).reading(safetensors: path).scalars == [8, 9])

      let names = TensorNames { $0 == "kernel" ? "W" : $0.uppercased() }
      try pair.write(safetensors: path, named: names)
      #expect(try SafetensorsFile(contentsOf: path).arrays.keys.sorted() == ["LAYERS.0", "LAYERS.1", "W"])
      #expect(
        try zeros.reading(safetensors: path, named: names).namedTensors.map(\.tensor.scalars)
          == [[1, 2, 3, 4], [5], [6, 7]])
    }
  }

  @Test func numbersOfOtherTypesBecomeTensors() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      try SafetensorsFile([
        "kernel": NPYArray(shape: [2], scalars: .float64([0.5, 1e300])),
        "layers.0": NPYArray(shape: [2], scalars: .bool([true, false])),
        "layers.1": NPYArray(shape: [], scalars: .int64([-3])),
      ]).write(to: path)
      let tree = try Pair(kernel: [0, 0], layers: [[0, 0], 0]).reading(safetensors: path)
      #expect(tree.namedTensors.map(\.tensor.scalars) == [[0.5, .infinity], [1, 0], [-3]])
    }
  }

  @Test func saysWhatDoesNotFitTheTree() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      try Pair(kernel: [1], layers: [2]).write(safetensors: path)
      func complaintFor(_ pair: Pair) -> String {
        complaint(about: path) { _ = try pair.reading(safetensors: path) }
      }
      #expect(complaintFor(Pair(kernel: [1], layers: [2, 3])) == "has no array layers.1")
      #expect(
        complaintFor(Pair(kernel: [1, 2], layers: [2]))
          == "the array kernel has the shape [1], [2] is expected")
      #expect(
        complaintFor(Pair(kernel: [1], layers: []))
          == "has an array layers.0 that nothing here has the name of")
      let same = TensorNames { _ in "same" }
      #expect(
        complaint(about: path) { try Pair(kernel: [1], layers: [2]).write(safetensors: path, named: same) }
          == "two tensors have the name same")
      // The file is still the first one.
      #expect(complaintFor(Pair(kernel: [1], layers: [2])) == "nothing was thrown")
    }
  }

  @Test func anArrayCannotHaveTheNameOfTheMetadata() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      let file = SafetensorsFile(["__metadata__": try NPYArray(Tensor([1]))])
      #expect(
        complaint(about: path) { try file.write(to: path) } == "an array cannot have the name __metadata__")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  // MARK: Hostile files

  private func expect(_ reason: String, about bytes: [UInt8]) throws {
    try withFile(bytes, "a.safetensors") { path in
      #expect(complaint(about: path) { _ = try SafetensorsFile(contentsOf: path) } == reason)
    }
  }

  @Test func saysWhatIsWrongWithALength() throws {
    try expect("is empty", about: [])
    try expect("truncated: the header's length needs 8 bytes, 3 are left", about: [1, 0, 0])
    try expect(
      "truncated: the header needs 9 bytes, 2 are left", about: [9, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8))
    try expect(
      "is not a safetensors file: it does not begin with the length of a header",
      about: [0x01, 0xE1, 0xF5, 0x05, 0, 0, 0, 0] + Array("{}".utf8))
    try expect(
      "is not a safetensors file: it does not begin with the length of a header",
      about: Array(repeating: 0xFF, count: 100))
    try expect(
      "is a .npy file, not a safetensors file", about: [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0])
    try expect(
      "is a zip archive, as .npz files are, not a safetensors file",
      about: Array("PK".utf8) + [3, 4, 20, 0, 0, 0, 0, 0])
    try expect("the header does not begin with {", about: safetensors([]))
  }

  @Test func saysWhatIsWrongWithAHeader() throws {
    for (header, reason) in Self.wrongHeaders {
      try expect(reason, about: safetensors(header.utf8, [0, 0, 0, 0]))
    }
  }

  /// Headers, with four bytes after them.
  private static let wrongHeaders: [(String, String)] = [
    ("", "the header does not begin with {"), (" {}", "the header does not begin with {"),
    ("[]", "the header does not begin with {"), ("{", expected("\"", 1)),
    ("{}}", "the header goes on after its end"),
    ("{\"a\"}", expected(":", 4)), ("{\"a\":{}}", "the array a has no entry 'dtype'"),
    ("{\"a\":[]}", expected("{", 5)), ("{\"a\":null}", expected("{", 5)), ("{\"a\":1}", expected("{", 5)),
    ("{\"a:{}}", expected("a quotation mark", 7)), ("{\"a\nb\":{}}", expected("a quotation mark", 3)),
    ("{'a':{}}", expected("\"", 1)),
    ("{\"\\x\":{}}", expected("a character that a backslash may precede", 4)),
    ("{\"\\", expected("a character", 3)), ("{\"\\u12", expected("four hexadecimal digits", 4)),
    ("{\"\\u+123\":", expected("four hexadecimal digits", 4)),
    ("{\"\\ud800\":{}}", expected("the number of a character", 8)),
    ("{\"\\ud800\\u0041\":{}}", expected("the number of a character", 14)),
    ("{\"\\udc00\":{}}", expected("the number of a character", 8)),
    ("{}", "4 bytes follow after the arrays"),
    ("{" + array("a", "[1]", "0,4") + ",", expected("\"", 54)),
    (of(array("a", "[1]", "0,4"), array("a", "[1]", "0,4")), "the array a is there twice"),
    (of(array("a", "[1]", "0,4"), array("\\u0061", "[0]", "0,0")), "the array a is there twice"),
    (
      of("\"__metadata__\":{}", array("a", "[1]", "0,4"), "\"__metadata__\":{}"),
      "the header has __metadata__ twice"
    ),
    ("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}", "__metadata__ has k twice"),
    ("{\"__metadata__\":null}", expected("{", 16)), ("{\"__metadata__\":{\"k\":1}}", expected("\"", 21)),
    ("{\"__metadata__\":{\"k\":{}}}", expected("\"", 21)),
    (of("\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}"), "the array a has the entry 'dtype' twice"),
    (of("\"a\":{\"dtype\":\"F32\",\"shape\":[]}"), "the array a has no entry 'data_offsets'"),
    (of("\"a\":{\"dtype\":\"F32\",\"data_offsets\":[]}"), "the array a has no entry 'shape'"),
    (of("\"a\":{\"strides\":[1]}"), "the array a has an entry 'strides', which is not known"),
    (
      of(array("a", "[1]", "0,4", "f32")),
      "the array a has the type 'f32', which is not supported; "
        + "BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64 are"
    ),
    (of(array("a", "[-1]", "0,4")), expected(number, 29)),
    (of(array("a", "[1.0]", "0,4")), expected(number, 29)),
    (of(array("a", "[1e0]", "0,4")), expected(number, 29)),
    (of(array("a", "[01]", "0,4")), expected(number, 29)),
    (of(array("a", "[true]", "0,4")), expected(number, 29)),
    (of(array("a", "[,]", "0,4")), expected(number, 29)),
    (of(array("a", "[9223372036854775808]", "0,4")), expected(number, 29)),
    (of(array("a", "[\(String(repeating: "1", count: 10_000))]", "0,4")), expected(number, 29)),
    (of(array("a", "[1,]", "0,4")), expected(number, 31)),
    (of(array("a", "[1", "0,4")), expected(number, 31)),
    (of(array("a", "1", "0,4")), expected("[", 28)),
    (of(array("a", "[1]", "0,4,8")), expected("a list of at most 2 numbers", 52)),
    (
      of(array("a", "[\(Array(repeating: "1", count: 65).joined(separator: ","))]", "0,4")),
      expected("a list of at most 64 numbers", 157)
    ),
    (of(array("a", "[1]", "0,-4")), expected(number, 50)),
    (of(array("a", "[1]", "4")), "the array a has the offsets [4], which are not a beginning and an end"),
    (of(array("a", "[1]", "")), "the array a has the offsets [], which are not a beginning and an end"),
    (
      of(array("a", "[1]", "4,0")), "the array a has the offsets [4, 0], which are not a beginning and an end"
    ),
    (of(array("a", "[2]", "0,4")), "the array a has 4 bytes, its type and shape need 8"),
    (of(array("a", "[1]", "0,3")), "the array a has 3 bytes, its type and shape need 4"),
    (of(array("a", "[0]", "0,4")), "the array a has 4 bytes, its type and shape need 0"),
    (of(array("a", "[4294967296,4294967296]", "0,4")), "the array a has too many elements"),
    (of(array("a", "[4611686018427387905]", "0,4")), "the array a has too many elements"),
    (of(array("a", "[9223372036854775807,2]", "0,4")), "the array a has too many elements"),
    (of(array("a", "[2]", "0,8")), "truncated: the array a ends after 8 bytes, there are 4"),
    (
      of(array("a", "[2305843009213693951]", "0,9223372036854775804")),
      "truncated: the array a ends after 9223372036854775804 bytes, there are 4"
    ),
    (of(array("a", "[1]", "4,8")), "truncated: the array a ends after 8 bytes, there are 4"),
    (of(array("a", "[1]", "2,4", "F16")), "the 2 bytes before the array a belong to none"),
    (of(array("a", "[1]", "0,2", "F16")), "2 bytes follow after the arrays"),
    (of(array("a", "[1]", "0,4"), array("b", "[1]", "0,4")), "the array b overlaps with another one"),
    (of(array("a", "[1]", "0,4"), array("b", "[1]", "2,4", "I16")), "the array b overlaps with another one"),
    (of(array("a", "[1]", "0,4"), array("b", "[0]", "2,2")), "the array b overlaps with another one"),
    (
      of(array("a", "[1]", "0,1", "U8"), array("b", "[1]", "3,4", "U8")),
      "the 2 bytes before the array b belong to none"
    ),
  ]

  @Test func aHeaderHasToBeUTF8() throws {
    for bytes: [UInt8] in [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0x80]] {
      let header = Array("{\"".utf8) + bytes + Array("\":{}}".utf8)
      try expect("the header is not a text in UTF-8", about: safetensors(header))
    }
  }

  @Test func deepNestingEndsInAnError() throws {
    let count = 1_000_000
    func repeated(_ text: String) -> String { String(repeating: text, count: count) }
    try expect(expected("{", 5), about: safetensors("{\"a\":\(repeated("["))".utf8))
    try expect(
      "the array a has an entry 'a', which is not known", about: safetensors(repeated("{\"a\":").utf8))
    try expect(
      expected("\"", 21), about: safetensors("{\"__metadata__\":{\"k\":\(repeated("{\"k\":"))".utf8))
    try expect(
      expected(number, 29), about: safetensors("{\"a\":{\"dtype\":\"F32\",\"shape\":\(repeated("["))".utf8))
  }

  @Test func aHundredThousandArraysAreRead() throws {
    let count = 100_000
    let arrays = (0..<count).map { array("\($0)", "[]", "\($0),\($0 + 1)", "U8") }
    let header = "{\(arrays.joined(separator: ","))}"
    try withFile(safetensors(header.utf8, Array(repeating: 7, count: count)), "a.safetensors") { path in
      let read = try SafetensorsFile(contentsOf: path).arrays
      #expect(read.count == count)
      #expect(read["99999"]?.scalars == .int32([7]))
    }
  }

  @Test func noDamageTraps() throws {
    let header = of(
      "\"__metadata__\":{\"k\":\"\\u00e9\"}", array("a", "[1,1]", "0,4"), array("b", "[]", "4,5", "BOOL"))
    try expectNoTrap(whenDamaged: safetensors(header.utf8, [0, 0, 0, 0, 1]), "a.safetensors") {
      _ = try SafetensorsFile(contentsOf: $0)
    }
  }
}

private let number = "a whole number from 0 to \(Int.max)"

private func expected(_ what: String, _ position: Int) -> String {
  "the header is not as it must be: \(what) expected after its first \(position) bytes"
}

/// What a header says of an array.
private func array(_ name: String, _ shape: String, _ offsets: String, _ type: String = "F32") -> String {
  "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(offsets)]}"
}

/// A header.
private func of(_ members: String...) -> String { "{\(members.joined(separator: ","))}" }
