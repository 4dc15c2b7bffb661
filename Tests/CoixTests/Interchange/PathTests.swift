import Coix
import Foundation
import Testing

/// What readers and writers say of paths, and what they leave behind.
@Suite struct PathTests {
  /// All readers and writers.
  private static let uses: [(name: String, use: @Sendable (String) throws -> Void)] = [
    ("NPYArray", { _ = try NPYArray(contentsOf: $0) }), ("NPYFile", { _ = try NPYFile($0) }),
    ("NPZArchive", { _ = try NPZArchive(contentsOf: $0) }),
    ("CSVTable", { _ = try CSVTable(contentsOf: $0) }), ("Tensor", { _ = try Tensor(contentsOf: $0) }),
    ("reading", { _ = try Tensor([1]).reading(npz: $0) }),
    ("NPYArray.write", { try NPYArray(Tensor([1])).write(to: $0) }),
    ("NPZArchive.write", { try NPZArchive().write(to: $0) }),
    ("write(npy:)", { try Tensor([1]).write(npy: $0) }), ("write(npz:)", { try Tensor([1]).write(npz: $0) }),
    ("checkWritable", { try WholeFile.checkWritable($0) }),
  ]

  private func expect(_ reason: (_ isReader: Bool) -> String, of path: String) {
    for (index, (name, use)) in Self.uses.enumerated() {
      #expect(complaint(about: path) { try use(path) } == reason(index < 6), "\(name)")
    }
  }

  @Test func aPathIsTakenAsItIsOrNotAtAll() throws {
    try withTemporaryFolder { folder in
      try Tensor([1]).write(npy: "\(folder)/one.npy")
      expect({ _ in "the path has a NUL character" }, of: "\(folder)/one.npy\0.csv")
      expect({ _ in "the path has a NUL character" }, of: "\0")
      expect({ _ in "the path is empty" }, of: "")
      #expect(try Tensor(contentsOf: "\(folder)/one.npy").scalars == [1])
    }
  }

  @Test func foldersAndWhatIsMissing() throws {
    try withTemporaryFolder { folder in
      expect({ _ in "is a folder, not a file" }, of: folder)
      func reason(_ isReader: Bool, _ what: String) -> String {
        "cannot be \(isReader ? "read" : "written"): \(what)"
      }
      expect({ reason($0, "No such file or directory") }, of: "\(folder)/none/a")
      try Tensor([1]).write(npy: "\(folder)/file")
      expect({ reason($0, "Not a directory") }, of: "\(folder)/file/a")
      expect({ reason($0, "File name too long") }, of: "\(folder)/\(String(repeating: "x", count: 300))")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["file"])
    }
  }

  @Test(.enabled(if: geteuid() != 0, "root may do everything"))
  func permissions() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npy"
      try Tensor([1]).write(npy: path)
      chmod(path, 0)
      expect({ "cannot be \($0 ? "read" : "written"): Permission denied" }, of: path)
    }
  }

  @Test func devicesAndPipesAreNotRead() throws {
    try withTemporaryFolder { folder in
      let pipe = "\(folder)/pipe"
      try #require(mkfifo(pipe, 0o600) == 0)
      for path in ["/dev/zero", pipe] {
        #expect(complaint(about: path) { _ = try NPYArray(contentsOf: path) } == "is not a regular file")
        #expect(complaint(about: path) { _ = try NPYFile(path) } == "is not a regular file")
        #expect(complaint(about: path) { _ = try CSVTable(contentsOf: path) } == "is not a regular file")
      }
    }
  }

  @Test func aFileIsReplacedAsAWhole() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npy"
      let link = "\(folder)/link.npy"
      try Tensor([1, 2]).write(npy: path)
      chmod(path, 0o640)
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
      // A reader that has the file open goes on reading what it was.
      let reader = try #require(FileHandle(forReadingAtPath: path))
      try Tensor([3]).write(npy: link)
      #expect(try reader.readToEnd()?.count == 128 + 8)
      #expect(try Tensor(contentsOf: path).scalars == [3])
      var status = stat()
      #expect(lstat(link, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
      #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["a.npy", "link.npy"])
    }
  }

  @Test func linksToNothing() throws {
    try withTemporaryFolder { folder in
      let link = "\(folder)/link"
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "\(folder)/none")
      expect(
        { $0 ? "cannot be read: No such file or directory" : "is a link to a file that is not there" },
        of: link)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["link"])
    }
  }

  @Test func whatFailsLeavesTheFileAsItWas() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npz"
      try Tensor([1]).write(npz: path)
      let poisoned = Tensor([1, 2]) + Tensor([1, 2, 3])
      #expect(throws: CoixError.self) { try poisoned.write(npz: path) }
      let longName = String(repeating: "x", count: 70_000)
      let long = NPZArchive(["a": try NPYArray(Tensor([1])), longName: try NPYArray(Tensor([2]))])
      #expect(
        complaint(about: path) { try long.write(to: path) }
          == "the name \(longName.prefix(40))… is too long: it has 70004 bytes")
      try WholeFile.checkWritable(path)
      try WholeFile.checkWritable("\(folder)/new")
      #expect(try Tensor([0]).reading(npz: path).scalars == [1])
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.npz"])
    }
  }

  /// What a killed process has left of a file is what the next one writes over.
  @Test(arguments: [false, true])
  func leftoversOfKilledProcesses(_ isThere: Bool) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npy"
      func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }
      if isThere { try Tensor([1]).write(npy: path) }
      let leftover = "\(folder)/.coix-a.npy"
      try Data(repeating: 7, count: 1_000).write(to: URL(fileURLWithPath: leftover))
      try WholeFile.checkWritable(path)
      #expect(try files() == (isThere ? ["a.npy"] : []))
      try Data(repeating: 7, count: 1_000).write(to: URL(fileURLWithPath: leftover))
      try Tensor([2]).write(npy: path)
      #expect(try files() == ["a.npy"] && Tensor(contentsOf: path).scalars == [2])
    }
  }

  /// Neither a file that somebody else writes just now nor one that is something else is written over.
  @Test func whatIsNoLeftover() throws {
    try withTemporaryFolder { folder in
      let (path, own) = ("\(folder)/a.npy", "\(folder)/.coix-a.npy")
      func expectUntouched(_ contents: String?) throws {
        try Tensor([2]).write(npy: path)
        #expect(try Tensor(contentsOf: path).scalars == [2])
        #expect((try? String(contentsOfFile: own, encoding: .utf8)) == contents)
        #expect(
          try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix(".coix-") }.count
            == 1)
        try FileManager.default.removeItem(atPath: own)
      }
      try Data("mine".utf8).write(to: URL(fileURLWithPath: own))
      let file = try #require(FileHandle(forReadingAtPath: own))
      #expect(flock(file.fileDescriptor, LOCK_EX) == 0)
      try expectUntouched("mine")
      try file.close()

      let other = "\(folder)/other"
      try Data("other".utf8).write(to: URL(fileURLWithPath: other))
      try FileManager.default.createSymbolicLink(atPath: own, withDestinationPath: other)
      try expectUntouched("other")
      #expect(link(other, own) == 0)
      try expectUntouched("other")
      #expect(mkfifo(own, 0o600) == 0)
      try Tensor([2]).write(npy: path)
      #expect(try Tensor(contentsOf: path).scalars == [2])
    }
  }

  @Test func writersOfOneFileAtATime() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.npy"
      let count = 50_000
      DispatchQueue.concurrentPerform(iterations: 40) { index in
        let tensor = Tensor(repeating: Float(index), shape: [count])
        #expect(throws: Never.self) { try tensor.write(npy: path) }
      }
      let scalars = try Tensor(contentsOf: path).scalars
      #expect(scalars.count == count && Set(scalars).count == 1)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.npy"])
    }
  }
}
