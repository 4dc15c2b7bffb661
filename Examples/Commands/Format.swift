import Coix
import Foundation

/// A number in a format of C's; a NaN without its sign.
func format(_ number: some BinaryFloatingPoint, _ format: String) -> String {
  String(format: format, Double(number).withoutSignOfNaN)
}
