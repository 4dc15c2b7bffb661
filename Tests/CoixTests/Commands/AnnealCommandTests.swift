import Coix
import ExampleModels
import Foundation
import Testing
import examples

@Suite struct AnnealCommandTests {
  /// What the command says about its arguments or its run; empty if all goes well.
  private func complaint(_ arguments: [String]) -> String {
    complaintOfExamples(arguments)
  }

  @Test(arguments: [
    (["--bogus"], "Unknown option '--bogus'"),
    (["--targets", "1"], "the number of targets must be at least 2, is 1"),
    (["--targets", "1001"], "the number of targets must be at most 1000, is 1001"),
    (["--method", "gibbs"], "The value 'gibbs' is invalid for '--method <method>'"),
    (["--particles", "0"], "the number of particles must be at least 1, is 0"),
    (["--particles", "9223372036854775807"], "the number of particles must be at most 2147483647"),
    (["--steps", "-1"], "the number of steps must be at least 1, is -1"),
    (["--learning-rate", "0"], "the learning rate must be positive and finite, is 0.0"),
    (["--learning-rate", "inf"], "the learning rate must be positive and finite, is inf"),
    (["--threads", "0"], "the number of threads must be at least 1, is 0"),
    (["--resume"], "--resume and --checkpoint-every need --checkpoint or --out"),
    (["--steps", "2", "--out", "/dev/null"], "/dev/null: is not a folder that can be made and written to"),
  ])
  func refusesArguments(_ arguments: [String], _ message: String) {
    let complaint = complaint(["anneal", "--quiet"] + arguments)
    #expect(complaint.contains(message), "\(complaint)")
  }

  @Test(arguments: [
    (["--steps", "0"], "the number of steps must be at least 1, is 0"),
    (["--restarts", "0"], "the number of restarts must be at least 1, is 0"),
    (["--threads", "-1"], "the number of threads must be at least 1, is -1"),
  ])
  func tableRefusesArguments(_ arguments: [String], _ message: String) {
    let complaint = complaint(["anneal-table"] + arguments)
    #expect(complaint.contains(message), "\(complaint)")
  }

  @Test func refusesSettingsOfTheEvaluation() {
    var experiment = AnnealExperiment()
    experiment.evaluationRuns = 0
    #expect(
      throws: CoixError.argument("the number of runs of the evaluation must be at least 1, is 0")
    ) { try experiment.run() }
    experiment = AnnealExperiment()
    experiment.evaluationParticles = 0
    #expect(
      throws: CoixError.argument("the number of particles of the evaluation must be at least 1, is 0")
    ) { try experiment.run() }
  }

  @Test func writesResults() throws {
    try withTemporaryFolder { folder in
      let out = "\(folder)/a/b"
      let arguments = ["--steps", "3", "--particles", "10", "--targets", "3", "--linear", "--seed", "-5"]
      #expect(complaint(["anneal", "--quiet", "--out", out] + arguments) == "")
      #expect(
        try Set(FileManager.default.contentsOfDirectory(atPath: out))
          == Set(AnnealResults.fileNames + ["checkpoint.safetensors"]))
      #expect(try Tensor(contentsOf: "\(out)/losses.npy").shape == [3])
      let progress = try Tensor(contentsOf: "\(out)/progress.npy")
      #expect(progress.shape == [4, 4])
      #expect((0..<4).map { progress[$0][0].scalar } == [0, 1, 2, 3])
      #expect(try Tensor(contentsOf: "\(out)/samples.npy").shape == [3, 2_000, 2])
      #expect(try Tensor(contentsOf: "\(out)/inverse_temperatures.npy").scalars == [0, 0.5, 1])

      let data = try Data(contentsOf: URL(fileURLWithPath: "\(out)/summary.json"))
      let summary = try JSONDecoder().decode(AnnealSummary.self, from: data)
      #expect(summary.steps == 3)
      #expect(summary.particles == 10)
      #expect(summary.seed == -5)
      #expect(!summary.learnsPath)
      #expect(try #require(summary.secondsPerStep) > 0)
      let (ess, last) = (try #require(summary.essFraction), try #require(summary.essFractionOfLastStep))
      #expect(abs(ess - last) < 1e-5)

      let start = AnnealedSampler(targets: 3, learnsPath: false, seed: -5)
      let trained = try start.reading(npz: "\(out)/parameters.npz")
      #expect(trained.isFinite)
      let evaluation = try AnnealEvaluation(of: trained, resamples: true, runs: 100, particles: 1_000)
      #expect(summary.logZ == evaluation.logZ)
      #expect(summary.essFractionOfAllSteps == evaluation.cumulativeESS)
      #expect(greatestDifference(start, trained) > 1e-4)
    }
  }

  /// Whatever else is said, and all of it is read.
  @Test func fullIsThePublishedSetting() throws {
    let command = try Examples.parseAsRoot(["anneal", "--full", "--steps", "0", "--targets", "-1"])
    #expect(command is AnnealCommand)
    let experiment = AnnealExperiment()
    #expect(experiment.steps == 20_000)
    #expect(experiment.particles == 36)
    #expect(experiment.targets == 8)
  }

  /// So many particles that there are several chunks.
  @Test func digestDoesNotDependOnThreads() throws {
    var experiment = AnnealExperiment()
    (experiment.targets, experiment.steps, experiment.particles) = (4, 2, 5_000)
    (experiment.evaluationRuns, experiment.evaluationParticles) = (2, 5_000)
    let digests = try [1, 2, 3, 16].map { threads in
      var options = TrainingOptions()
      options.workers = try Workers(threads: threads)
      return try experiment.run(options: options).digest(workers: options.workers).description
    }
    #expect(Set(digests).count == 1)
    #expect(digests[0].count == 16)
  }

  /// With two targets there is no path, and a single step, so that some rows begin alike.
  @Test func tableHasARowForEachVariant() throws {
    var table = AnnealTable()
    (table.targets, table.steps, table.restarts) = ([2, 3], 2, 2)
    var rows: [AnnealTable.Row] = []
    try table.run { rows.append($0) }
    #expect(rows.map(\.name) == ["SVI", "AVO", "NVI", "NVIR", "NVI*", "NVIR*"])
    for row in rows {
      #expect(row.logZ.count == 2)
      #expect((row.incrementalESS + row.cumulativeESS).allSatisfy { $0 > 0.99 && $0 < 100.01 })
    }
    #expect(abs(rows[2].incrementalESS[0] - rows[2].cumulativeESS[0]) < 1e-3)
    #expect(rows[0].logZ[0] == rows[1].logZ[0])
    #expect(rows[2].logZ[0] == rows[4].logZ[0])
    #expect(rows[3].logZ[0] == rows[5].logZ[0])
    #expect(rows[2].logZ[1] != rows[4].logZ[1])
  }
}
