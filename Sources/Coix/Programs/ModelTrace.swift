import CoixParallel

/// What a ``Model``'s closure gets to make its sites with: it samples, observes and has factors.
public struct ModelTrace {
  let recorder: Recorder
  let treatment: SiteTreatment
  var local = LocalPlates()

  /// A random choice; see ``KernelTrace/sample(_:from:)``.
  public func sample(_ name: String, from distribution: some Distribution) -> Tensor {
    recorder.sample(name, from: distribution, within: local.sizes, treatment: treatment)
  }

  /// A local plate; see ``KernelTrace/plate(_:_:)``.
  public func plate(_ name: String, _ count: Int) -> ModelTrace {
    var inside = self
    inside.local.add(name, count, recorder, treatment)
    return inside
  }

  /// A key of the program's own; see ``KernelTrace/prngKey()``.
  public func prngKey() -> PRNGKey { recorder.stream.next() }

  /// An observation: `value`'s log-probability enters the weight.
  ///
  /// - Parameters:
  ///   - name: the site's name.
  ///   - value: of the distribution's shape.
  ///   - distribution: what the value counts as drawn from.
  public func observe(_ name: String, _ value: Tensor, from distribution: some Distribution) {
    recorder.observe(name, value, from: distribution, within: local.sizes, treatment: treatment)
  }

  /// The same observation, of a number or an array of numbers.
  @_disfavoredOverload
  public func observe(_ name: String, _ value: some TensorConvertible, from distribution: some Distribution) {
    observe(name, value.asTensor, from: distribution)
  }

  /// A factor: `logDensity`, one number for each particle (and element of the local plates), enters the
  /// weight.
  public func factor(_ name: String, _ logDensity: Tensor) {
    let unit = Unit(logDensity)
    recorder.observe(name, Tensor.zeros(unit.shape), from: unit, within: local.sizes, treatment: treatment)
  }
}
