import Coix
import Testing

/// How plates are cut, as an evaluation tells: by rows and width, never by threads.
@Suite struct ChunkCutTests {
  /// An evaluation's chunks, which must be the same for every number of threads, a second time and with a
  /// gradient.
  private func chunkCounts(
    _ plate: Plate, width: Int, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> [Int] {
    func inference(_ mean: Tensor) -> Inference<Tuple<>, Tuple<Tensor>> {
      let kernel = Kernel { (trace) in
        trace.sample("z", from: Normal(mean, 1).expanded(to: [width]).event(1))
      }
      let model = Model { (trace) in
        let z = trace.sample("z", from: Normal(0, 1).expanded(to: [width]).event(1))
        trace.observe("x", 1, from: Normal(z.mean(), 1))
        return z.sum()
      }
      return propose(plate(model), plate(kernel), loss: .elbo)
    }
    let counts = try evaluate(inference(0.5), seed: 1)().chunkCounts
    for threads in [1, 3, 16] {
      let options = EvaluationOptions(workers: try Workers(threads: threads))
      let evaluation = try evaluate(inference(0.5), seed: 1, options: options)()
      #expect(evaluation.chunkCounts == counts, "\(threads) threads", sourceLocation: sourceLocation)
    }
    _ = try valueWithGradient(at: Tensor(0.5)) { mean in
      let evaluation = try evaluate(inference(mean), seed: 1)()
      #expect(evaluation.chunkCounts == counts, "with a gradient", sourceLocation: sourceLocation)
      return try evaluation.metrics.loss
    }
    return counts
  }

  @Test func lightRowsStayTogether() throws {
    #expect(try chunkCounts(Plate("particle", count: 1), width: 2) == [1])
    #expect(try chunkCounts(Plate("particle", count: 1_000), width: 2) == [1])
  }

  @Test func manyLightRowsAreCut() throws {
    let counts = try chunkCounts(Plate("particle", count: 50_000), width: 2)
    #expect(counts.count == 1 && counts[0] >= 10, "\(counts)")
  }

  @Test func heavyRowsAreCutFiner() throws {
    let counts = try chunkCounts(Plate("particle", count: 50), width: 10_000)
    #expect(counts == [4], "fifty rows, in chunks of the least size")
    let thousand = try chunkCounts(Plate("particle", count: 1_000), width: 1_000)
    #expect(thousand[0] >= 4, "\(thousand)")
  }

  @Test func thePlateOverrides() throws {
    #expect(try chunkCounts(Plate("particle", count: 50, chunkRows: 50), width: 10_000) == [1])
    #expect(try chunkCounts(Plate("particle", count: 1_000, chunkRows: 1), width: 1) == [1_000])
    for (chunkRows, chunks) in [(7, 143), (15, 67), (16, 63), (17, 59), (999, 2), (1_000, 1), (1_001, 1)] {
      #expect(try chunkCounts(Plate("particle", count: 1_000, chunkRows: chunkRows), width: 1) == [chunks])
    }
  }

  /// The rows of nested plates are cut together, into rectangles of equal size; the outermost plate's choice
  /// holds.
  @Test func nestedPlatesAreCutTogether() throws {
    let kernel = Kernel { (trace) in trace.sample("z", from: Normal(0, 1)) }
    let particles = Plate("particle", count: 30, chunkRows: 100)
    let instances = Plate("instance", count: 20, chunkRows: 7)
    #expect(try evaluate(particles(instances(kernel)), seed: 1)().chunkCounts == [6])
    let many = Plate("instance", count: 10_000)
    #expect(try evaluate(Plate("particle", count: 3)(many(kernel)), seed: 1)().chunkCounts == [15])
    #expect(try evaluate(Plate("particle", count: 100)(many(kernel)), seed: 1)().chunkCounts == [628])
  }

  /// Stages with work for each row, and nothing else, are walked through.
  @Test func stagesAreCounted() throws {
    let plate = Plate("particle", count: 100, chunkRows: 16)
    let p = ChainParameters()
    let first = p.firstStep(plate, loss: nil)
    func stages(_ program: some InferenceProgram<Tuple<Tensor>, some TensorTree>) throws -> [Int] {
      let evaluation = try evaluate(program, seed: 1)(chainData)
      #expect(evaluation.stageCount == evaluation.chunkCounts.count)
      return evaluation.chunkCounts
    }
    #expect(try stages(plate(p.proposal)) == [7])
    #expect(try stages(first) == [7], "a proposal is no barrier")
    #expect(try stages(resample(first)) == [7], "nothing is left to do for the rows")
    #expect(try stages(resample(resample(first))).count <= 2)
    #expect(try stages(compose(plate(p.kernel), resample(first))) == [7, 7])
    #expect(try stages(p.inference(plate, loss: .elbo)) == [7, 7])
    #expect(try stages(resample(p.inference(plate, loss: .iwae))) == [7, 7])
    // Fewer particles after the resampling.
    let few = Plate("particle", count: 20, chunkRows: 16)
    #expect(try stages(compose(few(p.kernel), resample(first, count: 20))) == [7, 2])
    let again = Kernel { (trace, y: Tensor) in trace.sample("again", from: Normal(y, 1)) }
    let third = compose(plate(again), resample(p.inference(plate, loss: nil)))
    #expect(try stages(third) == [7, 7, 7])
    #expect(try evaluate(resample(p.proposal), seed: 1)(chainData).stageCount == 1, "without a plate")
  }
}
