import Coix
import ExampleModels
import Foundation
import Testing
import examples

@Suite struct VAECommandTests {
  /// What the command says about its arguments or its run; empty if all goes well.
  private func complaint(_ arguments: [String]) -> String {
    complaintOfExamples(["vae", "--quiet"] + arguments)
  }

  private func summary(_ folder: String) throws -> VAESummary {
    try JSONDecoder().decode(
      VAESummary.self, from: Data(contentsOf: URL(fileURLWithPath: "\(folder)/summary.json")))
  }

  @Test(arguments: [
    (["--bogus"], "Unknown option '--bogus'"),
    (["--threads", "0"], "the number of threads must be at least 1, is 0"),
    (["--threads", "-2"], "the number of threads must be at least 1, is -2"),
    (
      ["--threads", "99999999999999999999"],
      "The value '99999999999999999999' is invalid for '--threads <threads>'"
    ),
    (["--steps", "0"], "the number of steps must be at least 1, is 0"),
    (["--steps", "-1"], "the number of steps must be at least 1, is -1"),
    (["--steps", "ten"], "The value 'ten' is invalid for '--steps <steps>'"),
    (["--batch", "0"], "the batch size must be at least 1, is 0"),
    (["--batch", "9223372036854775807"], "the batch size must be at most 2147483647"),
    (["--hidden", "0"], "the hidden layer's width must be at least 1, is 0"),
    (["--learning-rate", "0"], "the learning rate must be positive and finite, is 0.0"),
    (["--learning-rate", "nan"], "the learning rate must be positive and finite, is nan"),
    (["--train", "0"], "the number of training points must be at least 1, is 0"),
    (["--test", "-3"], "the number of test points must be at least 1, is -3"),
    (["--train", "9223372036854775807"], "needs more than 2^63 bytes, more than this machine can give"),
    (
      ["--test", "1000000000000"],
      "making 1000000000000 points needs 80000000000000 bytes, more than this machine can give"
    ),
    (["--noise", "-1"], "the noise must be at least 0, is -1.0"),
    (["--noise", "0.1", "--data", "points.csv"], "--noise is for two moons"),
    (["--learning-rate", "1e30"], #"site "z": location must be real, is "#),
    (["--data", "/dev/null/none.csv"], "/dev/null/none.csv: cannot be read: Not a directory"),
    (["--data", "/dev/zero"], "/dev/zero: is not a regular file"),
    (["--out", "/dev/null"], "/dev/null: is not a folder that can be made and written to"),
  ])
  func refusesArguments(_ arguments: [String], _ message: String) {
    let complaint = complaint(arguments)
    #expect(complaint.contains(message), "\(complaint)")
  }

  @Test(arguments: [
    ("1,2,3\n4,5,6\n", "points are needed, one a row: [n, 2]; it has the shape [2, 3]"),
    ("1,2\n", "too few points: 1, for 1 to train on and 1 to test with"),
    (
      "1,2\n3,nan\n", "line 2, column 2: 'nan' is not a number; missing: [\"nan\"] reads it as NaN"
    ),
    ("1,2\n3\n", "line 2 has 1 column, line 1 has 2"),
    ("1,2\n3,x\n", "line 2, column 2: 'x' is not a number"), ("", "is empty"),
  ])
  func refusesData(_ text: String, _ reason: String) throws {
    try withFile(Array(text.utf8), "points.csv") { path in
      #expect(complaint(["--data", path]) == "\(path): \(reason)")
    }
  }

  @Test func refusesMalformedArrays() throws {
    try withFile(Array("1,2\n".utf8), "points.npy") { path in
      #expect(
        complaint(["--data", path]) == "\(path): is not a npy file: it does not begin with \\x93NUMPY")
    }
  }

  @Test func usageErrorsAndFileErrorsHaveTheirOwnExitStatus() {
    #expect(CoixError.threads(0).exitStatus == 64)
    #expect(CoixError.memoryBudget(what: "a", bytes: 2, budget: 1).exitStatus == 64)
    #expect(CoixError.file(path: "a", reason: "b").exitStatus == 65)
    #expect(CoixError.memory(what: "a", bytes: 1).exitStatus == 71)
    #expect(CoixError.duplicateSite("z").exitStatus == 70)
    #expect(throws: (any Error).self) { try Examples.parseAsRoot(["vae", "--threads", "0"]) }
    do { _ = try Examples.parseAsRoot(["vae", "--threads", "0"]) } catch {
      #expect(Examples.exitCode(for: error).rawValue == 64)
    }
  }

  /// Checkpoints, metrics and results have files of their own, whatever the paths look like.
  @Test(arguments: [
    ["--checkpoint", "/parameters.npz"], ["--checkpoint", "/../out/summary.json"],
    ["--metrics", "/losses.npy"], ["--metrics", "/checkpoint.safetensors"],
    ["--metrics", "/m", "--checkpoint", "/./m"],
  ])
  func writesNothingTwice(_ options: [String]) throws {
    try withTemporaryFolder { folder in
      let out = "\(folder)/out"
      let paths = options.map { $0.hasPrefix("-") ? $0 : out + $0 }
      let complaint = complaint(["--steps", "1", "--out", out] + paths)
      #expect(
        complaint.hasSuffix(": would be written twice; --checkpoint and --metrics need files of their own"),
        "\(complaint)")
      let files = try FileManager.default.contentsOfDirectory(atPath: out)
      #expect(files == [])
    }
  }

  /// What is done after training and does not fit into memory is refused before it.
  @Test(arguments: [
    (["vae", "--digest"], "1M", "what is kept of 200000 rows"),
    (["ssm"], "500K", "what is kept of 1600 rows"), (["anneal"], "60K", "what is kept of 2000 rows"),
  ])
  func refusesBeforeTraining(_ arguments: [String], _ budget: String, _ what: String) throws {
    try withTemporaryFolder { folder in
      let (errors, status) = try runExamples(arguments + ["--steps", "3", "--out", folder], budget: budget)
      #expect(errors.hasPrefix("Error: \(what), with all else that must be in memory, needs "), "\(errors)")
      #expect(status == 64)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    }
  }

  /// Results are written, even if standard output cannot be; that is an error then.
  @Test func aFullDiskBehindStandardOutput() throws {
    try withTemporaryFolder { folder in
      let (disk, out) = ("\(folder)/disk", "\(folder)/out")
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
      guard mount("coix", disk, "tmpfs", 0, "size=4096") == 0 else {
        print("VAECommandTests.aFullDiskBehindStandardOutput: only root can mount a small disk")
        return
      }
      defer { umount2(disk, Int32(MNT_DETACH)) }
      try Data(count: 4_096).write(to: URL(fileURLWithPath: "\(disk)/full"))
      for arguments in [
        ["vae", "--steps", "1", "--out", out], ["vae", "--quiet", "--steps", "1", "--digest"], ["list"],
        ["--help"], ["--version"],
      ] {
        #expect(FileManager.default.createFile(atPath: "\(disk)/output", contents: nil))
        let output = try #require(FileHandle(forWritingAtPath: "\(disk)/output"))
        let (errors, status) = try runExamples(arguments, output: output)
        #expect(
          errors.hasSuffix("Error: standard output: cannot be written: No space left on device\n"),
          "\(errors)")
        #expect(status == 65)
      }
      #expect(FileManager.default.fileExists(atPath: "\(out)/summary.json"))
    }
  }

  @Test func writesResults() throws {
    try withTemporaryFolder { folder in
      let out = "\(folder)/a/b"
      #expect(
        complaint(["--steps", "3", "--train", "50", "--test", "20", "--seed", "-5", "--out", out]) == "")
      #expect(
        try Set(FileManager.default.contentsOfDirectory(atPath: out))
          == Set(VAEResults.fileNames + ["checkpoint.safetensors"]))
      #expect(try Tensor(contentsOf: "\(out)/train.npy").shape == [50, 2])
      #expect(try Tensor(contentsOf: "\(out)/test.npy").shape == [20, 2])
      #expect(try Tensor(contentsOf: "\(out)/losses.npy").shape == [3])
      #expect(try Tensor(contentsOf: "\(out)/reconstructions_before.npy").shape == [20, 2])
      #expect(try Tensor(contentsOf: "\(out)/reconstructions_after.npy").shape == [20, 2])
      let summary = try summary(out)
      #expect(summary.seed == -5)
      #expect(summary.skippedUpdates == 0)
      #expect(summary.lossFirst == (try Tensor(contentsOf: "\(out)/losses.npy").scalars[0]))
      let vae = try VAE(key: 1).reading(npz: "\(out)/parameters.npz")
      #expect(vae.isFinite)
      #expect(vae.encoder.layers[0].kernel.scalars != VAE(key: -5).encoder.layers[0].kernel.scalars)
    }
  }

  @Test func dividesTheUsersPoints() throws {
    let lines = (0..<30).map { "\($0),\(-$0)" }.joined(separator: "\n")
    try withFile(Array(lines.utf8), "points.csv") { path in
      let data = try PointData.file(path)
      #expect(data.train.shape == [24, 2])
      #expect(data.test.shape == [6, 2])
      let all = stride(from: 0, to: 60, by: 2).map { (data.train.scalars + data.test.scalars)[$0] }
      #expect(all != all.sorted())
      #expect(all.sorted() == (0..<30).map(Float.init))
      #expect(try PointData.file(path, train: 4, test: 5).train.shape == [4, 2])
      #expect(try PointData.file(path, test: 29).train.shape == [1, 2])
      #expect(
        throws: CoixError.file(
          path: path, reason: "too few points: 30, for 20 to train on and 11 to test with")
      ) { try PointData.file(path, train: 20, test: 11) }
    }
  }

  @Test func skipsAndCountsUpdatesThatAreNotFinite() throws {
    // One point is so far away that the loss of its batches is infinite.
    let lines = (0..<40).map { $0 == 3 ? "1e25,0" : "0.\($0),0.5" }.joined(separator: "\n")
    try withFile(Array(lines.utf8), "points.csv") { path in
      let out = "\(path).out"
      #expect(complaint(["--data", path, "--steps", "20", "--batch", "8", "--out", out]) == "")
      let summary = try summary(out)
      let infinite = try Tensor(contentsOf: "\(out)/losses.npy").scalars.filter { !$0.isFinite }.count
      #expect(summary.skippedUpdates == infinite)
      #expect((1..<20).contains(infinite))
      #expect(try VAE(key: 0).reading(npz: "\(out)/parameters.npz").isFinite)
    }
  }

  @Test func digestDoesNotDependOnThreads() throws {
    var experiment = VAEExperiment()
    experiment.steps = 3
    experiment.batch = 20_000
    let data = try PointData.twoMoons(train: 500, test: 5_000)
    let digests = try [1, 2, 3, 16].map { threads in
      var options = TrainingOptions()
      options.workers = try Workers(threads: threads)
      return try experiment.run(on: data, options: options).digest(workers: options.workers).description
    }
    #expect(Set(digests).count == 1)
    #expect(digests[0].count == 16)
  }

  @Test func digestIsFNV1a() {
    #expect(Digest().description == "cbf29ce484222325")
    // Of the bytes 00 00 80 3F, by the definition's reference code in Python.
    var digest = Digest()
    digest.add(1)
    #expect(digest.description == "4b72477f9c5c2f98")
  }
}
