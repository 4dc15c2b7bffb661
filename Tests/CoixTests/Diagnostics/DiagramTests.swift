import Coix
import Testing

/// Diagrams of programs.
@Suite struct DiagramTests {
  private static let particles = Plate("particle", count: 100)
  private static let instances = Plate("instance", count: 7)
  private static let kernel = Kernel { (trace, x: Tensor) in trace.sample("z", from: Normal(x, 1)) }
  private static let model = Model { (trace, x: Tensor) in
    let z = trace.sample("z", from: Normal(0, 1))
    trace.observe("x", x, from: Normal(z, 1))
    return z
  }

  private static var proposed: Inference<Tuple<Tensor>, Tuple<Tensor>> {
    propose(
      particles(instances(model.named("decoder"))), particles(instances(kernel.named("encoder"))),
      loss: .elbo, detach: true)
  }

  @Test func mermaid() throws {
    #expect(
      try diagram(of: resample(Self.proposed), as: .mermaid) == """
        flowchart TD
          n0["resample"]
          n1["propose, loss: elbo, detach"]
          n0 --> n1
          n2["plate #quot;particle#quot; of 100"]
          n1 -->|"target"| n2
          n3["plate #quot;instance#quot; of 7"]
          n2 --> n3
          n4["decoder (model)"]
          n3 --> n4
          n5["plate #quot;particle#quot; of 100"]
          n1 -->|"proposal"| n5
          n6["plate #quot;instance#quot; of 7"]
          n5 --> n6
          n7["encoder (kernel)"]
          n6 --> n7

        """)
  }

  @Test func dot() throws {
    let program = propose(
      extend(Self.model, Self.kernel),
      chaining: compose(detach(suffix(Self.kernel)), Self.kernel, suffix: false))
    #expect(
      try diagram(of: program, as: .dot) == """
        digraph program {
          node [shape=box]
          n0 [label="propose"]
          n1 [label="extend"]
          n0 -> n1 [label="target"]
          n2 [label="model"]
          n1 -> n2 [label="target"]
          n3 [label="kernel"]
          n1 -> n3 [label="kernel"]
          n4 [label="compose, suffix: false"]
          n0 -> n4 [label="chained proposal"]
          n5 [label="detach"]
          n4 -> n5 [label="outer"]
          n6 [label="suffix"]
          n5 -> n6
          n7 [label="kernel"]
          n6 -> n7
          n8 [label="kernel"]
          n4 -> n8 [label="inner"]
        }

        """)
  }

  @Test func loops() throws {
    let loop = foriLoop(3..<9, initial: Self.proposed) { round, program in
      propose(
        Self.particles(Self.instances(Self.model)),
        stickTheLanding(resample(program, count: .exactly(round), scheme: .residual)))
    }
    let text = try diagram(of: loop.named("sweeps"), as: .mermaid)
    #expect(text.contains("  n0[\"sweeps (foriLoop 3..#lt;9)\"]\n  n1[\"propose, loss: elbo, detach\"]\n"))
    #expect(text.contains("  n0 -->|\"initial\"| n1\n"))
    #expect(
      text.hasSuffix(
        """
          n8["propose"]
          n0 -->|"round 3"| n8
          n9["plate #quot;particle#quot; of 100"]
          n8 -->|"target"| n9
          n10["plate #quot;instance#quot; of 7"]
          n9 --> n10
          n11["model"]
          n10 --> n11
          n12["stickTheLanding"]
          n8 -->|"proposal"| n12
          n13["resample, count: 3, residual"]
          n12 --> n13
          n14["the program so far"]
          n13 --> n14

        """))
    // A loop without rounds is its initial program.
    let idle = foriLoop(3..<3, initial: Self.kernel) { _, program in program }
    #expect(
      try diagram(of: idle, as: .mermaid) == """
        flowchart TD
          n0["foriLoop 3..#lt;3"]
          n1["kernel"]
          n0 -->|"initial"| n1

        """)
    let failing = foriLoop(0..<2, initial: Self.kernel) { _, _ -> Inference<Tuple<Tensor>, Tuple<Tensor>> in
      throw CoixError.argument("no round")
    }
    #expect(message { try diagram(of: failing, as: .dot) } == "no round")
  }

  @Test func arguments() throws {
    let kernel = Self.kernel
    func title(_ program: some InferenceProgram) throws -> Substring? {
      try diagram(of: program, as: .dot).split(separator: "\n")[2].split(separator: "\"", maxSplits: 1).last?
        .dropLast(2)
    }
    #expect(try title(resample(kernel, count: .one)) == "resample, count: one")
    #expect(try title(resample(kernel, when: .ess(below: 0.5))) == "resample, when ESS below 0.5")
    #expect(try title(compose(kernel, kernel)) == "compose")
    #expect(try title(extend(Self.model, kernel).named("joint")) == "joint (extend)")
    #expect(try title(Self.model.named("a").named("b")) == "b (model)")
    #expect(try title(kernel.named("a \"b\" \\ c\nd")) == #"a \"b\" \\ c d (kernel)"#)
    #expect(
      try diagram(of: kernel.named("a#<b>&`\"\r\n"), as: .mermaid)
        == "flowchart TD\n  n0[\"a#35;#lt;b#gt;#amp;#96;#quot;  (kernel)\"]\n")
    let any = detach(AnyProgram(Kernel<[Tensor], [Tensor]>(tree: { _, input in input })))
    #expect(try title(any) == "detach")
    #expect(try title(any.named("encoder")) == "encoder (detach)")
  }

  /// Names change no number.
  @Test func namesAreOnlyNames() throws {
    let plain = propose(Self.particles(Self.model), Self.particles(Self.kernel))
    let named = propose(
      Self.particles(Self.model.named("p")).named("p"), Self.particles(Self.kernel.named("q"))
    ).named("step")
    var (with, without) = (Bits(), Bits())
    with.add(try evaluate(named, seed: 1)(0.3))
    without.add(try evaluate(plain, seed: 1)(0.3))
    #expect(with.differences(from: without) == [])
  }

  /// Neither drawing nor naming goes through a program by recursion.
  @Test func deepPrograms() throws {
    var program: Inference<Tuple<Tensor>, Tuple<Tensor>> = Self.proposed
    for step in 0..<1_000 {
      program = propose(
        Self.particles(Self.instances(Self.model)), resample(program.named("step \(step)")))
    }
    for format in DiagramFormat.allCases {
      let lines = try diagram(of: program, as: format).split(separator: "\n")
      // Each step adds a proposal, a resampling, two plates and a model, and an edge to each.
      #expect(lines.count == (format == .mermaid ? 14 : 16) + 10 * 1_000)
      #expect(lines.contains { $0.contains("step 0 (propose") })
    }
    var name = Self.kernel
    for step in 0..<10_000 { name = name.named("\(step)") }
    #expect(try diagram(of: name, as: .mermaid).contains("9999 (kernel)"))
    var nested = foriLoop(0..<1, initial: Self.kernel) { _, program in program }
    for _ in 0..<1_000 { nested = foriLoop(0..<1, initial: nested) { _, program in program } }
    #expect(try diagram(of: nested, as: .mermaid).split(separator: "\n").count > 3_000)
  }
}
