import CoixKernels
import Foundation
import TestSupport
import Testing

/// Each kind of operation does what its kernel does.
@Suite struct OperationTests {
  typealias Floats = UnsafeMutablePointer<Float>

  /// An operation, and the kernel call that it stands for.
  struct Example: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let code: coix_operation_code
    /// The floats of each output, and of each input.
    let outputs: [Int]
    let inputs: [Int]
    let domain: ClosedRange<Float>
    let make: @Sendable (_ outputs: [Floats], _ inputs: [Floats]) -> coix_operation
    let call: @Sendable (_ outputs: [Floats], _ inputs: [Floats]) -> Void

    init(
      _ name: String, _ code: coix_operation_code, outputs: [Int], inputs: [Int],
      in domain: ClosedRange<Float> = 0.25...2,
      _ make: @escaping @Sendable (_ outputs: [Floats], _ inputs: [Floats]) -> coix_operation,
      _ call: @escaping @Sendable (_ outputs: [Floats], _ inputs: [Floats]) -> Void
    ) {
      (testDescription, self.code, self.outputs, self.inputs) = (name, code, outputs, inputs)
      (self.domain, self.make, self.call) = (domain, make, call)
    }
  }

  /// 13 rows from row 20 on: all of the instance, and as many particles.
  static var place: coix_place {
    var place = coix_place()
    (place.chunk, place.rows, place.padded_rows, place.first_row) = (2, 13, 16, 20)
    (place.first_particle, place.particles, place.instances) = (20, 13, 1)
    return place
  }

  static let key = coix_key(word0: 3, word1: 5)
  static var source: coix_key_source { coix_key_source(words: key, source: nil) }

  /// Three elements in a chunk, as the operation and as the kernel has them.
  static let order = coix_draw_order(
    kind: 1, elements: 3, row_stride: 7, particle_stride: 0, element_stride: 2, offset: 1)
  static var draw: coix_draw {
    coix_draw(
      first_row: 20, valid_rows: 13, rows: 16, elements: 3, row_stride: 7, element_stride: 2, offset: 1,
      row_numbers: nil)
  }

  private static func operand(_ data: Floats) -> coix_operand {
    coix_operand(data: data, outer_stride: 16, row_stride: 1)
  }

  static let correlation = coix_correlation(
    height: 4, width: 5, kernel_height: 2, kernel_width: 3, top: 1, left: 1, flips: 3)

  static let tensors: [Example] = [
    Example(
      "unary", COIX_OP_UNARY, outputs: [33], inputs: [33], { coix_op_unary(COIX_LOG, $1[0], $0[0], 33, 1) },
      { coix_unary(COIX_LOG, $1[0], $0[0], 33, 1) }),
    Example(
      "unary, backward", COIX_OP_UNARY_BACKWARD, outputs: [33], inputs: [33, 33, 33],
      { coix_op_unary_backward(COIX_TANH_OP, $1[0], $1[1], $1[2], $0[0], 33, 1) },
      { coix_unary_backward(COIX_TANH_OP, $1[0], $1[1], $1[2], $0[0], 33, 1) }),
    Example(
      "binary", COIX_OP_BINARY, outputs: [48], inputs: [48, 3],
      { coix_op_binary(COIX_DIVIDE, $1[0], 16, 1, $1[1], 1, 0, $0[0], 3, 16, 1) },
      { coix_binary(COIX_DIVIDE, $1[0], 16, 1, $1[1], 1, 0, $0[0], 3, 16, 1) }),
    Example(
      "select", COIX_OP_SELECT, outputs: [48], inputs: [16, 48, 3], in: 0...1,
      { coix_op_select($1[0], 0, 1, $1[1], 16, 1, $1[2], 1, 0, $0[0], 3, 16, 1) },
      { coix_select($1[0], 0, 1, $1[1], 16, 1, $1[2], 1, 0, $0[0], 3, 16, 1) }),
    Example(
      "fill", COIX_OP_FILL, outputs: [33], inputs: [], { outputs, _ in coix_op_fill(outputs[0], 2.5, 33, 1) },
      { outputs, _ in coix_fill(outputs[0], 2.5, 33, 1) }),
    Example(
      "copy", COIX_OP_COPY, outputs: [60], inputs: [60], { coix_op_copy($1[0], 20, 2, $0[0], 15, 3, 7) },
      { coix_copy($1[0], 20, 2, $0[0], 15, 3, 7) }),
    Example(
      "accumulate", COIX_OP_ACCUMULATE, outputs: [33], inputs: [33],
      { coix_op_accumulate($0[0], $1[0], 33, 1) },
      { coix_accumulate($0[0], $1[0], 33, 1) }),
    Example(
      "transpose", COIX_OP_TRANSPOSE, outputs: [15], inputs: [15], { coix_op_transpose($1[0], $0[0], 3, 5) },
      { coix_store_rows($1[0], $0[0], 0, 3, 3, 5) }),
    Example(
      "reduce", COIX_OP_REDUCE, outputs: [32], inputs: [160],
      { coix_op_reduce(COIX_LOGSUMEXP, $1[0], $0[0], 2, 5, 16, 1) },
      { coix_reduce(COIX_LOGSUMEXP, $1[0], $0[0], 2, 5, 16, 1) }),
    Example(
      "softmax", COIX_OP_SOFTMAX, outputs: [160], inputs: [160],
      { coix_op_softmax($1[0], $0[0], 2, 5, 16, 1, 1) }, { coix_softmax($1[0], $0[0], 2, 5, 16, 1, 1) }),
    Example(
      "log-sum-exp, backward", COIX_OP_LOGSUMEXP_BACKWARD, outputs: [160], inputs: [160, 32],
      { coix_op_logsumexp_backward($1[0], $1[1], $0[0], 2, 5, 16, 1) },
      { coix_logsumexp_backward($1[0], $1[1], $0[0], 2, 5, 16, 1) }),
    Example(
      "argmax", COIX_OP_ARGMAX, outputs: [32], inputs: [160], { coix_op_argmax($1[0], $0[0], 2, 5, 16) },
      { coix_argmax($1[0], $0[0], 2, 5, 16) }),
    Example(
      "cumsum", COIX_OP_CUMSUM, outputs: [160], inputs: [160], { coix_op_cumsum($1[0], $0[0], 2, 5, 16, 1) },
      { coix_cumsum($1[0], $0[0], 2, 5, 16, 1) }),
    Example(
      "category bounds", COIX_OP_CATEGORY_BOUNDS, outputs: [128], inputs: [160, 160],
      { coix_op_category_bounds($1[0], $1[1], $0[0], 2, 5, 16) },
      { coix_category_bounds($1[0], $1[1], $0[0], 2, 5, 16) }),
    Example(
      "categories", COIX_OP_CATEGORIES, outputs: [32], inputs: [128, 32], in: 0...1,
      { coix_op_categories($1[0], 16, 5, 64, 1, $1[1], 16, 1, $0[0], 2, 16) },
      { coix_categories($1[0], 16, 5, 64, 1, $1[1], 16, 1, $0[0], 2, 16) }),
    Example(
      "dense", COIX_OP_DENSE, outputs: [32], inputs: [48, 6, 2],
      { coix_op_dense_forward($1[0], $1[1], $1[2], $0[0], 3, 2, 16, COIX_RELU, 1) },
      { coix_dense_forward($1[0], $1[1], $1[2], $0[0], 3, 2, 16, COIX_RELU, 1) }),
    Example(
      "dense, backward", COIX_OP_DENSE_BACKWARD, outputs: [32, 48, 6, 2], inputs: [48, 6, 32, 32], in: 0...1,
      {
        coix_op_dense_backward(
          $1[0], $1[1], $1[2], $1[3], $0[0], $0[1], $0[2], $0[3], 3, 2, 16, COIX_TANH, 1)
      },
      { coix_dense_backward($1[0], $1[1], $1[2], $1[3], $0[0], $0[1], $0[2], $0[3], 3, 2, 16, COIX_TANH, 1) }),
    Example(
      "batched matmul", COIX_OP_BATCHED_MATMUL, outputs: [64], inputs: [96, 96],
      { coix_op_batched_matmul($1[0], $1[1], $0[0], 2, 3, 2, 16) },
      { coix_batched_matmul($1[0], $1[1], $0[0], 2, 3, 2, 16) }),
    Example(
      "correlate", COIX_OP_CORRELATE, outputs: [2 * 5 * 5 * 16], inputs: [2 * 4 * 5 * 16, 2 * 2 * 3 * 16],
      { coix_op_correlate($1[0], $1[1], 1, $0[0], correlation, 2, 16, 1) },
      { coix_correlate($1[0], $1[1], 1, $0[0], correlation, 2, 16, 1) }),
    Example(
      "solve triangular", COIX_OP_SOLVE_TRIANGULAR, outputs: [96], inputs: [9, 96],
      { coix_op_solve_triangular($1[0], 0, 0, $1[1], $0[0], 2, 3, 16, 1) },
      { coix_solve_triangular($1[0], 0, 0, $1[1], $0[0], 2, 3, 16, 1) }),
    Example(
      "cholesky", COIX_OP_CHOLESKY, outputs: [32], inputs: [32],
      { coix_op_cholesky($1[0], $0[0], 2, 1, 16) }, { coix_cholesky($1[0], $0[0], 2, 1, 16) }),
    Example(
      "cholesky, backward", COIX_OP_CHOLESKY_BACKWARD, outputs: [64], inputs: [64],
      { coix_op_cholesky_backward($1[0], $0[0], 1, 2, 16) },
      { coix_cholesky_backward($1[0], $0[0], 1, 2, 16) }),
    Example(
      "accumulate in double", COIX_OP_ACCUMULATE_DOUBLE, outputs: [66], inputs: [33],
      { coix_op_accumulate_double(doubles($0[0]), $1[0], 33) },
      { coix_accumulate_double(doubles($0[0]), $1[0], 33) }),
    Example(
      "round", COIX_OP_ROUND, outputs: [33], inputs: [66], { coix_op_round(doubles($1[0]), $0[0], 33) },
      { coix_round(doubles($1[0]), $0[0], 33) }),
  ]

  static let densities: [Example] = [
    Example(
      "normal", COIX_OP_NORMAL_DENSITY, outputs: [32], inputs: [96, 3, 16],
      { coix_op_normal_log_density($1[0], 16, 1, $1[1], 1, 0, $1[2], 0, 1, $0[0], 2, 3, 16) },
      { coix_normal_log_density($1[0], 16, 1, $1[1], 1, 0, $1[2], 0, 1, $0[0], 2, 3, 16) }),
    Example(
      "normal, backward", COIX_OP_NORMAL_DENSITY_BACKWARD, outputs: [96, 96, 96], inputs: [32, 96, 6, 16],
      {
        coix_op_normal_log_density_backward(
          $1[0], $1[1], 16, 1, $1[2], 1, 0, $1[3], 0, 1, $0[0], $0[1], $0[2], 2, 3, 16)
      },
      {
        coix_normal_log_density_backward(
          $1[0], $1[1], 16, 1, $1[2], 1, 0, $1[3], 0, 1, $0[0], $0[1], $0[2], 2, 3, 16)
      }),
    Example(
      "student t", COIX_OP_LOG_DENSITY, outputs: [48], inputs: [48, 48, 48, 48],
      { coix_op_log_density(COIX_STUDENT_T_DENSITY, $1.map(operand), 4, $0[0], 3, 16, 1) },
      { coix_log_density(COIX_STUDENT_T_DENSITY, $1.map(operand), $0[0], 3, 16, 1) }),
    Example(
      "student t, backward", COIX_OP_LOG_DENSITY_BACKWARD, outputs: [48, 48, 48, 48],
      inputs: [48, 48, 48, 48, 48],
      { outputs, inputs in
        coix_op_log_density_backward(
          COIX_STUDENT_T_DENSITY, inputs[1...].map(operand), 4, inputs[0], outputs.map(Optional.some), 3, 16,
          1)
      },
      { outputs, inputs in
        coix_log_density_backward(
          COIX_STUDENT_T_DENSITY, inputs[1...].map(operand), inputs[0], outputs.map(Optional.some), 3, 16, 1)
      }),
    Example(
      "truncated normal", COIX_OP_LOG_DENSITY, outputs: [48], inputs: [48, 48, 48, 48, 48, 48],
      { coix_op_log_density(COIX_TRUNCATED_NORMAL_DRAW, $1.map(operand), 6, $0[0], 3, 16, 1) },
      { coix_log_density(COIX_TRUNCATED_NORMAL_DRAW, $1.map(operand), $0[0], 3, 16, 1) }),
    Example(
      "multinomial", COIX_OP_SIMPLEX_DENSITY, outputs: [32], inputs: [96, 96],
      {
        coix_op_simplex_log_density(
          COIX_MULTINOMIAL_LOGITS_DENSITY, operand($1[0]), operand($1[1]), $0[0], 2, 3, 16)
      },
      {
        coix_simplex_log_density(
          COIX_MULTINOMIAL_LOGITS_DENSITY, operand($1[0]), operand($1[1]), $0[0], 2, 3, 16)
      }),
    Example(
      "multinomial, backward", COIX_OP_SIMPLEX_DENSITY_BACKWARD, outputs: [96, 96], inputs: [32, 96, 96],
      {
        coix_op_simplex_log_density_backward(
          COIX_MULTINOMIAL_LOGITS_DENSITY, $1[0], operand($1[1]), operand($1[2]), $0[0], $0[1], 2, 3, 16)
      },
      {
        coix_simplex_log_density_backward(
          COIX_MULTINOMIAL_LOGITS_DENSITY, $1[0], operand($1[1]), operand($1[2]), $0[0], $0[1], 2, 3, 16)
      }),
    Example(
      "log Bessel", COIX_OP_LOG_BESSEL_I0, outputs: [33], inputs: [33],
      { coix_op_log_bessel_i0($1[0], $0[0], 33) }, { coix_log_bessel_i0($1[0], $0[0], 33) }),
    Example(
      "log Bessel, backward", COIX_OP_LOG_BESSEL_I0_BACKWARD, outputs: [33], inputs: [33, 33],
      { coix_op_log_bessel_i0_backward($1[0], $1[1], $0[0], 33) },
      { coix_log_bessel_i0_backward($1[0], $1[1], $0[0], 33) }),
  ]

  static let draws: [Example] = [
    Example(
      "uniform", COIX_OP_DRAW_UNIFORM, outputs: [48], inputs: [],
      { outputs, _ in coix_op_draw_uniform(source, order, -1, 2, outputs[0], 1) },
      { outputs, _ in coix_draw_uniform(key, draw, -1, 2, outputs[0], 1) }),
    Example(
      "normal", COIX_OP_DRAW_NORMAL, outputs: [48], inputs: [],
      { outputs, _ in coix_op_draw_normal(source, order, outputs[0], 1) },
      { outputs, _ in coix_draw_normal(key, draw, outputs[0], 1) }),
    Example(
      "gumbel", COIX_OP_DRAW_GUMBEL, outputs: [48], inputs: [],
      { outputs, _ in coix_op_draw_gumbel(source, order, outputs[0], 1) },
      { outputs, _ in coix_draw_gumbel(key, draw, outputs[0], 1) }),
    Example(
      "normal with parameters", COIX_OP_DRAW_NORMAL_AFFINE, outputs: [48, 48], inputs: [48, 3],
      { coix_op_draw_normal_affine(source, order, $1[0], 16, 1, $1[1], 1, 0, $0[1], $0[0], 1) },
      { coix_draw_normal_affine(key, draw, $1[0], 16, 1, $1[1], 1, 0, $0[1], $0[0], 1) }),
    Example(
      "gamma", COIX_OP_DRAW_GAMMA, outputs: [48], inputs: [48],
      { coix_op_draw_gamma(source, order, $1[0], 16, 1, 1, $0[0], 1) },
      { coix_draw_gamma(key, draw, $1[0], 16, 1, 1, $0[0], 1) }),
    Example(
      "binomial", COIX_OP_DRAW_BINOMIAL, outputs: [48], inputs: [48, 3], in: 0...1,
      { coix_op_draw_binomial(source, order, $1[0], 16, 1, $1[1], 1, 0, $0[0], 1) },
      { coix_draw_binomial(key, draw, $1[0], 16, 1, $1[1], 1, 0, $0[0], 1) }),
    Example(
      "gamma slope", COIX_OP_GAMMA_SLOPE, outputs: [48], inputs: [3, 48, 48],
      { coix_op_gamma_slope($1[0], 1, 0, $1[1], 0, $1[2], $0[0], 3, 16) },
      { coix_gamma_slope($1[0], 1, 0, $1[1], 0, $1[2], $0[0], 3, 16) }),
    Example(
      "von Mises round", COIX_OP_VON_MISES_ROUND, outputs: [48, 48], inputs: [48, 48, 48], in: 0...1,
      { coix_op_von_mises_round($1[0], 16, 1, $1[1], $1[2], $0[0], $0[1], 3, 16) },
      { coix_von_mises_round($1[0], 16, 1, $1[1], $1[2], $0[0], $0[1], 3, 16) }),
  ]

  static let rows: [Example] = [
    Example(
      "load rows", COIX_OP_LOAD_ROWS, outputs: [32], inputs: [100],
      { coix_op_load_rows($1[0], nil, $0[0], 16, 2, 0) }, { coix_load_rows($1[0], nil, $0[0], 20, 13, 16, 2) }
    ),
    Example(
      "store rows", COIX_OP_STORE_ROWS, outputs: [100], inputs: [32], { coix_op_store_rows($1[0], $0[0], 2) },
      { coix_store_rows($1[0], $0[0], 20, 13, 16, 2) }),
    Example(
      "clear padding", COIX_OP_CLEAR_PADDING, outputs: [32], inputs: [],
      { outputs, _ in coix_op_clear_padding(outputs[0], 2) },
      { outputs, _ in for row in [13, 14, 15, 29, 30, 31] { outputs[0][row] = 0 } }),
    Example(
      "sum rows", COIX_OP_SUM_ROWS, outputs: [20], inputs: [16],
      { coix_op_sum_rows($1[0], 0, doubles($0[0]), 3, 1) },
      { doubles($0[0])[7] = coix_sum_double($1[0], 13) }),
    Example(
      "sum rows, uniform", COIX_OP_SUM_ROWS, outputs: [20], inputs: [1],
      { coix_op_sum_rows($1[0], 1, doubles($0[0]), 3, 1) }, { doubles($0[0])[7] = Double($1[0][0]) * 13 }),
    Example(
      "spread rows", COIX_OP_SPREAD_ROWS, outputs: [32], inputs: [32],
      { coix_op_spread_rows($1[0], 16, $0[0], 16, 2, 3, 5, 1) },
      { coix_spread_rows($1[0], 16, $0[0], 16, 2, 3, 5, 1) }),
    Example(
      "fold rows", COIX_OP_FOLD_ROWS, outputs: [32], inputs: [32],
      { coix_op_fold_rows($1[0], 16, $0[0], 16, 2, 3, 5, 1) },
      { coix_fold_rows($1[0], 16, $0[0], 16, 2, 3, 5, 1) }),
    Example(
      "gather axis", COIX_OP_GATHER_AXIS, outputs: [32], inputs: [128, 16], in: 0...3,
      { coix_op_gather_axis($1[0], $1[1], 1, $0[0], 2, 4, 16) },
      { coix_gather_axis($1[0], $1[1], 1, $0[0], 2, 4, 16) }),
    Example(
      "scatter axis", COIX_OP_SCATTER_AXIS, outputs: [128], inputs: [32, 16], in: 0...3,
      { coix_op_scatter_axis($1[0], $1[1], 1, $0[0], 2, 4, 16) },
      { coix_scatter_axis($1[0], $1[1], 1, $0[0], 2, 4, 16) }),
    Example(
      "one hot", COIX_OP_ONE_HOT, outputs: [64], inputs: [16], in: 0...3,
      { coix_op_one_hot($1[0], $0[0], 4, 16) }, { coix_one_hot($1[0], $0[0], 4, 16) }),
    Example(
      "positions", COIX_OP_POSITIONS, outputs: [16], inputs: [16], in: -1...6,
      { coix_op_positions($1[0], positions($0[0]), 4, 16) },
      { coix_positions($1[0], positions($0[0]), 4, 16) }),
  ]

  /// Those with whole numbers as an input, the last one.
  static let indices: [Example] = [
    Example(
      "gather rows", COIX_OP_GATHER_ROWS, outputs: [32], inputs: [8, 16],
      { coix_op_gather_rows($1[0], indices($1[1]), $0[0], 16, 2, 1) },
      { coix_gather_rows($1[0], indices($1[1]), $0[0], 16, 2, 1) }),
    Example(
      "scatter positions", COIX_OP_SCATTER_POSITIONS, outputs: [8, 16], inputs: [32, 16],
      { coix_op_scatter_positions($1[0], indices($1[1]), doubles($0[1]), $0[0], 4, 16, 2) },
      { coix_scatter_positions($1[0], indices($1[1]), doubles($0[1]), $0[0], 4, 16, 2) }),
    Example(
      "gather table", COIX_OP_GATHER_TABLE, outputs: [32], inputs: [8, 16],
      { coix_op_gather_table($1[0], indices($1[1]), $0[0], 16, 2) },
      { coix_load_rows($1[0], indices($1[1]), $0[0], 0, 16, 16, 2) }),
    Example(
      "scatter table", COIX_OP_SCATTER_TABLE, outputs: [8, 16], inputs: [32, 16],
      { coix_op_scatter_table($1[0], indices($1[1]), doubles($0[1]), $0[0], 4, 2, 16) },
      { coix_scatter_table($1[0], indices($1[1]), doubles($0[1]), $0[0], 4, 2, 16) }),
    Example(
      "compose rows", COIX_OP_COMPOSE_ROWS, outputs: [16], inputs: [4, 16],
      { coix_op_compose_rows(positions($1[0]), indices($1[1]), positions($0[0]), 16, 1) },
      { outputs, inputs in
        for row in 0..<16 { positions(outputs[0])[row] = positions(inputs[0])[Int(indices(inputs[1])[row])] }
      }),
    Example(
      "sort rows", COIX_OP_SORT_ROWS, outputs: [16, 5], inputs: [16],
      { coix_op_sort_rows(indices($1[0]), 16, 4, positions($0[0]), positions($0[1])) },
      { coix_sort_rows(indices($1[0]), 16, 4, positions($0[0]), positions($0[1])) }),
    Example(
      "scatter rows", COIX_OP_SCATTER_ROWS, outputs: [8], inputs: [32, 5],
      { coix_op_scatter_add_rows($1[0], indices($1[1]), indices($1[1]), $0[0], 4, 2, 1) },
      { coix_scatter_add_rows($1[0], indices($1[1]), indices($1[1]), $0[0], 4, 2, 1) }),
    Example(
      "load rows through an index", COIX_OP_LOAD_ROWS, outputs: [32], inputs: [8, 64],
      { coix_op_load_rows($1[0], indices($1[1]), $0[0], 16, 2, 0) },
      { coix_load_rows($1[0], indices($1[1]), $0[0], 20, 13, 16, 2) }),
  ]

  /// Those of barriers, keys and optimisers.
  static let steps: [Example] = [
    Example(
      "threefry", COIX_OP_THREEFRY, outputs: [2], inputs: [2],
      { coix_op_threefry(key(at: $1[0]), 7, key(at: $0[0])) },
      { key(at: $0[0]).pointee = coix_threefry(key(at: $1[0]).pointee, 7) }),
    Example(
      "randint", COIX_OP_DRAW_RANDINT, outputs: [48], inputs: [],
      { outputs, _ in coix_op_draw_randint(source, order, -5, 9, positions(outputs[0]), 1) },
      { outputs, _ in coix_draw_randint(key, draw, -5, 9, positions(outputs[0]), 1) }),
    Example(
      "a draw whose key is read", COIX_OP_DRAW_NORMAL, outputs: [48], inputs: [2],
      { coix_op_draw_normal(coix_key_source(words: key, source: key(at: $1[0])), order, $0[0], 1) },
      { coix_draw_normal(key(at: $1[0]).pointee, draw, $0[0], 1) }),
    Example(
      "sum chunks", COIX_OP_SUM_CHUNKS, outputs: [1], inputs: [24],
      { coix_op_sum_chunks(doubles($1[0]), $0[0], 4, 3, 1) },
      { outputs, inputs in
        outputs[0].pointee = Float([1, 4, 7, 10].reduce(0.0) { $0 + doubles(inputs[0])[$1] })
      }),
    Example(
      "weight moments", COIX_OP_WEIGHT_MOMENTS, outputs: [6, 6, 6], inputs: [48],
      { coix_op_weight_moments($1[0], doubles($0[0]), doubles($0[1]), doubles($0[2]), 16, 3, 0, 1) },
      { coix_weight_moments($1[0], doubles($0[0]), doubles($0[1]), doubles($0[2]), 16, 3, 0, 1) }),
    Example(
      "weight summary", COIX_OP_WEIGHT_SUMMARY, outputs: [1, 1], inputs: [6, 6, 6],
      {
        coix_op_weight_summary(doubles($1[0]), doubles($1[1]), doubles($1[2]), $0[0], $0[1], 16, 3)
      },
      { coix_weight_summary(doubles($1[0]), doubles($1[1]), doubles($1[2]), $0[0], $0[1], 16, 3) }),
    Example(
      "resample", COIX_OP_RESAMPLE, outputs: [60, 120], inputs: [48, 63], in: 0...0.5,
      {
        coix_op_resample(
          COIX_MULTINOMIAL, $1[0], $1[1], doubles($0[1]), positions($0[0]), 16, 3, 20, 1)
      },
      { _ = coix_resample(COIX_MULTINOMIAL, $1[0], $1[1], doubles($0[1]), positions($0[0]), 16, 3, 20, 1) }),
    Example(
      "adam corrections", COIX_OP_ADAM_CORRECTIONS, outputs: [4], inputs: [1, 1],
      { coix_op_adam_corrections($1[0], $1[1], 0.9, 0.75, 0.3, $0[0]) },
      { outputs, inputs in
        let step = Double(inputs[0].pointee) + 1
        outputs[0][0] = 1 - Float(pow(Double(Float(0.9)), step))
        outputs[0][1] = 1 - Float(pow(0.75, step))
        outputs[0][2] = inputs[1].pointee
        outputs[0][3] = inputs[1].pointee * 0.3
      }),
    Example(
      "adam", COIX_OP_ADAM, outputs: [33, 33, 33], inputs: [33, 33, 33, 33, 4],
      {
        coix_op_adam(
          $1[0], $1[1], $1[2], $1[3], $1[4], $0[0], $0[1], $0[2], 33, 0.9, 0.999, 1e-8)
      },
      { outputs, inputs in
        for (output, input) in zip(outputs, [0, 2, 3]) { output.update(from: inputs[input], count: 33) }
        coix_adam(
          outputs[0], inputs[1], outputs[1], outputs[2], 33, inputs[4][2], inputs[4][3], 0.9, 0.999, 1e-8,
          inputs[4][0], inputs[4][1])
      }),
  ]

  static let guards: [Example] = [
    Example(
      "weights are valid", COIX_OP_WEIGHTS_ARE_VALID, outputs: [], inputs: [6, 6],
      { coix_op_weights_are_valid(doubles($1[0]), doubles($1[1]), 3) }, { _, _ in }),
    Example(
      "is within", COIX_OP_IS_WITHIN, outputs: [], inputs: [33], { coix_op_is_within($1[0], 0, 2, 33) },
      { _, _ in }
    ),
    Example(
      "are within", COIX_OP_IS_WITHIN, outputs: [], inputs: [33, 7],
      { coix_op_and_within(coix_op_is_within($1[0], 0, 2, 33), $1[1], 7) }, { _, _ in }),
    Example(
      "is zero", COIX_OP_IS_ZERO, outputs: [], inputs: [33], in: 0...0, { coix_op_is_zero($1[0], 33) },
      { _, _ in }),
  ]

  static let all = tensors + densities + draws + rows + indices + steps + guards

  private static func doubles(_ floats: Floats) -> UnsafeMutablePointer<Double> {
    UnsafeMutableRawPointer(floats).assumingMemoryBound(to: Double.self)
  }
  private static func positions(_ floats: Floats) -> UnsafeMutablePointer<Int32> {
    UnsafeMutableRawPointer(floats).assumingMemoryBound(to: Int32.self)
  }
  private static func key(at floats: Floats) -> UnsafeMutablePointer<coix_key> {
    UnsafeMutableRawPointer(floats).assumingMemoryBound(to: coix_key.self)
  }
  /// Positions below 4 that were put in the place of floats.
  private static func indices(_ floats: Floats) -> UnsafePointer<Int32> { UnsafePointer(positions(floats)) }

  /// Calls `body` with memory for an example, whose outputs hold numbers, and gives back the outputs.
  private func outputs(_ example: Example, _ body: ([Floats], [Floats]) -> Void) -> [[Float]] {
    var random = SplitMix(seed: 60)
    func buffer(_ count: Int) -> Floats {
      let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4 * (count + 16), alignment: 64)
        .bindMemory(to: Float.self, capacity: count + 16)
      buffer.update(from: random.floats(count + 16, in: example.domain), count: count + 16)
      return buffer
    }
    let (outputs, inputs) = (example.outputs.map(buffer), example.inputs.map(buffer))
    defer { for buffer in outputs + inputs { buffer.deallocate() } }
    if Self.indices.contains(where: { $0.testDescription == example.testDescription }) {
      let last = inputs.count - 1
      for index in 0..<example.inputs[last] { Self.positions(inputs[last])[index] = Int32(index * 7 % 4) }
    }
    body(outputs, inputs)
    return zip(outputs, example.outputs).map { Array(UnsafeBufferPointer(start: $0, count: $1 + 16)) }
  }

  @Test(arguments: all) func theOperationIsTheKernel(_ example: Example) {
    let found = outputs(example) { outputs, inputs in
      let operation = example.make(outputs, inputs)
      #expect(operation.code == UInt16(example.code.rawValue))
      #expect(withUnsafePointer(to: operation) { coix_execute($0, 1, [Self.place]) } == 1)
    }
    let expected = outputs(example, example.call)
    #expect(zip(found, expected).allSatisfy { sameBits($0, $1) })
  }

  /// What is written comes first, then what is read, and nothing else is mentioned.
  @Test(arguments: all) func theOperationSaysWhatItReadsAndWrites(_ example: Example) {
    _ = outputs(example) { outputs, inputs in
      var operation = example.make(outputs, inputs)
      let (writes, reads) = (coix_operation_writes(operation.code), coix_operation_reads(operation.code))
      #expect(Int(writes) >= outputs.count && Int(reads) >= inputs.count)
      let pointers = withUnsafeBytes(of: &operation.pointers) {
        Array($0.bindMemory(to: UnsafeMutableRawPointer?.self))
      }
      #expect(
        Set(pointers.prefix(Int(writes)).compactMap { $0 }) == Set(outputs.map(UnsafeMutableRawPointer.init)))
      let read = pointers.dropFirst(Int(writes))
      #expect(Set(read.compactMap { $0 }) == Set(inputs.map(UnsafeMutableRawPointer.init)))
      #expect(read.dropFirst(Int(reads)).allSatisfy { $0 == nil })
    }
  }

  @Test func everyKindIsTested() {
    let others = [
      COIX_OP_NUMBER_ROWS, COIX_OP_ASCENDS, COIX_OP_SCATTER_RUNS, COIX_OP_READ_ROWS, COIX_OP_READ_WHOLE,
      COIX_OP_ENTER, COIX_OP_CALL,
    ]
    let codes = Set((Self.all.map(\.code) + others).map(\.rawValue))
    #expect(codes == Set(0..<COIX_OPERATION_COUNT.rawValue))
    for code in codes {
      #expect(
        coix_operation_writes(UInt16(code)) + coix_operation_reads(UInt16(code)) <= COIX_OPERATION_POINTERS)
    }
  }

  /// An operation that reads what it writes says so.
  @Test(arguments: all) func updatesSaySo(_ example: Example) {
    let traits = coix_operation_traits_of(UInt16(example.code.rawValue))
    /// What comes out if the outputs hold something else before.
    func written(_ before: Float) -> [[Float]] {
      outputs(example) { outputs, inputs in
        for (output, count) in zip(outputs, example.outputs) {
          output.update(repeating: before, count: count)
        }
        example.call(outputs, inputs)
      }
    }
    guard traits & Int32(COIX_UPDATES.rawValue) == 0 else { return }
    // Some write a part of their output only; a number that is not written keeps its old value.
    for (one, other) in zip(written(0.5), written(0.75)) {
      for (one, other) in zip(one, other) {
        #expect(one.bitPattern == other.bitPattern || (one == 0.5 && other == 0.75))
      }
    }
  }

  // MARK: Others

  /// Operations on an index of ascending rows.
  @Test func rowsOfAnIndex() {
    var index: [Int32] = [0, 0, 2, 3, 3, 3]
    let count = index.count
    #expect(coix_execute([coix_op_number_rows(&index, count, 2, 1)], 1, nil) == 1)
    #expect(index == [0, 1, 4, 7, 6, 7])
    let ascending: [Int32] = [0, 0, 2, 3, 3, 3]
    let gradient: [Float] = [1, 2, 3, 4, 5, 6]
    let sums = output(5) { out in
      coix_fill(out, 0.5, 5, 1)
      ascending.withUnsafeBufferPointer { ascending in
        #expect(coix_execute([coix_op_ascends(ascending.baseAddress, count)], 1, nil) == 1)
        gradient.withUnsafeBufferPointer { gradient in
          let scatter = coix_op_scatter_add_runs(
            gradient.baseAddress, ascending.baseAddress, out, 5, count, 1, 1)
          #expect(coix_execute([scatter], 1, nil) == 1)
        }
      }
    }
    // Rows that don't ascend are not what a recording of ascending ones expects.
    index.withUnsafeBufferPointer { index in
      #expect(coix_execute([coix_op_ascends(index.baseAddress, count)], 1, nil) == 0)
    }
    #expect(sums == [3, 0, 3, 15, 0])
  }

  /// Elementwise operations that follow each other run block by block, unless one needs another one's other elements:
  /// the same bits as one after the other, by any team.
  @Test(arguments: [1, 2, 3] as [Int32]) func elementwiseOperationsInARow(team: Int32) {
    let count = 40_007
    var random = SplitMix(seed: 54)
    let start = random.floats(4 * count, in: 0.25...2)
    func results(together: Bool) -> [Float] {
      output(4 * count) { memory in
        for (index, number) in start.enumerated() { memory[index] = number }
        let (a, b, c, d) = (memory, memory + count, memory + 2 * count, memory + 3 * count)
        let list = [
          coix_op_unary(COIX_LOG, a, b, count, team),
          // A number for all elements.
          coix_op_binary(COIX_MULTIPLY, b, 0, 1, d, 0, 0, c, 1, count, team),
          coix_op_accumulate(c, b, count, team),
          // Written where the first one reads.
          coix_op_unary_backward(COIX_TANH_OP, b, b, c, a, count, team),
          coix_op_copy(a, 0, 1, b, count, 1, count),
          // Reads what is written before, one element on.
          coix_op_select(a, 0, 1, b + 1, 0, 1, d, 0, 1, c, 1, count - 1, team),
          coix_op_binary(COIX_ADD, b + 1, 0, 1, c, 0, 1, b, 1, count - 1, team),
          // In two rows, of a number for each, or of one for both.
          coix_op_binary(COIX_SUBTRACT, b, 20_000, 1, c, 1, 0, a, 2, 20_000, team),
          coix_op_binary(COIX_DIVIDE, a, 20_000, 1, d, 0, 0, b, 2, 20_000, team),
          coix_op_fill(c, 0.5, 40_000, team),
          // The number for all elements is written on the way.
          coix_op_binary(COIX_MULTIPLY, a, 0, 1, c, 0, 0, d, 1, 40_000, team),
        ]
        if together { #expect(coix_execute(list, list.count, nil) == list.count) }
        for operation in list where !together { #expect(coix_execute([operation], 1, nil) == 1) }
      }
    }
    #expect(sameBits(results(together: true), results(together: false)))
  }

  /// Behind an entry, operations run on another chunk's rows.
  @Test func entriesChangeTheRows() {
    var (first, second) = (Self.place, Self.place)
    (first.first_row, second.first_row) = (0, 5)
    let table = (0..<40).map { Float($0) }
    let loaded = output(48) { out in
      table.withUnsafeBufferPointer { table in
        withUnsafePointer(to: first) { first in
          withUnsafePointer(to: second) { second in
            let list = [
              coix_op_load_rows(table.baseAddress, nil, out, 16, 1, 0), coix_op_enter(first),
              coix_op_load_rows(table.baseAddress, nil, out + 16, 16, 1, 0), coix_op_enter(second),
              coix_op_load_rows(table.baseAddress, nil, out + 32, 16, 1, 0),
            ]
            #expect(coix_execute(list, 5, [Self.place]) == 5)
          }
        }
      }
    }
    #expect([loaded[0], loaded[16], loaded[32]] == [20, 0, 5])
  }

  /// A call always stops the list.
  @Test func callsStopAList() {
    let written = output(1) { out in
      let list = [coix_op_fill(out, 1, 1, 1), coix_op_call(3), coix_op_fill(out, 2, 1, 1)]
      #expect(list[1].sizes.0 == 3)
      #expect(coix_execute(list, 3, nil) == 1)
    }
    #expect(written == [1])
  }

  // MARK: Lists

  /// A list runs in order, and stops at a guard.
  @Test func guardsStopAList() {
    var (x, y): ([Float], [Float]) = ([0, 0, 3], [0, 0, 0])
    x.withUnsafeMutableBufferPointer { x in
      y.withUnsafeMutableBufferPointer { y in
        guard let x = x.baseAddress, let y = y.baseAddress else { return }
        var unexpected = coix_op_is_zero(x, 3)
        unexpected.variant = 0
        let fill = coix_op_fill(y, 1, 3, 1)
        #expect(coix_execute([fill, coix_op_is_zero(x, 3), coix_op_fill(y, 2, 3, 1)], 3, nil) == 1)
        #expect(y[0] == 1)
        #expect(
          coix_execute([fill, coix_op_is_zero(x, 2), unexpected, coix_op_fill(y, 3, 3, 1)], 4, nil) == 4)
        #expect(y[0] == 3)
        x[1] = .nan
        #expect(coix_execute([coix_op_is_within(x, -9, 9, 3), fill], 2, nil) == 0)
        #expect(coix_execute([coix_op_is_within(x, 0, 0, 1), fill], 2, nil) == 2)
        #expect(coix_execute([coix_op_and_within(coix_op_is_within(x, 0, 0, 1), x, 3), fill], 2, nil) == 0)
        #expect(coix_execute([], 0, nil) == 0)
      }
    }
  }

  /// In nested plates the rows of a chunk are a rectangle: particles 5 to 7 of instances 4 to 7, of ten.
  @Test func nestedPlates() {
    let (particles, instances) = (5..<8, 4..<8)
    let numbers = particles.flatMap { particle in instances.map { UInt64(particle * 10 + $0) } }
    var scratch = [UInt64](repeating: 0, count: 12)
    let table = (0..<200).map { Float($0) }
    var place = coix_place()
    (place.chunk, place.rows, place.padded_rows, place.first_row) = (1, 12, 16, 54)
    (place.first_particle, place.particles, place.first_instance, place.instances) = (5, 3, 4, 4)
    numbers.withUnsafeBufferPointer { numbers in
      scratch.withUnsafeMutableBufferPointer { scratch in
        place.row_numbers = numbers.baseAddress
        place.scratch = scratch.baseAddress
        func run(_ count: Int, _ make: (Floats) -> coix_operation) -> [Float] {
          output(count) { #expect(coix_execute([make($0)], 1, [place]) == 1) }
        }
        table.withUnsafeBufferPointer { table in
          guard let table = table.baseAddress else { return }
          let all = run(32) { coix_op_load_rows(table, nil, $0, 16, 2, 0) }
          #expect(
            all == output(32) { coix_load_numbered_rows(table, nil, numbers.baseAddress, $0, 12, 16, 2) })
          let byParticle = run(32) { coix_op_load_rows(table, nil, $0, 16, 2, 1) }
          #expect(byParticle == output(32) { coix_load_rows(table, nil, $0, 5, 3, 16, 2) })
          let byInstance = run(32) { coix_op_load_rows(table, nil, $0, 16, 2, 2) }
          #expect(byInstance == output(32) { coix_load_rows(table, nil, $0, 4, 4, 16, 2) })
          let stored = run(200) {
            coix_fill($0, 0, 200, 1)
            return coix_op_store_rows(table, $0, 2)
          }
          #expect(
            stored
              == output(200) {
                coix_fill($0, 0, 200, 1)
                coix_store_numbered_rows(table, numbers.baseAddress, $0, 12, 16, 2)
              })
        }
        // A draw of which each instance has all particles before the next one comes.
        let order = coix_draw_order(
          kind: 2, elements: 2, row_stride: 30, particle_stride: 3, element_stride: 1, offset: 2)
        let found = run(32) { coix_op_draw_uniform(Self.source, order, 0, 1, $0, 1) }
        let steps = particles.flatMap { particle in instances.map { UInt64(particle * 3 + $0 * 30) } }
        let expected = output(32) { out in
          steps.withUnsafeBufferPointer {
            let draw = coix_draw(
              first_row: 0, valid_rows: 12, rows: 16, elements: 2, row_stride: 1, element_stride: 1,
              offset: 2,
              row_numbers: $0.baseAddress)
            coix_draw_uniform(Self.key, draw, 0, 1, out, 1)
          }
        }
        #expect(sameBits(found, expected))
      }
    }
  }

  /// Rows in a file are what they are in memory: all of a chunk, those of its particles or instances, through
  /// an index, and all rows; of floats and of doubles. What cannot be read stops a list.
  @Test(arguments: [4, 8]) func rowsInAFile(_ numberBytes: Int) throws {
    let width = 3
    var numbers: [UInt64] = []
    for particle in 5..<8 { for instance in 4..<8 { numbers.append(UInt64(particle * 10 + instance)) } }
    let table: [Float] = (0..<300).map { Float($0) / 7 }
    // Descending, repeated, far apart.
    var index = [Int32](repeating: 42, count: 100)
    for row in 0..<57 { index[row] = Int32(99 - row) }
    for row in 75..<100 { index[row] = Int32(row * 37 % 100) }
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("coix-\(UUID().uuidString)").path
    var bytes = Data(count: 8)
    if numberBytes == 4 {
      table.withUnsafeBytes { bytes.append(contentsOf: $0) }
    } else {
      table.map(Double.init).withUnsafeBytes { bytes.append(contentsOf: $0) }
    }
    try bytes.write(to: URL(fileURLWithPath: path))
    defer { unlink(path) }
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    let file = coix_file_rows(descriptor: descriptor, number_bytes: UInt32(numberBytes), start: 8)
    var place = coix_place()
    (place.chunk, place.rows, place.padded_rows, place.first_row) = (1, 12, 16, 54)
    (place.first_particle, place.particles, place.first_instance, place.instances) = (5, 3, 4, 4)

    /// How many of the operations run, and what they write.
    func run(_ count: Int, _ make: (Floats) -> coix_operation) -> (count: Int, numbers: [Float]) {
      var ran = 0
      let place = place
      let numbers = output(count) { target in ran = coix_execute([make(target)], 1, [place]) }
      return (ran, numbers)
    }
    withUnsafePointer(to: file) { file in
      table.withUnsafeBufferPointer { table in
        index.withUnsafeBufferPointer { index in
          numbers.withUnsafeBufferPointer { numbers in
            let indices: [UnsafePointer<Int32>?] = [nil, index.baseAddress]
            let rowNumbers: [UnsafePointer<UInt64>?] = [nil, numbers.baseAddress]
            for number in 0..<12 {
              let (index, axes) = (indices[number % 2], number / 2 % 3)
              place.row_numbers = rowNumbers[number / 6]
              let loaded = run(48) { coix_op_load_rows(table.baseAddress, index, $0, 16, width, axes) }
              let read = run(48) { coix_op_read_rows(file, index, $0, 16, width, axes) }
              #expect(read.count == 1)
              // Of particles and instances there are fewer; all lanes are filled nevertheless.
              #expect(read.numbers == loaded.numbers, "\(number)")
            }
          }
          let gathered = output(300) {
            coix_gather_rows(table.baseAddress, index.baseAddress, $0, 100, width, 1)
          }
          let read = run(300) { coix_op_read_whole(file, index.baseAddress, $0, 100, width) }
          #expect(read.count == 1 && read.numbers == gathered)
          let whole = run(300) { coix_op_read_whole(file, nil, $0, 100, width) }
          #expect(whole.count == 1 && whole.numbers == Array(table))
          #expect(run(3) { coix_op_read_whole(file, nil, $0, 0, width) }.count == 1)
        }
      }
      #expect(truncate(path, off_t(8 + 99 * width * numberBytes)) == 0)
      #expect(run(300) { coix_op_read_whole(file, nil, $0, 100, width) }.count == 0)
      #expect(run(300) { coix_op_read_whole(file, nil, $0, 99, width) }.count == 1)
    }
    let closed = coix_file_rows(descriptor: -1, number_bytes: 4, start: 0)
    withUnsafePointer(to: closed) { closed in
      #expect(run(3) { coix_op_read_whole(closed, nil, $0, 1, 1) }.count == 0)
    }
  }

  /// Outside of plates a draw's elements take the role of rows.
  @Test func drawsOutsideOfPlates() {
    let order = coix_draw_order(
      kind: 0, elements: 20, row_stride: 3, particle_stride: 0, element_stride: 3, offset: 4)
    let found = output(20) {
      #expect(coix_execute([coix_op_draw_normal(Self.source, order, $0, 1)], 1, nil) == 1)
    }
    let draw = coix_draw(
      first_row: 0, valid_rows: 20, rows: 20, elements: 1, row_stride: 3, element_stride: 0, offset: 4,
      row_numbers: nil)
    #expect(sameBits(found, output(20) { coix_draw_normal(Self.key, draw, $0, 1) }))
  }
}
