// Sums over chunks and over whole plates, in double and in an order that only sizes decide.

#include <math.h>

#include "CoixKernels.h"

void coix_accumulate_double(double *y, const float *x, size_t count) {
#pragma omp simd
  for (size_t i = 0; i < count; i++) y[i] += (double)x[i];
}

static void merge_range(const double *const *parts, size_t part_count, float *out, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) {
    double sum = parts[0][i];
    for (size_t part = 1; part < part_count; part++) sum += parts[part][i];
    out[i] = (float)sum;
  }
}

void coix_merge_double(const double *const *parts, size_t part_count, float *out, size_t count, int team) {
  if (part_count == 0) {
    for (size_t i = 0; i < count; i++) out[i] = 0;
    return;
  }
  if (team <= 1 || count * part_count < (1 << 18)) {
    merge_range(parts, part_count, out, 0, count);
    return;
  }
  const size_t block = 1024;
  const size_t blocks = (count + block - 1) / block;
#pragma omp parallel for schedule(static) num_threads(team)
  for (size_t b = 0; b < blocks; b++) {
    size_t end = (b + 1) * block < count ? (b + 1) * block : count;
    merge_range(parts, part_count, out, b * block, end);
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
