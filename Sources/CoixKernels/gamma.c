// Gamma draws by rejection: G. Marsaglia and W. Tsang, "A simple method for generating gamma
// variables" (2000). Keys are split as JAX splits them, so that an element depends on the draw's key and its index alone.

#include "internal.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/// The draw of a single number under a key.
static const coix_draw single = {.first_row = 0, .valid_rows = 1, .rows = 1, .elements = 1};

static float uniform(coix_key key) {
  float value;
  coix_draw_uniform(key, single, 0.0f, 1.0f, &value, 1);
  return value;
}

static float normal(coix_key key) {
  float value;
  coix_draw_normal(key, single, &value, 1);
  return value;
}

/// The number that an accepted volume stands for, of shape `alpha` and rate 1, or its logarithm. `u` is uniform.
static float number(float alpha, float volume, float u, int logarithmic) {
  const int boosted = !(alpha >= 1.0f);
  const float d = (boosted ? alpha + 1.0f : alpha) - (float)(1.0 / 3.0);
  // For alpha < 1: a draw at alpha + 1, times a uniform number to the power of 1 / alpha.
  if (logarithmic) {
    float sample = boosted ? log1pf(-u) : 0.0f;
    float boost = sample == 0.0f ? 0.0f : sample * (1.0f / alpha);
    return (logf(d) + logf(volume)) + boost;
  }
  float boost = boosted ? powf(1.0f - u, 1.0f / alpha) : 1.0f;
  return d * volume * boost;
}

/// One number of shape `alpha` and rate 1, or its logarithm.
static float gamma_one(coix_key key, float alpha, int logarithmic) {
  const float d = (!(alpha >= 1.0f) ? alpha + 1.0f : alpha) - (float)(1.0 / 3.0);
  const float c = (float)(1.0 / 3.0) / sqrtf(d);
  const coix_key boost_key = coix_threefry(key, 1);
  key = coix_threefry(key, 0);
  float square, volume, u;
  do {
    coix_key x_key = coix_threefry(key, 1), u_key = coix_threefry(key, 2);
    key = coix_threefry(key, 0);
    float x, v;
    do {
      x = normal(coix_threefry(x_key, 1));
      x_key = coix_threefry(x_key, 0);
      v = 1.0f + x * c;
    } while (v <= 0.0f);
    square = x * x;
    volume = v * v * v;
    u = uniform(u_key);
    // The cheap test first; both are false for NaN, which ends the search.
  } while (u >= 1.0f - 0.0331f * (square * square)
           && logf(u) >= square * 0.5f + d * ((1.0f - volume) + logf(volume)));
  return number(alpha, volume, uniform(boost_key), logarithmic);
}

/// The key, the indices and the shape parameters of one element's draws. A row's key has index first + number * stride,
/// where number is the row's number.
typedef struct {
  coix_key key;
  uint64_t first, stride;
  const uint64_t *row_numbers;
  const float *alpha;
  size_t alpha_stride;
  int logarithmic;
} element;

/// Rows whose first proposals are made together.
#define BLOCK ((size_t)32)

/// The numbers of up to BLOCK rows. Most are accepted at the first proposal by the cheap test; the others start anew, one by one.
static void gamma_rows(const element *e, size_t start, size_t count, float *out) {
  uint64_t index[BLOCK];
  float alpha[BLOCK], volume[BLOCK], boost[BLOCK];
  for (size_t l = 0; l < BLOCK; l++) {
    const size_t row = start + coix_min(l, count - 1);
    index[l] = e->first + (e->row_numbers ? e->row_numbers[row] : row) * e->stride;
    alpha[l] = e->alpha[row * e->alpha_stride];
  }
  const uint32_t accepted = coix_gamma_proposals(e->key, index, alpha, volume, boost);
  for (size_t l = 0; l < count; l++)
    out[l] = accepted >> l & 1 ? number(alpha[l], volume[l], boost[l], e->logarithmic)
                               : gamma_one(coix_threefry(e->key, index[l]), alpha[l], e->logarithmic);
}

void coix_draw_gamma(coix_key key, coix_draw draw, const float *alpha, size_t alpha_element_stride,
                     size_t alpha_row_stride, int logarithmic, float *out, int team) {
  const size_t rows = draw.valid_rows;
  if (rows == 0) return;
  int threads = coix_team_for((double)rows * (double)draw.elements * 400.0, team);
  for (size_t i = 0; i < draw.elements; i++) {
    float *target = out + i * draw.rows;
    const uint64_t first = draw.row_numbers ? 0 : draw.first_row;
    const element e = {key, first * draw.row_stride + i * draw.element_stride + draw.offset, draw.row_stride,
                       draw.row_numbers, alpha + i * alpha_element_stride, alpha_row_stride, logarithmic};
    COIX_FOR(b, coix_blocks(rows, BLOCK), threads,
             gamma_rows(&e, b * BLOCK, coix_min(BLOCK, rows - b * BLOCK), target + b * BLOCK));
    for (size_t r = rows; r < draw.rows; r++) target[r] = target[rows - 1];
  }
}
