import Coix

/// A mixture model of sets of points, with the proposals of an amortized population Gibbs sampler: networks that
/// read a set, and propose one block of its variables after the other.
///
/// Programs are written for one set. A particle holds one set's variables.
///
/// Wu, Zimmermann, Sennesh, Le and van de Meent, "Amortized population Gibbs samplers with neural sufficient
/// statistics", 2020.
public protocol GibbsMixture: TensorTree {
  /// What the first block's first proposal hands on.
  associatedtype FirstState: TensorTree
  /// The points of a set, `[points, 2]`, and a value of every variable.
  associatedtype State: TensorTree

  /// The number of clusters.
  static var clusterCount: Int { get }

  /// The joint density of variables and points; takes the points.
  var target: Model<Tuple<Tensor>, State> { get }
  /// The first block, proposed from the points alone.
  var firstParameters: Kernel<Tuple<Tensor>, FirstState> { get }
  /// The second block, given the first one's first values.
  var firstClusters: Kernel<FirstState, State> { get }
  /// For each block a kernel, which proposes it from the points and the other block.
  var kernels: [Kernel<State, State>] { get }
}

extension GibbsMixture {
  /// The sampler: each of a set's particles proposes all variables from the points; in each sweep both blocks
  /// are resampled and proposed anew. The loss of each block trains its proposals.
  ///
  /// - Parameters:
  ///   - particles: the particles of a set.
  ///   - sets: the sets of a batch.
  ///   - sweeps: how often to go through the blocks after the first proposals.
  /// - Throws: `CoixError.argument(_:)` for a negative number of sweeps.
  public func inference(particles: Plate, sets: Plate, sweeps: Int) throws -> Inference<Tuple<Tensor>, State>
  {
    // Without a suffix, both blocks are variables of the first sweep, and its loss trains the proposals of both.
    let firstSweep = compose(firstClusters, firstParameters, suffix: false)
    return try apgs(
      particles(sets(target)), initial: particles(sets(firstSweep)),
      kernels: kernels.map { particles(sets($0)) }, sweeps: sweeps)
  }
}
