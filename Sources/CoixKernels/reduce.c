// Reductions, softmax, argmax and running sums over the middle axis of [outer, n, inner].

#include "internal.h"

#include <math.h>

typedef struct {
  double (*sum)(const float *x, size_t n);
  float (*max)(const float *x, size_t n);
  float (*min)(const float *x, size_t n);
  double (*sum_exp)(const float *x, size_t n, float shift);
  void (*softmax)(const float *x, float *y, size_t n, float shift, float factor, int logarithmic);
  void (*seed)(const float *x, const float *gradient, size_t stride, float *y, size_t count);
  void (*reduce_columns)(coix_reduction op, const float *x, float *out, size_t n, size_t inner, size_t start, size_t end);
  void (*softmax_columns)(const float *x, float *y, size_t n, size_t inner, int logarithmic, size_t start, size_t end);
  void (*running_sums)(const float *x, float *y, size_t n, size_t inner, int backward);
  void (*argmax)(const float *x, float *out, size_t n, size_t inner);
} reduce_table;

#define COIX_TEMPLATE "Copies/reduce_copy.h"
#include "copies.h"
COIX_CHOOSE(reduce_table, kernels)

// MARK: One contiguous row, in blocks whose borders depend on its length alone

#define MOST_BLOCKS 512
#define LEAST_BLOCK ((size_t)4096)

static inline size_t block_size(size_t n) {
  size_t even = coix_blocks(n, MOST_BLOCKS);
  return coix_max(LEAST_BLOCK, coix_blocks(even, COIX_LANES) * COIX_LANES);
}

/// Runs `statement` for each block of a row: number b, [start, start + length).
#define FOR_ROW_BLOCKS(cost, statement)                                                            \
  do {                                                                                             \
    const size_t size = block_size(n), blocks = coix_blocks(n, size);                              \
    COIX_FOR(b, blocks, coix_team_for((double)n * (cost), team), {                                 \
      const size_t start = b * size, length = coix_min(size, n - start);                           \
      statement;                                                                                   \
    });                                                                                            \
  } while (0)

static double row_sum(const float *x, size_t n, int team) {
  if (n <= LEAST_BLOCK) return kernels->sum(x, n);
  double block_sums[MOST_BLOCKS], *const parts = block_sums, sum = 0.0;
  FOR_ROW_BLOCKS(0.2, parts[b] = kernels->sum(x + start, length));
  for (size_t b = 0; b < coix_blocks(n, block_size(n)); b++) sum += parts[b];
  return sum;
}

size_t coix_row_block(size_t n) { return n <= LEAST_BLOCK ? coix_max(n, 1) : block_size(n); }

void coix_row_block_maxima(const float *x, float *maxima, size_t n, size_t first, size_t end, int team) {
  const size_t size = coix_row_block(n);
  COIX_FOR(i, end - first, coix_team_for((double)(size * (end - first)) * 0.2, team), {
    const size_t b = first + i;
    maxima[b] = kernels->max(x + b * size, coix_min(size, n - b * size));
  });
}

void coix_row_block_sums_exp(const float *x, double *sums, float shift, size_t n, size_t first, size_t end, int team) {
  const size_t size = coix_row_block(n);
  COIX_FOR(i, end - first, coix_team_for((double)(size * (end - first)) * 0.8, team), {
    const size_t b = first + i;
    sums[b] = kernels->sum_exp(x + b * size, coix_min(size, n - b * size), shift);
  });
}

static float row_max(const float *x, size_t n, int team) {
  if (n <= LEAST_BLOCK) return kernels->max(x, n);
  float maxima[MOST_BLOCKS];
  const size_t blocks = coix_blocks(n, coix_row_block(n));
  coix_row_block_maxima(x, maxima, n, 0, blocks, team);
  return kernels->max(maxima, blocks);
}

static float row_min(const float *x, size_t n, int team) {
  if (n <= LEAST_BLOCK) return kernels->min(x, n);
  float extremes[MOST_BLOCKS], *const parts = extremes;
  FOR_ROW_BLOCKS(0.2, parts[b] = kernels->min(x + start, length));
  return kernels->min(parts, coix_blocks(n, block_size(n)));
}

static double row_sum_exp(const float *x, size_t n, float shift, int team) {
  if (n <= LEAST_BLOCK) return kernels->sum_exp(x, n, shift);
  double sums[MOST_BLOCKS], sum = 0.0;
  const size_t blocks = coix_blocks(n, coix_row_block(n));
  coix_row_block_sums_exp(x, sums, shift, n, 0, blocks, team);
  for (size_t b = 0; b < blocks; b++) sum += sums[b];
  return sum;
}

static float row_logsumexp(const float *x, size_t n, int team) {
  float m = row_max(x, n, team);
  if (!isfinite(m)) return m; // -inf if all numbers are; +inf and NaN stay
  return (float)((double)m + log(row_sum_exp(x, n, m, team)));
}

float coix_row_max(const float *maxima, size_t blocks) { return kernels->max(maxima, blocks); }

static float reduce_row(coix_reduction op, const float *x, size_t n, int team) {
  switch (op) {
    case COIX_SUM: return (float)row_sum(x, n, team);
    case COIX_MAX: return row_max(x, n, team);
    case COIX_MIN: return row_min(x, n, team);
    case COIX_LOGSUMEXP: return row_logsumexp(x, n, team);
  }
  return NAN;
}

/// The softmax of some numbers, given the greatest and the sum of exp(x - greatest) of all of them. With a gradient of
/// log-sum-exp, the gradient of x.
static void softmax_part(const float *x, const float *gradient, float *y, size_t n, float greatest, double sum, int logarithmic,
                         int team) {
  float factor = logarithmic ? (float)log(sum) : (float)(1.0 / sum);
  FOR_ROW_BLOCKS(0.8, {
    kernels->softmax(x + start, y + start, length, greatest, factor, logarithmic);
    if (gradient) kernels->seed(x + start, gradient, 0, y + start, length);
  });
}

static void softmax_row(const float *x, const float *gradient, float *y, size_t n, int logarithmic, int team) {
  float m = row_max(x, n, team);
  softmax_part(x, gradient, y, n, m, row_sum_exp(x, n, m, team), logarithmic, team);
}

/// The softmax of columns [start, end), or, with a gradient of log-sum-exp, the gradient of x.
static void softmax_columns(const float *x, const float *gradient, float *y, size_t n, size_t inner, int logarithmic,
                            size_t start, size_t end) {
  kernels->softmax_columns(x, y, n, inner, logarithmic, start, end);
  if (!gradient) return;
  for (size_t k = 0; k < n; k++)
    kernels->seed(x + k * inner + start, gradient + start, 1, y + k * inner + start, end - start);
}

// MARK: The kernels

/// Columns a thread takes at a time.
#define STRIP ((size_t)256)

/// Nanoseconds an element of a reduction, roughly.
static double reduction_cost(coix_reduction op) { return op == COIX_LOGSUMEXP ? 1.0 : 0.2; }

/// The reduction of no elements.
static float neutral(coix_reduction op) { return op == COIX_SUM ? 0.0f : op == COIX_MIN ? INFINITY : -INFINITY; }

void coix_reduce(coix_reduction op, const float *x, float *out, size_t outer, size_t n, size_t inner, int team) {
  if (n == 0) {
    for (size_t i = 0; i < outer * inner; i++) out[i] = neutral(op);
    return;
  }
  double work = (double)outer * (double)n * (double)inner * reduction_cost(op);
  int threads = coix_team_for(work, team);
  if (inner == 1) {
    if (threads <= 1 || outer < 2 * (size_t)threads) {
      for (size_t o = 0; o < outer; o++) out[o] = reduce_row(op, x + o * n, n, team);
      return;
    }
    COIX_FOR(o, outer, threads, out[o] = reduce_row(op, x + o * n, n, 1));
    return;
  }
  if (threads <= 1) {
    for (size_t o = 0; o < outer; o++)
      kernels->reduce_columns(op, x + o * n * inner, out + o * inner, n, inner, 0, inner);
    return;
  }
  size_t strips = coix_blocks(inner, STRIP);
  COIX_FOR(task, outer * strips, threads, {
    const size_t o = task / strips, start = task % strips * STRIP;
    kernels->reduce_columns(op, x + o * n * inner, out + o * inner, n, inner, start, coix_min(start + STRIP, inner));
  });
}

/// The softmax, or, with a gradient of log-sum-exp, [outer, inner], the gradient of x.
static void softmax(const float *x, const float *gradient, float *y, size_t outer, size_t n, size_t inner, int logarithmic,
                    int team) {
  if (outer == 0 || n == 0 || inner == 0) return;
  int threads = coix_team_for((double)outer * (double)n * (double)inner * 1.5, team);
#define GRADIENT(o) (gradient ? gradient + (o) * inner : NULL)
  if (inner == 1) {
    const int within = threads <= 1 || outer < 2 * (size_t)threads; // the threads share each row
    COIX_FOR(o, outer, within ? 1 : threads,
             softmax_row(x + o * n, GRADIENT(o), y + o * n, n, logarithmic, within ? team : 1));
    return;
  }
  const size_t strip = threads <= 1 ? inner : STRIP, strips = coix_blocks(inner, strip);
  COIX_FOR(task, outer * strips, threads, {
    const size_t o = task / strips, start = task % strips * strip;
    softmax_columns(x + o * n * inner, GRADIENT(o), y + o * n * inner, n, inner, logarithmic, start,
                    coix_min(start + strip, inner));
  });
#undef GRADIENT
}

void coix_softmax(const float *x, float *y, size_t outer, size_t n, size_t inner, int logarithmic, int team) {
  softmax(x, NULL, y, outer, n, inner, logarithmic, team);
}

void coix_logsumexp_backward(const float *x, const float *gradient, float *dx, size_t outer, size_t n, size_t inner, int team) {
  softmax(x, gradient, dx, outer, n, inner, 0, team);
}

void coix_logsumexp_backward_part(const float *x, const float *gradient, float *dx, size_t n, float greatest, double sum,
                                  int team) {
  softmax_part(x, gradient, dx, n, greatest, sum, 0, team);
}

void coix_argmax(const float *x, float *out, size_t outer, size_t n, size_t inner) {
  for (size_t o = 0; o < outer; o++) kernels->argmax(x + o * n * inner, out + o * inner, n, inner);
}

void coix_cumsum(const float *x, float *y, size_t outer, size_t n, size_t inner, int backward) {
  for (size_t o = 0; o < outer; o++) kernels->running_sums(x + o * n * inner, y + o * n * inner, n, inner, backward);
}

void coix_category_bounds(const float *probability, const float *sum, float *bound, size_t outer, size_t n, size_t inner) {
  if (n == 0) return;
  for (size_t o = 0; o < outer; o++) {
    const float *p = probability + o * n * inner, *s = sum + o * n * inner;
    float *b = bound + o * (n - 1) * inner;
    for (size_t i = 0; i < inner; i++) {
      float last = -INFINITY;
      // XLA divides by a number that is the same for a whole axis in this way.
      const float scale = 1.0f / s[(n - 1) * inner + i];
      for (size_t k = 0; k + 1 < n; k++) {
        const float next = s[k * inner + i] * scale;
        if (p[k * inner + i] != 0.0f && !(next < last)) last = next;
        b[k * inner + i] = last;
      }
      for (size_t k = n - 1; k > 0 && p[k * inner + i] == 0.0f; k--) b[(k - 1) * inner + i] = INFINITY;
    }
  }
}

/// The number of bounds that are less than u. The bounds are `step` floats apart and never decrease.
static inline size_t bounds_below(const float *bound, size_t step, size_t n, float u) {
  size_t low = 0, high = n;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (bound[middle * step] < u) low = middle + 1;
    else high = middle;
  }
  return low;
}

void coix_categories(const float *bound, size_t step, size_t n, size_t b_outer_stride, size_t b_row_stride, const float *uniform,
                     size_t u_outer_stride, size_t u_row_stride, float *out, size_t outer, size_t rows) {
  const size_t few = 16; // up to so many bounds are compared one by one, each with all rows
  for (size_t o = 0; o < outer; o++) {
    const float *b = bound + o * b_outer_stride, *u = uniform + o * u_outer_stride;
    float *to = out + o * rows;
    if (n > few) {
      for (size_t r = 0; r < rows; r++) to[r] = (float)bounds_below(b + r * b_row_stride, step, n, u[r * u_row_stride]);
      continue;
    }
    for (size_t r = 0; r < rows; r++) to[r] = 0.0f;
    for (size_t k = 0; k < n; k++)
      for (size_t r = 0; r < rows; r++) to[r] += b[k * step + r * b_row_stride] < u[r * u_row_stride] ? 1.0f : 0.0f;
  }
}
