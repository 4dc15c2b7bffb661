// Systematic resampling: one uniform number a column places `count` evenly spaced positions on the
// cumulative weights (Kitagawa 1996; Carpenter, Clifford and Fearnhead 1999).

#include "internal.h"

#include <math.h>

/// Blocks of rows; their borders depend on n alone, and so does the order of every sum.
#define MOST_BLOCKS 256
#define LEAST_BLOCK ((size_t)1024)

static inline size_t block_size(size_t n) { return coix_max(LEAST_BLOCK, coix_blocks(n, MOST_BLOCKS)); }

typedef struct {
  size_t n, columns, count, size, blocks;
} layout;

/// The largest weight of rows [start, end), NaN if one is NaN.
static float block_max(const float *log_weight, size_t stride, size_t start, size_t end) {
  float m = -INFINITY;
  if (stride == 1) {
    coix_reduce(COIX_MAX, log_weight + start, &m, 1, end - start, 1, 1);
    return m;
  }
  for (size_t j = start; j < end; j++) {
    float w = log_weight[j * stride];
    m = isnan(m) || m > w ? m : w;
  }
  return m;
}

/// Writes exp(w - m) of up to 64 rows.
static void weights(const float *log_weight, size_t stride, size_t count, float m, double *out) {
  float shifted[64];
  for (size_t j = 0; j < count; j++) shifted[j] = log_weight[j * stride] - m;
  coix_unary(COIX_EXP, shifted, shifted, count, 1);
  for (size_t j = 0; j < count; j++) out[j] = (double)shifted[j];
}

static double block_sum(const float *log_weight, size_t stride, size_t start, size_t end, float m) {
  double sum = 0.0, w[64];
  for (size_t j = start; j < end; j += 64) {
    size_t count = coix_min(64, end - j);
    weights(log_weight + j * stride, stride, count, m, w);
    for (size_t l = 0; l < count; l++) sum += w[l];
  }
  return sum;
}

/// The positions: number i lies at (uniform + i) * step, on the scale of the total weight.
typedef struct {
  double uniform, step, per_step;
  size_t count;
} grid;

/// The number of positions <= bound. The quotient is off by one at most.
static inline size_t positions_within(double bound, const grid *g) {
  double quotient = bound * g->per_step - g->uniform;
  quotient = quotient < 0.0 ? 0.0 : quotient > (double)g->count ? (double)g->count : quotient;
  int64_t i = (int64_t)quotient;
  i -= i > 0 && (g->uniform + (double)(i - 1)) * g->step > bound;
  i += (g->uniform + (double)i) * g->step <= bound;
  return coix_min((size_t)i, g->count);
}

/// Assigns the positions [i, end_position), which lie above `before`, to the block's rows. Each row with any weight
/// leaves its number at the first position beyond what came before it, where the last to do so stays; the positions
/// between repeat the one before. So nothing branches on the weights.
static void block_pick(const float *log_weight, const layout *l, size_t b, float m, double before, const grid *g,
                       size_t i, size_t end_position, int32_t *index) {
  size_t start = b * l->size, end = coix_min(start + l->size, l->n), at = i;
  double sum = 0.0, w[64];
  int32_t nowhere;
  for (size_t k = i; k < end_position; k++) index[k * l->columns] = -1;
  for (size_t j = start; j < end; j += 64) {
    size_t rows = coix_min(64, end - j);
    weights(log_weight + j * l->columns, l->columns, rows, m, w);
    for (size_t k = 0; k < rows; k++) {
      int32_t *target = w[k] > 0.0 && at < end_position ? index + at * l->columns : &nowhere;
      *target = (int32_t)(j + k);
      sum += w[k];
      size_t within = positions_within(before + sum, g);
      at = w[k] > 0.0 && within > at ? within : at;
    }
  }
  int32_t last = -1;
  for (size_t k = i; k < end_position; k++) {
    int32_t here = index[k * l->columns];
    last = here > last ? here : last;
    index[k * l->columns] = last;
  }
}

/// Runs `statement` for each block b, by a team where there is one.
#define FOR_BLOCKS(statement)                                                                      \
  do {                                                                                             \
    if (threads <= 1) {                                                                            \
      for (size_t b = 0; b < blocks; b++) statement;                                               \
    } else {                                                                                       \
      _Pragma("omp parallel for schedule(static) num_threads(threads)")                            \
      for (size_t b = 0; b < blocks; b++) statement;                                               \
    }                                                                                              \
  } while (0)

/// One column; 0, or 1 where its weights have no sum.
static int column(const float *log_weight, double uniform, int32_t *index, const layout *l, int team) {
  float largest[MOST_BLOCKS];
  double before[MOST_BLOCKS + 1];
  size_t starts[MOST_BLOCKS + 1];
  const size_t n = l->n, stride = l->columns, size = l->size, blocks = l->blocks;
  int threads = coix_team_for((double)n * 3.0, team);
  FOR_BLOCKS(largest[b] = block_max(log_weight, stride, b * size, coix_min((b + 1) * size, n)));
  float m = block_max(largest, 1, 0, blocks);
  if (!isfinite(m)) return 1;

  FOR_BLOCKS(before[b + 1] = block_sum(log_weight, stride, b * size, coix_min((b + 1) * size, n), m));
  size_t last = 0; // the last block with any weight takes what rounding leaves
  before[0] = 0.0;
  for (size_t b = 0; b < blocks; b++) {
    if (before[b + 1] > 0.0) last = b;
    before[b + 1] += before[b];
  }
  const double total = before[blocks];
  const grid g = {uniform, total / (double)l->count, (double)l->count / total, l->count};
  for (size_t b = 0; b < blocks; b++) starts[b] = b > last ? l->count : positions_within(before[b], &g);
  // Position 0 belongs to the first row with any weight, though nothing lies before it.
  for (size_t b = 0; b < blocks && before[b] == 0.0; b++) starts[b] = 0;
  starts[blocks] = l->count;
  if (last + 1 < blocks) starts[last + 1] = l->count;

  FOR_BLOCKS(if (before[b + 1] > before[b])
               block_pick(log_weight, l, b, m, before[b], &g, starts[b], starts[b + 1], index));
  return 0;
}

int64_t coix_systematic(const float *log_weight, const float *uniform, int32_t *index,
                        size_t n, size_t columns, size_t count, int team) {
  if (n == 0) return columns ? 1 : 0;
  size_t size = block_size(n);
  const layout l = {n, columns, count, size, coix_blocks(n, size)};
  for (size_t c = 0; c < columns; c++)
    if (column(log_weight + c, (double)uniform[c], index + c, &l, team)) return (int64_t)c + 1;
  return 0;
}
