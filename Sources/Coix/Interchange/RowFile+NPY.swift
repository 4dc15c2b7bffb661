import CoixParallel
import Foundation

extension RowFile {
  /// A `.npy` file, `<f4`, which replaces an existing one when the evaluation has ended.
  ///
  /// Its space on the disk is reserved before anything is computed: a full disk is an error at once. Until it
  /// is complete the file has another name, or none is left of it if the evaluation throws.
  public static func npy(_ path: String) -> RowFile {
    RowFile(path) {
      try WholeFile.naming(path) {
        guard try NewFile.canReplace(path) else { throw MalformedFile("is not a regular file") }
      }
      try WholeFile.checkWritable(path)
    } memory: { shape in
      try WholeFile.naming(path) {
        let header = NPYHeader.encoded("<f4", shape: Array(shape))
        // Kernels take whole vectors.
        let bytes = shape.elementCount * MemoryLayout<Float>.stride
        let file = try NewFile(path)
        do {
          try file.append(header)
          try file.reserve(header.count + (bytes + 63) / 64 * 64)
          return try FileMemory(
            file.descriptor, start: header.count, bytes: (bytes + 63) / 64 * 64, for: path
          ) {
            isComplete in
            guard isComplete else { return file.discard() }
            do {
              try WholeFile.naming(path) {
                try file.shorten(to: header.count + bytes)
                try file.finish()
              }
            } catch {
              file.discard()
              throw error
            }
          }
        } catch {
          file.discard()
          throw error
        }
      }
    }
  }
}

extension Plate {
  /// Maps the rows of a file over the plate: `[count, event...]`, of single or double precision. Inside the
  /// plate's programs, the result is a tensor of the event shape.
  ///
  /// Each chunk reads its rows when it runs, so that the file may be larger than memory; numbers of double
  /// precision are rounded to the nearest `Float`. Otherwise the result is what ``NPYFile/rows(_:)`` would
  /// give all at once, bit for bit. What needs all rows at a time reads them into memory: a trace that keeps
  /// observed values, for example.
  ///
  /// An evaluation throws `CoixError.file(path:reason:)`, with the path and the rows, if rows cannot be read
  /// since the file has become shorter, say. For another type of numbers, or big-endian ones, it throws the
  /// same error at once; for another number of rows than the plate has, as for other data.
  ///
  /// - Parameter rows: which of the file's rows; nil for all.
  public func mapped(_ file: NPYFile, rows: Range<Int>? = nil) -> Tensor {
    do {
      let rows = try file.fileRows(rows ?? 0..<file.rowCount)
      return Tensor(rows, event: Shape(file.shape.dropFirst()), mappedOver: name)
    } catch let error as CoixError {
      return .failed(error)
    } catch {
      return .failed(.file(path: file.path, reason: "\(error)"))
    }
  }
}
