import Coix
import Foundation
import Testing

@Suite struct NPYTests {
  // Written by NumPy 2.4.6.

  /// `save(asfortranarray([[1, 2.5, -3], [4, 5, 1e300]]))`
  private static let fortranDoubles = """
    k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAg
    ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAADwPwAAAAAAABBAAAAAAAAA
    BEAAAAAAAAAUQAAAAAAAAAjAnHUAiDzkN34=
    """
  /// `lib.format.write_array(array([1, -2, 2**31 - 1], '<i4'), version=(2, 0))`
  private static let versionTwo = """
    k05VTVBZAgB0AAAAeydkZXNjcic6ICc8aTQnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMywpLCB9ICAgICAg
    ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAAAA/v///////38=
    """
  /// `lib.format.write_array(array([[True], [False]]), version=(3, 0))`
  private static let versionThree = """
    k05VTVBZAwB0AAAAeydkZXNjcic6ICd8YjEnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwgMSksIH0gICAg
    ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAA==
    """

  private func read(_ bytes: [UInt8]) throws -> NPYArray {
    try withFile(bytes, "a.npy") { try NPYArray(contentsOf: $0) }
  }

  @Test func readsWhatNumPyWrote() throws {
    let doubles = try read(bytes(base64: Self.fortranDoubles))
    #expect(doubles.shape == [2, 3])
    #expect(doubles.scalars == .float64([1, 2.5, -3, 4, 5, 1e300]))
    #expect(try doubles.tensor().scalars == [1, 2.5, -3, 4, 5, .infinity])
    let whole = try read(bytes(base64: Self.versionTwo))
    #expect(whole.shape == [3])
    #expect(whole.scalars == .int32([1, -2, .max]))
    let truths = try read(bytes(base64: Self.versionThree))
    #expect(truths.shape == [2, 1])
    #expect(truths.scalars == .bool([true, false]))
    #expect(try truths.tensor().scalars == [1, 0])
  }

  @Test func writesNumPysBytes() throws {
    // The same header as NumPy's, which pads it so that the numbers begin at byte 128.
    let expected = npy(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }".padding(
        toLength: 117, withPad: " ", startingAt: 0)
        + "\n", [0, 0, 0x80, 0x3F, 0, 0, 0xC0, 0x7F])
    try withTemporaryFolder { folder in
      try Tensor([1, .nan]).write(npy: "\(folder)/a.npy")
      let written = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/a.npy"))
      #expect(Array(written) == expected)
    }
  }

  @Test(
    arguments: [
      ([], .float32([1.5])), ([3], .float64([1, -0.0, .infinity])), ([2, 1], .int32([.min, .max])),
      ([1, 2], .int64([.min, .max])), ([2], .bool([false, true])), ([0, 5], .float32([])),
      ([2], .uint64([0, .max])), (Array(repeating: 1, count: 64), .float32([7])),
    ] as [([Int], NPYArray.Scalars)])
  func readsWhatItWrote(_ shape: [Int], _ scalars: NPYArray.Scalars) throws {
    let array = try NPYArray(shape: shape, scalars: scalars)
    try withTemporaryFolder { folder in
      try array.write(to: "\(folder)/a.npy")
      #expect(try NPYArray(contentsOf: "\(folder)/a.npy") == array)
    }
  }

  @Test func fortranOrderOfThreeAxes() throws {
    // a[i, j, k] = 100 i + 10 j + k, first axis fastest.
    var data: [UInt8] = []
    for k in 0..<2 {
      for j in 0..<3 {
        for i in 0..<2 { data += [UInt8(100 * i + 10 * j + k), 0, 0, 0] }
      }
    }
    let header = "{'shape': (2, 3, 2), 'fortran_order': True, 'descr': '<i4'}"
    let array = try read(npy(header, data))
    #expect(array.scalars == .int32([0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121]))
  }

  @Test(arguments: [
    (
      "{'descr': '>f3', 'fortran_order': False, 'shape': (1,)}",
      "the element type '>f3' is not supported; b1, i1,"
    ),
    ("{'descr': '', 'fortran_order': False, 'shape': (1,)}", "the element type '' is not supported"),
    ("{'descr': '<<f4', 'fortran_order': False, 'shape': (1,)}", "the element type '<<f4' is not supported"),
    (
      "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", "arrays of records are not supported"
    ),
    ("{'descr': True, 'fortran_order': False, 'shape': (1,)}", "other than text for the entry 'descr'"),
    (
      "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
      "neither True nor False for the entry 'fortran_order'"
    ),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", "'shape' is not a tuple of sizes"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "the size '', which is not a legal one"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 'y'}", "an entry 'x', which is not known"),
    (
      "{'descr': '<f4', 'fortran_order': True, 'shape': (4611686018427387904, 2, 2)}", "has too many elements"
    ),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "the size '-1', which is not a legal one"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (x,)}", "the size '', which is not a legal one"),
    (
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "'99999999999999999999', which is"
    ),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "has too many elements"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", "has too many elements"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", "truncated: the array of shape"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "needs 8 bytes, 4 are left"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", "the header goes on after its end"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", "4 bytes follow after the array"),
    ("{'descr': '<f4', 'shape': (1,)}", "'fortran_order' is missing"),
    ("{'fortran_order': False, 'shape': (1,)}", "'descr' is missing"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': 'x'}", "'shape' is not a tuple of sizes"),
    ("{'descr': '<f4', 'descr': '<f4'}", "the entry 'descr' twice"),
    ("", "the header is not a dictionary"),
  ])
  func refusesHeaders(_ header: String, _ reason: String) throws {
    try withFile(npy(header, [0, 0, 0, 0]), "a.npy") { path in
      let complaint = complaint(about: path) { _ = try NPYArray(contentsOf: path) }
      #expect(complaint.contains(reason), "\(complaint)")
    }
  }

  @Test(
    arguments: [
      ([], "is empty"), (Array("1,2\n".utf8), "it does not begin with \\x93NUMPY"),
      ([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59], "truncated: the version"),
      ([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 4, 0], "npy version 4.0 is not supported; 1.0, 2.0 and 3.0 are"),
      ([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 5], "npy version 1.5 is not supported"),
      (
        [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 2, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        "the header needs 4294967295 bytes, 0 are left"
      ),
    ] as [([UInt8], String)])
  func refusesFiles(_ bytes: [UInt8], _ reason: String) throws {
    try withFile(bytes, "a.npy") { path in
      let complaint = complaint(about: path) { _ = try Tensor(contentsOf: path) }
      #expect(complaint.contains(reason), "\(complaint)")
    }
  }

  @Test(arguments: [
    [0, 4_611_686_018_427_387_904, 8], [4_611_686_018_427_387_904, 8, 0], [1 << 62, 0, 1 << 62, 1 << 62], [0],
  ])
  func noElementsWithAHugeSize(_ shape: [Int]) throws {
    let sizes = shape.map { "\($0)," }.joined()
    for order in ["True", "False"] {
      let array = try read(npy("{'descr': '<f8', 'fortran_order': \(order), 'shape': (\(sizes))}"))
      #expect(array.shape == shape)
      #expect(array.scalars == .float64([]))
    }
  }

  /// A header of a million bytes; their time would grow with the square if a step of the parser looked at the
  /// rest.
  @Test(arguments: [
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (", "1, ", "the shape has more than 64 axes"),
    ("{", "'x': 'y', ", "the header has an entry 'x', which is not known"),
    (
      "{'descr': '<f4', 'fortran_order': False, 'shape': (", " ",
      "the shape has the size '', which is not a legal one"
    ),
    (
      "{'descr': '<f4', 'fortran_order': False, 'shape': (", "1",
      "the shape has the size '1111111111111111111111111111111111111111', which is not a legal one"
    ),
    ("{'", "descr", "the header is not a dictionary: ' expected"),
    ("", "{", "the header has something other than text for the name of an entry"),
    (
      "{'fortran_order': False, 'shape': (), 'descr': '\(String(repeating: "x", count: 1_000_000))'}", " ",
      "the element type 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' is not supported; b1, i1, i2, i4, i8, u1, u2, u4, u8, "
        + "f2, f4, f8 are"
    ),
  ])
  func longHeaders(_ start: String, _ repeated: String, _ reason: String) throws {
    let header =
      Array(start.utf8)
      + Array(repeatElement(Array(repeated.utf8), count: 1_000_000 / repeated.utf8.count).joined())
    let length = (0..<4).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
    try withFile([0x93] + Array("NUMPY".utf8) + [2, 0] + length + header, "a.npy") { path in
      #expect(complaint(about: path) { _ = try NPYArray(contentsOf: path) } == reason)
    }
  }

  @Test func refusesShapesThatTensorsCannotHave() throws {
    #expect(throws: CoixError.argument("an array cannot have 65 axes; 64 are the most")) {
      try NPYArray(shape: Array(repeating: 1, count: 65), scalars: .float32([1]))
    }
    let array = try NPYArray(shape: Array(repeating: 1, count: 9), scalars: .float32([1]))
    #expect(
      throws: CoixError.argument(
        "a tensor cannot have the shape [1, 1, 1, 1, 1, 1, 1, 1, 1]: at most 8 axes, 2^40 numbers")
    ) { try array.tensor() }
    #expect(throws: CoixError.argument("an array of shape [2, 2] cannot have 3 numbers")) {
      try NPYArray(shape: [2, 2], scalars: .float32([1, 2, 3]))
    }
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npy"
      try array.write(to: path)
      #expect(complaint(about: path) { _ = try Tensor(contentsOf: path) }.contains("at most 8 axes"))
    }
  }

  @Test func roundsToTheNearestFloat() throws {
    let numbers: [(NPYArray.Scalars, [Float])] = [
      (.float64([0.1, 1e300, -1e-300]), [0.1, .infinity, -0.0]),
      (.int32([16_777_217, .min]), [16_777_216, -0x1p31]),
      (.int64([33_554_435, .max]), [33_554_436, 0x1p63]), (.uint64([.max, 3]), [0x1p64, 3]),
      (.bool([true, false]), [1, 0]),
    ]
    for (scalars, expected) in numbers {
      #expect(try NPYArray(shape: [scalars.count], scalars: scalars).tensor().scalars == expected)
    }
  }

  @Test func poisonedTensorsAreNotWritten() {
    let poisoned = Tensor([1, 2]) + Tensor([1, 2, 3])
    #expect(throws: CoixError.self) { try NPYArray(poisoned) }
  }

  @Test func noDamageTraps() throws {
    for fixture in [Self.fortranDoubles, Self.versionTwo, Self.versionThree] {
      try expectNoTrap(whenDamaged: bytes(base64: fixture), "a.npy") { _ = try Tensor(contentsOf: $0) }
    }
  }
}
