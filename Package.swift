// swift-tools-version: 6.2
// Tools version 6.2 is the first at which a dependent may name this package by version although it
// passes compiler flags to its C target.

import Foundation
import PackageDescription

/// Whether OpenMP's run-time library can be linked. `COIX_OPENMP=0` turns it off, `COIX_OPENMP=1`
/// insists on it; without either, the usual library folders are looked through.
func openMPIsAvailable() -> Bool {
  if let choice = Context.environment["COIX_OPENMP"] { return choice != "0" }
  let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
  return folders.contains { FileManager.default.fileExists(atPath: "\($0)/libomp5.so") }
}

let openMP = openMPIsAvailable()
if !openMP {
  print("note: building without OpenMP (libomp-dev not found); wide dense layers run on one thread")
}

// `-fopenmp-simd` honours the vectorisation pragmas and needs no run-time library.
var kernelFlags = [openMP ? "-fopenmp" : "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math"]

// `COIX_SANITIZE_KERNELS=1`: an undefined operation in the kernels stops the process. Swift's compiler cannot link
// the sanitizer's run-time library, and a trap needs none.
if Context.environment["COIX_SANITIZE_KERNELS"] == "1" {
  kernelFlags += ["-fsanitize=undefined,float-cast-overflow", "-fsanitize-trap=all"]
}

// The runtime's classes are confined to one thread each; their exclusivity is checked in debug builds, where the tests run, and
// costs 5 % of a small step in release builds.
let swiftSettings: [SwiftSetting] = [
  .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
]

// What tests test is optimised in release builds; they themselves are not, since that takes the compiler minutes.
let testSettings: [SwiftSetting] = [.unsafeFlags(["-Onone"], .when(configuration: .release))]

let package = Package(
  name: "Coix",
  products: [
    .library(name: "Coix", targets: ["Coix"])
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .target(
      name: "CoixKernels",
      cSettings: [
        .unsafeFlags(kernelFlags),
        .unsafeFlags(["-O3"]),
      ],
      linkerSettings: openMP ? [.linkedLibrary("omp5")] : []
    ),
    // Deflated entries of zip archives. Debian's and Ubuntu's zlib1g-dev is among what Swift's installation asks for.
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"]), .yum(["zlib-devel"])]),
    // Several processes that compute together. It looks for an MPI library when a launcher has started the program;
    // nothing of MPI is needed to build.
    .target(name: "CoixMPI", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    .target(
      name: "CoixParallel", dependencies: ["CoixKernels", "CoixMPI"], swiftSettings: swiftSettings),
    .target(name: "Coix", dependencies: ["CoixParallel", "CZlib"], swiftSettings: swiftSettings),

    .target(name: "ExampleModels", dependencies: ["Coix"], path: "Examples/Models"),
    .target(name: "BenchCounters", path: "Benchmarks/Counters"),
    .executableTarget(
      name: "bench",
      dependencies: [
        "BenchCounters", "Coix", "CoixKernels", "CoixParallel", "ExampleModels",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Benchmarks",
      exclude: ["Counters", "Limits", "Peers", "Results"]),
    .executableTarget(
      name: "examples",
      dependencies: [
        "Coix", "CoixParallel", "ExampleModels",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Examples/Commands"),

    .target(name: "TestSupport", path: "Tests/TestSupport"),
    .executableTarget(name: "MemoryProbe", dependencies: ["Coix"], path: "Tests/MemoryProbe"),
    .executableTarget(name: "LargeRows", dependencies: ["Coix", "ExampleModels"], path: "Tests/LargeRows"),
    .executableTarget(name: "RankProbe", dependencies: ["Coix", "CoixParallel"], path: "Tests/RankProbe"),
    .testTarget(
      name: "CoixKernelsTests", dependencies: ["CoixKernels", "TestSupport"], swiftSettings: testSettings),
    .testTarget(
      name: "CoixParallelTests", dependencies: ["CoixParallel", "TestSupport"], swiftSettings: testSettings),
    .testTarget(
      name: "CoixTests",
      dependencies: [
        "Coix", "ExampleModels", "MemoryProbe", "TestSupport", "bench", "examples",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      resources: [.copy("Golden")],
      swiftSettings: testSettings),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c11
)
