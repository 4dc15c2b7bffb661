/// What the tensors of a tree are called in a file.
///
/// ```swift
/// try mlp.write(safetensors: "mlp.safetensors", named: .flax())
/// let again = try mlp.reading(safetensors: "mlp.safetensors", named: .flax())
/// let names = ["kernel": "weight", "bias": "offset"]
/// let dense = try dense.reading(safetensors: "dense.safetensors", named: TensorNames { names[$0] ?? $0 })
/// ```
public struct TensorNames: Sendable {
  private let nameInFile: @Sendable (String) -> String

  /// Names that a function makes of a tree's own: the names of the parts that lead to a tensor, joined by dots,
  /// such as `layers.0.kernel`.
  public init(_ nameInFile: @escaping @Sendable (_ own: String) -> String) { self.nameInFile = nameInFile }

  /// The name in the file for a tree's own name.
  public func callAsFunction(_ own: String) -> String { nameInFile(own) }

  /// The tree's own names.
  public static let own = TensorNames { $0 }

  /// The names that `flax.linen` gives to the same parameters, as `flax.traverse_util.flatten_dict` joins them.
  ///
  /// All begin with `params`. The layers of an ``MLP`` are those of a compact module, so that `layers.0.kernel` is
  /// `params/Dense_0/kernel`. Any other array is one of submodules: `heads.1.kernel` is `params/heads_1/kernel`.
  /// The other names stay. Kernels are `[in, out]` in flax, too.
  ///
  /// - Parameter separator: What stands between the names of the parts; `"."` is usual, too.
  public static func flax(separator: String = "/") -> TensorNames {
    TensorNames { own in
      let parts = own.split(separator: ".")
      var names = ["params"]
      for (index, part) in parts.enumerated() {
        if index > 0, Int(part) != nil {
          names[names.count - 1] += "_\(part)"
        } else if part == "layers", index == parts.count - 3, Int(parts[index + 1]) != nil {
          names.append("Dense")
        } else {
          names.append(String(part))
        }
      }
      return names.joined(separator: separator)
    }
  }
}
