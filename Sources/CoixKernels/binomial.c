// Binomial counts, one element after the other, by NumPyro's algorithms with NumPyro's keys: W. Hörmann, "The generation of binomial random
// variates" (1993). An element depends on the draw's key and its index alone.

#include "internal.h"

#include <float.h>
#include <math.h>

#pragma STDC FP_CONTRACT OFF

static float uniform(coix_key key) {
  static const coix_draw single = {.first_row = 0, .valid_rows = 1, .rows = 1, .elements = 1};
  float value;
  coix_draw_uniform(key, single, 0.0f, 1.0f, &value, 1);
  return value;
}

/// A draw by the waiting times between successes, for a mean below 10.
static float by_waiting(coix_key key, float p, float n) {
  float log_failure = log1pf(-p), trials = 0.0f;
  if (log_failure == 0.0f) log_failure = -FLT_MIN;
  int count = -1;
  do {
    const float u = uniform(coix_threefry(key, 1));
    key = coix_threefry(key, 0);
    trials += floorf(log1pf(-u) / log_failure) + 1.0f;
    count++;
  } while (trials <= n);
  return (float)count;
}

/// The difference between log k! and Stirling's formula.
static double stirling_tail(double k) {
  static const double first[10] = {0.08106146679532726,  0.04134069595540929,  0.02767792568499834, 0.02079067210376509,
                                   0.01664469118982119,  0.01387612882307075,  0.01189670994589177, 0.01041126526197209,
                                   0.009255462182712733, 0.008330563433362871};
  if (k < 10.0) return first[(int)k];
  const double z = 1.0 / (k + 1.0), square = z * z;
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 * square) * square) * z;
}

/// A draw by transformed rejection with squeezes (Hörmann's BTRS), for p <= 1/2 and a mean of at least 10. Proposals are in
/// single precision, as in NumPyro. The acceptance test is in double, since for large n rounding would leave no digits of a
/// float.
static float by_rejection(coix_key key, float p, float n) {
  const float mean = n * p, deviation = sqrtf(mean * (1.0f - p));
  const float c = mean + 0.5f, b = 1.15f + 2.53f * deviation, a = -0.0873f + 0.0248f * b + 0.01f * p;
  const float alpha = (2.83f + 5.1f / b) * deviation, squeeze = 0.92f - 4.2f / b;
  const double mode = floorf((n + 1.0f) * p), odds = (double)p / (1.0 - p);
  const double at_mode = (mode + 0.5) * log((mode + 1.0) / ((n - mode + 1.0) * odds)) + stirling_tail(mode)
                         + stirling_tail(n - mode);
  for (;;) {
    const float u = uniform(coix_threefry(key, 1)) - 0.5f, v = uniform(coix_threefry(key, 2));
    key = coix_threefry(key, 0);
    const float shifted = 0.5f - fabsf(u);
    const float k = floorf((2.0f * a / shifted + b) * u + c);
    if (fabsf(u) <= 0.43f && v <= squeeze) return k;
    if (!(k >= 0.0f && k <= n)) continue;
    // The logarithm of k's probability over the mode's.
    const double rest = n - (double)k;
    const double log_ratio = (n + 1.0) * log((n - mode + 1.0) / (rest + 1.0)) + (k + 0.5) * log((rest + 1.0) * odds / (k + 1.0))
                             - stirling_tail(k) - stirling_tail(rest) + at_mode;
    if (log(v * (double)alpha / (a / ((double)shifted * shifted) + b)) <= log_ratio) return k;
  }
}

static float binomial_one(coix_key key, float p, float n) {
  if (!(p >= 0.0f && p <= 1.0f && n >= 0.0f && n < INFINITY && n == floorf(n))) return NAN;
  if (p == 0.0f || n == 0.0f) return 0.0f;
  if (p == 1.0f) return n;
  const float rarer = p <= 0.5f ? p : 1.0f - p;
  const float count = n * rarer < 10.0f ? by_waiting(key, rarer, n) : by_rejection(key, rarer, n);
  return p <= 0.5f ? count : n - count;
}

void coix_draw_binomial(coix_key key, coix_draw draw, const float *p, size_t p_element_stride, size_t p_row_stride,
                        const float *n, size_t n_element_stride, size_t n_row_stride, float *out, int team) {
  const size_t rows = draw.valid_rows;
  if (rows == 0) return;
  const int threads = coix_team_for((double)rows * (double)draw.elements * 400.0, team);
  for (size_t e = 0; e < draw.elements; e++) {
    float *target = out + e * draw.rows;
    COIX_FOR(r, rows, threads, {
      const uint64_t row = draw.row_numbers ? draw.row_numbers[r] : draw.first_row + r;
      const coix_key own = coix_threefry(key, row * draw.row_stride + e * draw.element_stride + draw.offset);
      target[r] = binomial_one(own, p[e * p_element_stride + r * p_row_stride], n[e * n_element_stride + r * n_row_stride]);
    });
    for (size_t r = rows; r < draw.rows; r++) target[r] = target[rows - 1];
  }
}
