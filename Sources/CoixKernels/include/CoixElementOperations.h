// The operations of the kernels in CoixElements.h. CoixOperations.h includes this file, and defines the macros.

#ifndef COIX_ELEMENT_OPERATIONS_H
#define COIX_ELEMENT_OPERATIONS_H

COIX_MAKE coix_op_unary(coix_unary_op op, const float *x, float *y, size_t count, int team) {
  return (coix_operation){COIX_OP_UNARY, (uint16_t)op, team, COIX_POINTERS(y, (void *)x), COIX_SIZES(count)};
}
COIX_MAKE coix_op_unary_backward(coix_unary_op op, const float *x, const float *y, const float *dy, float *dx, size_t count,
                                 int team) {
  return (coix_operation){COIX_OP_UNARY_BACKWARD, (uint16_t)op, team,
                          COIX_POINTERS(dx, (void *)x, (void *)y, (void *)dy), COIX_SIZES(count)};
}
COIX_MAKE coix_op_binary(coix_binary_op op, const float *a, size_t a_outer_stride, size_t a_row_stride, const float *b,
                         size_t b_outer_stride, size_t b_row_stride, float *out, size_t outer, size_t rows, int team) {
  return (coix_operation){COIX_OP_BINARY, (uint16_t)op, team, COIX_POINTERS(out, (void *)a, (void *)b),
                          COIX_SIZES(outer, rows, a_outer_stride, a_row_stride, b_outer_stride, b_row_stride)};
}
COIX_MAKE coix_op_select(const float *condition, size_t c_outer_stride, size_t c_row_stride, const float *a,
                         size_t a_outer_stride, size_t a_row_stride, const float *b, size_t b_outer_stride,
                         size_t b_row_stride, float *out, size_t outer, size_t rows, int team) {
  return (coix_operation){COIX_OP_SELECT, 0, team, COIX_POINTERS(out, (void *)condition, (void *)a, (void *)b),
                          COIX_SIZES(outer, rows, c_outer_stride, c_row_stride, a_outer_stride, a_row_stride,
                                     b_outer_stride, b_row_stride)};
}
COIX_MAKE coix_op_fill(float *y, float value, size_t count, int team) {
  return (coix_operation){COIX_OP_FILL, 0, team, .numbers = {value}, COIX_POINTERS(y), COIX_SIZES(count)};
}
COIX_MAKE coix_op_copy(const float *source, size_t source_outer_stride, size_t source_stride, float *destination,
                       size_t destination_outer_stride, size_t outer, size_t count) {
  return (coix_operation){COIX_OP_COPY, 0, 1, COIX_POINTERS(destination, (void *)source),
                          COIX_SIZES(outer, count, source_outer_stride, source_stride, destination_outer_stride)};
}
COIX_MAKE coix_op_accumulate(float *y, const float *x, size_t count, int team) {
  return (coix_operation){COIX_OP_ACCUMULATE, 0, team, COIX_POINTERS(y, (void *)x), COIX_SIZES(count)};
}
/// destination[c, r] = source[r, c] reversed: coix_store_rows of a whole matrix.
COIX_MAKE coix_op_transpose(const float *source, float *destination, size_t rows, size_t columns) {
  return (coix_operation){COIX_OP_TRANSPOSE, 0, 1, COIX_POINTERS(destination, (void *)source), COIX_SIZES(rows, columns)};
}
COIX_MAKE coix_op_reduce(coix_reduction op, const float *x, float *out, size_t outer, size_t n, size_t inner, int team) {
  return (coix_operation){COIX_OP_REDUCE, (uint16_t)op, team, COIX_POINTERS(out, (void *)x), COIX_SIZES(outer, n, inner)};
}
COIX_MAKE coix_op_softmax(const float *x, float *y, size_t outer, size_t n, size_t inner, int logarithmic, int team) {
  return (coix_operation){COIX_OP_SOFTMAX, (uint16_t)logarithmic, team, COIX_POINTERS(y, (void *)x),
                          COIX_SIZES(outer, n, inner)};
}
COIX_MAKE coix_op_logsumexp_backward(const float *x, const float *gradient, float *dx, size_t outer, size_t n, size_t inner,
                                     int team) {
  return (coix_operation){COIX_OP_LOGSUMEXP_BACKWARD, 0, team, COIX_POINTERS(dx, (void *)x, (void *)gradient),
                          COIX_SIZES(outer, n, inner)};
}
COIX_MAKE coix_op_argmax(const float *x, float *out, size_t outer, size_t n, size_t inner) {
  return (coix_operation){COIX_OP_ARGMAX, 0, 1, COIX_POINTERS(out, (void *)x), COIX_SIZES(outer, n, inner)};
}
COIX_MAKE coix_op_cumsum(const float *x, float *y, size_t outer, size_t n, size_t inner, int backward) {
  return (coix_operation){COIX_OP_CUMSUM, (uint16_t)backward, 1, COIX_POINTERS(y, (void *)x), COIX_SIZES(outer, n, inner)};
}
COIX_MAKE coix_op_category_bounds(const float *probability, const float *sum, float *bound, size_t outer, size_t n,
                                  size_t inner) {
  return (coix_operation){COIX_OP_CATEGORY_BOUNDS, 0, 1, COIX_POINTERS(bound, (void *)probability, (void *)sum),
                          COIX_SIZES(outer, n, inner)};
}
COIX_MAKE coix_op_categories(const float *bound, size_t step, size_t n, size_t b_outer_stride, size_t b_row_stride,
                             const float *uniform, size_t u_outer_stride, size_t u_row_stride, float *out, size_t outer,
                             size_t rows) {
  return (coix_operation){COIX_OP_CATEGORIES, 0, 1, COIX_POINTERS(out, (void *)bound, (void *)uniform),
                          COIX_SIZES(outer, rows, step, n, b_outer_stride, b_row_stride, u_outer_stride, u_row_stride)};
}

#endif
