// The cumulative distribution function Phi of the standard normal, its logarithm and its inverse, lane by
// lane, in double with the C library's functions. Part of every copy (see copies.h).

#define v_normal_cdf COPY(v_normal_cdf)
#define v_log_normal_cdf COPY(v_log_normal_cdf)
#define v_inverse_mills COPY(v_inverse_mills)
#define v_normal_quantile COPY(v_normal_quantile)

/// Phi(x) = erfc(-x / sqrt 2) / 2.
static __attribute__((noinline)) double COPY(normal_cdf_of)(double x) { return 0.5 * erfc(x * -0.70710678118654752); }

/// log Phi(x), by the asymptotic series (Abramowitz and Stegun, 26.2.12) where Phi itself is about to underflow.
static __attribute__((noinline)) double COPY(log_normal_cdf_of)(double x) {
  if (x > -30.0) return x > 5.0 ? log1p(-COPY(normal_cdf_of)(-x)) : log(COPY(normal_cdf_of)(x));
  const double z = 1.0 / (x * x);
  return -0.5 * x * x - log(-x) - 0.91893853320467274 + log1p(-z * (1.0 - 3.0 * z));
}

/// The x with Phi(x) = p: a rational function (26.2.23, error 5e-4), then a step of Halley's method, which cubes the error.
static __attribute__((noinline)) double COPY(normal_quantile_of)(double p) {
  if (!(p > 0.0 && p < 1.0)) return p == 0.0 ? -INFINITY : p == 1.0 ? INFINITY : NAN;
  const double tail = p < 0.5 ? p : 1.0 - p, t = sqrt(-2.0 * log(tail));
  double x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
  const double newton = (COPY(normal_cdf_of)(x) - tail) * 2.5066282746310005 * exp(0.5 * x * x);
  x -= newton / (1.0 + 0.5 * x * newton);
  return p < 0.5 ? x : -x;
}

INLINE v16 v_normal_cdf(v16 x) {
  for (int i = 0; i < 16; i++) x[i] = (float)COPY(normal_cdf_of)((double)x[i]);
  return x;
}
INLINE v16 v_log_normal_cdf(v16 x) {
  for (int i = 0; i < 16; i++) x[i] = (float)COPY(log_normal_cdf_of)((double)x[i]);
  return x;
}
/// The derivative of log Phi, phi(x) / Phi(x). For x <= -30, where it is about -x, it is computed from the series of log Phi: in
/// the difference of log phi and log Phi the leading digits would cancel.
INLINE v16 v_inverse_mills(v16 x) {
  for (int i = 0; i < 16; i++) {
    const double w = x[i];
    const double z = 1.0 / (w * w);
    x[i] = w <= -30.0 ? (float)(-w / (1.0 - z * (1.0 - 3.0 * z)))
                      : (float)exp(-0.5 * w * w - 0.91893853320467274 - COPY(log_normal_cdf_of)(w));
  }
  return x;
}
INLINE v16 v_normal_quantile(v16 x) {
  for (int i = 0; i < 16; i++) x[i] = (float)COPY(normal_quantile_of)((double)x[i]);
  return x;
}
