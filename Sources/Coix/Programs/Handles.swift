import CoixParallel

/// What a ``Kernel``'s closure gets to make its sites with: it samples.
public struct KernelTrace {
  let recorder: Recorder
  let handlers: Handlers

  /// A random choice.
  ///
  /// - Parameters:
  ///   - name: the site's name, once in an evaluation.
  ///   - distribution: all of its axes belong to one event; see ``Distribution/event(_:)``.
  /// - Returns: a draw of the distribution's event shape, or the value that a combinator gives to the site.
  public func sample(_ name: String, from distribution: some Distribution) -> Tensor {
    recorder.sample(name, from: distribution, handlers: handlers)
  }

  /// Not for kernels.
  @available(*, unavailable, message: "a Kernel only samples: make it a Model to observe")
  public func observe(_ name: String, _ value: Tensor, from distribution: some Distribution) {}

  /// Not for kernels.
  @available(*, unavailable, message: "a Kernel only samples: make it a Model to have factors")
  public func factor(_ name: String, _ logDensity: Tensor) {}
}

/// What a ``Model``'s closure gets to make its sites with: it samples, observes and has factors.
public struct ModelTrace {
  let recorder: Recorder
  let handlers: Handlers

  /// A random choice; see ``KernelTrace/sample(_:from:)``.
  public func sample(_ name: String, from distribution: some Distribution) -> Tensor {
    recorder.sample(name, from: distribution, handlers: handlers)
  }

  /// An observation: `value`'s log-probability enters the weight.
  ///
  /// - Parameter value: of the distribution's shape.
  public func observe(_ name: String, _ value: Tensor, from distribution: some Distribution) {
    recorder.observe(name, value, from: distribution, handlers: handlers)
  }

  /// A factor: `logDensity`, one number for each particle, enters the weight.
  public func factor(_ name: String, _ logDensity: Tensor) {
    let unit = Unit(logDensity)
    recorder.observe(name, Tensor.zeros(unit.shape), from: unit, handlers: handlers)
  }
}
