import CoixParallel
import Testing

/// Names of sites: what is written is what is read, and they sort as text does.
@Suite struct SiteNameTests {
  static let texts = [
    "", "z", "_PREV_", "z_PREV_", "z_PREV__PREV_", "z_PREV_a", "z_PREV_a_PREV_", "z_", "z_PREV", "zz",
    "z_PREW_", "z_A", "PREV_",
    "_PREV__PREV_", "z_PREV_ _PREV_", "\u{e9}_PREV_", "e\u{301}",
  ]

  @Test(arguments: texts) func whatIsWrittenIsRead(_ text: String) {
    let name = SiteName(text)
    #expect(name.text == text)
    #expect(name.isSuffixed == text.hasSuffix("_PREV_"))
    #expect(name.suffixed(1) == SiteName(text + "_PREV_"))
    #expect(name.suffixed(3).text == text + "_PREV__PREV__PREV_")
    #expect(name.suffixed(2).suffixed(-2) == name)
    #expect(!name.base.hasSuffix("_PREV_"))
  }

  @Test(arguments: texts) func orderIsThatOfTheText(_ text: String) {
    for other in Self.texts {
      #expect((SiteName(text) < SiteName(other)) == (text < other), "\(text) and \(other)")
      #expect((SiteName(text) == SiteName(other)) == (text == other))
    }
  }
}
