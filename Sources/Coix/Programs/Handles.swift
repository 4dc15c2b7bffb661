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
  ///   - distribution: all of its axes belong to one event (see ``Distribution/event(_:)``), or to local plates around the site.
  /// - Returns: a draw of the distribution's event shape, or the value that a combinator gives to the site; with the axes of local
  ///   plates in front.
  public func sample(_ name: String, from distribution: some Distribution) -> Tensor {
    recorder.sample(name, from: distribution, within: local.sizes, treatment: treatment)
  }

  /// A local plate: `count` conditionally independent elements within the program.
  ///
  /// Sites made with the handle that comes back have a leading axis of this size (nested plates: outer first), to which their
  /// distributions are expanded, and a log-probability for each element. Objectives that weigh elements by themselves need that
  /// (``Objective/apg``).
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

  /// A factor: `logDensity`, one number for each particle (and element of the local plates), enters the weight.
  public func factor(_ name: String, _ logDensity: Tensor) {
    let unit = Unit(logDensity)
    recorder.observe(name, Tensor.zeros(unit.shape), from: unit, within: local.sizes, treatment: treatment)
  }
}

/// The local plates around a statement, outermost first.
struct LocalPlates {
  private(set) var sizes = Shape.scalar
  private var names: [String] = []

  mutating func add(_ name: String, _ count: Int, _ recorder: Recorder, _ treatment: SiteTreatment) {
    if count < 1 {
      recorder.remember(.emptyPlate(name: name, count: count))
    } else if names.contains(name) || treatment.plates.contains(where: { $0.name == name }) {
      recorder.remember(
        .illFormedProgram(
          "plate \"\(name)\" stands inside a plate of the same name; nested plates need different ones"))
    }
    let inner = sizes.appending([max(count, 1)])
    guard inner.isValid else {
      return recorder.remember(
        .shape(operation: "plate \"\(name)\"", shapes: [sizes], reason: "too many elements"))
    }
    names.append(name)
    sizes = inner
  }
}
