// What evidence and effective sample size are computed from: sums over all particles' weights, in double, by blocks whose borders
// depend on the number of particles alone.

#include "internal.h"

#include <math.h>

typedef struct {
  float (*greatest)(const float *x, size_t n);
  void (*moments)(const float *x, size_t n, float shift, double *sums);
} weights_table;

#define COIX_TEMPLATE "Copies/weights_copy.h"
#include "copies.h"
COIX_CHOOSE(weights_table, kernels)

#define MOST_BLOCKS 256
#define LEAST_BLOCK ((size_t)8192)

typedef struct {
  float greatest;
  double sums[2];
} block_moments;

/// Each block about its own greatest weight, in one pass through memory.
static void block(const float *x, size_t n, block_moments *out) {
  out->greatest = kernels->greatest(x, n);
  out->sums[0] = out->sums[1] = 0;
  if (out->greatest == -INFINITY) return;
  kernels->moments(x, n, out->greatest, out->sums);
}

static void one_column(const float *x, double *greatest, double *sum, double *sum_of_squares, size_t n, int team) {
  const size_t size = coix_max(LEAST_BLOCK, coix_blocks(coix_blocks(n, MOST_BLOCKS), COIX_LANES) * COIX_LANES);
  const size_t blocks = coix_blocks(n, size);
  block_moments parts[MOST_BLOCKS];
  const int threads = coix_team_for((double)n, team);
  if (threads <= 1) {
    for (size_t b = 0; b < blocks; b++) block(x + b * size, coix_min(size, n - b * size), parts + b);
  } else {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t b = 0; b < blocks; b++) block(x + b * size, coix_min(size, n - b * size), parts + b);
  }
  float m = parts[0].greatest;
  for (size_t b = 1; b < blocks; b++) m = m != m || m > parts[b].greatest ? m : parts[b].greatest;
  double s = 0, q = 0;
  for (size_t b = 0; b < blocks; b++) {
    if (parts[b].greatest == -INFINITY) continue;
    double scale = exp((double)parts[b].greatest - (double)m);
    s += parts[b].sums[0] * scale;
    q += parts[b].sums[1] * scale * scale;
  }
  *greatest = m;
  *sum = s;
  *sum_of_squares = q;
}

void coix_weight_moments(const float *log_weight, double *greatest, double *sum, double *sum_of_squares,
                         size_t n, size_t columns, int team) {
  if (n == 0) return;
  if (columns == 1) {
    one_column(log_weight, greatest, sum, sum_of_squares, n, team);
    return;
  }
  for (size_t c = 0; c < columns; c++) {
    greatest[c] = -INFINITY;
    sum[c] = sum_of_squares[c] = 0;
  }
  for (size_t r = 0; r < n; r++) {
    for (size_t c = 0; c < columns; c++) {
      double w = (double)log_weight[r * columns + c];
      if (w != w || greatest[c] < w) greatest[c] = w;
    }
  }
  for (size_t r = 0; r < n; r++) {
    for (size_t c = 0; c < columns; c++) {
      if (greatest[c] == -INFINITY) continue;
      double e = exp((double)log_weight[r * columns + c] - greatest[c]);
      sum[c] += e;
      sum_of_squares[c] += e * e;
    }
  }
}
