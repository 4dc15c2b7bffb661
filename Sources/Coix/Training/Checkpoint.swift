import CoixParallel
import Foundation

/// A training as it is after some step: what it needs to go on, bit for bit, as if it had not been interrupted.
///
/// ``train(_:by:on:steps:seed:options:evaluate:onStep:loss:)`` writes checkpoints and resumes from them. To read the
/// parameters of one:
///
/// ```swift
/// let start = VAE(key: 0)
/// let vae = try Checkpoint(contentsOf: "vae.safetensors", for: start, by: Adam(for: start)).parameters
/// ```
///
/// The file is a safetensors file. Its arrays are the parameters and the optimiser's state, under the names that they have in
/// their trees after `parameters.` and `optimizer.`; the text `training` has the rest as JSON. It is written under another
/// name and gets its own when it is complete and on the disk, so that there is always a whole one.
///
/// An optimiser's settings, such as a learning rate, are not part of its state: a training that is resumed has those that it is
/// given. Those that must stay the same are named in ``TrainingOptions/settings``, which a checkpoint keeps.
public struct Checkpoint<Rule: Optimizer>: Sendable {
  /// The parameters after the step.
  public let parameters: Rule.Parameters
  /// The optimiser after the step.
  public let optimizer: Rule
  /// The number of the step.
  public let step: Int
  /// The key of the whole training.
  public let key: PRNGKey
  /// The seconds that the training has taken.
  public let seconds: Double
  /// The settings that the training was given: ``TrainingOptions/settings``.
  public let settings: [String: String]
  let stopping: EarlyStopping.Progress
  let losses: LossMean
  let batches: BatchPosition?

  /// What is not a tensor.
  private struct Notes: Codable {
    var format = 1
    let step: Int
    let key: [UInt32]
    let seconds: Double
    let settings: [String: String]
    let counts: StepCounts
    let stopping: EarlyStopping.Progress
    let losses: LossMean
    let batches: BatchPosition?
  }

  private static var notesName: String { "training" }

  init(
    parameters: Rule.Parameters, optimizer: Rule, step: Int, key: PRNGKey, seconds: Double,
    settings: [String: String], stopping: EarlyStopping.Progress, losses: LossMean, batches: BatchPosition?
  ) {
    (self.parameters, self.optimizer, self.step, self.key) = (parameters, optimizer, step, key)
    (self.seconds, self.settings) = (seconds, settings)
    (self.stopping, self.losses, self.batches) = (stopping, losses, batches)
  }

  /// Reads a checkpoint.
  ///
  /// - Parameters:
  ///   - path: the file's path.
  ///   - parameters: parameters of the same structure and shapes; their numbers don't matter.
  ///   - optimizer: the optimiser with its settings. The checkpoint has its state.
  /// - Throws: `CoixError.file(path:reason:)`, also if the file's arrays are not those of these trees.
  public init(contentsOf path: String, for parameters: Rule.Parameters, by optimizer: Rule) throws {
    try self.init(contentsOf: path, for: parameters, by: optimizer, resumedWith: nil)
  }

  /// - Parameter settings: those of the training that is to go on, which must be the checkpoint's; nil for any.
  init(
    contentsOf path: String, for parameters: Rule.Parameters, by optimizer: Rule,
    resumedWith settings: [String: String]?
  ) throws {
    let file = try SafetensorsFile(contentsOf: path)
    guard let text = file.metadata[Self.notesName] else {
      throw CoixError.file(path: path, reason: "is not a checkpoint: it has no text \(Self.notesName)")
    }
    let notes: Notes
    do {
      notes = try JSONDecoder.withAllNumbers.decode(Notes.self, from: Data(text.utf8))
    } catch {
      throw CoixError.file(path: path, reason: "is not a checkpoint: its text \(Self.notesName) is malformed")
    }
    guard notes.format == 1, notes.key.count == 2, (0...1 << 32).contains(notes.step),
      (0...1e12).contains(notes.seconds), notes.counts.arePossible, notes.stopping.isPossible,
      notes.losses.isPossible
    else {
      throw CoixError.file(path: path, reason: "is not a checkpoint of this version")
    }
    // Before the arrays, whose shapes may follow from settings.
    if let settings { try Self.require(settings, asIn: notes.settings, of: path) }
    let state = try TrainingState(parameters: parameters, optimizer: optimizer)
      .replaced(by: file.arrays, in: path)
    var restored = state.optimizer
    restored.counts = notes.counts
    self.init(
      parameters: state.parameters, optimizer: restored, step: notes.step,
      key: PRNGKey(word0: notes.key[0], word1: notes.key[1]), seconds: notes.seconds,
      settings: notes.settings, stopping: notes.stopping, losses: notes.losses, batches: notes.batches)
  }

  private static func require(
    _ settings: [String: String], asIn before: [String: String], of path: String
  ) throws {
    for name in Set(settings.keys).union(before.keys).sorted() where settings[name] != before[name] {
      func text(_ value: String?) -> String { value.map { "\"\($0)\"" } ?? "not set" }
      throw CoixError.file(
        path: path,
        reason: "is the checkpoint of another training: its setting \"\(name)\" is \(text(before[name])), "
          + "this one's is \(text(settings[name])); go on with the checkpoint's, or begin anew without resuming"
      )
    }
  }

  /// Writes the checkpoint, and replaces an existing file once all is on the disk.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; the error that poisoned a tensor.
  public func write(to path: String) throws {
    let notes = Notes(
      step: step, key: [key.word0, key.word1], seconds: seconds, settings: settings,
      counts: optimizer.counts, stopping: stopping, losses: losses, batches: batches)
    let text = String(decoding: try JSONEncoder.withAllNumbers.encode(notes), as: UTF8.self)
    try TrainingState(parameters: parameters, optimizer: optimizer)
      .write(safetensors: path, metadata: [Self.notesName: text])
  }
}

/// What changes from step to step.
struct TrainingState<Rule: Optimizer>: TensorTree {
  var parameters: Rule.Parameters
  var optimizer: Rule

  mutating func visitTensors(_ visitor: inout TensorVisitor) throws {
    try visitor.visit("parameters", &parameters)
    try visitor.visit("optimizer", &optimizer)
  }
}

/// The mean of the finite losses since the last report.
struct LossMean: Hashable, Sendable, Codable {
  private var sum = 0.0
  private var count = 0

  /// NaN if there are none.
  var value: Float { count > 0 ? Float(sum / Double(count)) : .nan }

  /// Whether a file may have said this.
  var isPossible: Bool { sum.isFinite && StepCounts.possible.contains(count) }

  mutating func note(_ loss: Float) {
    if loss.isFinite { (sum, count) = (sum + Double(loss), count + 1) }
  }
}

/// Where in the data a training is: the batches, and the next one of them.
struct BatchPosition: Hashable, Sendable, Codable {
  let rowCount: Int
  let size: Int
  let isShuffled: Bool
  let dropsLast: Bool
  let next: Int

  init(_ batches: Batches<some TensorTree>, next: Int) {
    (rowCount, size, self.next) = (batches.rowCount, batches.size, next)
    (isShuffled, dropsLast) = (batches.order == .shuffled, batches.last == .dropped)
  }
}

extension BatchPosition: CustomStringConvertible {
  var description: String {
    "batch \(next) of \(size) \(isShuffled ? "shuffled" : "stored") rows of \(rowCount), a short one is "
      + (dropsLast ? "dropped" : "kept")
  }
}

extension Optimizer {
  /// Writes the optimiser's state into a safetensors file: its tensors by their names, and its counts of steps as a text.
  ///
  /// - Throws: `CoixError.file(path:reason:)`; the error that poisoned a tensor.
  public func write(safetensors path: String) throws {
    let counts = String(decoding: try JSONEncoder.withAllNumbers.encode(counts), as: UTF8.self)
    try write(safetensors: path, named: .own, metadata: ["counts": counts])
  }

  /// The optimiser with its own settings and the state of a safetensors file.
  ///
  /// - Throws: `CoixError.file(path:reason:)`, also if the file's arrays are not those of this optimiser's state.
  public func reading(safetensors path: String) throws -> Self {
    let file = try SafetensorsFile(contentsOf: path)
    guard let text = file.metadata["counts"],
      let counts = try? JSONDecoder.withAllNumbers.decode(StepCounts.self, from: Data(text.utf8)),
      counts.arePossible
    else { throw CoixError.file(path: path, reason: "has no optimiser's counts of steps") }
    var result = try replaced(by: file.arrays, in: path)
    result.counts = counts
    return result
  }
}

extension JSONEncoder {
  /// An encoder whose texts are the same each time, and that writes numbers that are not finite as texts.
  fileprivate static var withAllNumbers: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    return encoder
  }
}

extension JSONDecoder {
  fileprivate static var withAllNumbers: JSONDecoder {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    return decoder
  }
}
