/// Where values lie in an arena. Values that are not needed at the same time share their places.
struct ArenaLayout {
  /// By value, in bytes; nil for values that keep the address that they were recorded with.
  private(set) var offsets: [Int?]
  /// The arena's size.
  private(set) var bytes = 0
  /// What is free below that, in order. Ranges that touch are one, unless places keep their sizes.
  private var free: [Range<Int>] = []
  /// Whether a place is for values of one size alone. Ranks that touch their part of each value then touch their part of each
  /// place.
  private let keepsSizes: Bool

  /// A layout in which none of so many values has a place.
  init(values: Int, keepsSizes: Bool) {
    offsets = Array(repeating: nil, count: values)
    self.keepsSizes = keepsSizes
  }

  /// Gives a value the first free place of its size, or a new one at the end.
  mutating func take(_ size: Int, for value: Int) {
    guard let index = free.firstIndex(where: { keepsSizes ? $0.count == size : $0.count >= size }) else {
      offsets[value] = bytes
      bytes += size
      return
    }
    let range = free[index]
    offsets[value] = range.lowerBound
    if range.count == size {
      free.remove(at: index)
    } else {
      free[index] = range.lowerBound + size..<range.upperBound
    }
  }

  /// Lets values to come have the place of a value that nobody needs any more, if it has one.
  mutating func give(_ size: Int, of value: Int) {
    guard let offset = offsets[value] else { return }
    var index = free.firstIndex { $0.lowerBound > offset } ?? free.count
    free.insert(offset..<offset + size, at: index)
    if keepsSizes { return }
    if index + 1 < free.count, free[index].upperBound == free[index + 1].lowerBound {
      free[index] = free[index].lowerBound..<free.remove(at: index + 1).upperBound
    }
    if index > 0, free[index - 1].upperBound == free[index].lowerBound {
      index -= 1
      free[index] = free[index].lowerBound..<free.remove(at: index + 1).upperBound
    }
  }
}
