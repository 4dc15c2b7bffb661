import CoixKernels
import TestSupport
import Testing

/// The normalising function of the von Mises distribution, by fifty-digit arithmetic.
@Suite struct VonMisesTests {
  static let cases: [(x: Float, value: Float, slope: Float)] = [
    (0, 0, -1), (1e-20, -1e-20, -1), (0.1, -0.097_501_56, -0.950_062_4), (1, -0.764_085_65, -0.553_61),
    (7, -1.872_507_1, -0.074_467_786), (19.99, -2.410_136_2, -0.025_342_338),
    (20, -2.410_389_7, -0.025_329_493), (50, -2.872_424_4, -0.010_051_033), (1e4, -5.524_096, -5.000_125e-5),
    (1e7, -8.977_986, -5e-8), (1e30, -35.457_714, -5e-31),
  ]

  @Test func logBessel() {
    let x = Self.cases.map(\.x)
    let ones = [Float](repeating: 1, count: x.count)
    let values = output(x.count) { coix_log_bessel_i0(x, $0, x.count) }
    let slopes = output(x.count) { coix_log_bessel_i0_backward(x, ones, $0, x.count) }
    for (index, test) in Self.cases.enumerated() {
      #expect(abs(values[index] - test.value) <= 2 * test.value.ulp, "log I0(\(test.x))")
      #expect(abs(slopes[index] - test.slope) <= 2 * test.slope.ulp, "the slope at \(test.x)")
    }
    // It is even.
    let mirrored = x.map { -$0 }
    #expect(output(x.count) { coix_log_bessel_i0(mirrored, $0, x.count) } == values)
    let mirroredSlopes = output(x.count) { coix_log_bessel_i0_backward(mirrored, ones, $0, x.count) }
    #expect(mirroredSlopes.dropFirst().elementsEqual(slopes.dropFirst().map { -$0 }))
  }
}
