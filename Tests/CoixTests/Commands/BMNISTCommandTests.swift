import Coix
import ExampleModels
import Foundation
import Testing
import examples

@Suite struct BMNISTCommandTests {
  /// Six digits of 4 x 4 pixels, in grey levels up to 16.
  private static let digits = Tensor((0..<96).map { Float($0 * 7 % 17) }, shape: [6, 4, 4])
  private static let small = [
    "--steps", "2", "--train", "5", "--test", "2", "--batch", "2", "--particles", "3", "--sweeps", "1",
    "--frames",
    "2", "--test-frames", "3", "--frame-size", "7",
  ]

  /// What the command says about its arguments or its run; empty if all goes well.
  private func complaint(_ arguments: [String]) -> String {
    complaintOfExamples(["bmnist", "--quiet"] + arguments)
  }

  private func withDigits(_ digits: Tensor = Self.digits, _ body: (_ path: String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/digits.npy"
      try digits.write(npy: path)
      try body(path)
    }
  }

  @Test(arguments: [
    ([], "Missing expected argument '--data <file.npy>'"),
    (["--data", "x.npy", "--bogus"], "Unknown option '--bogus'"),
    (["--data", "x.npy", "--threads", "0"], "the number of threads must be at least 1, is 0"),
    (["--data", "x.npy", "--steps", "0"], "the number of steps must be at least 1, is 0"),
    (
      ["--data", "x.npy", "--steps", "9223372036854775807"], "the number of steps must be at most 2147483647"
    ),
    (["--data", "x.npy", "--batch", "-1"], "the batch size must be at least 1, is -1"),
    (["--data", "x.npy", "--particles", "0"], "the number of particles must be at least 1, is 0"),
    (["--data", "x.npy", "--sweeps", "-1"], "the number of sweeps must be at least 0, is -1"),
    (["--data", "x.npy", "--frames", "0"], "the number of frames must be at least 1, is 0"),
    (["--data", "x.npy", "--test-frames", "0"], "the number of test frames must be at least 1, is 0"),
    (["--data", "x.npy", "--frame-size", "0"], "the frames' size must be at least 1, is 0"),
    (["--data", "x.npy", "--train", "0"], "the number of training sequences must be at least 1, is 0"),
    (["--data", "x.npy", "--test", "0"], "the number of test sequences must be at least 1, is 0"),
    (["--data", "x.npy", "--learning-rate", "nan"], "the learning rate must be positive and finite, is nan"),
    (["--data", "/dev/null/none.npy"], "/dev/null/none.npy: cannot be read: Not a directory"),
  ])
  func refusesArguments(_ arguments: [String], _ message: String) {
    let complaint = complaint(arguments)
    #expect(complaint.contains(message), "\(complaint)")
  }

  @Test(arguments: [
    (
      Tensor.ones([2, 3]), "digits are needed, as tall as they are wide: [n, size, size], not [2, 3]"
    ),
    (.ones([2, 3, 4]), "digits are needed, as tall as they are wide: [n, size, size], not [2, 3, 4]"),
    (.zeros([0, 4, 4]), "has no digits, but the shape [0, 4, 4]"),
    (.zeros([2, 3, 3]), "grey levels must be finite, at least 0, and not all 0"),
    (-Tensor.ones([1, 2, 2]), "grey levels must be finite, at least 0, and not all 0"),
    (Tensor([.nan], shape: [1, 1, 1]), "grey levels must be finite, at least 0, and not all 0"),
  ])
  func refusesDigits(_ digits: Tensor, _ reason: String) throws {
    try withDigits(digits) { path in
      #expect(complaint(["--data", path] + Self.small) == "\(path): \(reason)")
    }
  }

  @Test func refusesSizesThatDontFit() throws {
    try withDigits { path in
      #expect(
        complaint(["--data", path] + Self.small.dropLast() + ["3"])
          == "sequences need at least one of them, a frame and a digit, and frames of at least 4 pixels, not 3"
      )
      #expect(
        complaint(["--data", path, "--frame-size", "2147483647"]).contains("more than this machine can give"))
      #expect(
        complaint(["--data", path, "--train", "2147483647"]).contains("making 2147483647 sequences needs"))
      #expect(
        complaint(["--data", path, "--batch", "6"] + Self.small.dropFirst(2).filter { $0 != "--batch" }) != ""
      )
    }
  }

  @Test(arguments: ["--checkpoint", "--metrics"])
  func keepsItsData(_ option: String) throws {
    try withDigits { path in
      let before = try Tensor(contentsOf: path).scalars
      #expect(
        complaint(["--data", path, option, path] + Self.small)
          == "\(path): is the file of the data, which would be lost")
      #expect(try Tensor(contentsOf: path).scalars == before)
    }
  }

  @Test func writesResults() throws {
    try withDigits { path in
      let out = "\(path).out/a"
      #expect(complaint(["--data", path, "--seed", "-5", "--out", out] + Self.small) == "")
      let files = try Set(FileManager.default.contentsOfDirectory(atPath: out))
      #expect(files == Set(BMNISTResults.fileNames + ["checkpoint.safetensors"]))
      #expect(try Tensor(contentsOf: "\(out)/frames.npy").shape == [2, 3, 7, 7])
      #expect(try Tensor(contentsOf: "\(out)/losses.npy").shape == [2])
      for time in ["before", "after"] {
        #expect(try Tensor(contentsOf: "\(out)/positions_\(time).npy").shape == [2, 2, 3, 2])
        let pixels = try Tensor(contentsOf: "\(out)/reconstructions_\(time).npy")
        #expect(pixels.shape == [2, 3, 7, 7] && pixels.scalars.allSatisfy { (0...1).contains($0) })
      }
      let json = try Data(contentsOf: URL(fileURLWithPath: "\(out)/summary.json"))
      let summary = try JSONDecoder().decode(BMNISTSummary.self, from: json)
      #expect(summary.seed == -5 && summary.steps == 2 && summary.skippedUpdates == 0)
      #expect(summary.frameSize == 7 && summary.digitSize == 4)
      #expect(summary.lossFirst == (try Tensor(contentsOf: "\(out)/losses.npy").scalars[0]))
      for densities in [summary.logDensity.before, summary.logDensity.after] {
        #expect(densities.count == 2 && densities.allSatisfy { $0 != nil })
      }
      #expect((summary.secondsPerStep ?? 0) > 0)
    }
  }

  @Test func settingsThatDecideTheCourseMustBeTheSame() throws {
    try withDigits { path in
      let arguments = ["--data", path, "--out", "\(path).out"] + Self.small
      #expect(complaint(arguments) == "")
      #expect(
        complaint(arguments + ["--resume", "--learning-rate", "0.1"]).contains(
          "\"learning-rate\" is \"0.003\""))
      try (Self.digits + 1).write(npy: path)
      let complaint = complaint(arguments + ["--resume"])
      #expect(complaint.contains("its setting \"data\" is \"6 digits with hash "), "\(complaint)")
      try Self.digits.write(npy: path)
      #expect(self.complaint(arguments + ["--resume"]) == "")
    }
  }

  @Test func fullIsThePublishedSetting() {
    let full = BMNISTExperiment.published
    #expect(full.steps == 20_000 && full.batch == 5 && full.particles == 10 && full.sweeps == 5)
    #expect(full.frames == 10 && full.testFrames == 20 && full.learningRate == 1e-4)
    #expect(throws: Never.self) { try Examples.parseAsRoot(["bmnist", "--full", "--data", "digits.npy"]) }
  }

  @Test func digestDoesNotDependOnThreads() throws {
    var experiment = BMNISTExperiment()
    (experiment.steps, experiment.batch, experiment.particles, experiment.sweeps) = (2, 3, 20, 1)
    (experiment.frames, experiment.testFrames, experiment.frameSize) = (2, 2, 7)
    (experiment.trainCount, experiment.testCount, experiment.hidden) = (6, 3, (12, 8))
    let digits = try BouncingDigits(images: Self.digits)
    let digests = try [1, 2, 3, 16].map { threads in
      var options = TrainingOptions()
      options.workers = try Workers(threads: threads)
      return try experiment.run(on: digits, options: options).digest.description
    }
    #expect(Set(digests).count == 1)
  }

  // MARK: Data

  @Test func digitsBounce() throws {
    // One white pixel in frames of 11 pixels: it goes 1 pixel a frame, and stays between the edges.
    let digits = try BouncingDigits(images: .ones([1, 1, 1]))
    let frames = try digits.sequences(20, frameCount: 40, frameSize: 11, digitCount: 1, key: 7)
    #expect(frames.shape == [20, 40, 11, 11])
    #expect(frames.sum(axes: [2, 3]).scalars.allSatisfy { $0 == 1 })
    let coordinates = Tensor((0..<11).map { Float($0) })
    let x = (frames.sum(axis: 2) * coordinates).sum(axis: 2).scalars
    let y = (frames.sum(axis: 3) * coordinates).sum(axis: 2).scalars
    for sequence in 0..<20 {
      for time in 1..<40 {
        let (now, last) = (40 * sequence + time, 40 * sequence + time - 1)
        // Rounding moves either end by half a pixel at most.
        let way = ((x[now] - x[last]) * (x[now] - x[last]) + (y[now] - y[last]) * (y[now] - y[last]))
          .squareRoot()
        #expect(way <= 1 + 2 * Float(0.5).squareRoot())
      }
    }
    #expect(Set(x).count == 11 && Set(y).count == 11)
    #expect(
      try digits.sequences(20, frameCount: 40, frameSize: 11, digitCount: 1, key: 7).scalars == frames.scalars
    )
  }

  @Test func digitsOverlap() throws {
    let digits = try BouncingDigits(images: Tensor([1, 2], shape: [2, 1, 1]))
    #expect(digits.images.scalars == [0.5, 1] && digits.mean.scalars == [0.75])
    let frames = try digits.sequences(50, frameCount: 1, frameSize: 1, key: 0).scalars
    #expect(Set(frames) == [0.5, 1])
  }

  /// The windows that are cut out are those where digits were put.
  @Test func croppingIsTheOppositeOfEmbedding() {
    let digit = Self.digits[0] / 16
    var model = BMNIST(meanDigit: digit, frameSize: 9, hidden: (4, 4), latent: 2, key: 0)
    for position in [Tensor([-1, 1]), [0.2, -0.6], [1, 0.2]] {
      let frame = model.embedded(digit, at: position)
      #expect(abs(model.cropped(frame, at: position) - digit).max().scalar < 1e-5)
    }
    model.followsReference = true
    #expect(model.cropped(model.embedded(digit, at: [1, 1]), at: [1, 1]).sum().scalar == 0)
  }
}
