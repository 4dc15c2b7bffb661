import Coix
import ExampleModels
import Foundation
import Testing
import examples

/// `examples gmm` and `examples dmm`.
@Suite struct GibbsCommandTests {
  static let commands = ["gmm", "dmm"]
  static let small = [
    "--train", "50", "--test", "3", "--batch", "4", "--particles", "3", "--sweeps", "2",
  ]

  /// What the command says about its arguments or its run; empty if all goes well.
  private func complaint(_ command: String, _ arguments: [String]) -> String {
    complaintOfExamples([command, "--quiet"] + arguments)
  }

  @Test(
    arguments: commands,
    [
      (["--bogus"], "Unknown option '--bogus'"),
      (["--threads", "0"], "the number of threads must be at least 1, is 0"),
      (["--steps", "0"], "the number of steps must be at least 1, is 0"),
      (["--steps", "-1"], "the number of steps must be at least 1, is -1"),
      (["--steps", "9223372036854775807"], "the number of steps must be at most 2147483647"),
      (["--batch", "0"], "the batch size must be at least 1, is 0"),
      (["--particles", "0"], "the number of particles must be at least 1, is 0"),
      (["--sweeps", "-1"], "the number of sweeps must be at least 0, is -1"),
      (["--learning-rate", "0"], "the learning rate must be positive and finite, is 0.0"),
      (["--learning-rate", "nan"], "the learning rate must be positive and finite, is nan"),
      (["--train", "0"], "the number of training sets must be at least 1, is 0"),
      (["--points", "0"], "the number of points must be at least 1, is 0"),
      (["--test", "-3"], "the number of test sets must be at least 1, is -3"),
      (["--train", "2147483647"], "making 2147483647 sets of"),
      (["--full", "--steps", "10"], "leave --steps out, or --full"),
      (
        ["--train", "10", "--test", "1", "--sweeps", "0"],
        "the 10 rows of the data don't fill a batch of 20"
      ),
      (["--out", "/dev/null"], "/dev/null: is not a folder that can be made and written to"),
    ])
  func refusesArguments(_ command: String, _ refusal: (arguments: [String], message: String)) {
    let complaint = complaint(command, refusal.arguments)
    #expect(complaint.contains(refusal.message), "\(complaint)")
  }

  @Test(arguments: zip(commands, [(100, ["c", "mean", "tau"]), (600, ["c", "h", "mu"])]))
  func writesResults(_ command: String, _ expected: (points: Int, variables: [String])) throws {
    try withTemporaryFolder { folder in
      let out = "\(folder)/a/b"
      #expect(complaint(command, Self.small + ["--steps", "3", "--seed", "-5", "--out", out]) == "")
      #expect(
        try Set(FileManager.default.contentsOfDirectory(atPath: out))
          == Set(GibbsResults<GMM>.fileNames + ["checkpoint.safetensors"]))
      #expect(try Tensor(contentsOf: "\(out)/points.npy").shape == [3, expected.points, 2])
      #expect(try Tensor(contentsOf: "\(out)/clusters.npy").shape == [3, expected.points])
      #expect(try Tensor(contentsOf: "\(out)/losses.npy").shape == [3])
      for time in ["before", "after"] {
        let inferred = try NPZArchive(contentsOf: "\(out)/inferred_\(time).npz").arrays
        #expect(inferred.keys.sorted() == expected.variables)
        #expect(inferred["c"]?.shape == [3, expected.points])
      }
      let json = try Data(contentsOf: URL(fileURLWithPath: "\(out)/summary.json"))
      let summary = try JSONDecoder().decode(GibbsSummary.self, from: json)
      #expect(summary.seed == -5 && summary.steps == 3 && summary.skippedUpdates == 0)
      #expect(summary.lossFirst == (try Tensor(contentsOf: "\(out)/losses.npy").scalars[0]))
      for densities in [summary.logDensity.before, summary.logDensity.after] {
        #expect(densities.count == 3 && densities.allSatisfy { $0 != nil })
      }
      #expect(try #require(summary.secondsPerStep) > 0)
      for accuracy in [summary.accuracy.before, summary.accuracy.after] {
        #expect((0.25...1).contains(accuracy))
      }
    }
  }

  @Test func fullIsThePublishedSetting() throws {
    #expect(GMM.published.steps == 200_000 && DMM.published.steps == 30_000)
    for command in Self.commands {
      #expect(throws: Never.self) { try Examples.parseAsRoot([command, "--full"]) }
    }
  }

  private func digests<Mixture>(_ experiment: GibbsExperiment<Mixture>) throws -> [String] {
    var experiment = experiment
    // 256 rows, which are cut into chunks.
    (experiment.steps, experiment.batch, experiment.particles, experiment.sweeps) = (2, 64, 4, 1)
    (experiment.trainCount, experiment.testCount) = (128, 1)
    return try [1, 2, 3, 16].map { threads in
      var options = TrainingOptions()
      options.workers = try Workers(threads: threads)
      return try experiment.run(options: options).digest.description
    }
  }

  @Test func digestDoesNotDependOnThreads() throws {
    for digests in [try digests(GMMExperiment()), try digests(DMMExperiment())] {
      #expect(Set(digests).count == 1)
      #expect(digests[0].count == 16)
    }
  }
}
