import Foundation
import Testing

/// Ill-formed typed programs do not compile, and the compiler's message says why.
@Suite struct CompileFailureTests {
  /// The body of a function over the programs of ``programs``.
  struct Snippet: Sendable, CustomTestStringConvertible {
    let name: String
    /// The lines with errors end in `// refused`.
    let body: String
    /// What the errors say, or the notes below them.
    let reasons: [String]

    var testDescription: String { name }

    /// The numbers of the lines that the compiler is to refuse, in the snippet's file.
    var refused: Set<Int> {
      Set(
        source.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap {
          $1.hasSuffix("// refused") ? $0 + 1 : nil
        })
    }

    /// The snippet's file.
    var source: String { "import Coix\nfunc \(name)() throws {\n\(body)\n}\n" }
  }

  /// Well-formed programs that the snippets use.
  static let programs = """
    import Coix
    let particles = Plate("particle", count: 10)
    let kernel = Kernel { trace in trace.sample("z", from: Normal(0, 1)) }
    let step = Kernel { (trace, z: Tensor) in trace.sample("z", from: Normal(z, 1)) }
    let pair = Kernel { (trace, z: Tensor) in (trace.sample("z", from: Normal(z, 1)), z) }
    let model = Model { trace in
      let z = trace.sample("z", from: Normal(0, 1))
      trace.observe("x", 1, from: Normal(z, 1))
      return z
    }
    let continuation = Model { (trace, z: Tensor) in
      trace.observe("y", 1, from: Normal(z, 1))
      return z
    }
    let ofTwo = Model { (trace, z: Tensor, x: Tensor) in
      trace.observe("y", x, from: Normal(z, 1))
      return z
    }
    let inference = propose(particles(model), particles(kernel))

    """

  static let illFormed = [
    Snippet(
      name: "branchOnATensor",
      body: """
        let z: Tensor = 1
        if z > 0 { return }  // refused
        if z == 2 { return }  // refused
        _ = max(z, 2)  // refused
        _ = min(z, z)  // refused
        """,
      reasons: [
        "compare with .>", "compare with .==", "choose with select(condition, a, b)", "write maximum(a, b)",
        "write minimum(a, b)",
      ]),
    Snippet(
      name: "kernelThatObserves",
      body: """
        _ = Kernel { (trace, x: Tensor) in
          let z = trace.sample("z", from: Normal(0, 1))
          trace.observe("x", x, from: Normal(z, 1))  // refused
          return z
        }
        """,
      reasons: ["a Kernel only samples: make it a Model to observe"]),
    Snippet(
      name: "kernelWithAFactor",
      body: """
        _ = Kernel { trace in
          let z = trace.sample("z", from: Normal(0, 1))
          trace.factor("weight", -z.squared)  // refused
          return z
        }
        """,
      reasons: ["a Kernel only samples: make it a Model to have factors"]),
    Snippet(
      name: "kernelThatObservesInALocalPlate",
      body: """
        _ = Kernel { (trace, x: Tensor) in
          let points = trace.plate("points", 3)
          points.observe("x", x, from: Normal(0, 1))  // refused
          return x
        }
        """,
      reasons: ["a Kernel only samples: make it a Model to observe"]),
    Snippet(
      name: "modelInPlaceOfAKernel",
      body: "let _: Kernel<Tuple<>, Tuple<Tensor>> = model  // refused",
      reasons: ["cannot convert value of type 'Model<Tuple<>, Tuple<Tensor>>'"]),
    Snippet(
      name: "kernelsComposedWithAModel",
      body: "let _: Kernel<Tuple<>, Tuple<Tensor>> = compose(continuation, kernel)  // refused",
      reasons: ["'KernelProgram'"]),
    Snippet(
      name: "extendByAModel",
      body: "_ = extend(model, continuation)  // refused",
      reasons: ["'Model<Tuple<Tensor>, Tuple<Tensor>>' conform to 'KernelProgram'"]),
    Snippet(
      name: "extendOfAnInferenceProgram",
      body: "_ = extend(inference, particles(step))  // refused",
      reasons: ["'Inference<Tuple<>, Tuple<Tensor>>' conform to 'TargetProgram'"]),
    Snippet(
      name: "extendByAKernelOfOtherInput",
      body: """
        let reverse = Kernel { (trace, z: Tensor, x: Tensor) in trace.sample("y", from: Normal(z, x)) }
        _ = extend(model, reverse)  // refused
        """,
      reasons: ["the types 'Tuple<Tensor>' and 'Tuple<Tensor, Tensor>' be equivalent"]),
    Snippet(
      name: "proposeForAnInferenceProgram",
      body: "_ = propose(inference, particles(kernel))  // refused",
      reasons: ["'Inference<Tuple<>, Tuple<Tensor>>' conform to 'TargetProgram'"]),
    Snippet(
      name: "proposeForAResampledProgram",
      body: "_ = propose(resample(particles(model)), particles(kernel))  // refused",
      reasons: ["'Inference<Tuple<>, Tuple<Tensor>>' conform to 'TargetProgram'"]),
    Snippet(
      name: "proposeOfUnmatchedInputs",
      body: "_ = propose(continuation, kernel)  // refused",
      reasons: ["the types 'Tuple<Tensor>' and 'Tuple<>' be equivalent"]),
    Snippet(
      name: "proposeChainingAnUnmatchedOutput",
      body: "_ = propose(ofTwo, chaining: kernel)  // refused",
      reasons: ["the types 'Tuple<Tensor, Tensor>' and 'Tuple<Tensor>' be equivalent"]),
    Snippet(
      name: "memoizeForAnInferenceProgram",
      body: "_ = memoize(inference, particles(kernel), size: 2)  // refused",
      reasons: ["'Inference<Tuple<>, Tuple<Tensor>>' conform to 'TargetProgram'"]),
    Snippet(
      name: "composeOfUnmatchedKernels",
      body: "_ = compose(step, pair)  // refused",
      reasons: ["the types 'Tuple<Tensor>' and 'Tuple<Tensor, Tensor>' be equivalent"]),
    Snippet(
      name: "composeOfUnmatchedTargets",
      body: "_ = compose(ofTwo, model, suffix: false)  // refused",
      reasons: ["the types 'Tuple<Tensor, Tensor>' and 'Tuple<Tensor>' be equivalent"]),
    Snippet(
      name: "composeOntoAnUnmatchedInferenceProgram",
      body: "_ = compose(particles(step), compose(particles(pair), inference))  // refused",
      reasons: ["the types 'Tuple<Tensor>' and 'Tuple<Tensor, Tensor>' be equivalent"]),
    Snippet(
      name: "loopOfAnotherOutput",
      body: """
        _ = foriLoop(0..<2, initial: inference) { _, q in
          propose(particles(compose(pair, model, suffix: false)), q)  // refused
        }
        """,
      reasons: ["the types 'Tuple<Tensor>' and 'Tuple<Tensor, Tensor>' be equivalent"]),
    Snippet(
      name: "plateAroundAnInferenceProgram",
      body: """
        _ = particles(inference)  // refused
        _ = particles(resample(particles(kernel)))  // refused
        """,
      reasons: [
        "a plate goes around kernels, models and targets: put those of the inference program into it"
      ]),
    Snippet(
      name: "nestedListAsATensor",
      body: """
        let _: Tensor = [[1, 2], [3, 4]]  // refused
        // What to write instead, and what a list may hold.
        let number: Float = 3
        let _ = (Tensor([[1, 2], [number, 4]]), [[1, 2], [3, 4]].asTensor, Normal([[1, 2], [3, 4]], 1))
        let _: Tensor = [number, 2 * .pi, -.infinity, -number]
        """,
      reasons: ["cannot convert value of type '[Int]' to expected element type 'Float'"]),
    Snippet(
      name: "closureArgumentWithoutAType",
      body: "_ = Kernel { (trace, x) in trace.sample(\"z\", from: Normal(x[0], 1)) }  // refused",
      reasons: ["cannot infer type of closure parameter 'x' without a type annotation"]),
    Snippet(
      name: "evaluationWithOtherArguments",
      body: """
        _ = try evaluate(inference, seed: 0)(Tensor(1))  // refused
        _ = try evaluate(particles(step), seed: 0)()  // refused
        """,
      reasons: ["the arguments are not of the types that the program takes, its Input"]),
  ]

  /// The same combinators, rightly used.
  static let wellFormed = Snippet(
    name: "wellFormed",
    body: """
      let loop = foriLoop(0..<2, initial: inference) { _, q in
        propose(extend(particles(model), particles(step)), compose(particles(step), resample(q)))
      }
      let inferred = Kernel { (trace, x) in trace.sample("z", from: Normal(x, 1)) }
      let chained = propose(particles(compose(inferred, step)), chaining: particles(kernel))
      let pairs: Target = compose(ofTwo, compose(pair, kernel), suffix: false)
      let best = memoize(particles(pairs), particles(kernel), size: 2)
      _ = try (evaluate(loop, seed: 0)(), evaluate(chained, seed: 0)(), evaluate(best, seed: 0)())
      _ = try evaluate(particles(inferred), seed: 0)(0.5)
      // Numbers stay numbers beside tensors.
      let numbers: [Float] = [1, 2]
      let (sum, product) = (numbers.reduce(0, +) / 2, numbers.reduce(1, *))
      let _: Float = sum + product
      let _: Tensor = 2 * Tensor(1) + sum - product * Tensor(3) / sum
      """,
    reasons: [])

  /// Closures of several statements as arguments within a longer expression, whose type says nothing of
  /// theirs.
  static let inlineClosures = Snippet(
    name: "inlineClosures",
    body: """
      func attempt(_ body: () throws -> Any) {}
      attempt {
        try evaluate(particles(Kernel { trace in
          var x: Tensor = 0
          for t in 0..<3 { x = trace.sample("x\\(t)", from: Normal(x, 1)) }
          return x
        }), seed: 0)().output.values.squared.mean()
      }
      attempt {
        try evaluate(particles(Model { trace in
          let x = trace.sample("x", from: Normal(0, 1))
          trace.observe("y", 1, from: Normal(x, 1))
          return x
        }), seed: 0)().output.values.squared.mean()
      }
      attempt {
        try evaluate(particles(Kernel { (trace, z: Tensor) in
          let x = trace.sample("x", from: Normal(z, 1))
          return x + z
        }), seed: 0)(Tensor(1)).output.values.squared.mean()
      }
      attempt {
        try evaluate(particles(Model { (trace, z: Tensor) in
          let x = trace.sample("x", from: Normal(z, 1))
          return (x, x + z)
        }), seed: 0)(Tensor(1)).output.values.1.squared.mean()
      }
      attempt {
        try evaluate(propose(particles(Model { trace in
          let z = trace.sample("z", from: Normal(0, 1))
          trace.observe("x", 1, from: Normal(z, 1))
          return z
        }), particles(Kernel { trace in
          let z = trace.sample("z", from: Normal(0, 1))
          return z
        })), seed: 0)().output.values.squared.mean()
      }
      attempt {
        try evaluate(compose(particles(Kernel { (trace, z: Tensor) in
          let x = trace.sample("x", from: Normal(z, 1))
          return (x, z)
        }), inference), seed: 0)().output.values.0.squared.mean()
      }
      attempt {
        try evaluate(extend(particles(model), particles(Kernel { (trace, z: Tensor) in
          let x = trace.sample("x", from: Normal(z, 1))
          return x
        })), seed: 0)().output.values.squared.mean()
      }
      let second = try evaluate(particles(Kernel { trace in
        let x = trace.sample("x", from: Normal(0, 1))
        return (x, 2 * x)
      }), seed: 0)().output.values.1
      // Other results keep their types.
      let _: Kernel<Tuple<>, Tuple<Tensor, Tensor, Tensor>> = Kernel { trace in (second, second, second) }
      let _: Kernel<Tuple<>, Tuple<[Tensor]>> = Kernel { trace in [second] }
      let _: Kernel<Tuple<>, Tuple<[Tensor], Tensor>> = Kernel { trace in ([second], second) }
      let none = Kernel { (trace, z: Tensor) in
        let x = trace.sample("x", from: Normal(z, 1))
        _ = trace.sample("y", from: Normal(x, 1))
      }
      let _: Kernel<Tuple<Tensor>, Tuple<>> = none
      let observed = Model { trace in
        let z = trace.sample("z", from: Normal(0, 1))
        trace.observe("x", 1, from: Normal(z, 1))
      }
      let _: Model<Tuple<>, Tuple<>> = observed
      attempt {
        try evaluate(particles(Model { trace in
          let z = trace.sample("z", from: Normal(0, 1))
          trace.observe("x", 1, from: Normal(z, 1))
        }), seed: 0)()
      }
      """,
    reasons: [])

  private static let refusal = Result { try TypeCheck(illFormed, programs: programs) }

  @Test(arguments: [wellFormed, inlineClosures])
  func wellFormedProgramsCompile(_ snippet: Snippet) throws {
    let check = try TypeCheck([snippet], programs: Self.programs)
    #expect(check.succeeded && check.output.isEmpty, "\(check.output)")
  }

  @Test(arguments: illFormed)
  func isRefused(_ snippet: Snippet) throws {
    let check = try Self.refusal.get()
    #expect(!check.succeeded)
    let errors = check.errors(in: snippet.name)
    #expect(Set(errors.map(\.line)) == snippet.refused, "\(check.output)")
    for reason in snippet.reasons {
      #expect(errors.contains { $0.text.contains(reason) }, "\(errors.map(\.text).joined())")
    }
  }

  /// Nothing is refused but the snippets.
  @Test func nothingElseIsRefused() throws {
    let files = Set(try Self.refusal.get().errors.map(\.file))
    #expect(files == Set(Self.illFormed.map(\.name)))
  }
}

/// What `swiftc -typecheck` says of snippets, against the modules that the tests were built with.
private struct TypeCheck {
  struct Diagnostic {
    let file: String
    let line: Int
    /// The error and the notes below it.
    var text: String
  }

  let output: String
  let succeeded: Bool
  /// The errors, each with the notes below it.
  let errors: [Diagnostic]

  func errors(in name: String) -> [Diagnostic] { errors.filter { $0.file == name } }

  /// Type-checks the snippets as files of one module.
  init(_ snippets: [CompileFailureTests.Snippet], programs: String) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "coix-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    let sources = [("programs", programs)] + snippets.map { ($0.name, $0.source) }
    let files = try sources.map { name, source in
      let file = folder.appending(path: "\(name).swift")
      try Data(source.utf8).write(to: file)
      return file.path
    }

    // The test's resources lie beside what else the package's targets were built to.
    let package = (0..<4).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
    let products = Bundle.module.bundleURL.deletingLastPathComponent()
    let process = Process()
    process.executableURL = try Self.compiler()
    process.arguments =
      [
        "-typecheck", "-whole-module-optimization", "-parse-as-library", "-swift-version", "6",
        "-module-name", "Snippets", "-diagnostic-style=llvm",
        "-I", products.appending(path: "Modules").path,
        "-Xcc", "-fmodule-map-file=\(products.appending(path: "CoixKernels.build/module.modulemap").path)",
        "-Xcc", "-fmodule-map-file=\(products.appending(path: "CoixMPI.build/module.modulemap").path)",
        "-Xcc", "-fmodule-map-file=\(package.appending(path: "Sources/CZlib/module.modulemap").path)",
        "-module-cache-path", products.appending(path: "ModuleCache").path,
      ] + files
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    self.output = output
    succeeded = process.terminationStatus == 0

    var errors: [Diagnostic] = []
    for line in output.split(separator: "\n") {
      if let match = line.wholeMatch(of: /(?:.*\/)?(\w+)\.swift:(\d+):\d+: error: .*/),
        let number = Int(match.2)
      {
        errors.append(Diagnostic(file: String(match.1), line: number, text: ""))
      }
      if !errors.isEmpty { errors[errors.count - 1].text += line + "\n" }
    }
    self.errors = errors
  }

  /// The compiler: the first `swiftc` in PATH.
  private static func compiler() throws -> URL {
    let folders = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
    let candidates = folders.map { URL(filePath: String($0)).appending(path: "swiftc") }
    return try #require(
      candidates.first { FileManager.default.isExecutableFile(atPath: $0.path) }, "swiftc is not in PATH")
  }
}
