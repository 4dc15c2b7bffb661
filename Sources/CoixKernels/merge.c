// Sums over chunks and over whole plates, in double and in an order that depends on sizes alone.

#include "internal.h"

#include <float.h>
#include <math.h>

void coix_accumulate_double(double *y, const float *x, size_t count) {
#pragma omp simd
  for (size_t i = 0; i < count; i++) y[i] += (double)x[i];
}

/// Sums that are taken at a time.
#define BLOCK ((size_t)1024)

static void add_block(const coix_part *parts, size_t part_count, size_t start, double *sums, size_t count) {
  for (const coix_part *part = parts; part < parts + part_count; part++) {
    if (part->sums) {
      for (size_t i = 0; i < count; i++) sums[i] += part->sums[start + i];
    } else {
      coix_accumulate_double(sums, part->numbers + start, count);
    }
  }
}

void coix_add_parts(const coix_part *parts, size_t part_count, size_t start, double *sums, size_t count, int team) {
  coix_regions.began = 0; // of a kernel that was called by itself
  COIX_FOR(b, coix_blocks(count, BLOCK), coix_team_for(0.5 * (double)count * (double)part_count, team),
           add_block(parts, part_count, start + b * BLOCK, sums + b * BLOCK, coix_min(BLOCK, count - b * BLOCK)));
  coix_end_region(); // it is no operation
}

void coix_round_sums(const double *sums, float *out, size_t count) {
  // A finite sum too large for a float becomes the largest float, so that opposite sums cancel; infinities stay.
  for (size_t i = 0; i < count; i++)
    out[i] = (float)(isinf(sums[i]) ? sums[i] : sums[i] > FLT_MAX ? FLT_MAX : sums[i] < -FLT_MAX ? -FLT_MAX : sums[i]);
}

static void merge_block(const coix_part *parts, size_t part_count, float *out, size_t start, size_t count) {
  double sums[BLOCK];
  for (size_t i = 0; i < count; i++) sums[i] = parts->sums ? parts->sums[start + i] : (double)parts->numbers[start + i];
  add_block(parts + 1, part_count - 1, start, sums, count);
  coix_round_sums(sums, out + start, count);
}

void coix_merge_double(const coix_part *parts, size_t part_count, float *out, size_t count, int team) {
  if (part_count == 0) {
    for (size_t i = 0; i < count; i++) out[i] = 0;
    return;
  }
  coix_regions.began = 0; // of a kernel that was called by itself
  COIX_FOR(b, coix_blocks(count, BLOCK), coix_team_for(0.5 * (double)count * (double)part_count, team),
           merge_block(parts, part_count, out, b * BLOCK, coix_min(BLOCK, count - b * BLOCK)));
  coix_end_region(); // it is no operation
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
