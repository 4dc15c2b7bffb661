import Coix
import ExampleModels
import Foundation
import Testing

/// Results that go to files: the same bits as in memory, and nothing is left behind where it goes wrong.
@Suite struct ResultFilesTests {
  static let rows = 3_000
  static let points = Draw(key: 7, shape: [rows, 2]).normal()
  static let plate = Plate("particle", count: rows, chunkRows: 16)
  static let vae = VAE(hidden: 8, key: 3)

  private func bits(_ tensor: Tensor) -> [UInt32] { tensor.scalars.map(\.bitPattern) }

  @Test func filesHaveTheBitsOfMemory() throws {
    let program = Self.vae.inference(Self.plate, loss: .elbo)
    let points = Self.plate.mapped(Self.points)
    let expected = try evaluate(program, seed: 5, options: WayToRun.plain.options())(points)
    let z = try required(expected.trace["z"]?.value)
    for way in [WayToRun.plain] + WayToRun.others {
      try withTemporaryFolder { folder in
        let options = try way.options {
          $0.keep = .metrics
          $0.files = [
            .logWeight: .npy("\(folder)/w.npy"), .site("z"): .npy("\(folder)/z.npy"),
            .output(): .npy("\(folder)/mean.npy"),
          ]
        }
        let found = try evaluate(program, seed: 5, options: options)(points)
        #expect(try names(in: folder) == ["mean.npy", "w.npy", "z.npy"])
        for (name, tensor) in [("w", expected.metrics.logWeight), ("z", z), ("mean", expected.output.values)]
        {
          let read = try Tensor(contentsOf: "\(folder)/\(name).npy")
          #expect(read.shape == tensor.shape, "\(name)")
          #expect(bits(read) == bits(tensor), "\(name), \(way)")
        }
        #expect(try bits(found.metrics.logZ) == bits(expected.metrics.logZ))
        #expect(try bits(found.metrics.ess) == bits(expected.metrics.ess))
        #expect(try bits(found.metrics.loss) == bits(expected.metrics.loss))
        #expect(found.trace.sites.isEmpty)
        #expect(
          found.metrics.logWeight.failure
            == .argument("the log-weights went to the file \(folder)/w.npy"))
        #expect(
          found.output.values.failure
            == .argument("the output's tensor \"0\" went to the file \(folder)/mean.npy"))
      }
    }
  }

  /// What is kept beside: the trace but for the site that is in a file.
  @Test func whatElseIsKept() throws {
    let program = Self.vae.inference(Self.plate)
    let points = Self.plate.mapped(Self.points)
    let expected = try evaluate(program, seed: 5)(points)
    try withTemporaryFolder { folder in
      let files: [RowResult: RowFile] = [.site("z"): .npy("\(folder)/z.npy")]
      let found = try evaluate(program, seed: 5, options: EvaluationOptions(files: files))(points)
      #expect(found.trace.names == expected.trace.names)
      #expect(found.trace["z"]?.value.failure != nil)
      #expect(try bits(required(found.trace["z"]?.logProb)) == bits(required(expected.trace["z"]?.logProb)))
      #expect(bits(found.metrics.logWeight) == bits(expected.metrics.logWeight))
      #expect(bits(found.output.values) == bits(expected.output.values))
      let z = try Tensor(contentsOf: "\(folder)/z.npy")
      #expect(try bits(z) == bits(required(expected.trace["z"]?.value)))
    }
  }

  /// Of a latent site and of an observed one, whose log-probability is the log-weight; with and without the values.
  @Test(arguments: [EvaluationOptions.Keep.metrics, .everything])
  func logProbabilities(_ keep: EvaluationOptions.Keep) throws {
    let plate = Self.plate
    let model = plate(
      Model { (trace, x: Tensor) in
        let z = trace.sample("z", from: Normal(x[0], 1))
        let y = trace.sample("y", from: Normal(z, 2).expanded(to: [2]).event(1))
        trace.observe("x", x[1], from: Normal(z, 1))
        return y
      })
    let points = plate.mapped(Self.points)
    let expected = try evaluate(model, seed: 5)(points)
    try withTemporaryFolder { folder in
      let results: [(RowResult, String)] = [
        (.logProb("z"), "lz"), (.logProb("x"), "lx"), (.site("y"), "y"), (.logProb("y"), "ly"),
        (.logWeight, "w"),
      ]
      let files = Dictionary(
        uniqueKeysWithValues: results.map { ($0, RowFile.npy("\(folder)/\($1).npy")) })
      let found = try evaluate(model, seed: 5, options: EvaluationOptions(keep: keep, files: files))(points)
      let z = try required(expected.trace["z"]?.logProb)
      let x = try required(expected.trace["x"]?.logProb)
      let y = (try required(expected.trace["y"]?.value), try required(expected.trace["y"]?.logProb))
      for (name, tensor) in [("lz", z), ("lx", x), ("y", y.0), ("ly", y.1), ("w", x)] {
        let read = try Tensor(contentsOf: "\(folder)/\(name).npy")
        #expect(read.shape == tensor.shape && bits(read) == bits(tensor), "\(name)")
      }
      #expect(found.trace.names == (keep == .metrics ? [] : expected.trace.names))
      guard keep == .everything else { return }
      #expect(
        found.trace["z"]?.logProb.failure
          == .argument("the log-probabilities of site \"z\" went to the file \(folder)/lz.npy"))
      #expect(try bits(required(found.trace["z"]?.value)) == bits(required(expected.trace["z"]?.value)))
      #expect(found.trace["y"]?.value.failure != nil && found.trace["y"]?.logProb.failure != nil)
    }
    #expect(
      message {
        try evaluate(
          model, seed: 5,
          options: EvaluationOptions(keep: keep, files: [.logProb("none"): .npy("/tmp/none.npy")]))(points)
      }
        == "files: there is no such thing as the log-probabilities of site \"none\", which /tmp/none.npy is to have"
    )
  }

  /// Values that have been gathered, of an earlier stage, or that are the same for all rows are written at
  /// the end.
  @Test func resampledAndUniformValues() throws {
    let p = ChainParameters()
    let programs: [(String, Inference<Tuple<Tensor>, Tuple<Tensor>>)] = [
      ("between", p.inference(Self.plate, loss: nil)),
      ("behind", resample(p.inference(Self.plate, loss: nil))),
    ]
    for (name, program) in programs {
      let expected = try evaluate(program, seed: 5)(chainData)
      try withTemporaryFolder { folder in
        let options = EvaluationOptions(
          keep: .metrics,
          files: [
            .logWeight: .npy("\(folder)/w.npy"), .site("z"): .npy("\(folder)/z.npy"),
            .site("y"): .npy("\(folder)/y.npy"), .output(): .npy("\(folder)/o.npy"),
            .logProb("z"): .npy("\(folder)/l.npy"),
          ])
        _ = try evaluate(program, seed: 5, options: options)(chainData)
        for (file, tensor) in [
          ("w", expected.metrics.logWeight), ("z", try required(expected.trace["z"]?.value)),
          ("y", try required(expected.trace["y"]?.value)), ("o", expected.output.values),
          ("l", try required(expected.trace["z"]?.logProb)),
        ] {
          #expect(try bits(Tensor(contentsOf: "\(folder)/\(file).npy")) == bits(tensor), "\(name), \(file)")
        }
      }
    }
  }

  @Test func nestedPlates() throws {
    let (particles, instances) = (Plate("particle", count: 50, chunkRows: 64), Plate("instance", count: 70))
    let program = particles(instances(ChainParameters().model))
    let points = instances.mapped(Draw(key: 7, shape: [70, 2]).normal())
    let expected = try evaluate(program, seed: 5)(points)
    try withTemporaryFolder { folder in
      let files: [RowResult: RowFile] = [
        .logWeight: .npy("\(folder)/w.npy"), .output("1"): .npy("\(folder)/x.npy"),
      ]
      let found = try evaluate(program, seed: 5, options: EvaluationOptions(keep: .output, files: files))(
        points)
      let weights = try Tensor(contentsOf: "\(folder)/w.npy")
      #expect(weights.shape == [50, 70])
      #expect(bits(weights) == bits(expected.metrics.logWeight))
      #expect(try bits(Tensor(contentsOf: "\(folder)/x.npy")) == bits(expected.output.values.1))
      #expect(bits(found.output.values.0) == bits(expected.output.values.0))
      #expect(found.output.values.1.failure != nil)
    }
  }

  /// Of a long file, blocks are let go while others are stored.
  @Test(arguments: [1, 2]) func longFiles(threads: Int) throws {
    let (plate, width) = (Plate("row", count: 10_007), 1_300)
    let data = Draw(key: 3, shape: [plate.count, width]).normal()
    let program = plate(Model { (_, x: Tensor) in x + 1 })
    try withTemporaryFolder { folder in
      let options = EvaluationOptions(
        workers: try Workers(threads: threads), keep: .metrics, files: [.output(): .npy("\(folder)/y.npy")])
      _ = try evaluate(program, seed: 1, options: options)(plate.mapped(data))
      #expect(try bits(Tensor(contentsOf: "\(folder)/y.npy")) == bits(data + 1))
    }
  }

  // MARK: Errors

  private func complaint(_ files: [RowResult: RowFile], about path: String) -> String {
    CoixTests.complaint(about: path) {
      _ = try evaluate(
        Self.vae.inference(Self.plate), seed: 5, options: EvaluationOptions(files: files))(
          Self.plate.mapped(Self.points))
    }
  }

  @Test func filesThatCannotBeWritten() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/none/w.npy"
      #expect(
        complaint([.logWeight: .npy(path)], about: path) == "cannot be written: No such file or directory")
      #expect(complaint([.logWeight: .npy(folder)], about: folder) == "is a folder, not a file")
      #expect(complaint([.logWeight: .npy("/dev/null")], about: "/dev/null") == "is not a regular file")
      let twice = "\(folder)/w.npy"
      #expect(
        complaint([.logWeight: .npy(twice), .site("z"): .npy(twice)], about: twice)
          == "two results of an evaluation are to be written there")
      #expect(symlink(".", "\(folder)/link") == 0)
      for other in ["\(folder)/./w.npy", "\(folder)/link/w.npy"] {
        let last = max(twice, other)
        #expect(
          complaint([.logWeight: .npy(twice), .site("z"): .npy(other)], about: last)
            == "two results of an evaluation are to be written there")
      }
      let left = try names(in: folder)
      #expect(left == ["link"])
    }
  }

  /// Data and given values that are mapped from a file: by its path, and through a link.
  @Test func filesThatAreRead() throws {
    try withTemporaryFolder { folder in
      let (path, link) = ("\(folder)/x.npy", "\(folder)/link.npy")
      try Self.points.write(npy: path)
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
      let points = Self.plate.mapped(try NPYFile(path))
      let model = Self.plate(
        Model { trace in
          let z = trace.sample("z", from: Normal(.zeros([2]), 1).event(1))
          trace.observe("x", 0.5, from: Normal(z.sum(), 1))
          return z
        })
      for target in [path, link] {
        let options = EvaluationOptions(files: [.logWeight: .npy(target)])
        let ofData = CoixTests.complaint(about: target) {
          _ = try evaluate(Self.vae.inference(Self.plate), seed: 5, options: options)(points)
        }
        #expect(ofData == "is read by the same evaluation")
        let ofLatents = CoixTests.complaint(about: target) {
          _ = try evaluate(model, latents: ["z": points], seed: 5, options: options)()
        }
        #expect(ofLatents == "is read by the same evaluation")
      }
      #expect(try names(in: folder) == ["link.npy", "x.npy"])
      #expect(try bits(Tensor(contentsOf: path)) == bits(Self.points))
    }
  }

  /// What is there stays where an evaluation throws, at its beginning or in its middle.
  @Test func nothingIsLeftBehindAnError() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/w.npy"
      try Tensor([1, 2]).write(npy: path)
      let files: [RowResult: RowFile] = [.logWeight: .npy(path), .site("none"): .npy("\(folder)/n.npy")]
      #expect(
        message {
          try evaluate(Self.vae.inference(Self.plate), seed: 5, options: EvaluationOptions(files: files))(
            Self.plate.mapped(Self.points))
        }
          == "files: there is no such thing as the values of site \"none\", which \(folder)/n.npy is to have")
      var broken = Self.points.scalars
      broken[5_000] = .nan
      let options = EvaluationOptions(checks: true, files: [.logWeight: .npy(path)])
      #expect(throws: CoixError.self) {
        try evaluate(Self.vae.inference(Self.plate), seed: 5, options: options)(
          Self.plate.mapped(Tensor(broken, shape: [Self.rows, 2])))
      }
      #expect(try names(in: folder) == ["w.npy"])
      #expect(try Tensor(contentsOf: path).scalars == [1, 2])
    }
  }

  @Test func notWithinGradientsOrRecordings() throws {
    try withTemporaryFolder { folder in
      let options = EvaluationOptions(keep: .metrics, files: [.logWeight: .npy("\(folder)/w.npy")])
      @Sendable func loss(_ vae: VAE, _ key: PRNGKey) throws -> Tensor {
        try evaluate(vae.inference(Self.plate, loss: .elbo), seed: key, options: options)(
          Self.plate.mapped(Self.points)
        ).metrics.loss
      }
      #expect(
        message { try valueWithGradient(at: Self.vae) { try loss($0, 0) } }
          == "gradient: an evaluation within a gradient computation cannot send its results to files")
      #expect(
        message { try compile { (vae: VAE, key: PRNGKey) in try loss(vae, key) }(Self.vae, key: 0) }
          == "compile: an evaluation that is recorded cannot send its results to files")
      let left = try names(in: folder)
      #expect(left == [])
    }
  }

  /// A disk with less room than the file needs: an error before anything is computed.
  @Test func fullDisks() throws {
    try withTemporaryFolder { folder in
      guard mount("coix", folder, "tmpfs", 0, "size=8192") == 0 else {
        print("ResultFilesTests.fullDisks is left out: only root can mount a small disk")
        return
      }
      defer { umount2(folder, Int32(MNT_DETACH)) }
      let path = "\(folder)/w.npy"
      let runs = Counter()
      let model = Self.plate(
        Model { (trace, x: Tensor) in
          runs.add(1)
          trace.observe("x", x, from: Normal(0, 1).expanded(to: [2]).event(1))
          return x
        })
      let options = EvaluationOptions(
        workers: try Workers(threads: 1), keep: .metrics, execution: .eager, files: [.logWeight: .npy(path)])
      let complaint = CoixTests.complaint(about: path) {
        _ = try evaluate(model, seed: 0, options: options)(Self.plate.mapped(Self.points))
      }
      #expect(complaint == "cannot be written, with 12160 bytes: No space left on device")
      #expect(runs.value == 1)
      let left = try names(in: folder)
      #expect(left == [])
    }
  }
}
