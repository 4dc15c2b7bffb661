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

/// Position i on the scale of the total weight.
static inline double position(double uniform, size_t i, const layout *l, double total) {
  return (uniform + (double)i) / (double)l->count * total;
}

/// The number of positions <= bound: where the block after `bound` starts.
static size_t first_position(double bound, double uniform, const layout *l, double total) {
  double guess = bound / total * (double)l->count - uniform;
  size_t i = guess <= 0.0 ? 0 : guess >= (double)l->count ? l->count : (size_t)guess;
  while (i > 0 && position(uniform, i - 1, l, total) > bound) i--;
  while (i < l->count && position(uniform, i, l, total) <= bound) i++;
  return i;
}

/// Assigns the positions in (before, before + the block's sum] to the block's rows.
static void block_pick(const float *log_weight, const layout *l, size_t b, float m, double before, double total,
                       double uniform, size_t i, size_t end_position, int32_t *index) {
  size_t start = b * l->size, end = coix_min(start + l->size, l->n);
  double sum = 0.0, w[64];
  int32_t last = -1;
  for (size_t j = start; j < end && i < end_position; j += 64) {
    size_t rows = coix_min(64, end - j);
    weights(log_weight + j * l->columns, l->columns, rows, m, w);
    for (size_t k = 0; k < rows; k++) {
      sum += w[k];
      if (!(w[k] > 0.0)) continue;
      last = (int32_t)(j + k);
      for (; i < end_position && position(uniform, i, l, total) <= before + sum; i++) index[i * l->columns] = last;
    }
  }
  for (; i < end_position; i++) index[i * l->columns] = last; // beyond the last sum by rounding
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
  for (size_t b = 0; b < blocks; b++) starts[b] = b > last ? l->count : first_position(before[b], uniform, l, total);
  // Position 0 belongs to the first row with any weight, though nothing lies before it.
  for (size_t b = 0; b < blocks && before[b] == 0.0; b++) starts[b] = 0;
  starts[blocks] = l->count;
  if (last + 1 < blocks) starts[last + 1] = l->count;

  FOR_BLOCKS(if (before[b + 1] > before[b])
               block_pick(log_weight, l, b, m, before[b], total, uniform, starts[b], starts[b + 1], index));
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
