/// Everything that can go wrong in this package, as values: no input traps the process.
///
/// Tensor operators don't throw. A shape error poisons their result, is remembered with its operation, and is
/// thrown by the evaluation that it happened in.
public enum CoixError: Error, Equatable, Codable, Sendable {
  /// An operation was given operands whose shapes don't fit.
  case shape(operation: String, shapes: [Shape], reason: String)
  /// A tensor was used where it has no meaning: in another chunk, another gradient, or outside its plate.
  case misplacedTensor(operation: String, reason: String)
  /// A site's value and its distribution disagree on the event shape.
  case eventShape(site: String, value: Shape, distribution: Shape)
  /// A distribution has axes that are neither event axes nor declared local to the site.
  case undeclaredAxes(site: String, shape: Shape)
  /// Two sample statements of one evaluation have the same name.
  case duplicateSite(String)
  /// The same program made different sites in different chunks.
  case unstableSites(first: [String], other: [String])
  /// A site was given a value that it must not or cannot take, or misses one that it needs.
  case site(name: String, reason: String)
  /// An error in tensors or weights, with the site at which it came to light.
  indirect case atSite(name: String, error: CoixError)
  /// Programs that run together are in plates of different sizes.
  case unequalPlates([String])
  /// A plate without rows.
  case emptyPlate(name: String, count: Int)
  /// Data mapped over a plate has another number of rows than the plate.
  case rowCount(plate: String, expected: Int, found: Int)
  /// A NaN in a program's input, in a site's value or in its log-probability, found because checks were on.
  case notANumber(source: String, at: RowLocation)
  /// A parameter outside a distribution's domain, found because checks were on.
  case parameter(site: String, parameter: String, requirement: String, value: Float, at: RowLocation)
  /// All of an instance's weights are -inf, or one is NaN or +inf. The instance's number counts the rows of
  /// the plates inside the particles' plate. An evaluation wraps this error in ``atSite(name:error:)``, which
  /// names the site that caused it.
  case weights(instance: RowLocation, reason: String)
  /// A metric that the program's run has not computed was asked for.
  case metric(name: String, reason: String)
  /// A finite program has more runs than an enumeration may take.
  case tooManyAssignments(limit: Int)
  /// A program that the combinators' grammar does not allow.
  case illFormedProgram(String)
  /// There is not enough memory.
  case memory(what: String, bytes: Int)
  /// An evaluation needs more memory than its budget has, all bytes counted that it would have at that time.
  case memoryBudget(what: String, bytes: Int, budget: Int)
  /// A number of threads below one.
  case threads(Int)
  /// A gradient was asked for where there is none.
  case gradient(String)
  /// An argument outside its domain.
  case argument(String)
  /// A file that cannot be read, written or understood.
  case file(path: String, reason: String)
  /// The ranks of a job cannot work together: there is no MPI library, they do different things, or one doesn't come.
  case ranks(String)
  /// Another rank, of this number, has ended or has thrown an error of its own type.
  case otherRank(Int, String)
}

extension CoixError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .shape(let operation, let shapes, let reason):
      let list = shapes.map(\.description).joined(separator: ", ")
      return "\(operation): \(reason) (shapes \(list))"
    case .misplacedTensor(let operation, let reason):
      return "\(operation): \(reason)"
    case .eventShape(let site, let value, let distribution):
      return "site \"\(site)\": value has event shape \(value), distribution has \(distribution)"
        + Self.advice(value: value, distribution: distribution)
    case .undeclaredAxes(let site, let shape):
      return "site \"\(site)\": the distribution's axes \(shape) are neither event axes nor declared local; "
        + "use event(\(shape.rank)) if they belong to one event"
    case .duplicateSite(let name):
      return "site \"\(name)\" appears twice; each sample statement of an evaluation needs its own name"
    case .unstableSites(let first, let other):
      return "a program must make the same sites in every chunk; one made \(first), another \(other)"
    case .site(let name, let reason):
      return "site \"\(name)\": \(reason)"
    case .atSite(let name, let error):
      return "at site \"\(name)\": \(error.description)"
    case .unequalPlates(let plates):
      return "programs that run together need the same plates; found \(plates.joined(separator: " and "))"
    case .emptyPlate(let name, let count):
      return "plate \"\(name)\": needs at least one row, has \(count)"
    case .rowCount(let plate, let expected, let found):
      return "plate \"\(plate)\" has \(expected) rows, the data mapped over it \(found)"
    case .notANumber(let source, let location):
      return location.message("\(source) is NaN")
    case .parameter(let site, let parameter, let requirement, let value, let location):
      return location.message(
        "site \"\(site)\": \(parameter) must be \(requirement), is \(value.withoutSignOfNaN)")
    case .weights(let instance, let reason):
      let rows = instance.plates.isEmpty ? "instance \(instance.row)" : instance.rows
      return "\(instance.stage.map { "stage \($0)" } ?? "weights"): \(reason) (\(rows))"
    case .metric(let name, let reason):
      return "metrics.\(name): \(reason)"
    case .tooManyAssignments(let limit):
      return "enumerate: the latent sites have more than \(limit) joint assignments; allow for more by limit:"
    case .illFormedProgram(let reason):
      return reason
    case .memory(let what, let bytes):
      return
        "\(what) needs \(bytes == .max ? "more than 2^63" : String(bytes)) bytes, more than this machine can give"
    case .memoryBudget(let what, let bytes, let budget):
      return
        "\(what), with all else that must be in memory, needs \(bytes == .max ? "more than 2^63" : String(bytes)) bytes; "
        + "the memory budget is \(budget). What would help: fewer rows at a time (plate.rows), keep: .metrics, "
        + "results in files, more ranks, or a larger budget (memoryBudget, COIX_MEMORY_BUDGET)"
    case .threads(let count):
      return "the number of threads must be at least 1, is \(count)"
    case .gradient(let reason):
      return "gradient: \(reason)"
    case .argument(let reason):
      return reason
    case .file(let path, let reason):
      return "\(path): \(reason)"
    case .ranks(let reason):
      return "ranks: \(reason)"
    case .otherRank(let rank, let reason):
      return "rank \(rank) \(reason)"
    }
  }
}

extension CoixError {
  /// A hint how to make the shapes of a value and a distribution match; empty if there is none.
  private static func advice(value: Shape, distribution: Shape) -> String {
    if value.rank > distribution.rank {
      return "; expanded(to: \(value)).event(\(value.rank)) makes the distribution one of such an event, "
        + "trace.plate one of independent elements"
    }
    if value.elementCount == distribution.elementCount {
      return "; reshaped(to: \(distribution)) gives the value the distribution's axes"
    }
    if Shape.broadcast(value, distribution) == distribution {
      return "; broadcast(to: \(distribution)) repeats the value along the distribution's axes"
    }
    return ""
  }
}

extension BinaryFloatingPoint {
  /// The number; a NaN without its sign, which says nothing and would be printed.
  package var withoutSignOfNaN: Self { isNaN ? .nan : self }
}
