import CoixParallel

/// What a ``Kernel``'s closure gets to make its sites with: it samples.
public struct KernelTrace {
  let recorder: Recorder
  let treatment: SiteTreatment
  var local = LocalPlates()

  /// A random choice.
  ///
  /// - Parameters:
  ///   - name: the site's name, once in an evaluation.
  ///   - distribution: all of its axes belong to one event (see ``Distribution/event(_:)``), or to local
  ///     plates around the site.
  /// - Returns: a draw of the distribution's event shape, or the value that a combinator gives to the site;
  ///   with the axes of local plates in front.
  public func sample(_ name: String, from distribution: some Distribution) -> Tensor {
    recorder.sample(name, from: distribution, within: local.sizes, treatment: treatment)
  }

  /// A local plate: `count` conditionally independent elements within the program.
  ///
  /// Sites made with the handle that comes back have a leading axis of this size (nested plates: outer
  /// first), to which their distributions are expanded, and a log-probability for each element. Objectives
  /// that weigh elements by themselves need that (``Objective/apg``).
  public func plate(_ name: String, _ count: Int) -> KernelTrace {
    var inside = self
    inside.local.add(name, count, recorder, treatment)
    return inside
  }

  /// A key of the program's own, for random numbers that are no site.
  public func prngKey() -> PRNGKey { recorder.stream.next() }

  /// Not for kernels.
  @available(*, unavailable, message: "a Kernel only samples: make it a Model to observe")
  public func observe(_ name: String, _ value: Tensor, from distribution: some Distribution) {}

  /// Not for kernels.
  @available(*, unavailable, message: "a Kernel only samples: make it a Model to have factors")
  public func factor(_ name: String, _ logDensity: Tensor) {}
}
