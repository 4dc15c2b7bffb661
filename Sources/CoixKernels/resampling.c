// Resampling: ascending positions on the cumulative weights of a column choose rows (Douc, Cappé and Moulines 2005). The schemes
// differ in where the positions lie. Weights and their sums are in double, so that the number of a row's copies is right for
// any number of rows.

#include "internal.h"

#include <math.h>
#include <stdatomic.h>

/// Evenly spaced positions, one in each step. The number of them at or below a sum of weights is sum * per_weight + offset,
/// rounded down.
typedef struct {
  double per_weight, offset;
} even_positions;

typedef struct {
  void (*exponentials)(const float *x, size_t n, float greatest, double *out);
  double (*sum)(const float *x, size_t n, float greatest);
  void (*even_runs)(const float *x, size_t n, float greatest, double before, even_positions p, size_t at, size_t limit,
                    int32_t row, int32_t *index);
} resampling_table;

#define COIX_TEMPLATE "Copies/resampling_copy.h"
#include "copies.h"
COIX_CHOOSE(resampling_table, kernels)

/// Blocks of rows; their borders depend on the number of rows alone, and so does the order of every sum.
#define MOST_BLOCKS 256
#define LEAST_BLOCK ((size_t)1024)
/// Rows of a block that are processed at a time.
#define TILE ((size_t)64)

static inline size_t block_size(size_t n) { return coix_max(LEAST_BLOCK, coix_blocks(n, MOST_BLOCKS)); }

size_t coix_resampling_block(size_t n) { return block_size(n); }

// MARK: Weights

/// The part of each row's weight on whose sums the positions lie.
typedef enum {
  WHOLE,  // all of it
  COPIES, // the whole part of the number of copies that the row is worth
  REST    // the fractional part of that number
} part;

typedef struct {
  const float *log_weight;
  size_t n, stride, size, blocks;
  float greatest;
  part part;
  double copies_per_weight;
  int threads;
  /// The blocks that are computed here, and who computes the others.
  size_t first, end;
  const coix_other_blocks *others;
  coix_picks *picks;
} column;

/// Has the others' parts filled in, where there are others; returns 0, or an error.
static int complete(const column *c, void *parts, size_t unit) {
  return c->others ? c->others->complete(c->others->context, parts, unit) : 0;
}

/// The largest log-weight of rows [start, end); NaN if one is NaN.
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

/// Writes c->part of the weights of up to TILE rows. Weights are scaled so that the greatest is 1.
static void weights(const column *c, size_t start, size_t count, double *out) {
  const float *rows = c->log_weight + start * c->stride;
  float packed[TILE];
  if (c->stride != 1) {
    for (size_t j = 0; j < count; j++) packed[j] = rows[j * c->stride];
    rows = packed;
  }
  kernels->exponentials(rows, count, c->greatest, out);
  if (c->part == WHOLE) return;
  for (size_t j = 0; j < count; j++) {
    double copies = out[j] * c->copies_per_weight, whole = (double)(int64_t)copies;
    out[j] = c->part == COPIES ? whole : copies - whole;
  }
}

static double block_sum(const column *c, size_t b) {
  size_t start = b * c->size, end = coix_min(start + c->size, c->n);
  if (c->stride == 1 && c->part == WHOLE) return kernels->sum(c->log_weight + start, end - start, c->greatest);
  double sum = 0.0, w[TILE];
  for (size_t j = start; j < end; j += TILE) {
    size_t count = coix_min(TILE, end - j);
    weights(c, j, count, w);
    for (size_t l = 0; l < count; l++) sum += w[l];
  }
  return sum;
}

/// The sum of all weights before each block, and after the last: `blocks` + 1 numbers. Returns 0, or an error.
static int sums(const column *c, double *before) {
  COIX_FOR(i, c->end - c->first, c->threads, before[c->first + i + 1] = block_sum(c, c->first + i));
  const int error = complete(c, before + 1, sizeof *before);
  if (error) return error;
  before[0] = 0.0;
  for (size_t b = 0; b < c->blocks; b++) before[b + 1] += before[b];
  return 0;
}

// MARK: Positions

/// Ascending positions: number i lies at (uniform[i * stride] + i) * step, or at sorted[i] * step.
typedef struct {
  const float *uniform;
  size_t stride;
  const double *sorted;
  size_t count;
  /// The end of the scale of uniform[...] + i or sorted[i]; it corresponds to the total weight: step = total / span.
  double span;
  double step, per_step;
} positions;

static inline double position(const positions *p, size_t i) {
  return (p->sorted ? p->sorted[i] : (double)p->uniform[i * p->stride] + (double)i) * p->step;
}

/// The number of positions <= bound, which is known to be at least `from`.
static inline size_t positions_within(double bound, const positions *p, size_t from) {
  size_t i = from;
  if (p->sorted) {
    while (i < p->count && position(p, i) <= bound) i++;
    return i;
  }
  // One position lies in each step; the quotient is off by one at most.
  double quotient = bound * p->per_step;
  i = quotient < (double)p->count ? (size_t)quotient : p->count;
  i -= i > 0 && position(p, i - 1) > bound;
  i += i < p->count && position(p, i) <= bound;
  return i;
}

/// The number of positions <= bound, by bisection: without a known minimum.
static size_t positions_before_block(double bound, const positions *p) {
  if (!p->sorted) return positions_within(bound, p, 0);
  size_t low = 0, high = p->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (position(p, middle) <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/// Makes `count` sorted uniform numbers from count + 1 exponential numbers: the partial sums of exponential spacings
/// (Devroye 1986, chapter V.3). Returns the end of their scale, by which they would have to be divided to lie in [0, 1].
static double sort_uniform(const float *exponential, size_t stride, size_t count, double *sorted, int threads) {
  double sums[MOST_BLOCKS + 1], *const before = sums;
  const size_t n = count + 1, size = block_size(n), blocks = coix_blocks(n, size);
  COIX_FOR(b, blocks, threads, {
    double sum = 0.0;
    for (size_t i = b * size; i < coix_min((b + 1) * size, n); i++) {
      sum += (double)exponential[i * stride];
      if (i < count) sorted[i] = sum;
    }
    before[b + 1] = sum;
  });
  before[0] = 0.0;
  for (size_t b = 0; b < blocks; b++) before[b + 1] += before[b];
  COIX_FOR(b, blocks, threads,
           for (size_t i = b * size; i < coix_min((b + 1) * size, count); i++) sorted[i] += before[b]);
  return before[blocks] > 0.0 ? before[blocks] : 1.0;
}

// MARK: Rows at positions

/// Assigns the positions [i, end_position) to the block's rows, where `before` is the sum of all weights before the
/// block. Each row with a positive weight writes its number at the first position above the sum of the weights
/// before it; if several rows write there, the last one stays. Positions without a number then repeat the number
/// before them. So no branch depends on the weights.
static void block_pick(const column *c, size_t b, double before, const positions *p, size_t i, size_t end_position,
                       int32_t *index) {
  size_t start = b * c->size, end = coix_min(start + c->size, c->n), at = i;
  if (c->stride == 1 && c->part == WHOLE && !p->sorted && p->stride == 0) {
    // The offset is below 1, so that no position lies at or below a sum of 0.
    const even_positions even = {p->per_step, fmin(1.0 - (double)p->uniform[0], 1.0 - 0x1p-53)};
    kernels->even_runs(c->log_weight + start, end - start, c->greatest, before, even, i, end_position, (int32_t)start, index);
    return;
  }
  double sum = 0.0, w[TILE];
  int32_t nowhere;
  for (size_t k = i; k < end_position; k++) index[k * c->stride] = -1;
  for (size_t j = start; j < end; j += TILE) {
    size_t rows = coix_min(TILE, end - j);
    weights(c, j, rows, w);
    for (size_t k = 0; k < rows; k++) {
      int32_t *target = w[k] > 0.0 && at < end_position ? index + at * c->stride : &nowhere;
      *target = (int32_t)(j + k);
      sum += w[k];
      size_t within = positions_within(before + sum, p, at);
      at = w[k] > 0.0 && within > at ? within : at;
    }
  }
  int32_t last = -1;
  for (size_t k = i; k < end_position; k++) {
    int32_t here = index[k * c->stride];
    last = here > last ? here : last;
    index[k * c->stride] = last;
  }
}

/// Assigns the positions of the blocks that are computed here to rows, given the sums before each block.
static void pick(const column *c, const double *before, positions *p, int32_t *index, size_t offset) {
  size_t first_positions[MOST_BLOCKS + 1], *const starts = first_positions;
  const size_t blocks = c->blocks;
  p->step = before[blocks] / p->span;
  p->per_step = p->span / before[blocks];
  size_t last = 0; // the last block with a positive weight takes the positions that rounding leaves over
  for (size_t b = 0; b < blocks; b++)
    if (before[b + 1] > before[b]) last = b;
  // A position at 0 belongs to the first row with a positive weight, although it is not above the sum of the weights before.
  for (size_t b = 0; b <= blocks; b++)
    starts[b] = b > last ? p->count : before[b] == 0.0 ? 0 : positions_before_block(before[b], p);
  index += offset * c->stride;
  COIX_FOR(i, c->end - c->first, c->threads, {
    const size_t b = c->first + i;
    if (before[b + 1] > before[b]) block_pick(c, b, before[b], p, starts[b], starts[b + 1], index);
  });
  if (!c->picks) return;
  size_t *const noted = c->picks->starts[c->picks->count++];
  for (size_t b = 0; b <= blocks; b++) noted[b] = offset + starts[b];
}

// MARK: Schemes

/// Residual resampling: whole copies first, in the rows' order, then the rest by sorted uniform numbers (Liu and Chen 1998).
/// Returns 0, or an error.
static int residual(column *c, double *before, const float *exponential, double *sorted, int32_t *index,
                    size_t count) {
  int error;
  const float half = 0.5f;
  c->copies_per_weight = (double)count / before[c->blocks];
  c->part = COPIES;
  if ((error = sums(c, before))) return error;
  const size_t copies = coix_min((size_t)before[c->blocks], count);
  if (copies > 0) {
    positions middles = {.uniform = &half, .count = copies, .span = (double)copies};
    pick(c, before, &middles, index, 0);
  }
  if (copies == count) return 0;
  c->part = REST;
  if ((error = sums(c, before))) return error;
  if (!(before[c->blocks] > 0.0)) { // only rounding errors are left
    c->part = WHOLE;
    if ((error = sums(c, before))) return error;
  }
  positions drawn = {.sorted = sorted, .count = count - copies};
  drawn.span = sort_uniform(exponential, c->stride, drawn.count, sorted, c->threads);
  pick(c, before, &drawn, index, copies);
  return 0;
}

/// Resamples one column: a column of its blocks [c->first, c->end). Returns 0, or 1 if its log-weights are all -inf, or contain NaN or
/// +inf, or what completing the blocks has returned.
static int resample_column(column *c, coix_resampling_scheme scheme, const float *random, double *sorted, int32_t *index,
                           size_t count) {
  float maxima[MOST_BLOCKS], *const largest = maxima;
  double before[MOST_BLOCKS + 1];
  COIX_FOR(i, c->end - c->first, c->threads, {
    const size_t b = c->first + i;
    largest[b] = block_max(c->log_weight, c->stride, b * c->size, coix_min((b + 1) * c->size, c->n));
  });
  int error = complete(c, largest, sizeof *largest);
  if (error) return error;
  c->greatest = block_max(largest, 1, 0, c->blocks);
  if (!isfinite(c->greatest)) return 1;

  if ((error = sums(c, before))) return error;
  positions p = {.uniform = random, .count = count, .span = (double)count};
  switch (scheme) {
    case COIX_RESIDUAL: return residual(c, before, random, sorted, index, count);
    case COIX_SYSTEMATIC: break;
    case COIX_STRATIFIED: p.stride = c->stride; break;
    case COIX_MULTINOMIAL:
      p.sorted = sorted;
      p.span = sort_uniform(random, c->stride, count, sorted, c->threads);
      break;
  }
  pick(c, before, &p, index, 0);
  return 0;
}

int coix_resample_blocks(coix_resampling_scheme scheme, const float *log_weight, const float *random, double *workspace,
                         int32_t *index, size_t n, size_t count, size_t first, size_t end, const coix_other_blocks *others,
                         coix_picks *picks, int team) {
  const size_t size = block_size(n), blocks = coix_blocks(n, size);
  const double share = (double)(end - first) / (double)blocks;
  const int threads = coix_team_for((4.0 * (double)n + 2.0 * (double)count) * share, team);
  column c = {log_weight, n, 1, size, blocks, 0.0f, WHOLE, 0.0, threads, first, end, others, picks};
  picks->count = 0;
  return resample_column(&c, scheme, random, workspace, index, count);
}

int64_t coix_resample(coix_resampling_scheme scheme, const float *log_weight, const float *random, double *workspace,
                      int32_t *index, size_t n, size_t columns, size_t count, int team) {
  if (n == 0) return columns ? 1 : 0;
  if (count == 0) return 0;
  const double nanoseconds = 4.0 * (double)n + 2.0 * (double)count;
  const size_t size = block_size(n), blocks = coix_blocks(n, size);
  // Threads share a long column by its blocks; of short columns, each thread takes whole ones.
  const int within = coix_team_for(nanoseconds, team);
  const int across = within > 1 ? 1 : coix_team_for(nanoseconds * (double)columns, team);
  atomic_size_t first_failed = columns, *const failed = &first_failed;
  COIX_FOR(c, columns, across, {
    size_t before = columns;
    column one = {log_weight + c, n, columns, size, blocks, 0.0f, WHOLE, 0.0, within, 0, blocks, NULL, NULL};
    if (resample_column(&one, scheme, random + c, workspace ? workspace + c * count : NULL, index + c, count))
      while ((before = atomic_load(failed)) > c && !atomic_compare_exchange_weak(failed, &before, c)) {}
  });
  return first_failed < columns ? (int64_t)first_failed + 1 : 0;
}
