import Coix
import ExampleModels
import Foundation
import Testing
import examples

/// Examples that go on from checkpoints.
@Suite struct ResumeTests {
  /// An example's small settings, and a setting that decides the course, with two values.
  private static let examples: [(arguments: [String], name: String, values: (String, String))] = [
    (["vae", "--train", "40", "--test", "20"], "batch", ("10", "20")),
    (["vae", "--train", "40", "--test", "20"], "hidden", ("8", "9")),
    (["anneal", "--particles", "5"], "targets", ("3", "4")),
    (["anneal", "--targets", "3", "--particles", "5"], "method", ("nvi", "avo")),
    (["gmm"] + GibbsCommandTests.small, "learning-rate", ("0.01", "0.02")),
    (["dmm"] + GibbsCommandTests.small, "learning-rate", ("0.01", "0.02")),
    (["ssm", "--runs", "2"], "particles", ("4", "5")),
  ]

  @Test(arguments: examples.indices)
  func settingsThatDecideTheCourseMustBeTheSame(_ index: Int) throws {
    let (arguments, name, values) = Self.examples[index]
    try withTemporaryFolder { folder in
      func run(_ steps: Int, _ value: String, _ more: [String] = []) -> String {
        complaintOfExamples(
          arguments + ["--quiet", "--steps", "\(steps)", "--\(name)", value, "--out", folder] + more)
      }
      #expect(run(2, values.0) == "")
      let suffix = arguments[0] == "ssm" ? "-vsmc" : ""
      #expect(
        run(3, values.1, ["--resume"])
          == "\(folder)/checkpoint\(suffix).safetensors: is the checkpoint of another training: its setting \"\(name)\" "
          + "is \"\(values.0)\", this one's is \"\(values.1)\"; go on with the checkpoint's, or begin anew without resuming"
      )
      #expect(run(3, values.0, ["--resume"]) == "")
    }
  }

  /// A setting that is not to be seen in the parameters' shapes: the points themselves.
  @Test func dataDecideTheCourse() throws {
    try withTemporaryFolder { folder in
      func run(_ text: String, _ more: [String] = []) throws -> String {
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/points.csv"))
        return complaintOfExamples(
          ["vae", "--quiet", "--data", "\(folder)/points.csv", "--steps", "2", "--out", folder] + more)
      }
      let text = (0..<10).map { "\($0),1" }.joined(separator: "\n")
      #expect(try run(text) == "")
      let complaint = try run(text.replacing("1", with: "2"), ["--resume"])
      #expect(complaint.contains("its setting \"data\" is \"8 points with hash "), "\(complaint)")
      #expect(try run(text, ["--resume"]) == "")
    }
  }

  @Test func resultsSayWhatTheyCover() throws {
    try withTemporaryFolder { folder in
      let data = try PointData.twoMoons(train: 50, test: 20)
      func run(_ steps: Int, _ name: String?) throws -> VAEResults {
        var experiment = VAEExperiment()
        (experiment.steps, experiment.batch) = (steps, 10)
        var options = TrainingOptions()
        options.checkpoint = name.map { "\(folder)/\($0)" }
        options.resumes = name != nil
        return try experiment.run(on: data, options: options)
      }
      let whole = try run(5, nil)
      #expect(whole.resumedStep == nil && whole.summary.resumedStep == nil)
      #expect(try run(3, "a").resumedStep == nil, "there was no checkpoint yet")
      let rest = try run(5, "a")
      // Steps are counted from 0.
      #expect(rest.resumedStep == 2 && rest.summary.resumedStep == 2)
      #expect(rest.losses == Array(whole.losses[3...]))
      #expect(rest.summary.lossFirst == nil && rest.summary.lossLast == whole.summary.lossLast)
      #expect(rest.after.logWeight.scalars == whole.after.logWeight.scalars)
    }
  }

  @Test(arguments: [
    ("vea", "; did you mean 'vae'?"), ("gm", "; did you mean 'gmm'?"), ("Anneal", "; did you mean 'anneal'?"),
    ("mnist", "; did you mean 'bmnist'?"), ("autoencoder", "."),
  ])
  func theNearestExampleIsNamed(_ name: String, _ advice: String) {
    #expect(
      complaintOfExamples([name, "--steps", "3"])
        .hasPrefix("there is no example '\(name)'\(advice) 'examples list' lists them."))
  }
}
