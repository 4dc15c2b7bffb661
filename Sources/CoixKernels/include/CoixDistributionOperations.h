// The operations of the kernels in CoixDistributions.h. CoixOperations.h includes this file, and defines the macros.

#ifndef COIX_DISTRIBUTION_OPERATIONS_H
#define COIX_DISTRIBUTION_OPERATIONS_H

COIX_MAKE coix_op_normal_log_density(const float *x, size_t x_element_stride, size_t x_row_stride, const float *loc,
                                     size_t loc_element_stride, size_t loc_row_stride, const float *scale,
                                     size_t scale_element_stride, size_t scale_row_stride, float *out, size_t groups,
                                     size_t elements, size_t rows) {
  return (coix_operation){COIX_OP_NORMAL_DENSITY, 0, 1, COIX_POINTERS(out, (void *)x, (void *)loc, (void *)scale),
                          COIX_SIZES(groups, elements, rows, x_element_stride, x_row_stride, loc_element_stride,
                                     loc_row_stride, scale_element_stride, scale_row_stride)};
}
COIX_MAKE coix_op_normal_log_density_backward(const float *g, const float *x, size_t x_element_stride, size_t x_row_stride,
                                              const float *loc, size_t loc_element_stride, size_t loc_row_stride,
                                              const float *scale, size_t scale_element_stride, size_t scale_row_stride,
                                              float *dx, float *dloc, float *dscale, size_t groups, size_t elements,
                                              size_t rows) {
  return (coix_operation){COIX_OP_NORMAL_DENSITY_BACKWARD, 0, 1,
                          COIX_POINTERS(dx, dloc, dscale, (void *)g, (void *)x, (void *)loc, (void *)scale),
                          COIX_SIZES(groups, elements, rows, x_element_stride, x_row_stride, loc_element_stride,
                                     loc_row_stride, scale_element_stride, scale_row_stride)};
}
/// `count` operands, at most 6.
COIX_MAKE coix_op_log_density(coix_density family, const coix_operand *operands, size_t count, float *out, size_t outer,
                              size_t rows, int team) {
  coix_operation made = {COIX_OP_LOG_DENSITY, (uint16_t)family, team, COIX_POINTERS(out), COIX_SIZES(outer, rows)};
  for (size_t k = 0; k < count; k++) {
    made.pointers[1 + k] = (void *)operands[k].data;
    made.sizes[2 + 2 * k] = operands[k].outer_stride;
    made.sizes[3 + 2 * k] = operands[k].row_stride;
  }
  return made;
}
COIX_MAKE coix_op_log_density_backward(coix_density family, const coix_operand *operands, size_t count,
                                       const float *gradient, float *const *slopes, size_t outer, size_t rows, int team) {
  coix_operation made = {COIX_OP_LOG_DENSITY_BACKWARD, (uint16_t)family, team, COIX_SIZES(outer, rows)};
  made.pointers[6] = (void *)gradient;
  for (size_t k = 0; k < count; k++) {
    made.pointers[k] = slopes[k];
    made.pointers[7 + k] = (void *)operands[k].data;
    made.sizes[2 + 2 * k] = operands[k].outer_stride;
    made.sizes[3 + 2 * k] = operands[k].row_stride;
  }
  return made;
}
COIX_MAKE coix_op_simplex_log_density(coix_simplex_density family, coix_operand value, coix_operand parameter, float *out,
                                      size_t groups, size_t elements, size_t rows) {
  return (coix_operation){COIX_OP_SIMPLEX_DENSITY, (uint16_t)family, 1,
                          COIX_POINTERS(out, (void *)value.data, (void *)parameter.data),
                          COIX_SIZES(groups, elements, rows, value.outer_stride, value.row_stride, parameter.outer_stride,
                                     parameter.row_stride)};
}
COIX_MAKE coix_op_simplex_log_density_backward(coix_simplex_density family, const float *gradient, coix_operand value,
                                               coix_operand parameter, float *value_slope, float *parameter_slope,
                                               size_t groups, size_t elements, size_t rows) {
  return (coix_operation){COIX_OP_SIMPLEX_DENSITY_BACKWARD, (uint16_t)family, 1,
                          COIX_POINTERS(value_slope, parameter_slope, (void *)gradient, (void *)value.data,
                                        (void *)parameter.data),
                          COIX_SIZES(groups, elements, rows, value.outer_stride, value.row_stride, parameter.outer_stride,
                                     parameter.row_stride)};
}

/// Where the elements of a draw lie in its key's sequence: see coix_draw. Those of a chunk take its rows when they run.
typedef struct {
  /// 0: `elements` elements outside of plates, `row_stride` apart. 1: [elements, rows of the chunk]. 2: the same in nested
  /// plates, where `row_stride` is the step from instance to instance, and `particle_stride` that from particle to particle.
  size_t kind;
  size_t elements, row_stride, particle_stride, element_stride, offset;
} coix_draw_order;

#define COIX_ORDER(order) \
  (order).kind, (order).elements, (order).row_stride, (order).particle_stride, (order).element_stride, (order).offset

/// A draw's key: its words, and where they are to be read when the operation runs again; NULL if they stay the same.
typedef struct {
  coix_key words;
  const coix_key *source;
} coix_key_source;

/// out = the pair of words of block `counter`.
COIX_MAKE coix_op_threefry(const coix_key *key, uint64_t counter, coix_key *out) {
  return (coix_operation){COIX_OP_THREEFRY, 0, 1, COIX_POINTERS(out, (void *)key), COIX_SIZES(counter)};
}
COIX_MAKE coix_op_draw_uniform(coix_key_source key, coix_draw_order order, float low, float high, float *out, int team) {
  return (coix_operation){COIX_OP_DRAW_UNIFORM, 0, team, key.words, {low, high}, COIX_POINTERS(out, (void *)key.source),
                          COIX_SIZES(COIX_ORDER(order))};
}
COIX_MAKE coix_op_draw_normal(coix_key_source key, coix_draw_order order, float *out, int team) {
  return (coix_operation){COIX_OP_DRAW_NORMAL, 0, team, key.words, COIX_POINTERS(out, (void *)key.source),
                          COIX_SIZES(COIX_ORDER(order))};
}
COIX_MAKE coix_op_draw_gumbel(coix_key_source key, coix_draw_order order, float *out, int team) {
  return (coix_operation){COIX_OP_DRAW_GUMBEL, 0, team, key.words, COIX_POINTERS(out, (void *)key.source),
                          COIX_SIZES(COIX_ORDER(order))};
}
COIX_MAKE coix_op_draw_randint(coix_key_source key, coix_draw_order order, int32_t low, int32_t high, int32_t *out, int team) {
  return (coix_operation){COIX_OP_DRAW_RANDINT, 0, team, key.words, COIX_POINTERS(out, (void *)key.source),
                          COIX_SIZES(COIX_ORDER(order), (size_t)low, (size_t)high)};
}
COIX_MAKE coix_op_draw_normal_affine(coix_key_source key, coix_draw_order order, const float *loc, size_t loc_element_stride,
                                     size_t loc_row_stride, const float *scale, size_t scale_element_stride,
                                     size_t scale_row_stride, float *noise, float *out, int team) {
  return (coix_operation){COIX_OP_DRAW_NORMAL_AFFINE, 0, team, key.words,
                          COIX_POINTERS(out, noise, (void *)loc, (void *)scale, (void *)key.source),
                          COIX_SIZES(COIX_ORDER(order), loc_element_stride, loc_row_stride, scale_element_stride,
                                     scale_row_stride)};
}
COIX_MAKE coix_op_draw_gamma(coix_key_source key, coix_draw_order order, const float *alpha, size_t alpha_element_stride,
                             size_t alpha_row_stride, int logarithmic, float *out, int team) {
  return (coix_operation){COIX_OP_DRAW_GAMMA, (uint16_t)logarithmic, team, key.words,
                          COIX_POINTERS(out, (void *)alpha, (void *)key.source),
                          COIX_SIZES(COIX_ORDER(order), alpha_element_stride, alpha_row_stride)};
}
COIX_MAKE coix_op_draw_binomial(coix_key_source key, coix_draw_order order, const float *p, size_t p_element_stride,
                                size_t p_row_stride, const float *n, size_t n_element_stride, size_t n_row_stride,
                                float *out, int team) {
  return (coix_operation){COIX_OP_DRAW_BINOMIAL, 0, team, key.words,
                          COIX_POINTERS(out, (void *)p, (void *)n, (void *)key.source),
                          COIX_SIZES(COIX_ORDER(order), p_element_stride, p_row_stride, n_element_stride, n_row_stride)};
}
#undef COIX_ORDER

COIX_MAKE coix_op_gamma_slope(const float *alpha, size_t alpha_element_stride, size_t alpha_row_stride, const float *sample,
                              int logarithmic, const float *gradient, float *out, size_t elements, size_t rows) {
  return (coix_operation){COIX_OP_GAMMA_SLOPE, (uint16_t)logarithmic, 1,
                          COIX_POINTERS(out, (void *)alpha, (void *)sample, (void *)gradient),
                          COIX_SIZES(elements, rows, alpha_element_stride, alpha_row_stride)};
}
COIX_MAKE coix_op_log_bessel_i0(const float *x, float *y, size_t count) {
  return (coix_operation){COIX_OP_LOG_BESSEL_I0, 0, 1, COIX_POINTERS(y, (void *)x), COIX_SIZES(count)};
}
COIX_MAKE coix_op_log_bessel_i0_backward(const float *x, const float *dy, float *dx, size_t count) {
  return (coix_operation){COIX_OP_LOG_BESSEL_I0_BACKWARD, 0, 1, COIX_POINTERS(dx, (void *)x, (void *)dy), COIX_SIZES(count)};
}
COIX_MAKE coix_op_von_mises_round(const float *concentration, size_t concentration_element_stride,
                                  size_t concentration_row_stride, const float *u, const float *v, float *angle, float *open,
                                  size_t elements, size_t rows) {
  return (coix_operation){COIX_OP_VON_MISES_ROUND, 0, 1,
                          COIX_POINTERS(angle, open, (void *)concentration, (void *)u, (void *)v),
                          COIX_SIZES(elements, rows, concentration_element_stride, concentration_row_stride)};
}

#endif
