import CoixParallel
import Foundation

/// Two interleaving half circles, a test bed for classifiers and densities.
///
/// The construction is scikit-learn's `make_moons`: the upper half of the unit circle, and the lower half of
/// the unit circle around (1, ½), with points evenly spaced along each, which are then shuffled and blurred
/// by noise.
public enum TwoMoons {
  /// Points of two moons, `[count, 2]`.
  ///
  /// - Parameters:
  ///   - count: how many points, at most 2³⁰; half of them, rounded down, on the upper moon. The tensor is
  ///     poisoned for any other count.
  ///   - noise: the standard deviation of the normal noise that is added to both coordinates.
  ///   - key: what the order and the noise are drawn from.
  public static func points(_ count: Int, noise: Float = 0.1, key: some RandomSeed) -> Tensor {
    guard count >= 0, count <= Int32.max / 2 else {
      return Tensor([Float](), shape: [count, 2])  // a shape that no numbers fit: poisoned
    }
    do {
      // Memory for the numbers, and for their order.
      try Memory.require(count, of: Float.self, each: 48, for: "\(count) points of the two moons")
    } catch {
      return .failed(error)
    }
    let upper = count / 2
    let lower = count - upper
    func angle(_ index: Int, of total: Int) -> Double {
      total > 1 ? .pi * Double(index) / Double(total - 1) : 0
    }
    var scalars: [Float] = []
    scalars.reserveCapacity(2 * count)
    for index in 0..<upper {
      let t = angle(index, of: upper)
      scalars += [Float(cos(t)), Float(sin(t))]
    }
    for index in 0..<lower {
      let t = angle(index, of: lower)
      scalars += [Float(1 - cos(t)), Float(1 - sin(t) - 0.5)]
    }
    let (orderKey, noiseKey) = key.prngKey.split()
    let clean = Tensor(scalars, shape: [count, 2]).rows(at: orderKey.permutation(of: count))
    return clean + noise * Draw(key: noiseKey, shape: [count, 2]).normal()
  }
}
