import Coix
import ExampleModels
import Foundation
import Testing
import examples

/// `examples infer`: the numbers of one evaluation, however it was interrupted.
@Suite struct InferCommandTests {
  struct Stop: Error {}
  static let rows = 5_000
  static let vae = VAE(hidden: 8, key: 3)

  private func complaint(_ arguments: [String]) -> String {
    complaintOfExamples(["infer", "--quiet"] + arguments)
  }

  /// A folder with data and parameters.
  private func withFiles(_ body: (_ folder: String, _ data: String, _ parameters: String) throws -> Void)
    throws
  {
    try withTemporaryFolder { folder in
      let (data, parameters) = ("\(folder)/rows.npy", "\(folder)/p.safetensors")
      try PointData.moons(Self.rows, key: 1).write(npy: data)
      try Self.vae.write(safetensors: parameters)
      try body(folder, data, parameters)
    }
  }

  private func expected(_ data: String, _ rows: Int = Self.rows) throws -> Evaluation<Tuple<Tensor>> {
    let plate = VAE.plate(rows)
    return try evaluate(Self.vae.inference(plate), seed: 4)(plate.mapped(Tensor(contentsOf: data)))
  }

  @Test func writesTheWeightsOfOneEvaluation() throws {
    try withFiles { folder, data, parameters in
      let expected = try expected(data)
      try Self.vae.write(npz: "\(folder)/p.npz")
      for (file, piece, threads) in [
        (parameters, "700", "1"), ("\(folder)/p.npz", "2048", "2"), (parameters, "1000000", "16"),
      ] {
        let out = "\(folder)/w.npy"
        #expect(
          complaint([
            "--data", data, "--parameters", file, "--out", out, "--seed", "4", "--piece", piece, "--threads",
            threads,
          ]) == "")
        #expect(try Tensor(contentsOf: out).scalars == expected.metrics.logWeight.scalars)
        #expect(try names(in: folder) == ["p.npz", "p.safetensors", "rows.npy", "w.npy"])
        try FileManager.default.removeItem(atPath: out)
      }
      let results = try RowInference(data: data, parameters: parameters, seed: 4).run(to: "\(folder)/w.npy")
      #expect(try results.logZ == expected.metrics.logZ.scalar)
      #expect(try results.ess == expected.metrics.ess.scalar)
    }
  }

  /// The parameters of a checkpoint that a training has written.
  @Test func readsCheckpoints() throws {
    try withFiles { folder, data, _ in
      try PointData.moons(300, key: 1).write(npy: data)
      #expect(complaintOfExamples(["vae", "--quiet", "--steps", "3", "--out", folder]) == "")
      var weights: [[Float]] = []
      for file in ["checkpoint.safetensors", "parameters.npz"] {
        let out = "\(folder)/w.npy"
        #expect(complaint(["--data", data, "--parameters", "\(folder)/\(file)", "--out", out]) == "")
        weights.append(try Tensor(contentsOf: out).scalars)
        try FileManager.default.removeItem(atPath: out)
      }
      #expect(weights[0].count == 300)
      #expect(weights[0] == weights[1])
    }
  }

  @Test func goesOnWhereItStopped() throws {
    try withFiles { folder, data, parameters in
      let out = "\(folder)/w.npy"
      var inference = try RowInference(data: data, parameters: parameters, seed: 4)
      inference.pieceRows = 700
      #expect(throws: Stop.self) {
        try inference.run(to: out) { if $0 == 2_100 { throw Stop() } }
      }
      #expect(try names(in: folder).filter { $0.hasPrefix("w") } == ["w.npy.partial", "w.npy.partial.json"])
      // Another seed would give other numbers.
      #expect(
        complaint(["--data", data, "--parameters", parameters, "--out", out, "--resume"])
          == "\(out).partial: was begun with seed 4, not 0; go on with what it was begun with, or begin anew without "
          + "resuming")
      inference.pieceRows = 900
      var pieces: [Int] = []
      let results = try inference.run(to: out, resumes: true) { pieces.append($0) }
      #expect(results.firstRow == 2_100)
      #expect(pieces == [3_000, 3_900, 4_800, 5_000])
      let expected = try expected(data)
      #expect(try Tensor(contentsOf: out).scalars == expected.metrics.logWeight.scalars)
      #expect(try results.logZ == expected.metrics.logZ.scalar)
      #expect(try names(in: folder).filter { $0.hasPrefix("w") } == ["w.npy"])
    }
  }

  /// A run that was killed when all rows were there and the file had its length, but not yet its name.
  @Test func goesOnWithAllRows() throws {
    try withFiles { folder, data, parameters in
      let out = "\(folder)/w.npy"
      let inference = try RowInference(data: data, parameters: parameters, seed: 4)
      #expect(throws: Stop.self) { try inference.run(to: out) { _ in throw Stop() } }
      #expect(try PartialNPY.rowCount(for: out) == Self.rows)
      #expect(truncate("\(out).partial", 128 + 4 * Self.rows) == 0)
      #expect(try inference.run(to: out, resumes: true).firstRow == Self.rows)
      #expect(try Tensor(contentsOf: out).scalars == expected(data).metrics.logWeight.scalars)
      #expect(try names(in: folder) == ["p.safetensors", "rows.npy", "w.npy"])
    }
  }

  /// The data may have another path, but must be the file that it was, and as it was.
  @Test func goesOnWithTheSameData() throws {
    try withFiles { folder, data, parameters in
      let (out, link, other) = ("\(folder)/w.npy", "\(folder)/link.npy", "\(folder)/other.npy")
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: data)
      for (path, end) in [(data, 700), ("\(folder)/./rows.npy", 1_400), (link, 2_100)] {
        var inference = try RowInference(data: path, parameters: parameters, seed: 4)
        inference.pieceRows = 700
        var rows: [Int] = []
        #expect(throws: Stop.self) {
          try inference.run(to: out, resumes: true) {
            rows.append($0)
            throw Stop()
          }
        }
        #expect(rows == [end])
      }
      func text(_ data: String) throws -> String {
        let inference = try RowInference(data: data, parameters: parameters, seed: 4)
        return try #require(message { try inference.run(to: out, resumes: true) })
      }
      try FileManager.default.copyItem(atPath: data, toPath: other)
      let ofOther = try text(other)
      #expect(ofOther.hasPrefix("\(out).partial: was begun with data /"), "\(ofOther)")
      #expect(ofOther.contains("/other.npy; go on with what it was begun with, or begin"), "\(ofOther)")
      let date = Date(timeIntervalSince1970: 1)
      try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: data)
      let ofNew = try text(data)
      #expect(ofNew.hasPrefix("\(out).partial: was begun with data written at 20"), "\(ofNew)")
      #expect(ofNew.contains("Z, not 1970-01-01T00:00:01.000000000Z; go on with"), "\(ofNew)")
    }
  }

  /// Several ranks write what one does, and any number of them goes on with it.
  @Test func ranks() throws {
    try withFiles { folder, data, parameters in
      let out = "\(folder)/w.npy"
      let expected = try expected(data)
      @Sendable func run(_ ranks: Ranks, resumes: Bool = false, until end: Int = .max) throws
        -> RowInference.Results
      {
        var inference = try RowInference(data: data, parameters: parameters, seed: 4)
        inference.pieceRows = 2_100
        return try inference.run(to: out, workers: Workers(threads: 1, ranks: ranks), resumes: resumes) {
          if $0 >= end { throw CoixError.argument("stop") }
        }
      }
      for (before, after) in [(1, 2), (3, 1), (2, 3)] {
        #expect(
          try Ranks.inProcess(before) { ranks in message { try run(ranks, until: 2_100) } }
            == Array(repeating: "stop", count: before))
        for results in try Ranks.inProcess(after, { try run($0, resumes: true) }) {
          #expect(results.firstRow == 2_100)
          #expect(try results.logZ == expected.metrics.logZ.scalar)
          #expect(try results.ess == expected.metrics.ess.scalar)
        }
        #expect(try Tensor(contentsOf: out).scalars == expected.metrics.logWeight.scalars)
        #expect(try names(in: folder).filter { $0.hasPrefix("w") } == ["w.npy"])
        try FileManager.default.removeItem(atPath: out)
      }
      let texts = try Ranks.inProcess(2) { ranks in
        message {
          _ = try RowInference(data: data, parameters: parameters, seed: 4).run(
            to: "\(folder)/none/w.npy", workers: Workers(threads: 1, ranks: ranks))
        }
      }
      #expect(
        texts
          == Array(repeating: "\(folder)/none/w.npy: cannot be written: No such file or directory", count: 2))
    }
  }

  /// In a process of its own, since signals are everybody's.
  @Test func signalsEndARunBehindItsPiece() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryFolder { folder in
        let (data, parameters) = ("\(folder)/rows.npy", "\(folder)/p.npz")
        try PointData.moons(2_000, key: 1).write(npy: data)
        try VAE(hidden: 8, key: 3).write(npz: parameters)
        var inference = try RowInference(data: data, parameters: parameters, seed: 4)
        inference.pieceRows = 700
        do {
          _ = try inference.run(to: "\(folder)/w.npy") { if $0 == 1_400 { raise(SIGINT) } }
          Issue.record("the run was not interrupted")
        } catch let interruption as Interrupted {
          #expect(interruption.signal == SIGINT)
        }
        #expect(try inference.run(to: "\(folder)/w.npy", resumes: true).firstRow == 1_400)
      }
    }
  }

  /// Without --resume, or with nothing to go on with, it begins.
  @Test func beginsAnew() throws {
    try withFiles { folder, data, parameters in
      let out = "\(folder)/w.npy"
      var inference = try RowInference(data: data, parameters: parameters, seed: 4)
      inference.pieceRows = 700
      #expect(try PartialNPY.rowCount(for: out) == nil)
      #expect(throws: Stop.self) { try inference.run(to: out) { _ in throw Stop() } }
      #expect(try PartialNPY.rowCount(for: out) == 700)
      #expect(try inference.run(to: out).firstRow == 0)
      #expect(try PartialNPY.rowCount(for: out) == nil)
      #expect(try inference.run(to: out, resumes: true).firstRow == 0)
    }
  }

  /// What was left is not whole.
  @Test func refusesHalfOfWhatWasLeft() throws {
    try withFiles { folder, data, parameters in
      let out = "\(folder)/w.npy"
      var inference = try RowInference(data: data, parameters: parameters, seed: 4)
      inference.pieceRows = 700
      func interrupt() { #expect(throws: Stop.self) { try inference.run(to: out) { _ in throw Stop() } } }
      interrupt()
      #expect(truncate("\(out).partial", 200) == 0)
      #expect(
        message { try inference.run(to: out, resumes: true) }
          == "\(out).partial: has 200 bytes instead of 20160; begin anew without resuming")
      interrupt()
      try FileManager.default.removeItem(atPath: "\(out).partial")
      #expect(
        message { try inference.run(to: out, resumes: true) }
          == "\(out).partial: is not there, but \(out).partial.json says that it has 700 rows; put it back, or begin "
          + "anew without resuming")
      // A process that was killed before the first piece has left no rows.
      let note = #"{"rows": 0, "settings": {"seed": "5"}}"#
      try Data(note.utf8).write(to: URL(fileURLWithPath: "\(out).partial.json"))
      try Data().write(to: URL(fileURLWithPath: "\(out).partial"))
      #expect(try inference.run(to: out, resumes: true).firstRow == 0)
      #expect(try names(in: folder) == ["p.safetensors", "rows.npy", "w.npy"])
    }
  }

  /// A process that was killed when the file had its name, before it removed the note.
  @Test func aNoteThatIsLeft() throws {
    try withFiles { folder, data, parameters in
      let (out, notePath) = ("\(folder)/w.npy", "\(folder)/w.npy.partial.json")
      var inference = try RowInference(data: data, parameters: parameters, seed: 4)
      inference.pieceRows = 700
      #expect(throws: Stop.self) { try inference.run(to: out) { _ in throw Stop() } }
      let note = try String(contentsOfFile: notePath, encoding: .utf8)
      _ = try inference.run(to: out, resumes: true)
      let last = note.replacing(#""rows" : 700"#, with: #""rows" : \#(Self.rows)"#)
      #expect(last != note)
      try Data(last.utf8).write(to: URL(fileURLWithPath: notePath))
      #expect(
        message { try inference.run(to: out, resumes: true) }
          == "\(out): is complete; an earlier run has written all of its rows")
      #expect(try names(in: folder) == ["p.safetensors", "rows.npy", "w.npy"])
    }
  }

  /// Files of the names that a run takes, which no run has left.
  @Test(arguments: [false, true])
  func keepsFilesOfItsNames(_ resumes: Bool) throws {
    try withFiles { folder, data, parameters in
      let out = "\(folder)/w.npy"
      let arguments =
        ["--data", data, "--parameters", parameters, "--out", out] + (resumes ? ["--resume"] : [])
      let text = Data("mine".utf8)
      func expect(_ name: String, _ reason: String) throws {
        let path = "\(out).\(name)"
        try text.write(to: URL(fileURLWithPath: path))
        #expect(complaint(arguments) == "\(path): \(reason)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == text)
        try FileManager.default.removeItem(atPath: path)
      }
      try expect(
        "partial",
        "is there, but no \(out).partial.json that says what it is; move it away, or have the results under "
          + "another name")
      try expect(
        "partial.json", "is not the note of rows that an interrupted run leaves; move it away to begin anew")
      try FileManager.default.createSymbolicLink(
        atPath: "\(out).partial.json", withDestinationPath: "none")
      #expect(complaint(arguments) == "\(out).partial.json: is a link to a file that is not there")
      #expect(
        try names(in: folder) == ["p.safetensors", "rows.npy", "w.npy.partial.json"])
      try FileManager.default.removeItem(atPath: "\(out).partial.json")
      #expect(complaint(arguments) == "")
    }
  }

  /// Where standard streams are closed, no file takes their place, and what is printed goes nowhere.
  @Test(arguments: ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"]) func closedStreams(_ closed: String) throws {
    try withFiles { folder, data, parameters in
      let (out, expected) = ("\(folder)/w.npy", try expected(data))
      let process = processOfExamples(
        ["infer", "--data", data, "--parameters", parameters, "--out", out, "--seed", "4"], output: nil)
      let program = try #require(process.executableURL?.path)
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", "exec \"$0\" \"$@\" \(closed)", program] + (process.arguments ?? [])
      try process.run()
      #expect(try process.end().status == (closed.contains(">") ? 65 : 0))
      #expect(try Tensor(contentsOf: out).scalars == expected.metrics.logWeight.scalars)
    }
  }

  /// Data that are written while they are read.
  @Test func dataThatChange() throws {
    try withFiles { folder, data, parameters in
      var inference = try RowInference(data: data, parameters: parameters, seed: 4)
      inference.pieceRows = 2_000
      #expect(
        message {
          try inference.run(to: "\(folder)/w.npy") { _ in
            let file = try #require(FileHandle(forUpdatingAtPath: data))
            try file.seek(toOffset: 200)
            try file.write(contentsOf: Data([0, 0, 0, 0]))
            try file.close()
          }
        } == "\(data): was written while its rows were read")
    }
  }

  // MARK: Rows without a weight

  @Test(arguments: [
    (Float.nan, "nan in column 1", "input 0 is NaN"), (.infinity, "inf in column 1", "location must be real"),
    (-.infinity, "-inf in column 1", "location must be real"), (3e38, "no weight", "location must be real"),
  ])
  func namesTheRowOfTheFile(_ number: Float, _ fault: String, _ reason: String) throws {
    try withFiles { folder, data, parameters in
      var vae = Self.vae
      vae.encoder.layers[0].kernel *= 10
      try vae.write(safetensors: parameters)
      var points = try PointData.moons(Self.rows, key: 1).scalars
      for row in [3_201, 3_400] { points[2 * row + 1] = number }
      try Tensor(points, shape: [Self.rows, 2]).write(npy: data)
      for piece in ["700", "5000"] {
        let text = complaint([
          "--data", data, "--parameters", parameters, "--out", "\(folder)/w.npy", "--piece", piece,
        ])
        #expect(text.hasPrefix("\(data): row 3201 has \(fault), counted from 0: stage 1: "), "\(text)")
        #expect(text.contains(reason) && text.hasSuffix(" (particle 3201)"), "\(text)")
      }
    }
  }

  // MARK: Memory

  /// A run takes fewer rows at a time where the budget has no room for more.
  @Test func takesWhatFits() throws {
    try withFiles { folder, data, parameters in
      let count = 300_000
      try PointData.moons(count, key: 1).write(npy: data)
      let expected = try expected(data, count)
      for (ranks, budget, first) in [(1, 700_000, 150_000), (1, 310_000, 75_000), (2, 310_000, 150_000)] {
        let out = "\(folder)/w\(ranks)-\(budget).npy"
        let pieces = try Ranks.inProcess(ranks) { ranks in
          var inference = try RowInference(data: data, parameters: parameters, seed: 4)
          inference.memoryBudget = budget
          var pieces: [Int] = []
          _ = try inference.run(to: out, workers: Workers(threads: 2, ranks: ranks)) { pieces.append($0) }
          return pieces
        }
        #expect(pieces.map(\.first) == Array(repeating: first, count: ranks), "\(ranks), \(budget)")
        #expect(try Tensor(contentsOf: out).scalars == expected.metrics.logWeight.scalars)
      }
      // So few rows could have no weights at all.
      #expect(
        try runExamples(
          ["infer", "--data", data, "--parameters", parameters, "--out", "\(folder)/w.npy"], budget: "200K"
        ).errors.hasPrefix(
          "Error: the fewest rows that are taken at a time need 300000 bytes; the memory budget is 204800."))
    }
  }

  @Test func refusesAPieceThatDoesNotFit() throws {
    try withFiles { folder, data, parameters in
      let arguments = [
        "infer", "--data", data, "--parameters", parameters, "--out", "\(folder)/w.npy", "--piece", "1000000",
      ]
      let (errors, status) = try runExamples(arguments, budget: "1K")
      #expect(
        errors
          == "Error: 5000 rows at a time need 20000 bytes; the memory budget is 1024. What would help: a smaller --piece, "
          + "or none, which finds one that fits; or a larger budget (COIX_MEMORY_BUDGET)\n")
      #expect(status == 64)
      #expect(try runExamples(arguments, budget: "").status == 0)
    }
  }

  // MARK: Interrupts

  @Test func saysHowToGoOn() throws {
    try withFiles { folder, data, parameters in
      let (out, output) = ("\(folder)/w.npy", Pipe())
      let arguments = ["infer", "--data", data, "--parameters", parameters, "--out", out]
      let process = processOfExamples(arguments + ["--piece", "1"], output: output)
      try process.run()
      while process.isRunning, try PartialNPY.rowCount(for: out) ?? 0 == 0 { usleep(500) }
      kill(process.processIdentifier, SIGINT)
      let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
      #expect(try process.end() == ("", 128 + SIGINT))
      let rows = try #require(try PartialNPY.rowCount(for: out))
      #expect(
        text.hasSuffix("\nInterrupted after \(rows) of 5000 rows; --resume goes on from there\n"), "\(text)")
      #expect(try runExamples(arguments + ["--resume"]).status == 0)
    }
  }

  /// The log-weights take the place of no input, under whatever name, nor of anything but a regular file.
  @Test func whatIsNotReplaced() throws {
    try withFiles { folder, data, parameters in
      let (link, pipe, copy) = ("\(folder)/link.npy", "\(folder)/pipe", "\(folder)/w.npy.partial")
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: data)
      try #require(mkfifo(pipe, 0o600) == 0)
      try FileManager.default.copyItem(atPath: data, toPath: copy)
      let before = try names(in: folder)
      for (input, out, what) in [
        (data, data, "data"), (data, link, "data"), (link, data, "data"), (data, parameters, "parameters"),
        (copy, "\(folder)/w.npy", "data"),
      ] {
        let text = complaint(["--data", input, "--parameters", parameters, "--out", out])
        #expect(text.hasSuffix(": is the file of the \(what), which would be lost"), "\(text)")
      }
      #expect(
        complaint(["--data", data, "--parameters", parameters, "--out", pipe])
          == "\(pipe): is not a regular file")
      #expect(try names(in: folder) == before)
      let points = try PointData.moons(Self.rows, key: 1).scalars
      for file in [data, copy] { #expect(try NPYArray(contentsOf: file).tensor().scalars == points) }
    }
  }

  /// The file that a link leads to is replaced; the link stays.
  @Test func writesThroughLinks() throws {
    try withFiles { folder, data, parameters in
      let (target, link) = ("\(folder)/target.npy", "\(folder)/w.npy")
      try Tensor([1]).write(npy: target)
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
      #expect(
        complaint(["--data", data, "--parameters", parameters, "--out", link, "--seed", "4"]) == "")
      var status = stat()
      #expect(lstat(link, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
      #expect(try Tensor(contentsOf: target).scalars == expected(data).metrics.logWeight.scalars)
      #expect(try names(in: folder) == ["p.safetensors", "rows.npy", "target.npy", "w.npy"])
    }
  }

  /// Where there is no row yet, an error leaves nothing: for data that have become shorter, and on a disk without room.
  @Test func nothingIsLeftWithoutRows() throws {
    try withFiles { folder, data, parameters in
      let (out, disk) = ("\(folder)/w.npy", "\(folder)/disk")
      let inference = try RowInference(data: data, parameters: parameters, seed: 4)
      #expect(truncate(data, 1_000) == 0)
      let text = try #require(message { try inference.run(to: out) })
      #expect(text.contains("the file has become shorter since it was opened"), "\(text)")
      #expect(try names(in: folder) == ["p.safetensors", "rows.npy"])

      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
      guard mount("coix", disk, "tmpfs", 0, "size=8192") == 0 else {
        print("InferCommandTests.nothingIsLeftWithoutRows: only root can mount a small disk")
        return
      }
      defer { umount2(disk, Int32(MNT_DETACH)) }
      #expect(
        message { try inference.run(to: "\(disk)/w.npy") }
          == "\(disk)/w.npy.partial: cannot be written, with 20160 bytes: No space left on device")
      #expect(try names(in: disk) == [])
    }
  }

  @Test func refusesWhatDoesNotFit() throws {
    try withFiles { folder, data, parameters in
      let out = ["--out", "\(folder)/w.npy"]
      #expect(complaint(["--data", data, "--parameters", data] + out).hasPrefix("\(data): "))
      #expect(
        complaint(["--data", "\(folder)/none.npy", "--parameters", parameters] + out)
          == "\(folder)/none.npy: cannot be read: No such file or directory")
      try Draw(key: 1, shape: [4, 3]).normal().write(npy: "\(folder)/wide.npy")
      #expect(
        complaint(["--data", "\(folder)/wide.npy", "--parameters", parameters] + out)
          == "\(folder)/wide.npy: rows of 2 numbers are needed; it has the shape [4, 3]")
      #expect(
        complaint(["--data", data, "--parameters", parameters, "--out", "\(folder)/none/w.npy"])
          == "\(folder)/none/w.npy: cannot be written: No such file or directory")
      #expect(
        complaint(["--data", data, "--parameters", parameters, "--piece", "0"] + out)
          .contains("the rows of a piece must be at least 1, are 0"))
      try NPZArchive(["a": NPYArray(Tensor(1))]).write(to: "\(folder)/other.npz")
      #expect(
        complaint(["--data", data, "--parameters", "\(folder)/other.npz"] + out)
          == "\(folder)/other.npz: does not have an autoencoder's parameters: there is no array encoder.layers.0.kernel"
      )
      try NPYArray(shape: [0, 2], scalars: .float32([])).write(to: "\(folder)/empty.npy")
      #expect(
        complaint(["--data", "\(folder)/empty.npy", "--parameters", parameters] + out)
          == "\(folder)/empty.npy: has no rows")
      try Data("{}\n and more".utf8).write(to: URL(fileURLWithPath: "\(folder)/p.json"))
      #expect(
        complaint(["--data", data, "--parameters", "\(folder)/p.json"] + out)
          == "\(folder)/p.json: is not a safetensors file: it does not begin with the length of a header")
    }
  }

  @Test func refusesOtherNetworks() throws {
    try withFiles { folder, data, _ in
      let path = "\(folder)/p.npz"
      func expect(_ reason: String, _ vae: VAE) throws {
        try vae.write(npz: path)
        #expect(
          complaint(["--data", data, "--parameters", path, "--out", "\(folder)/w.npy"])
            == "\(path): \(reason)")
      }
      let wrong = "does not have an autoencoder's parameters:"
      try expect(
        "\(wrong) the encoder's layers have the sizes [2, 8, 3], the decoder's [2, 8, 2]",
        VAE(encoder: MLP(sizes: [2, 8, 3], key: 0), decoder: MLP(sizes: [2, 8, 2], key: 0)))
      try expect(
        "\(wrong) the encoder's layers have the sizes [2, 8, 2], the decoder's [2, 8, 3]",
        VAE(encoder: MLP(sizes: [2, 8, 2], key: 0), decoder: MLP(sizes: [2, 8, 3], key: 0)))
      var vae = Self.vae
      vae.encoder.layers[1].kernel = .zeros([7, 2])
      try expect("\(wrong) encoder.layers.1.kernel has the shape [7, 2]", vae)
      vae = Self.vae
      vae.decoder.layers[0].kernel = .zeros([2])
      try expect("\(wrong) decoder.layers.0.kernel has the shape [2]", vae)
      vae = Self.vae
      vae.encoder.layers[1].bias = Tensor([0, .nan])
      try expect("has parameters that are not finite", vae)
    }
  }
}
