// The normal distribution between bounds, in double: its log-density, and the derivatives of its draws with respect to its
// parameters. Far out in a tail all quantities are computed relative to the bound nearest to the mean, and between bounds close
// together relative to their middle, so that no digits cancel.

#include "truncated_normal.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

#define LOG_SQRT_2PI 0.91893853320467274
#define SQRT_2PI 2.5066282746310005
#define SQRT_HALF 0.70710678118654752

/// Bounds closer together than this many standard deviations count as close.
#define CLOSE 1e-4

/// Phi(-x) / phi(x) for x >= 0, Mills' ratio: by erfc, or beyond 4 by the continued fraction 1/(x + 1/(x + 2/(x + ...))).
static double mills(double x) {
  if (x < 4.0) return 0.5 * erfc(x * SQRT_HALF) * SQRT_2PI * exp(0.5 * x * x);
  double tail = x;
  for (int k = 60; k > 0; k--) tail = x + k / tail;
  return 1.0 / tail;
}

/// 1 / mills(x) - x, which decreases like 1/x: beyond 4, the rest of the same continued fraction.
static double hazard_excess(double x) {
  if (x < 4.0) return 1.0 / mills(x) - x;
  double tail = x;
  for (int k = 60; k > 1; k--) tail = x + k / tail;
  return 1.0 / tail;
}

/// coth y - 1/y, and (1 - 2 (coth y - 1/y) / y) / 4: mean and variance factors of an exponential density between bounds.
static double langevin(double y) { return fabs(y) < 1e-2 ? y * (1.0 / 3 - y * y / 45) : 1.0 / tanh(y) - 1.0 / y; }
static double spread(double y) {
  return fabs(y) < 1e-2 ? 1.0 / 12 * (1.0 + y * y * (2.0 / 15)) : 0.25 * (1.0 - 2.0 * langevin(y) / y);
}

/// Standardised numbers: the bounds a < b; their distance w, which may be more precise than b - a; the value z; and its distances
/// from a and to b.
typedef struct { double a, b, w, z, from_a, to_b; } standard;

/// The mirror image, which turns a lower tail into an upper one: its bound nearest to the mean is a.
static standard mirrored(standard s) { return (standard){-s.b, -s.a, s.w, -s.z, s.to_b, s.from_a}; }

static standard standardised(double x, double location, double scale, double low, double high) {
  const double unit = 1.0 / scale;
  return (standard){(low - location) / scale, (high - location) / scale, (high - low) * unit, (x - location) / scale,
                    (x - low) * unit, (high - x) * unit};
}

/// Whether the distribution lies in the upper tail, between a >= 0 and b.
static int is_tail(standard s) { return s.a >= 0.0; }

/// log of (1 - exp(-d)) for d > 0.
static double log_complement(double d) { return d > 0.69 ? log1p(-exp(-d)) : log(-expm1(-d)); }

/// In the upper tail: by how much the logarithm of the survival function falls from a to a + t. That of the density falls by t (a
/// + t / 2).
static double fall(double a, double t) {
  if (!(t < INFINITY)) return INFINITY;
  return t * (a + 0.5 * t) - log(mills(a + t) / mills(a));
}

typedef struct {
  double value, at_low, at_high; // the log-density without -log(scale), and the densities at the bounds
  double by_x, by_location, by_scale; // derivatives, times the scale
} density_parts;

static density_parts parts(standard s) {
  density_parts p;
  if (s.w < CLOSE) {
    // Nearly an exponential density with rate m; the terms with `spread` correct for the normal density's curvature.
    const double m = 0.5 * (s.a + s.b), y = 0.5 * m * s.w, size = fabs(y);
    const double log_mean = size < 1e-2 ? y * y / 6 * (1.0 - y * y / 30) : size + log1p(-exp(-2.0 * size)) - log(2.0 * size);
    const double offset = 0.5 * (s.from_a - s.to_b);
    p.value = -offset * (m + 0.5 * offset) - log(s.w) - log_mean + 0.5 * s.w * s.w * spread(y);
    p.at_low = exp(y - log_mean) / s.w;
    p.at_high = exp(-y - log_mean) / s.w;
    p.by_location = offset + 0.5 * s.w * langevin(y);
    p.by_scale = offset * (2.0 * m + offset) + 2.0 * y * langevin(y) - s.w * s.w * spread(y);
  } else if (is_tail(s)) {
    const double drop = fall(s.a, s.w), rest = -expm1(-drop);
    const double hazard = 1.0 / mills(s.a);
    p.value = -s.from_a * (s.a + 0.5 * s.from_a) + log(hazard) - log_complement(drop);
    p.at_low = hazard / rest;
    p.at_high = s.w < INFINITY ? hazard / rest * exp(-s.w * (s.a + 0.5 * s.w)) : 0.0;
    // z - at_low + at_high, and z^2 - 1 - a at_low + b at_high
    const double lost = drop < 700.0 ? hazard / expm1(drop) : 0.0;
    p.by_location = s.from_a - hazard_excess(s.a) - lost + p.at_high;
    p.by_scale = s.from_a * (s.a + s.z) - 1.0 - s.a * (hazard_excess(s.a) + lost) + (p.at_high > 0.0 ? s.b * p.at_high : 0.0);
  } else {
    const double mass = 0.5 * (erf(s.b * SQRT_HALF) - erf(s.a * SQRT_HALF));
    const double log_mass = mass < 0.5 ? log(mass) : log1p(-0.5 * (erfc(s.b * SQRT_HALF) + erfc(-s.a * SQRT_HALF)));
    p.value = -0.5 * s.z * s.z - LOG_SQRT_2PI - log_mass;
    p.at_low = exp(-0.5 * s.a * s.a - LOG_SQRT_2PI) / mass;
    p.at_high = exp(-0.5 * s.b * s.b - LOG_SQRT_2PI) / mass;
    p.by_location = s.z - p.at_low + p.at_high;
    p.by_scale = s.z * s.z - 1.0 - (p.at_low > 0.0 ? s.a * p.at_low : 0.0) + (p.at_high > 0.0 ? s.b * p.at_high : 0.0);
  }
  p.by_x = -s.z;
  return p;
}

double coix_truncated_normal(const double *q, double *slopes) {
  const double x = q[0], location = q[1], scale = q[2], low = q[3], high = q[4];
  const int legal = fabs(location) < INFINITY && scale > 0.0 && scale < INFINITY && low < high;
  const int inside = fabs(x) < INFINITY && x >= low && x <= high;
  if (slopes) for (int k = 0; k < 5; k++) slopes[k] = legal ? 0.0 : NAN;
  if (!legal) return NAN;
  if (!inside) return -INFINITY;
  const standard s = standardised(x, location, scale, low, high);
  const int flip = s.b <= 0.0 || (s.w < CLOSE && s.a + s.b < 0.0);
  const density_parts p = parts(flip ? mirrored(s) : s);
  if (slopes) {
    const double sign = flip ? -1.0 : 1.0;
    slopes[0] = -s.z / scale;
    slopes[1] = sign * p.by_location / scale;
    slopes[2] = p.by_scale / scale;
    slopes[3] = (flip ? p.at_high : p.at_low) / scale;
    slopes[4] = -(flip ? p.at_low : p.at_high) / scale;
  }
  return p.value - log(scale);
}

/// The x with Phi(x) = p <= 1/2, by Newton's method for log Phi.
static double lower_quantile(double p) {
  const double target = log(p), t = sqrt(-2.0 * target);
  double x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
  x = x > 0.0 ? 0.0 : x;
  for (int step = 0; step < 4; step++) {
    const double ratio = mills(-x);
    x += (target - (log(ratio) - 0.5 * x * x - LOG_SQRT_2PI)) * ratio;
  }
  return x;
}

void coix_truncated_normal_move(const double *q, double *slopes) {
  const double u = q[1], location = q[2], scale = q[3], low = q[4], high = q[5];
  for (int k = 0; k < 6; k++) slopes[k] = NAN;
  if (!(fabs(location) < INFINITY && scale > 0.0 && scale < INFINITY && low < high)) return;
  standard s = standardised(location, location, scale, low, high);
  const int flip = s.b <= 0.0 || (s.w < CLOSE && s.a + s.b < 0.0);
  // The probabilities below and above the draw, or, mirrored, above and below it.
  const double v = flip ? 1.0 - u : u, r = flip ? u : 1.0 - u;
  if (flip) s = mirrored(s);
  double z, at_low, at_high; // the draw, standardised, and the densities at the bounds over that at z
  double by_location, by_scale; // 1 - r at_low - v at_high, and z - a r at_low - b v at_high
  if (s.w < CLOSE) {
    const double m = 0.5 * (s.a + s.b), slope = m * s.w;
    const double place = slope < 1e-6 ? v - 0.5 * slope * v * (1.0 - v) : -log1p(v * expm1(-slope)) / slope;
    const double from_a = s.w * place, to_b = s.w - from_a;
    z = s.a + from_a;
    at_low = exp(0.5 * from_a * (s.a + z));
    at_high = exp(-0.5 * to_b * (s.b + z));
    by_location = -r * expm1(0.5 * from_a * (s.a + z)) - v * expm1(-0.5 * to_b * (s.b + z));
    by_scale = s.a * by_location + from_a - s.w * v * at_high;
  } else if (is_tail(s)) {
    // target is by how much the logarithm of the survival function has fallen from a to the draw, and t the distance between the
    // two.
    const double drop = fall(s.a, s.w), target = v < 0.5 ? -log1p(v * expm1(-drop)) : -log(r + v * exp(-drop));
    // Newton's method, starting from above, where `fall` is convex.
    double t = target * mills(s.a);
    for (int step = 0; step < 12; step++) t += (target - fall(s.a, t)) * mills(s.a + t);
    z = s.a + t;
    const double to_b = s.w - t;
    at_low = exp(t * (s.a + 0.5 * t));
    at_high = to_b < INFINITY ? exp(-to_b * (z + 0.5 * to_b)) : 0.0;
    by_location = -r * expm1(t * (s.a + 0.5 * t)) + v * (1.0 - at_high);
    by_scale = s.a * by_location + t - (at_high > 0.0 ? s.w * v * at_high : 0.0);
  } else {
    const double below = 0.5 * erfc(-s.a * SQRT_HALF), above = 0.5 * erfc(s.b * SQRT_HALF);
    const double p = r * below + v * (1.0 - above), rest = r * (1.0 - below) + v * above;
    z = p <= 0.5 ? lower_quantile(fmax(p, 1e-300)) : -lower_quantile(fmax(rest, 1e-300));
    at_low = s.a > -INFINITY ? exp(0.5 * (z - s.a) * (z + s.a)) : 0.0;
    at_high = s.b < INFINITY ? exp(0.5 * (z - s.b) * (z + s.b)) : 0.0;
    by_location = 1.0 - r * at_low - v * at_high;
    by_scale = z - (at_low > 0.0 ? s.a * r * at_low : 0.0) - (at_high > 0.0 ? s.b * v * at_high : 0.0);
  }
  const double weight_low = r * at_low, weight_high = v * at_high;
  slopes[0] = 0.0;
  slopes[1] = 0.0;
  slopes[2] = by_location;
  slopes[3] = flip ? -by_scale : by_scale;
  slopes[4] = flip ? weight_high : weight_low;
  slopes[5] = flip ? weight_low : weight_high;
}
