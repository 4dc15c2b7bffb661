// Kernel calls as values: what a chunk computes is a list of them, which can be run again on the rows of another chunk.
//
// An operation holds a kernel's arguments: pointers (those it writes first, then those it reads), sizes and strides, and numbers.
// For each kernel there is one function here that makes the operation, with the kernel's own parameters in the kernel's own
// order; CoixKernels.h says what they mean. `coix_execute` runs a list.
//
// Operations that move rows between a whole plate and a chunk, and draws, depend on the chunk: they take its rows from a
// `coix_place` when they run.
//
// CoixKernels.h includes this file.

#ifndef COIX_OPERATIONS_H
#define COIX_OPERATIONS_H

#include <string.h>

#define COIX_OPERATION_POINTERS 14
#define COIX_OPERATION_SIZES 14

/// What is known of a kind of operation.
typedef enum {
  /// It depends on the chunk's rows.
  COIX_PLACED = 1,
  /// It also reads what it writes.
  COIX_UPDATES = 2,
  /// It holds or not: see coix_execute.
  COIX_GUARDS = 4,
  /// It writes the chunk's part of memory that all chunks have in common.
  COIX_EXPORTS = 8,
} coix_operation_traits;

/// The kinds: constant, how many pointers it writes (at most), how many it reads, traits. This is the only list of them; each has
/// a function below that makes it and a case in operations.c that runs it.
#define COIX_OPERATIONS(OP) \
  OP(COIX_OP_UNARY, 1, 1, 0) \
  OP(COIX_OP_UNARY_BACKWARD, 1, 3, 0) \
  OP(COIX_OP_BINARY, 1, 2, 0) \
  OP(COIX_OP_SELECT, 1, 3, 0) \
  OP(COIX_OP_FILL, 1, 0, 0) \
  OP(COIX_OP_COPY, 1, 1, 0) \
  OP(COIX_OP_ACCUMULATE, 1, 1, COIX_UPDATES) \
  OP(COIX_OP_TRANSPOSE, 1, 1, 0) \
  OP(COIX_OP_REDUCE, 1, 1, 0) \
  OP(COIX_OP_SOFTMAX, 1, 1, 0) \
  OP(COIX_OP_LOGSUMEXP_BACKWARD, 1, 2, 0) \
  OP(COIX_OP_ARGMAX, 1, 1, 0) \
  OP(COIX_OP_CUMSUM, 1, 1, 0) \
  OP(COIX_OP_CATEGORY_BOUNDS, 1, 2, 0) \
  OP(COIX_OP_CATEGORIES, 1, 2, 0) \
  OP(COIX_OP_NORMAL_DENSITY, 1, 3, 0) \
  OP(COIX_OP_NORMAL_DENSITY_BACKWARD, 3, 4, 0) \
  OP(COIX_OP_LOG_DENSITY, 1, 6, 0) \
  OP(COIX_OP_LOG_DENSITY_BACKWARD, 6, 7, 0) \
  OP(COIX_OP_SIMPLEX_DENSITY, 1, 2, 0) \
  OP(COIX_OP_SIMPLEX_DENSITY_BACKWARD, 2, 3, 0) \
  OP(COIX_OP_DENSE, 1, 3, 0) \
  OP(COIX_OP_DENSE_BACKWARD, 4, 4, 0) \
  OP(COIX_OP_BATCHED_MATMUL, 1, 2, 0) \
  OP(COIX_OP_CORRELATE, 1, 2, 0) \
  OP(COIX_OP_THREEFRY, 1, 1, 0) \
  OP(COIX_OP_DRAW_UNIFORM, 1, 1, COIX_PLACED) \
  OP(COIX_OP_DRAW_NORMAL, 1, 1, COIX_PLACED) \
  OP(COIX_OP_DRAW_GUMBEL, 1, 1, COIX_PLACED) \
  OP(COIX_OP_DRAW_RANDINT, 1, 1, COIX_PLACED) \
  OP(COIX_OP_DRAW_NORMAL_AFFINE, 2, 3, COIX_PLACED) \
  OP(COIX_OP_DRAW_GAMMA, 1, 2, COIX_PLACED) \
  OP(COIX_OP_DRAW_BINOMIAL, 1, 3, COIX_PLACED) \
  OP(COIX_OP_GAMMA_SLOPE, 1, 3, 0) \
  OP(COIX_OP_LOG_BESSEL_I0, 1, 1, 0) \
  OP(COIX_OP_LOG_BESSEL_I0_BACKWARD, 1, 2, 0) \
  OP(COIX_OP_VON_MISES_ROUND, 2, 3, COIX_UPDATES) \
  OP(COIX_OP_SOLVE_TRIANGULAR, 1, 2, 0) \
  OP(COIX_OP_CHOLESKY, 1, 1, 0) \
  OP(COIX_OP_CHOLESKY_BACKWARD, 1, 1, COIX_UPDATES) \
  OP(COIX_OP_LOAD_ROWS, 1, 2, COIX_PLACED) \
  OP(COIX_OP_READ_ROWS, 1, 2, COIX_PLACED) \
  OP(COIX_OP_READ_WHOLE, 1, 2, 0) \
  OP(COIX_OP_STORE_ROWS, 1, 1, COIX_PLACED | COIX_EXPORTS) \
  OP(COIX_OP_CLEAR_PADDING, 1, 0, COIX_PLACED | COIX_UPDATES) \
  OP(COIX_OP_SUM_ROWS, 1, 1, COIX_PLACED | COIX_EXPORTS) \
  OP(COIX_OP_SPREAD_ROWS, 1, 1, 0) \
  OP(COIX_OP_FOLD_ROWS, 1, 1, 0) \
  OP(COIX_OP_GATHER_ROWS, 1, 2, 0) \
  OP(COIX_OP_SCATTER_POSITIONS, 2, 2, 0) \
  OP(COIX_OP_POSITIONS, 1, 1, 0) \
  OP(COIX_OP_GATHER_TABLE, 1, 2, 0) \
  OP(COIX_OP_SCATTER_TABLE, 2, 2, 0) \
  OP(COIX_OP_GATHER_AXIS, 1, 2, 0) \
  OP(COIX_OP_SCATTER_AXIS, 1, 2, COIX_UPDATES) \
  OP(COIX_OP_ONE_HOT, 1, 1, 0) \
  OP(COIX_OP_ACCUMULATE_DOUBLE, 1, 1, COIX_UPDATES) \
  OP(COIX_OP_ROUND, 1, 1, 0) \
  OP(COIX_OP_SUM_CHUNKS, 1, 1, 0) \
  OP(COIX_OP_WEIGHT_MOMENTS, 3, 1, 0) \
  OP(COIX_OP_WEIGHTS_ARE_VALID, 0, 2, COIX_GUARDS) \
  OP(COIX_OP_WEIGHT_SUMMARY, 2, 3, 0) \
  OP(COIX_OP_RESAMPLE, 2, 2, COIX_GUARDS) \
  OP(COIX_OP_NUMBER_ROWS, 1, 0, COIX_UPDATES) \
  OP(COIX_OP_COMPOSE_ROWS, 1, 2, 0) \
  OP(COIX_OP_ASCENDS, 0, 1, COIX_GUARDS) \
  OP(COIX_OP_SCATTER_RUNS, 1, 2, 0) \
  OP(COIX_OP_SORT_ROWS, 2, 1, 0) \
  OP(COIX_OP_SCATTER_ROWS, 1, 3, 0) \
  OP(COIX_OP_ADAM_CORRECTIONS, 1, 2, 0) \
  OP(COIX_OP_ADAM, 3, 5, 0) \
  OP(COIX_OP_IS_WITHIN, 0, COIX_OPERATION_POINTERS, COIX_GUARDS) \
  OP(COIX_OP_IS_ZERO, 0, 1, COIX_GUARDS) \
  OP(COIX_OP_ENTER, 0, 1, 0) \
  OP(COIX_OP_CALL, 0, 0, COIX_GUARDS)

#define COIX_CODE(constant, writes, reads, traits) constant,
typedef enum { COIX_OPERATIONS(COIX_CODE) COIX_OPERATION_COUNT } coix_operation_code;
#undef COIX_CODE

/// One kernel call.
typedef struct {
  /// A coix_operation_code.
  uint16_t code;
  /// Which of the kernel's functions; a flag; or, of a guard, the outcome that is expected.
  uint16_t variant;
  /// OpenMP threads that the kernel may use.
  int32_t team;
  /// A draw's key, unless it reads the key from memory.
  coix_key key;
  float numbers[2];
  /// What the kernel writes, then what it reads; NULL where an argument is absent.
  void *pointers[COIX_OPERATION_POINTERS];
  size_t sizes[COIX_OPERATION_SIZES];
} coix_operation;

/// The rows of the chunk that operations run on.
typedef struct {
  /// The chunk's number in its stage.
  size_t chunk;
  /// The chunk's rows: real ones, and padded to whole vectors.
  size_t rows, padded_rows;
  /// The number, in the plate, of the first row.
  size_t first_row;
  /// The chunk's particles and instances.
  size_t first_particle, particles, first_instance, instances;
  /// The rows' numbers in the plate; NULL if they follow each other.
  const uint64_t *row_numbers;
  /// Room for a number for each row.
  uint64_t *scratch;
} coix_place;

/// Runs operations one after the other, or, where elementwise ones on as many elements follow each other, those block by block.
/// `place` may be NULL outside of plates. Stops at a guard whose outcome is not the expected one, and where a file cannot be read.
/// Returns how many operations have run: `count`, unless one stopped it.
size_t coix_execute(const coix_operation *operations, size_t count, const coix_place *place);

/// How many pointers an operation of a kind writes, how many it reads, and its traits.
int coix_operation_writes(uint16_t code);
int coix_operation_reads(uint16_t code);
int coix_operation_traits_of(uint16_t code);

// MARK: - One function for each kind

#define COIX_MAKE static inline coix_operation
#define COIX_POINTERS(...) .pointers = {__VA_ARGS__}
#define COIX_SIZES(...) .sizes = {__VA_ARGS__}

#include "CoixElementOperations.h"
#include "CoixDistributionOperations.h"

COIX_MAKE coix_op_dense_forward(const float *x, const float *kernel, const float *bias, float *y, size_t in, size_t out,
                                size_t rows, coix_activation activation, int team) {
  return (coix_operation){COIX_OP_DENSE, (uint16_t)activation, team,
                          COIX_POINTERS(y, (void *)x, (void *)kernel, (void *)bias), COIX_SIZES(in, out, rows)};
}
COIX_MAKE coix_op_dense_backward(const float *x, const float *kernel, const float *y, const float *dy, float *dz, float *dx,
                                 float *dkernel, float *dbias, size_t in, size_t out, size_t rows,
                                 coix_activation activation, int team) {
  return (coix_operation){COIX_OP_DENSE_BACKWARD, (uint16_t)activation, team,
                          COIX_POINTERS(dz, dx, dkernel, dbias, (void *)x, (void *)kernel, (void *)y, (void *)dy),
                          COIX_SIZES(in, out, rows)};
}
COIX_MAKE coix_op_batched_matmul(const float *a, const float *b, float *out, size_t m, size_t k, size_t n, size_t rows) {
  return (coix_operation){COIX_OP_BATCHED_MATMUL, 0, 1, COIX_POINTERS(out, (void *)a, (void *)b),
                          COIX_SIZES(m, k, n, rows)};
}
COIX_MAKE coix_op_correlate(const float *image, const float *kernel, size_t kernel_row_stride, float *out,
                            coix_correlation shape, size_t outer, size_t rows, int team) {
  return (coix_operation){COIX_OP_CORRELATE, (uint16_t)shape.flips, team, COIX_POINTERS(out, (void *)image, (void *)kernel),
                          COIX_SIZES(outer, rows, kernel_row_stride, shape.height, shape.width, shape.kernel_height,
                                     shape.kernel_width, shape.top, shape.left)};
}
COIX_MAKE coix_op_solve_triangular(const float *factor, size_t factor_outer_stride, size_t factor_row_stride, const float *b,
                                   float *x, size_t outer, size_t n, size_t rows, int transposed) {
  return (coix_operation){COIX_OP_SOLVE_TRIANGULAR, (uint16_t)transposed, 1, COIX_POINTERS(x, (void *)factor, (void *)b),
                          COIX_SIZES(outer, n, rows, factor_outer_stride, factor_row_stride)};
}
COIX_MAKE coix_op_cholesky(const float *matrix, float *factor, size_t outer, size_t n, size_t rows) {
  return (coix_operation){COIX_OP_CHOLESKY, 0, 1, COIX_POINTERS(factor, (void *)matrix), COIX_SIZES(outer, n, rows)};
}
COIX_MAKE coix_op_cholesky_backward(const float *factor, float *gradient, size_t outer, size_t n, size_t rows) {
  return (coix_operation){COIX_OP_CHOLESKY_BACKWARD, 0, 1, COIX_POINTERS(gradient, (void *)factor),
                          COIX_SIZES(outer, n, rows)};
}

/// The chunk's rows of a row-major buffer, through an index if there is one (nullable). `axes`: 0 loads all rows, 1 one for each
/// particle, 2 one for each instance.
COIX_MAKE coix_op_load_rows(const float *source, const int32_t *index, float *destination, size_t padded_rows,
                            size_t elements, size_t axes) {
  return (coix_operation){COIX_OP_LOAD_ROWS, 0, 1, COIX_POINTERS(destination, (void *)source, (void *)index),
                          COIX_SIZES(padded_rows, elements, axes)};
}
/// The same of rows in a file. Where they cannot be read, a list of operations stops, as at a guard.
COIX_MAKE coix_op_read_rows(const coix_file_rows *file, const int32_t *index, float *destination, size_t padded_rows,
                            size_t elements, size_t axes) {
  return (coix_operation){COIX_OP_READ_ROWS, 0, 1, COIX_POINTERS(destination, (void *)file, (void *)index),
                          COIX_SIZES(padded_rows, elements, axes)};
}
/// The first `count` rows in a file, or those of an index, row-major.
COIX_MAKE coix_op_read_whole(const coix_file_rows *file, const int32_t *index, float *destination, size_t count,
                             size_t elements) {
  return (coix_operation){COIX_OP_READ_WHOLE, 0, 1, COIX_POINTERS(destination, (void *)file, (void *)index),
                          COIX_SIZES(count, elements)};
}
/// The opposite of loading, for all rows of the chunk.
COIX_MAKE coix_op_store_rows(const float *source, float *destination, size_t elements) {
  return (coix_operation){COIX_OP_STORE_ROWS, 0, 1, COIX_POINTERS(destination, (void *)source), COIX_SIZES(elements)};
}
/// Sets padding rows to 0.
COIX_MAKE coix_op_clear_padding(float *y, size_t elements) {
  return (coix_operation){COIX_OP_CLEAR_PADDING, 0, 1, COIX_POINTERS(y), COIX_SIZES(elements)};
}
/// sums[chunk * count + position] = the sum of x over the chunk's rows, or, if x is the same for all rows, x times their number.
COIX_MAKE coix_op_sum_rows(const float *x, int is_uniform, double *sums, size_t count, size_t position) {
  return (coix_operation){COIX_OP_SUM_ROWS, (uint16_t)is_uniform, 1, COIX_POINTERS(sums, (void *)x),
                          COIX_SIZES(count, position)};
}
COIX_MAKE coix_op_spread_rows(const float *source, size_t source_rows, float *destination, size_t rows, size_t elements,
                              size_t outer, size_t inner, int by_inner) {
  return (coix_operation){COIX_OP_SPREAD_ROWS, (uint16_t)by_inner, 1, COIX_POINTERS(destination, (void *)source),
                          COIX_SIZES(source_rows, rows, elements, outer, inner)};
}
COIX_MAKE coix_op_fold_rows(const float *source, size_t rows, float *destination, size_t destination_rows, size_t elements,
                            size_t outer, size_t inner, int by_inner) {
  return (coix_operation){COIX_OP_FOLD_ROWS, (uint16_t)by_inner, 1, COIX_POINTERS(destination, (void *)source),
                          COIX_SIZES(rows, destination_rows, elements, outer, inner)};
}
COIX_MAKE coix_op_gather_rows(const float *source, const int32_t *index, float *destination, size_t count, size_t elements,
                              int team) {
  return (coix_operation){COIX_OP_GATHER_ROWS, 0, team, COIX_POINTERS(destination, (void *)source, (void *)index),
                          COIX_SIZES(count, elements)};
}
COIX_MAKE coix_op_scatter_positions(const float *source, const int32_t *index, double *sums, float *destination, size_t n,
                                    size_t count, size_t inner) {
  return (coix_operation){COIX_OP_SCATTER_POSITIONS, 0, 1,
                          COIX_POINTERS(destination, sums, (void *)source, (void *)index), COIX_SIZES(n, count, inner)};
}
COIX_MAKE coix_op_positions(const float *x, int32_t *positions, size_t n, size_t count) {
  return (coix_operation){COIX_OP_POSITIONS, 0, 1, COIX_POINTERS(positions, (void *)x), COIX_SIZES(n, count)};
}
COIX_MAKE coix_op_gather_table(const float *table, const int32_t *positions, float *out, size_t rows, size_t inner) {
  return (coix_operation){COIX_OP_GATHER_TABLE, 0, 1, COIX_POINTERS(out, (void *)table, (void *)positions),
                          COIX_SIZES(rows, inner)};
}
COIX_MAKE coix_op_scatter_table(const float *gradient, const int32_t *positions, double *sums, float *table, size_t n,
                                size_t inner, size_t rows) {
  return (coix_operation){COIX_OP_SCATTER_TABLE, 0, 1,
                          COIX_POINTERS(table, sums, (void *)gradient, (void *)positions), COIX_SIZES(n, inner, rows)};
}
COIX_MAKE coix_op_gather_axis(const float *x, const float *index, size_t index_stride, float *out, size_t outer, size_t n,
                              size_t inner) {
  return (coix_operation){COIX_OP_GATHER_AXIS, 0, 1, COIX_POINTERS(out, (void *)x, (void *)index),
                          COIX_SIZES(outer, n, inner, index_stride)};
}
COIX_MAKE coix_op_scatter_axis(const float *dy, const float *index, size_t index_stride, float *dx, size_t outer, size_t n,
                               size_t inner) {
  return (coix_operation){COIX_OP_SCATTER_AXIS, 0, 1, COIX_POINTERS(dx, (void *)dy, (void *)index),
                          COIX_SIZES(outer, n, inner, index_stride)};
}
COIX_MAKE coix_op_one_hot(const float *index, float *out, size_t depth, size_t inner) {
  return (coix_operation){COIX_OP_ONE_HOT, 0, 1, COIX_POINTERS(out, (void *)index), COIX_SIZES(depth, inner)};
}
COIX_MAKE coix_op_accumulate_double(double *y, const float *x, size_t count) {
  return (coix_operation){COIX_OP_ACCUMULATE_DOUBLE, 0, 1, COIX_POINTERS(y, (void *)x), COIX_SIZES(count)};
}
COIX_MAKE coix_op_round(const double *x, float *y, size_t count) {
  return (coix_operation){COIX_OP_ROUND, 0, 1, COIX_POINTERS(y, (void *)x), COIX_SIZES(count)};
}
/// out = the sum of sums[chunk * count + position] over all chunks, in this order, rounded.
COIX_MAKE coix_op_sum_chunks(const double *sums, float *out, size_t chunks, size_t count, size_t position) {
  return (coix_operation){COIX_OP_SUM_CHUNKS, 0, 1, COIX_POINTERS(out, (void *)sums), COIX_SIZES(chunks, count, position)};
}
COIX_MAKE coix_op_weight_moments(const float *log_weight, double *greatest, double *sum, double *sum_of_squares, size_t n,
                                 size_t columns, int is_in_file, int team) {
  return (coix_operation){COIX_OP_WEIGHT_MOMENTS, (uint16_t)is_in_file, team,
                          COIX_POINTERS(greatest, sum, sum_of_squares, (void *)log_weight), COIX_SIZES(n, columns)};
}
/// Whether weights have a meaning in all columns: no log-weight is NaN or +inf, and not all are -inf.
COIX_MAKE coix_op_weights_are_valid(const double *greatest, const double *sum, size_t columns) {
  return (coix_operation){COIX_OP_WEIGHTS_ARE_VALID, 1, 1, COIX_POINTERS((void *)greatest, (void *)sum), COIX_SIZES(columns)};
}
COIX_MAKE coix_op_weight_summary(const double *greatest, const double *sum, const double *sum_of_squares, float *ess,
                                 float *log_z, size_t n, size_t columns) {
  return (coix_operation){COIX_OP_WEIGHT_SUMMARY, 0, 1,
                          COIX_POINTERS(ess, log_z, (void *)greatest, (void *)sum, (void *)sum_of_squares),
                          COIX_SIZES(n, columns)};
}
/// A guard: whether the weights can be resampled.
COIX_MAKE coix_op_resample(coix_resampling_scheme scheme, const float *log_weight, const float *random, double *workspace,
                           int32_t *index, size_t n, size_t columns, size_t count, int team) {
  return (coix_operation){COIX_OP_RESAMPLE, 1, team,
                          COIX_POINTERS(index, workspace, (void *)log_weight, (void *)random),
                          COIX_SIZES(n, columns, count, (size_t)scheme)};
}
/// index[r] = index[r] * columns + r % columns: from rows of a column to rows of all columns.
COIX_MAKE coix_op_number_rows(int32_t *index, size_t count, size_t columns, int team) {
  return (coix_operation){COIX_OP_NUMBER_ROWS, 0, team, COIX_POINTERS(index), COIX_SIZES(count, columns)};
}
/// out[r] = first[then[r]].
COIX_MAKE coix_op_compose_rows(const int32_t *first, const int32_t *then, int32_t *out, size_t count, int team) {
  return (coix_operation){COIX_OP_COMPOSE_ROWS, 0, team, COIX_POINTERS(out, (void *)first, (void *)then), COIX_SIZES(count)};
}
/// A guard: whether the index ascends.
COIX_MAKE coix_op_ascends(const int32_t *index, size_t count) {
  return (coix_operation){COIX_OP_ASCENDS, 1, 1, COIX_POINTERS((void *)index), COIX_SIZES(count)};
}
COIX_MAKE coix_op_scatter_add_runs(const float *source, const int32_t *index, float *destination, size_t targets,
                                   size_t count, size_t elements, int team) {
  return (coix_operation){COIX_OP_SCATTER_RUNS, 0, team, COIX_POINTERS(destination, (void *)source, (void *)index),
                          COIX_SIZES(targets, count, elements)};
}
COIX_MAKE coix_op_sort_rows(const int32_t *index, size_t count, size_t targets, int32_t *order, int32_t *offsets) {
  return (coix_operation){COIX_OP_SORT_ROWS, 0, 1, COIX_POINTERS(order, offsets, (void *)index), COIX_SIZES(count, targets)};
}
COIX_MAKE coix_op_scatter_add_rows(const float *source, const int32_t *order, const int32_t *offsets, float *destination,
                                   size_t targets, size_t elements, int team) {
  return (coix_operation){COIX_OP_SCATTER_ROWS, 0, team,
                          COIX_POINTERS(destination, (void *)source, (void *)order, (void *)offsets),
                          COIX_SIZES(targets, elements)};
}
/// out[0 ..< 4] = 1 - beta1^t, 1 - beta2^t, the learning rate, and its product with the weight decay, t = *steps + 1: see
/// coix_adam.
COIX_MAKE coix_op_adam_corrections(const float *steps, const float *rate, float beta1, float beta2, float weight_decay,
                                   float *out) {
  coix_operation made = {COIX_OP_ADAM_CORRECTIONS, 0, 1, .numbers = {beta1, beta2},
                         COIX_POINTERS(out, (void *)steps, (void *)rate)};
  memcpy(&made.sizes[0], &weight_decay, sizeof weight_decay);
  return made;
}
/// One step of Adam to new memory, with the corrections above.
COIX_MAKE coix_op_adam(const float *parameter, const float *gradient, const float *first_moment, const float *second_moment,
                       const float *corrections, float *new_parameter, float *new_first_moment, float *new_second_moment,
                       size_t count, double beta1, double beta2, float epsilon) {
  coix_operation made = {COIX_OP_ADAM, 0, 1, .numbers = {epsilon},
                         COIX_POINTERS(new_parameter, new_first_moment, new_second_moment, (void *)parameter,
                                       (void *)gradient, (void *)first_moment, (void *)second_moment, (void *)corrections),
                         COIX_SIZES(count)};
  memcpy(&made.sizes[1], &beta1, sizeof beta1);
  memcpy(&made.sizes[2], &beta2, sizeof beta2);
  return made;
}
/// Whether all numbers are at least `low` and at most `high`; NaN is not.
COIX_MAKE coix_op_is_within(const float *x, float low, float high, size_t count) {
  return (coix_operation){COIX_OP_IS_WITHIN, 1, 1, .numbers = {low, high}, COIX_POINTERS((void *)x), COIX_SIZES(count)};
}
/// The same of the numbers of another array, too; COIX_OPERATION_POINTERS arrays at most.
COIX_MAKE coix_op_and_within(coix_operation is_within, const float *x, size_t count) {
  size_t k = 0;
  while (is_within.pointers[k]) k++;
  is_within.pointers[k] = (void *)x;
  is_within.sizes[k] = count;
  return is_within;
}
/// Whether all numbers are 0.
COIX_MAKE coix_op_is_zero(const float *x, size_t count) {
  return (coix_operation){COIX_OP_IS_ZERO, 1, 1, COIX_POINTERS((void *)x), COIX_SIZES(count)};
}

/// From here on, operations run on the rows of this chunk.
COIX_MAKE coix_op_enter(const coix_place *place) {
  return (coix_operation){COIX_OP_ENTER, 0, 1, COIX_POINTERS((void *)place)};
}
/// A guard that always stops: the caller does something else and goes on behind it.
COIX_MAKE coix_op_call(size_t number) { return (coix_operation){COIX_OP_CALL, 1, 1, COIX_SIZES(number)}; }

#undef COIX_MAKE
#undef COIX_POINTERS
#undef COIX_SIZES

#endif
