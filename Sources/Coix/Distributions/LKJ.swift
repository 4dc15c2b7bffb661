import CoixParallel

/// The distribution of Lewandowski, Kurowicka and Joe over correlation matrices ("Generating random
/// correlation matrices based on vines and extended onion method", 2009): density proportional to det(R)^(η -
/// 1) with respect to the numbers below the diagonal.
///
/// Draws are L Lᵀ for a draw L of ``LKJCholesky``, as in NumPyro. That is also the better one to have in a
/// program: no factor needs to be found again. Gradients of draws flow to the concentration. A value is a
/// correlation matrix if it is symmetric and positive definite, and its diagonal 1 up to 1e-6.
public struct LKJ: Distribution {
  private let base: Transformed<LKJCholesky, CorrelationMatrix>
  /// The number n ≥ 2 of rows and columns.
  public let dimension: Int
  /// The concentration η > 0: 1 makes all correlation matrices alike, more favours weak correlations, less
  /// strong ones.
  public let concentration: Tensor

  /// A distribution of matrices `[dimension, dimension]`, one for each concentration.
  public init(_ dimension: Int, _ concentration: Tensor = 1) {
    self.dimension = dimension
    self.concentration = concentration
    base = LKJCholesky(dimension, concentration).transformed(by: CorrelationMatrix())
  }

  /// The same with a number for the concentration.
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
