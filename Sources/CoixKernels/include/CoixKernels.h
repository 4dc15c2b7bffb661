// The kernels of the particle runtime: pure functions over raw float arrays.
//
// Layout. A *batched* array is particle-minor: `[event..., rows]`, rows contiguous. Inside a chunk,
// `rows` is the padded row count (a multiple of COIX_LANES) and the padding rows repeat the last real
// row, so that every loop runs over whole vectors and a row's bits never depend on its lane. A
// *uniform* array is one row: `[event...]`; its buffer's capacity is rounded up to COIX_LANES floats.
// Every kernel nevertheless works for any count.
//
// Threads. `team` is the number of threads that a kernel may use: OpenMP's for dense layers, helpers (sharing.c) for everything
// else. With `team <= 1` it works alone; workers always pass 1. Results never depend on `team`: teams split outputs,
// or sums by blocks whose borders depend on the size alone.
//
// Nothing here allocates or traps, or keeps state but for the clock of CoixThread.h and the helpers. Nullable pointers are marked.

#ifndef COIX_KERNELS_H
#define COIX_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/// Row counts inside a chunk are multiples of this: one AVX-512 register of floats.
#define COIX_LANES 16

#ifdef __cplusplus
extern "C" {
#endif

// MARK: - Machine (machine.c)

/// The instruction set the kernels run with: "avx512", "avx2" or "baseline". Chosen once, at load.
const char *coix_instruction_set(void);
/// Whether they have fused multiply-add: with and without it, results differ by rounding.
int coix_has_fma(void);
/// The version of the C library, whose functions some kernels call; "" where it does not tell.
const char *coix_c_library(void);
/// The number of words of a set of cores, one bit each.
#define COIX_CORE_WORDS 16
/// Sets the bits of the cores that the calling thread may run on, where the system tells which ones.
void coix_core_mask(uint64_t mask[COIX_CORE_WORDS]);
/// Whether OpenMP was compiled in.
int coix_has_openmp(void);
/// Whether the kernels were compiled with optimisation.
int coix_is_optimised(void);

// MARK: - Work that threads share (sharing.c)

/// The cores that this process may run on: those of its affinity, or what its control group's quota is worth, if that is less.
int coix_cores(void);
/// Runs `work` for each part < parts and waits: on the caller, and on up to `team` - 1 helpers. Which thread runs a part is
/// left to chance.
void coix_share(size_t parts, int team, void *context, void (*work)(void *context, size_t part));
/// Makes the calling thread a helper, until nobody has had work for it for a moment, or it has worked for some milliseconds.
void coix_help(void);
/// Says who calls in helpers: the source gets their number, and has as many threads run `coix_help` soon.
void coix_set_helper_source(void (*source)(int count));
/// How many helpers look for work.
int coix_helpers_at_hand(void);
/// Sends away the helpers that have no work.
void coix_dismiss_helpers(void);

// MARK: - Thread slot and clock (CoixThread.h, machine.c)

#include "CoixThread.h"

// MARK: - Dense layers (dense.c)

typedef enum {
  COIX_IDENTITY = 0,
  COIX_RELU = 1,
  COIX_TANH = 2,
  COIX_SIGMOID = 3,
  COIX_SOFTPLUS = 4,
} coix_activation;

/// y[o, r] = activation(bias[o] + sum_i kernel[i, o] * x[i, r]).
/// x: [in, rows], kernel: [in, out], bias (nullable): [out], y: [out, rows].
/// Sums here and below are taken in blocks of at most 256 terms. Sums of more than 2^14 terms are split, and the sums of
/// the parts are added in double. The error of a sum is at most 512 * 2^-24 times the sum of its terms' magnitudes,
/// however many there are.
void coix_dense_forward(const float *x, const float *kernel, const float *bias, float *y,
                        size_t in, size_t out, size_t rows, coix_activation activation, int team);

/// The gradient of the layer above, from its *output* y and the gradient dy of that output, both [out, rows].
/// dz = dy * activation', with the derivative computed from y;
/// dx[i, r] = sum_o kernel[i, o] dz[o, r] (nullable);
/// dkernel[i, o] = sum_r x[i, r] dz[o, r] (nullable); dbias[o] = sum_r dz[o, r] (nullable).
/// Outputs are overwritten. dz is `out * rows` floats of scratch (it must not overlap other arrays); with
/// COIX_IDENTITY it may be NULL and dy is used in place. x may be NULL when dkernel is NULL.
/// Fast for small layers (2x32, 32x2: all arrays are blocked by rows, so that blocks stay in the first-level
/// cache) and large ones (512x512).
void coix_dense_backward(const float *x, const float *kernel, const float *y, const float *dy,
                         float *dz, float *dx, float *dkernel, float *dbias,
                         size_t in, size_t out, size_t rows, coix_activation activation, int team);

/// out[i, j, r] = sum_k a[i, k, r] * b[k, j, r]; one matrix product a row. Sixty-four terms at a time are summed in single
/// precision, the blocks in double: the error is at most 65 * 2^-24 times the sum of the terms' magnitudes.
void coix_batched_matmul(const float *a, const float *b, float *out,
                         size_t m, size_t k, size_t n, size_t rows);

// MARK: - Correlations of images (correlation.c)

/// Whether the kernel is read, or the result written, in the reverse order of lines and of columns.
enum { COIX_FLIP_KERNEL = 1, COIX_FLIP_RESULT = 2 };

/// A correlation's sizes: those of the image and of the kernel, how many lines of zeros are thought above and below the image,
/// and columns of zeros at its left and right, and the flips. The kernel is not empty, and fits into image and zeros.
typedef struct {
  size_t height, width, kernel_height, kernel_width, top, left;
  int flips;
} coix_correlation;

/// out[o, y, x, r] = sum over u, v of image[o, y + u - top, x + v - left, r] * kernel[o, u, v, r], without the terms outside of the
/// image, for o < outer. image: [outer, height, width, rows], kernel: [outer, kernel_height, kernel_width, rows], or without rows
/// for a kernel_row_stride of 0; out: [outer, height + 2 top - kernel_height + 1, width + 2 left - kernel_width + 1, rows].
/// The terms of one line of the kernel are summed first: the error is at most (kernel_height + kernel_width) * 2^-24 times the sum
/// of the terms' magnitudes.
void coix_correlate(const float *image, const float *kernel, size_t kernel_row_stride, float *out, coix_correlation shape,
                    size_t outer, size_t rows, int team);

// MARK: - Elements, and reductions of them (elementwise.c, reduce.c)

#include "CoixElements.h"

// MARK: - Densities and draws (normal.c, density.c, simplex.c, random.c, gamma.c, gamma_slope.c, binomial.c, von_mises.c)

#include "CoixDistributions.h"

// MARK: - Triangular matrices (triangular.c)

/// The solution x of L x = b (or, if transposed != 0, of L' x = b), L lower triangular; elements above its diagonal are not read.
/// b, x: [outer, n, rows]. Matrix o lies at o * factor_outer_stride: [n, n, rows], or [n, n] for a factor_row_stride of 0.
void coix_solve_triangular(const float *factor, size_t factor_outer_stride, size_t factor_row_stride, const float *b, float *x,
                           size_t outer, size_t n, size_t rows, int transposed);
/// The lower triangular L with L L' = matrix, both [outer, n, n, rows]; NaN where the matrix is not positive definite.
/// Only the matrix's lower triangle is read.
void coix_cholesky(const float *matrix, float *factor, size_t outer, size_t n, size_t rows);
/// Replaces the factor's gradient, of which only the lower triangle is read, by that of the matrix, which is symmetric.
void coix_cholesky_backward(const float *factor, float *gradient, size_t outer, size_t n, size_t rows);

// MARK: - Rows (rows.c): between the row-major whole plate and particle-minor chunks

/// destination[e, r] = source[(index ? index[s] : s) * elements + e] for lane r, s = first_row + min(r, valid_rows - 1).
/// source: [n, elements] row-major; destination: [elements, rows].
void coix_load_rows(const float *source, const int32_t *index, float *destination,
                    size_t first_row, size_t valid_rows, size_t rows, size_t elements);
/// The same for the rows s = row_numbers[min(r, valid_rows - 1)].
void coix_load_numbered_rows(const float *source, const int32_t *index, const uint64_t *row_numbers, float *destination,
                             size_t valid_rows, size_t rows, size_t elements);
/// Rows of numbers in a file that is open for reading, one after the other.
typedef struct {
  /// The file.
  int32_t descriptor;
  /// The bytes of a number: 4 of a float, 8 of a double. Both are little-endian, as the processor's are.
  uint32_t number_bytes;
  /// Where the first row starts.
  int64_t start;
} coix_file_rows;

/// destination[r * row_stride + e * element_stride] = element e of the file's row index ? index[s] : s, rounded to a float, with s
/// as for coix_load_rows, or coix_load_numbered_rows if there are row_numbers (file.c). Rows that lie close together are read at
/// once. Returns 0 if the file cannot be read; errno is then 0 if it ends too soon.
int coix_read_rows(const coix_file_rows *file, const int32_t *index, const uint64_t *row_numbers, float *destination,
                   size_t first_row, size_t valid_rows, size_t rows, size_t row_stride, size_t element_stride,
                   size_t elements);
/// Some bytes of a file that is written in memory begin to go to the disk; nobody waits for them (file.c).
void coix_begin_writing(int descriptor, int64_t start, size_t bytes);
/// The system need no longer keep in memory what is on the disk of some bytes of a file (file.c).
void coix_forget_written(int descriptor, int64_t start, size_t bytes);
/// destination[(first_row + r) * elements + e] = source[e, r] for r < valid_rows. Merges a chunk into a whole plate.
void coix_store_rows(const float *source, float *destination,
                     size_t first_row, size_t valid_rows, size_t rows, size_t elements);
/// The same to the rows row_numbers[r].
void coix_store_numbered_rows(const float *source, const uint64_t *row_numbers, float *destination,
                              size_t valid_rows, size_t rows, size_t elements);
/// destination[e, k * inner + j] = source[e, by_inner ? j : k] for k < outer, j < inner; padding rows repeat the last.
/// source: [elements, source_rows]; destination: [elements, rows].
void coix_spread_rows(const float *source, size_t source_rows, float *destination, size_t rows, size_t elements,
                      size_t outer, size_t inner, int by_inner);
/// The backward pass of coix_spread_rows: destination[e, by_inner ? j : k] = the sum of source[e, k * inner + j] over k, or over
/// j. Sums of more than 64 terms are in double; padding rows get 0.
/// source: [elements, rows]; destination: [elements, destination_rows].
void coix_fold_rows(const float *source, size_t rows, float *destination, size_t destination_rows, size_t elements,
                    size_t outer, size_t inner, int by_inner);
/// destination[r, e] = source[index[r], e]; row-major, r < count.
void coix_gather_rows(const float *source, const int32_t *index, float *destination,
                      size_t count, size_t elements, int team);
/// destination[t, e] = the sum of source[r, e] over the rows with index[r] == t, in ascending order; sums of more than 64 rows
/// are in double. destination: [targets, elements]. `order` and `offsets` come from coix_sort_rows. Each target row is owned by
/// one thread.
void coix_scatter_add_rows(const float *source, const int32_t *order, const int32_t *offsets, float *destination,
                           size_t targets, size_t elements, int team);
/// The same for an ascending index, whose rows are in the order of their targets already, and which points to targets
/// [first_target, end_target) alone: these are written.
void coix_scatter_add_runs(const float *source, const int32_t *index, float *destination, size_t first_target,
                           size_t end_target, size_t count, size_t elements, int team);
/// Writes the entries of an index that are not in [first, end), without those that are equal to the one written before; returns how many
/// they are. With NULL it only counts them.
size_t coix_rows_elsewhere(const int32_t *index, size_t count, int32_t first, int32_t end, int32_t *out);
/// Whether all entries of an index are in [first, end).
int coix_rows_are_within(const int32_t *index, size_t count, int32_t first, int32_t end);
/// Whether an index ascends (it may stay the same from row to row).
int coix_ascends(const int32_t *index, size_t count);
/// Stable counting sort of rows by target: order[offsets[t] ..< offsets[t + 1]] are the rows r with index[r] == t, ascending.
/// offsets: [targets + 1], order: [count].
void coix_sort_rows(const int32_t *index, size_t count, size_t targets, int32_t *order, int32_t *offsets);
/// out[o, i] = x[o, index(i), i], index a float per (i) rounded to nearest, clamped to [0, n): x: [outer, n, inner], out: [outer, inner].
/// index lies at i * index_stride (0 or 1) for i < inner.
void coix_gather_axis(const float *x, const float *index, size_t index_stride, float *out,
                      size_t outer, size_t n, size_t inner);
/// dx[o, index(i), i] += dy[o, i]; dx zeroed by the caller.
void coix_scatter_axis(const float *dy, const float *index, size_t index_stride, float *dx,
                       size_t outer, size_t n, size_t inner);
/// destination[t, i] = the sum of source[k, i] over those k < count with index[k] == t, for t < n. source: [count, inner],
/// destination: [n, inner]; sums: n * inner numbers of scratch. Sums are taken in double, in ascending order of k.
void coix_scatter_positions(const float *source, const int32_t *index, double *sums, float *destination, size_t n,
                            size_t count, size_t inner);
/// positions[i] = x[i] rounded to the nearest whole number and clamped to 0 ..< n; 0 for NaN.
void coix_positions(const float *x, int32_t *positions, size_t n, size_t count);
/// table[t, i] = the sum of gradient[i, r] over those r < rows with positions[r] == t, for t < n, i < inner: [n, inner]. Sums and
/// scratch as in coix_scatter_positions.
void coix_scatter_table(const float *gradient, const int32_t *positions, double *sums, float *table, size_t n, size_t inner,
                        size_t rows);
/// out[k, i] = (index(i) == k), k < depth.
void coix_one_hot(const float *index, float *out, size_t depth, size_t inner);

// MARK: - Resampling (resampling.c)

/// Where the `count` positions on a column's cumulative weights lie, with the weights scaled to a sum of count:
typedef enum {
  COIX_SYSTEMATIC,  // u + i, random: [columns] uniform numbers in [0, 1)
  COIX_STRATIFIED,  // u(i) + i, random: [count, columns] uniform numbers in [0, 1)
  COIX_MULTINOMIAL, // sorted uniform numbers, made from random: [count + 1, columns] exponential numbers
  COIX_RESIDUAL     // floor(count * w) copies of each row first, then multinomial for the rest; random as for multinomial
} coix_resampling_scheme;

/// Resampling of `columns` columns: log_weight is [n, columns] row-major, index [count, columns]: for each position in turn the
/// first row whose cumulative normalised weight (in double) is >= the position. Rows of weight zero are never chosen.
/// workspace: [columns, count], for the multinomial and the residual scheme; else NULL. Returns 0, or 1 + the first column
/// whose log-weights are all -inf, or contain NaN or +inf.
int64_t coix_resample(coix_resampling_scheme scheme, const float *log_weight, const float *random, double *workspace,
                      int32_t *index, size_t n, size_t columns, size_t count, int team);

/// Blocks of rows that somebody else computes.
typedef struct {
  /// Fills in the others' parts of an array with `unit` bytes for each block; returns 0, or an error that is not 1.
  int (*complete)(void *context, void *parts, size_t unit);
  void *context;
} coix_other_blocks;

/// Which positions were assigned to the rows of which block: for each of `count` rounds, block b's are [starts[b], starts[b + 1]).
typedef struct {
  size_t count;
  size_t starts[2][257];
} coix_picks;

/// Resampling of a single column, of whose blocks [first, end) are computed here, and index written at their positions alone. A block
/// has coix_resampling_block(n) rows, the last one what is left; there are at most 256 of them. Returns what coix_resample does, or
/// the error of `others`.
size_t coix_resampling_block(size_t n);
int coix_resample_blocks(coix_resampling_scheme scheme, const float *log_weight, const float *random, double *workspace,
                         int32_t *index, size_t n, size_t count, size_t first, size_t end, const coix_other_blocks *others,
                         coix_picks *picks, int team);

// MARK: - Optimisers (optimiser.c)

/// One step of Adam (Kingma and Ba, 2015, algorithm 1), in place. correction1 = 1 - beta1^t, correction2 = 1 - beta2^t:
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= rate * (m / correction1) / (sqrt(v / correction2) + epsilon) + decay * p.
/// 1 - beta is taken in double: in float it would be off by 1e-5 for 0.999.
void coix_adam(float *parameter, const float *gradient, float *first_moment, float *second_moment, size_t count,
               float rate, float decay, double beta1, double beta2, float epsilon, float correction1, float correction2);

// MARK: - Sums across chunks (merge.c)

/// y[i] += x[i], in double.
void coix_accumulate_double(double *y, const float *x, size_t count);
/// y[i] = x[i], rounded to the nearest float.
void coix_round(const double *x, float *y, size_t count);
/// Part of a sum: in double, or (where `sums` is NULL) a float for each element.
typedef struct {
  const double *sums;
  const float *numbers;
} coix_part;
/// out[i] = the sum of the parts' elements i, added in the parts' order, in double.
void coix_merge_double(const coix_part *parts, size_t part_count, float *out, size_t count, int team);
/// A piece of coix_merge_double: adds the parts' elements start ..< start + count to sums[0 ..< count], in the parts' order.
void coix_add_parts(const coix_part *parts, size_t part_count, size_t start, double *sums, size_t count, int team);
/// The sums of coix_merge_double as floats.
void coix_round_sums(const double *sums, float *out, size_t count);
/// The sum of x[0 ..< count], in double, in an order that depends on count alone.
double coix_sum_double(const float *x, size_t count);
/// For each of `columns` columns of log_weight, [n, columns] row-major: the greatest log-weight, and the sums over rows of
/// exp(w - greatest) and exp(2 (w - greatest)). A column of -inf has sums 0; NaN propagates to the sums.
void coix_weight_moments(const float *log_weight, double *greatest, double *sum, double *sum_of_squares,
                         size_t n, size_t columns, int is_in_file, int team);
/// The same for a single column, in parts that ranks may compute. A block has coix_weight_block(n) rows, the last one what is
/// left; there are at most 256 of them. These are the moments of blocks [first, end), relative to each block's own greatest
/// log-weight; and those of all blocks together.
typedef struct {
  float greatest;
  double sums[2];
} coix_block_moments;
size_t coix_weight_block(size_t n);
void coix_weight_block_moments(const float *log_weight, coix_block_moments *parts, size_t n, size_t first, size_t end,
                               int is_in_file, int team);
void coix_weight_merge_blocks(const coix_block_moments *parts, size_t blocks, double *greatest, double *sum,
                              double *sum_of_squares);
/// Whether weights with these moments have a meaning in all columns: no log-weight is NaN or +inf, and not all are -inf.
int coix_weights_are_valid(const double *greatest, const double *sum, size_t columns);
/// From the moments of n rows: the mean of the columns' effective sample sizes sum^2 / sum_of_squares; and the sum of their
/// log-evidences greatest + log(sum) - log(n).
void coix_weight_summary(const double *greatest, const double *sum, const double *sum_of_squares, float *ess, float *log_z,
                         size_t n, size_t columns);

#ifdef __cplusplus
}
#endif

// MARK: - Kernel calls as values (operations.c)

#include "CoixOperations.h"

#endif
