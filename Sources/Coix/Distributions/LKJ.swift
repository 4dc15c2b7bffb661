import CoixParallel

/// The distribution of Lewandowski, Kurowicka and Joe over correlation matrices ("Generating random
/// correlation matrices based on vines and extended onion method", 2009): density proportional to det(R)^(η -
/// 1) with respect to the numbers below the diagonal.
///
/// Draws are L Lᵀ for a draw L of ``LKJCholesky``, as in NumPyro. In a program, ``LKJCholesky`` itself is the
/// better choice: no Cholesky factor has to be computed again. Gradients of draws flow to the concentration.
/// A value is a correlation matrix if it is symmetric and positive definite, and its diagonal is 1 up to
/// 1e-6.
public struct LKJ: Distribution {
  private let base: Transformed<LKJCholesky, CorrelationMatrix>
  /// The number n ≥ 2 of rows and columns.
  public let dimension: Int
  /// The concentration η > 0: 1 gives all correlation matrices the same density, larger values favour weak
  /// correlations, and smaller values strong ones.
  public let concentration: Tensor

  /// A distribution of matrices `[dimension, dimension]`, one for each concentration.
  public init(_ dimension: Int, _ concentration: Tensor = 1) {
    self.dimension = dimension
    self.concentration = concentration
    base = LKJCholesky(dimension, concentration).transformed(by: CorrelationMatrix())
  }

  /// The same distribution, with a number as concentration.
  @_disfavoredOverload
  public init(_ dimension: Int, _ concentration: some TensorConvertible) {
    self.init(dimension, concentration.asTensor)
  }

  public var shape: Shape { base.shape }
  public var eventRank: Int { 2 }
  public var parameters: [DistributionParameter] { base.parameters }
  public func sample(_ draw: Draw) -> Tensor { base.sample(draw) }
  public func logProb(of value: Tensor, reducing: Int) -> Tensor {
    base.logProb(of: value, reducing: reducing)
  }
  public func mapParameters(_ transform: (Tensor) -> Tensor) -> LKJ {
    LKJ(dimension, transform(concentration))
  }
}
