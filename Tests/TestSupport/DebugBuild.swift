/// Whether the tests were built without optimisation. What takes long is smaller there: release builds run all tests, too.
package let isDebugBuild: Bool = {
  #if DEBUG
    true
  #else
    false
  #endif
}()
