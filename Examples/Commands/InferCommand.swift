import ArgumentParser
import Coix
import ExampleModels
import Foundation

/// Evaluates a trained model for each row of a file.
public struct InferCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "infer",
    abstract: "Evaluate a trained model for each row of a file, which may be larger than memory.",
    discussion: """
      Proposes a code for each point by the encoder, and writes the logarithm of its weight, a row each. The points are read \
      and the weights written piece by piece. After an interrupt, such as Control-C, --resume goes on at the row where it \
      stopped; the numbers are those of a run that was not interrupted, on any number of threads and ranks.

      An example: examples vae --out out/vae && examples infer --data out/vae/test.npy --parameters out/vae/parameters.npz \
      --out out/vae/weights.npy
      """)

  /// The models that there are.
  enum Model: String, ExpressibleByArgument, CaseIterable { case vae }

  @Option(help: ArgumentHelp("A file with a point in each row.", valueName: "file.npy"), completion: .file())
  var data: String
  @Option(help: "The model: vae, the variational autoencoder of \"examples vae\".")
  var model = Model.vae
  @Option(
    help: ArgumentHelp(
      "The trained parameters, or a checkpoint of their training.", valueName: "file.safetensors|.npz"),
    completion: .file())
  var parameters: String
  @Option(help: ArgumentHelp("A file for the log-weights.", valueName: "file.npy"), completion: .file())
  var out: String
  // Numbers are taken unconditionally: a negative one is a value, not the name of another flag.
  @Option(parsing: .unconditional, help: "Seed of the codes' draws.")
  var seed = 0
  @Option(parsing: .unconditional, help: "Threads; may exceed the cores. (default: one for each core)")
  var threads: Int?
  @Option(
    parsing: .unconditional,
    help: """
      Rows from one note of progress to the next. (default: 4194304, or fewer where the memory budget has no room for them)
      """)
  var piece: Int?
  @Flag(
    help: "Go on with what an interrupted run has left, if there is anything; its settings must be the same.")
  var resume = false
  @Flag(name: .shortAndLong, help: "Print nothing but errors.")
  var quiet = false

  public init() {}

  public func validate() throws {
    do {
      _ = try workers()
    } catch let error as CoixError {
      throw ValidationError(error.description)
    }
    if let piece, piece < 1 { throw ValidationError("the rows of a piece must be at least 1, are \(piece)") }
  }

  private func workers() throws -> Workers {
    let ranks = try Ranks.join()
    return try threads.map { try Workers(threads: $0, ranks: ranks) } ?? Workers(ranks: ranks)
  }

  public func run() throws {
    let ranks = try Ranks.join()
    let console = Console(quiet: quiet || !ranks.isFirst)
    var inference = try RowInference(data: data, parameters: parameters, seed: seed)
    inference.pieceRows = piece
    let count = inference.data.rowCount
    var left = 0
    try ranks.onFirst { left = try PartialNPY.rowCount(for: out) ?? 0 }
    if !resume, left > 0 {
      console.say("Begins anew; --resume would go on with the \(left) rows that an earlier run has left")
    } else if resume, left == 0 {
      console.say("Begins anew; there is nothing beside \(out) that an earlier run has left")
    }
    let start = DispatchTime.now().uptimeNanoseconds
    var (lastRows, lastTime) = (0, start)
    let results: RowInference.Results
    do {
      results = try inference.run(to: out, workers: workers(), resumes: resume) { rows in
        let now = DispatchTime.now().uptimeNanoseconds
        let rate = lastRows > 0 ? Double(rows - lastRows) / (Double(now - lastTime) * 1e-9) : 0
        (lastRows, lastTime) = (rows, now)
        console.say(
          "\(rows) of \(count) rows" + (rate > 0 ? ", \(format(rate * 1e-6, "%.1f")) million a second" : ""))
      }
    } catch let interruption as Interrupted {
      if let rows = try? PartialNPY.rowCount(for: out), rows > 0 {
        console.say("Interrupted after \(rows) of \(count) rows; --resume goes on from there")
      }
      throw interruption
    } catch CoixError.memoryBudget(_, let bytes, let budget) {
      throw CoixError.argument(
        (piece.map { "\(min($0, count)) rows" } ?? "the fewest rows that are taken")
          + " at a time need \(bytes) bytes; the memory budget is \(budget). What would help: a smaller "
          + "--piece\(piece == nil ? "" : ", or none, which finds one that fits"); or a larger budget (COIX_MEMORY_BUDGET)"
      )
    }
    if results.firstRow > 0 { console.say("Went on at row \(results.firstRow)") }
    console.say(
      "log Z \(format(results.logZ, "%.4f")), effective sample size \(format(results.ess, "%.1f")) of \(count) rows"
    )
    console.say("Wrote \(out)")
  }
}
