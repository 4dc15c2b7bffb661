import Coix
import ExampleModels
import Foundation
import Testing

@testable import CoixParallel

/// Some rows of a plate draw what they draw in the whole plate.
@Suite struct PlatePartTests {
  static let cuts = [0, 1, 700, 701, 2_048, 3_000]

  /// Draws of many kinds: those that take several numbers, repeated ones, expanded ones, those of a mixture.
  static func model(_ wrap: (Model<Tuple<Tensor>, Tuple<Tensor>>) -> Target<Tuple<Tensor>, Tuple<Tensor>>)
    -> Target<Tuple<Tensor>, Tuple<Tensor>>
  {
    wrap(
      Model { (trace, x: Tensor) in
        let a = trace.sample("a", from: Normal(x, 1))
        let b = trace.sample("b", from: Gamma(exp(a), 2))
        let c = trace.sample("c", from: Poisson(b + 1))
        let d = trace.sample("d", from: Normal(x, 1).expanded(to: [3]).event(1))
        let e = trace.sample("e", from: Categorical(logits: [0.5, 1, 2]))
        let f = trace.sample("f", from: Dirichlet([0.5, 1, 2]))
        let g = trace.sample("g", from: Beta(exp(x), 2))
        trace.observe("x", x, from: Normal(a, 1))
        return a + b + c + d.sum() + e + f.sum() + g
      })
  }

  @Test func partsTogetherAreTheWhole() throws {
    let plate = Plate("particle", count: 3_000, chunkRows: 64)
    let data = Draw(key: 3, shape: [3_000]).normal()
    let whole = try evaluate(Self.model { Target(plate($0)) }, seed: 5)(plate.mapped(data))
    for (start, end) in zip(Self.cuts, Self.cuts.dropFirst()) {
      let part = plate.rows(start..<end)
      #expect(part.count == end - start)
      let found = try evaluate(Self.model { Target(part($0)) }, seed: 5)(
        part.mapped(Tensor(Array(data.scalars[start..<end]))))
      #expect(found.trace.names == whole.trace.names)
      for (site, other) in zip(found.trace.sites, whole.trace.sites) {
        let width = other.value.shape.elementCount / 3_000
        #expect(
          site.value.scalars == Array(other.value.scalars[start * width..<end * width]),
          "\(site.name), \(start)")
      }
      #expect(found.metrics.logWeight.scalars == Array(whole.metrics.logWeight.scalars[start..<end]))
    }
  }

  /// Around other plates, also for draws that come instance by instance, and where a part is cut once more.
  @Test func nestedPlates() throws {
    let (particles, instances) = (Plate("particle", count: 90, chunkRows: 64), Plate("instance", count: 40))
    let data = Draw(key: 3, shape: [90]).normal()
    let whole = try evaluate(Self.model { Target(particles(instances($0))) }, seed: 5)(particles.mapped(data))
    for (start, end) in [(0, 50), (50, 87), (60, 62)] {
      let part = particles.rows(10..<90).rows(0..<80)
      #expect(part.part == PlatePart(start: 10, whole: 90))
      let rows = start < 10 ? particles.rows(start..<end) : part.rows(start - 10..<end - 10)
      let found = try evaluate(Self.model { Target(rows(instances($0))) }, seed: 5)(
        rows.mapped(Tensor(Array(data.scalars[start..<end]))))
      for (site, other) in zip(found.trace.sites, whole.trace.sites) {
        let width = other.value.shape.elementCount / 90
        #expect(
          site.value.scalars == Array(other.value.scalars[start * width..<end * width]),
          "\(site.name), \(start)")
      }
    }
  }

  /// Errors name a row by its number in the whole plate.
  @Test func errorsNameRowsOfTheWhole() throws {
    let (particles, instances) = (Plate("particle", count: 90), Plate("instance", count: 4))
    let part = particles.rows(10..<90).rows(20..<60)
    let model = Model { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
    let data = part.mapped(Tensor((0..<40).map { $0 == 7 ? .nan : 1 }))
    let options = EvaluationOptions(checks: true)
    for (program, rows) in [
      (Target(part(model)), "particle 37"), (Target(part(instances(model))), "particle 37, instance 0"),
    ] {
      let text = message { try evaluate(program, seed: 0, options: options)(data) } ?? ""
      #expect(text.hasPrefix("stage 1: ") && text.hasSuffix("(\(rows))"), "\(text)")
    }
  }

  /// Rows beyond 2^31, of a sparse file: each has its own data and draws.
  @Test func rowsBeyond32Bits() throws {
    let (first, count) = (1 << 31, (1 << 31) + 5_000)
    try withTemporaryFolder { folder in
      let path = "\(folder)/rows.npy"
      let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(count),), }"
      try Data(npy(header.padding(toLength: 117, withPad: " ", startingAt: 0) + "\n")).write(
        to: URL(fileURLWithPath: path))
      let start = 10 + 118
      guard truncate(path, start + 4 * count) == 0 else {
        print("PlatePartTests.rowsBeyond32Bits is left out: there can be no file of \(4 * count) bytes")
        return
      }
      let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      try handle.seek(toOffset: UInt64(start + 4 * (first - 1)))
      try handle.write(contentsOf: [Float(1), 2, 3].withUnsafeBytes { Data($0) })
      try handle.close()
      let (file, plate) = (try NPYFile(path), Plate("particle", count: count))
      let model = { (plate: Plate) in
        plate(
          Model { (trace, x: Tensor) in
            (x, trace.sample("z", from: Normal(0, 1)), trace.sample("u", from: Uniform(0, 1)))
          })
      }
      func run(_ rows: Range<Int>) throws -> (x: [Float], z: [Float], u: [Float]) {
        let part = plate.rows(rows)
        let result = try evaluate(model(part), seed: 5)(part.mapped(file, rows: rows))
        let (x, z, u) = result.output.values
        return (x.scalars, z.scalars, u.scalars)
      }
      let all = try run(first - 2..<count)
      #expect(all.x.prefix(5) == [0, 1, 2, 3, 0])
      #expect(Set(all.z).count > 4_990)
      let low = try run(0..<5_000)
      #expect(zip(all.z.dropFirst(2), low.z).filter { $0 == $1 }.isEmpty)
      let (before, after) = (try run(first - 2..<first), try run(first..<count))
      #expect(before.z + after.z == all.z)
      #expect(before.u + after.u == all.u)
    }
  }

  @Test func rowsThatThereAreNot() throws {
    let plate = Plate("particle", count: 10)
    let model = { (plate: Plate) in plate(Model { trace in trace.sample("z", from: Normal(0, 1)) }) }
    for rows in [-1..<3, 5..<11] {
      #expect(
        message { try evaluate(model(plate.rows(rows)), seed: 0)() }
          == "plate \"particle\" doesn't have the \(rows.count) rows from row \(rows.lowerBound) on")
    }
    #expect(message { try evaluate(model(plate.rows(0..<5).rows(3..<6)), seed: 0)() } != nil)
    #expect(throws: CoixError.emptyPlate(name: "particle", count: 0)) {
      try evaluate(model(plate.rows(3..<3)), seed: 0)()
    }
    let outer = Plate("outer", count: 4)
    let nested = { (outer: Plate, inner: Plate) in
      outer(inner(Model { trace in trace.sample("z", from: Normal(0, 1)) }))
    }
    #expect(
      message { try evaluate(nested(outer, plate.rows(0..<5)), seed: 0)() }
        == "plate \"particle\": some rows of a plate cannot stand within another plate")
    #expect(
      message { try evaluate(nested(outer.rows(1..<2), plate), seed: 0)() }
        == "plate \"outer\": around other plates, it takes more than one of its rows")
  }

  /// Numbers of rows take four bytes where rows are gathered.
  @Test func indicesBeyond32BitsAreErrors() throws {
    #expect(
      message { try RowIndex(count: 2, for: "two rows") { Int(Int32.max) + $0 } }
        == "two rows, with rows beyond 2^31, needs more than 2^63 bytes, more than this machine can give")
    #expect(try RowIndex(count: 2, for: "two rows") { Int(Int32.max) - $0 }.rows[0] == .max)
  }
}
