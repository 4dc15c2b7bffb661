// The von Mises distribution, computed in double: its normalising Bessel function, and a round of its sampler.

#include "internal.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/// log(I0(x) exp(-x)) for x >= 0 and its derivative I1(x) / I0(x) - 1 (Abramowitz and Stegun, 9.6.10 and 9.7.1).
static double log_bessel(double x, double *slope) {
  double term = 1.0, zeroth = 0.0, first = 0.5;
  if (x < 20.0) {
    // The power series: I0 = 1 + sum of t_k, I1 = x (1/2 + sum of t_k / (2k + 2)), t_k = (x²/4)^k / k!².
    const double square = 0.25 * x * x;
    for (int k = 1; term > 1e-18 * zeroth; k++) {
      term *= square / ((double)k * k);
      zeroth += term;
      first += 0.5 * term / (k + 1.0);
    }
    *slope = x * first / (1.0 + zeroth) - 1.0;
    return log1p(zeroth) - x;
  }
  // The asymptotic series of I0, and that of I1 - I0, in which no digits cancel.
  double before = 1.0, difference = 0.0;
  for (int k = 1; k <= 30; k++) {
    const double odd = 2.0 * k - 1.0, step = 1.0 / (8.0 * x * k);
    term *= odd * odd * step;
    before *= (odd * odd - 4.0) * step;
    zeroth += term;
    difference += before - term;
  }
  *slope = difference / (1.0 + zeroth);
  return log1p(zeroth) - 0.5 * log(2.0 * 3.1415926535897932 * x);
}

void coix_log_bessel_i0(const float *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) {
    double slope;
    y[i] = x[i] < INFINITY ? (float)log_bessel(fabs((double)x[i]), &slope) : x[i] == INFINITY ? -INFINITY : NAN;
  }
}

void coix_log_bessel_i0_backward(const float *x, const float *dy, float *dx, size_t count) {
  for (size_t i = 0; i < count; i++) {
    double slope = 0.0;
    if (fabsf(x[i]) < INFINITY) log_bessel(fabs((double)x[i]), &slope);
    if (dy[i] == 0.0f) dx[i] = 0.0f;
    else dx[i] = dy[i] * (float)(x[i] < 0.0f ? -slope : isnan(x[i]) ? NAN : slope);
  }
}

/// D. J. Best and N. I. Fisher, "Efficient simulation of the von Mises distribution" (1979): the proposal is a wrapped Cauchy
/// number with mean resultant length rho, the angle 2 atan((1 - rho) / (1 + rho) tan(pi u / 2)). With w the angle's cosine and q
/// = 2 rho / (1 + rho²), it is accepted if log(y / v) + 1 >= y for y = kappa (1/q - w). The formulas are written so that no
/// digits cancel for any kappa.
static int propose(double kappa, double u, double v, double *angle) {
  const double root = sqrt(1.0 + 4.0 * kappa * kappa), r = 1.0 + root, s = sqrt(2.0 * r);
  const double rho = 2.0 * kappa / (r + s);
  const double complement = (1.0 + 1.0 / (root + 2.0 * kappa) + s) / (r + s);  // 1 - rho
  const double tangent = complement / (1.0 + rho) * tan(0.5 * 3.1415926535897932 * fabs(u));
  const double half_sine = tangent / hypot(1.0, tangent);
  *angle = 2.0 * atan(tangent);
  // 1/q - w = (1/q - 1) + (1 - w), times kappa.
  const double y = 0.25 * (r + s) * complement * complement + 2.0 * kappa * half_sine * half_sine;
  return y * (2.0 - y) >= v || log(y / v) + 1.0 >= y;
}

void coix_von_mises_round(const float *concentration, size_t concentration_element_stride, size_t concentration_row_stride,
                          const float *u, const float *v, float *angle, float *open, size_t elements, size_t rows) {
  for (size_t e = 0; e < elements; e++) {
    for (size_t r = 0; r < rows; r++) {
      const size_t i = e * rows + r;
      if (open[i] == 0.0f) continue;
      const double kappa = concentration[e * concentration_element_stride + r * concentration_row_stride];
      double found = NAN;
      if (!(kappa >= 0.0 && kappa < INFINITY) || propose(kappa, u[i], v[i], &found)) open[i] = 0.0f;
      angle[i] = (float)found;
    }
  }
}
