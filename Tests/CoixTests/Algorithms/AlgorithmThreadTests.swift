import Coix
import Testing

/// Every algorithm on several chunks: the same bits on any number of threads, replayed or not, and one stage
/// more than there are resamplings.
@Suite struct AlgorithmThreadTests {
  static let rows = 200
  static let plate = Plate("particle", count: rows, chunkRows: 16)

  /// Everything that an evaluation gives, with and without a gradient.
  private func bits(_ example: AlgorithmExample, _ way: WayToRun) throws -> Bits {
    let options = try way.options()
    var bits = Bits()
    bits.add(try example.program(Self.plate, at: example.parameters).run(5, options))
    let (gradient, tracked) = try valueWithGradient(at: example.parameters, workers: options.workers) {
      parameters in
      let result = try example.program(Self.plate, at: parameters).run(5, options)
      return (try result.metrics.loss, result)
    }
    bits.add(tracked)
    bits.add("value", Tensor(gradient.value))
    bits.addTree("gradient", gradient.gradient)
    return bits
  }

  @Test(arguments: AlgorithmExample.all)
  func everyNumberIsTheSame(_ example: AlgorithmExample) throws {
    let reference = try bits(example, .plain)
    #expect(reference.count > 10 * Self.rows)
    for way in WayToRun.few {
      #expect(try bits(example, way).differences(from: reference) == [], "\(way)")
    }
  }

  @Test(arguments: AlgorithmExample.all)
  func eachResamplingEndsAStage(_ example: AlgorithmExample) throws {
    let result = try example.program(Self.plate, at: example.parameters).run(5, EvaluationOptions())
    #expect(result.stageCount == example.resamplings + 1)
    #expect(result.chunkCounts == Array(repeating: 13, count: example.resamplings + 1))
    #expect(result.metrics.logWeight.shape == [Self.rows])
    #expect(try result.metrics.loss.scalar.isFinite)
  }

  /// An evaluation that keeps the metrics only computes the same.
  @Test(arguments: AlgorithmExample.all)
  func metricsDoNotDependOnWhatIsKept(_ example: AlgorithmExample) throws {
    let program = try example.program(Self.plate, at: example.parameters)
    let (all, some) = (try program.run(5, .init()), try program.run(5, .init(keep: .metrics)))
    #expect(some.trace.sites.isEmpty)
    var (allBits, someBits) = (Bits(), Bits())
    allBits.add(Trace(), all.metrics)
    someBits.add(Trace(), some.metrics)
    #expect(someBits.differences(from: allBits).isEmpty)
  }
}
