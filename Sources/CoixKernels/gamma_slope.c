// The derivative of a gamma draw x with respect to its shape parameter a, at a fixed value of the cumulative distribution
// function P (implicit reparameterisation:
// M. Figurnov, S. Mohamed and A. Mnih, "Implicit reparameterization gradients", 2018): dx/da = -(dP(a, x)/da) / p(x; a), in double.

#include "internal.h"

#include <float.h>
#include <math.h>

#pragma STDC FP_CONTRACT OFF

/// Gamma'(a) / Gamma(a) for a > 0: the asymptotic series at 10 or above, the recurrence below.
static double digamma(double a) {
  double before = 0.0;
  for (; a < 10.0; a += 1.0) before += 1.0 / a;
  const double u = 1.0 / a, z = u * u;
  return log(a) - 0.5 * u - z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z / 132)))) - before;
}

/// By the power series of P (Abramowitz and Stegun, 6.5.29), term by term: P = x^a e^-x / Gamma(a + 1) (1 + sum of c_n),
/// c_n = x^n / ((a + 1) ... (a + n)).
static double slope_by_series(double a, double x) {
  double term = 1.0, sum = 1.0, reciprocals = 0.0, derivative = 0.0;
  for (double n = a + 1.0;; n += 1.0) {
    term *= x / n;
    reciprocals += 1.0 / n;
    sum += term;
    derivative -= term * reciprocals;
    // For n > x the terms decrease. The test is false for NaN, too, and so ends the sum.
    if (!(n < x || term * reciprocals > 1e-17 * -derivative)) break;
  }
  return -x / a * ((log(x) - digamma(a + 1.0)) * sum + derivative);
}

/// By the continued fraction of 1 - P (6.5.31), backwards from term 40 with its derivative. For x well above a.
static double slope_by_fraction(double a, double x) {
  double tail = 0.0, tail_slope = 0.0;
  for (int k = 40; k > 0; k--) {
    const double below = x + 2.0 * k + 1.0 - a + tail, below_slope = tail_slope - 1.0;
    tail = -k * (k - a) / below;
    tail_slope = (k - tail * below_slope) / below;
  }
  const double fraction = 1.0 / (x + 1.0 - a + tail);
  const double fraction_slope = (1.0 - tail_slope) * fraction * fraction;
  return x * ((log(x) - digamma(a)) * fraction + fraction_slope);
}

/// By the Cornish-Fisher expansion x(a, z) = a + z sqrt(a) + (z^2 - 1) / 3 + ..., solved for the normal quantile z. For large a.
static double slope_by_expansion(double a, double x) {
  const double root = sqrt(a);
  double z = (x - a) / root, z2 = 0.0;
  for (int step = 0; step < 5; step++) {
    z2 = z * z;
    const double found = a + z * root + (z2 - 1.0) / 3.0 + z * (z2 - 7.0) / (36.0 * root)
                         - ((3.0 * z2 + 7.0) * z2 - 16.0) / (810.0 * a);
    const double steepness = root + z * (2.0 / 3.0) + (3.0 * z2 - 7.0) / (36.0 * root) - z * (12.0 * z2 + 14.0) / (810.0 * a);
    z -= (found - x) / steepness;
  }
  z2 = z * z;
  return 1.0 + z / (2.0 * root) - z * (z2 - 7.0) / (72.0 * a * root) + ((3.0 * z2 + 7.0) * z2 - 16.0) / (810.0 * a * a);
}

static double slope(double a, double x) {
  if (!(a > 0.0) || !(x >= 0.0)) return NAN;
  if (x == 0.0) return 0.0;
  if (a >= 1000.0) return slope_by_expansion(a, x);
  return x > a + 2.0 * sqrt(a) + 1.0 ? slope_by_fraction(a, x) : slope_by_series(a, x);
}

void coix_gamma_slope(const float *alpha, size_t alpha_element_stride, size_t alpha_row_stride, const float *sample,
                      int logarithmic, const float *gradient, float *out, size_t elements, size_t rows) {
  for (size_t e = 0; e < elements; e++) {
    for (size_t r = 0; r < rows; r++) {
      const size_t i = e * rows + r;
      const double a = alpha[e * alpha_element_stride + r * alpha_row_stride];
      double change;
      if (logarithmic) {
        // Where the number itself underflows, the least normal float takes its place, as in JAX.
        const double x = fmax(exp(sample[i]), FLT_MIN);
        change = slope(a, x) / x;
      } else {
        change = slope(a, sample[i]);
      }
      out[i] = gradient[i] == 0.0f ? 0.0f : (float)(gradient[i] * change);
    }
  }
}
