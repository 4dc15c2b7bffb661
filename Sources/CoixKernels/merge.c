// Sums over chunks and over whole plates, in double and in an order that depends on sizes alone.

#include "internal.h"

#include <float.h>
#include <math.h>

void coix_accumulate_double(double *y, const float *x, size_t count) {
#pragma omp simd
  for (size_t i = 0; i < count; i++) y[i] += (double)x[i];
}

static void merge_range(const double *const *parts, size_t part_count, float *out, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) {
    double sum = parts[0][i];
    for (size_t part = 1; part < part_count; part++) sum += parts[part][i];
    // A finite sum too large for a float becomes the largest float, so that opposite sums cancel;
    // infinities stay.
    out[i] = (float)(isinf(sum) ? sum : sum > FLT_MAX ? FLT_MAX : sum < -FLT_MAX ? -FLT_MAX : sum);
  }
}

void coix_merge_double(const double *const *parts, size_t part_count, float *out, size_t count, int team) {
  if (part_count == 0) {
    for (size_t i = 0; i < count; i++) out[i] = 0;
    return;
  }
  const int threads = coix_team_for(0.5 * (double)count * (double)part_count, team);
  if (threads <= 1) {
    merge_range(parts, part_count, out, 0, count);
    return;
  }
  const size_t block = 1024, blocks = coix_blocks(count, block);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t b = 0; b < blocks; b++) {
    merge_range(parts, part_count, out, b * block, coix_min((b + 1) * block, count));
  }
}

double coix_sum_double(const float *x, size_t count) {
  double sums[8] = {0};
  size_t whole = count / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) {
    for (size_t lane = 0; lane < 8; lane++) sums[lane] += (double)x[i + lane];
  }
  for (size_t i = whole; i < count; i++) sums[i - whole] += (double)x[i];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

void coix_round(const double *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = (float)x[i];
}
