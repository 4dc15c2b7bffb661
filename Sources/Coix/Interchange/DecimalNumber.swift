/// Reads decimal numbers.
enum DecimalNumber {
  enum Result: Equatable {
    case number(Float)
    /// Written as a finite number, but greater than any `Float`.
    case beyondRange
    case notANumber
  }

  /// The `Float` nearest to a number in decimal notation: an optional sign, digits with or without a point,
  /// an optional exponent. `inf` and `infinity` are numbers, too; `nan` and hexadecimal digits are not.
  static func parse(_ text: ArraySlice<UInt8>) -> Result {
    var position = text.startIndex
    var isNegative = false
    if position < text.endIndex, text[position] == 0x2B || text[position] == 0x2D {
      isNegative = text[position] == 0x2D
      position += 1
    }
    // The number is mantissa · 10^exponent unless it has more digits than the mantissa's type holds.
    var mantissa: UInt64 = 0
    var exponent = 0
    var isLong = false
    var hasDigits = false
    var isAfterPoint = false
    while position < text.endIndex {
      let digit = text[position] &- 0x30
      if digit < 10 {
        hasDigits = true
        if mantissa < 1_000_000_000_000_000_000 {
          mantissa = mantissa &* 10 &+ UInt64(digit)
        } else {
          isLong = true
        }
        if isAfterPoint { exponent &-= 1 }
      } else if text[position] == 0x2E, !isAfterPoint {
        isAfterPoint = true
      } else {
        break
      }
      position &+= 1
    }
    guard hasDigits else {
      let word = String(decoding: text[position...].prefix(9), as: UTF8.self).lowercased()
      guard !isAfterPoint, word == "inf" || word == "infinity" else { return .notANumber }
      return .number(isNegative ? -.infinity : .infinity)
    }
    if position < text.endIndex {
      guard text[position] | 0x20 == 0x65 else { return .notANumber }
      position += 1
      var isExponentNegative = false
      if position < text.endIndex, text[position] == 0x2B || text[position] == 0x2D {
        isExponentNegative = text[position] == 0x2D
        position += 1
      }
      guard position < text.endIndex else { return .notANumber }
      var written = 0
      for byte in text[position...] {
        guard (0x30...0x39).contains(byte) else { return .notANumber }
        written = min(written * 10 + Int(byte - 0x30), 1 << 50)
      }
      exponent += isExponentNegative ? -written : written
    }
    if !isLong, let number = quickly(mantissa, exponent) {
      return .number(isNegative ? -number : number)
    }
    guard let number = Float(String(decoding: text, as: UTF8.self)) else { return .notANumber }
    return number.isFinite ? .number(number) : .beyondRange
  }

  /// mantissa · 10^exponent, if one rounding to `Double` and one to `Float` are certain to give the right
  /// `Float`; else nil.
  ///
  /// Reference: W. D. Clinger, "How to read floating point numbers accurately", 1990.
  private static func quickly(_ mantissa: UInt64, _ exponent: Int) -> Float? {
    guard mantissa <= 1 << 53, (-22...22).contains(exponent) else { return nil }
    let power = powersOfTen[abs(exponent)]
    let rounded = exponent < 0 ? Double(mantissa) / power : Double(mantissa) * power
    // Half way between two floats, the first rounding may have come from either side.
    guard rounded.significandBitPattern & 0x1FFF_FFFF != 0x1000_0000 else { return nil }
    return Float(rounded)
  }

  /// The powers of ten that are exact in double precision.
  private static let powersOfTen: [Double] = (0...22).map { power in
    (0..<power).reduce(1) { product, _ in product * 10 }
  }
}
