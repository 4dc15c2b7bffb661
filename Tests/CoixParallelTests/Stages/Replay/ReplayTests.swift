import Testing

@testable import CoixParallel

/// Each operation in a stage: the same bits whether the body runs for each chunk, or what it computes is
/// replayed.
@Suite struct ReplayTests {
  private func expectSameBits(_ run: ReplayRun) {
    let name = "\(run.example), \(run.roles), gradient \(run.gradient)"
    let eager = run.outcome(isRecorded: false)
    let replayed = run.outcome(isRecorded: true)
    #expect(eager.error == nil, "\(name): \(eager.error ?? "")")
    #expect(replayed.differences(from: eager) == [], "\(name)")
    if !run.example.isGuarded {
      #expect(replayed.runs == run.expectedRuns(isTracked: eager.isTracked), "\(name)")
    }
    // In another order, too; once for each case is enough.
    guard run.gradient == .cold else { return }
    let shuffled = run.outcome(isRecorded: true, threads: 3, shuffleSeed: 1)
    #expect(shuffled.differences(from: eager) == [], "\(name), three threads")
  }

  @Test(arguments: ReplayCase.all, ReplayRun.Gradient.allCases)
  func onePlate(_ example: ReplayCase, _ gradient: ReplayRun.Gradient) {
    for roles in example.combinations(of: [.uniform, .rows, .gathered]) {
      expectSameBits(
        ReplayRun(
          example: example, roles: roles, rows: PlateRows(particles: 100), chunkRows: 16, gradient: gradient))
    }
  }

  /// Chunks are rectangles, those at two of the edges smaller ones.
  @Test(arguments: ReplayCase.all, ReplayRun.Gradient.allCases)
  func nestedPlates(_ example: ReplayCase, _ gradient: ReplayRun.Gradient) {
    for roles in example.combinations(of: [.rows, .particles, .instances, .uniform]) {
      expectSameBits(
        ReplayRun(
          example: example, roles: roles, rows: PlateRows(particles: 10, instances: 40), chunkRows: 64,
          gradient: gradient))
    }
  }
}
