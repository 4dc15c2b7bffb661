import Coix
import Foundation

/// Images of digits, and sequences of frames in which some of them bounce.
public struct BouncingDigits: Sendable, CustomStringConvertible {
  /// The digits, `[n, size, size]`, grey levels from 0 to 1.
  public let images: Tensor

  /// Digits as they are.
  ///
  /// - Throws: `CoixError.argument(_:)` unless they are `[n, size, size]`, one or more, with numbers of at least 0.
  public init(images: Tensor) throws {
    let shape = try images.validated().shape
    guard shape.rank == 3, shape[1] == shape[2] else {
      throw CoixError.argument("digits are needed, as tall as they are wide: [n, size, size], not \(shape)")
    }
    guard shape.elementCount > 0 else { throw CoixError.argument("has no digits, but the shape \(shape)") }
    let largest = images.withScalars { $0.contains { !($0 >= 0 && $0.isFinite) } ? -1 : $0.max() ?? -1 }
    guard largest > 0 else {
      throw CoixError.argument("grey levels must be finite, at least 0, and not all 0")
    }
    self.images = images / largest
  }

  /// The digits of a `.npy` file, `[n, size, size]`, in grey levels from 0 to anything, as `scripts/digits` writes
  /// them.
  ///
  /// - Throws: `CoixError.file(path:reason:)`.
  public init(contentsOf path: String) throws {
    let images = try NPYArray(contentsOf: path).tensor()
    do {
      try self.init(images: images)
    } catch CoixError.argument(let reason) {
      throw CoixError.file(path: path, reason: reason)
    }
  }

  /// The number of the digits, and a hash of them.
  public var description: String {
    var digest = Digest()
    digest.add(images)
    return "\(images.shape[0]) digits with hash \(digest)"
  }

  /// The height and the width of a digit.
  public var size: Int { images.shape[1] }

  /// What a digit looks like on average, `[size, size]`.
  public var mean: Tensor { images.mean(axis: 0) }

  /// Sequences of frames, `[count, frameCount, frameSize, frameSize]`, in which digits move straight ahead and
  /// bounce off the edges.
  ///
  /// As in the moving MNIST of Srivastava, Mansimov and Salakhutdinov, "Unsupervised learning of video
  /// representations using LSTMs", 2015: a digit starts anywhere, in any direction, and in a frame goes a tenth of
  /// the way from edge to edge. Where digits overlap, the brighter one is seen.
  ///
  /// - Throws: `CoixError.argument(_:)` for sizes below 1, or frames smaller than digits;
  ///   `CoixError.memory(what:bytes:)`.
  public func sequences(
    _ count: Int, frameCount: Int, frameSize: Int, digitCount: Int = 2, key: PRNGKey
  ) throws -> Tensor {
    guard count >= 1, frameCount >= 1, digitCount >= 1, frameSize >= size else {
      throw CoixError.argument(
        "sequences need at least one of them, a frame and a digit, and frames of at least \(size) pixels, not "
          + "\(frameSize)")
    }
    let pixels = frameSize.multipliedReportingOverflow(by: frameSize)
    let sequence = pixels.partialValue.multipliedReportingOverflow(by: 8 * frameCount)
    let bytes = sequence.partialValue.multipliedReportingOverflow(by: count)
    let overflows = pixels.overflow || sequence.overflow || bytes.overflow
    guard !overflows, bytes.partialValue <= ProcessInfo.processInfo.physicalMemory else {
      throw CoixError.memory(
        what: "making \(count) sequences", bytes: overflows ? .max : bytes.partialValue)
    }
    let keys = key.split(into: 3)
    let digits = keys[0].choice(count * digitCount, from: images.shape[0])
    let starts = Draw(key: keys[1], shape: [count * digitCount, 2]).uniform(low: 0, high: 1).scalars
    let angles = Draw(key: keys[2], shape: [count * digitCount]).uniform(low: 0, high: 2 * .pi).scalars
    var frames = [Float](repeating: 0, count: count * frameCount * frameSize * frameSize)
    images.withScalars { images in
      for path in 0..<count * digitCount {
        let image = images[Int(digits[path]) * size * size..<(Int(digits[path]) + 1) * size * size]
        for time in 0..<frameCount {
          let way = 0.1 * Float(time)
          let x = bounced(starts[2 * path] + way * cos(angles[path]))
          let y = bounced(starts[2 * path + 1] + way * sin(angles[path]))
          let range = Float(frameSize - size)
          let (left, top) = (Int((range * x).rounded()), Int((range * y).rounded()))
          let frame = (path / digitCount * frameCount + time) * frameSize * frameSize
          for pixel in 0..<size * size {
            let place = frame + (top + pixel / size) * frameSize + left + pixel % size
            frames[place] = max(frames[place], image[image.startIndex + pixel])
          }
        }
      }
    }
    return try Tensor(frames, shape: [count, frameCount, frameSize, frameSize]).validated()
  }
}

/// Where something is between 0 and 1 that would be at `place` if it had not bounced off these edges.
private func bounced(_ place: Float) -> Float {
  let rest = place - 2 * (place / 2).rounded(.down)
  return rest <= 1 ? rest : 2 - rest
}
