// Log-densities of families of distributions and their derivatives, in double inside. Part of every copy (see copies.h).
//
// For each family NAME there are NAME_value, the log-density of sixteen elements, and NAME_slopes, its derivatives with respect
// to the operands. Parameters outside of their domain give NaN. A value outside of the support gives -inf and slopes 0. Slopes
// are also 0 where the log-density is infinite within the support. A factor x^0 at x = 0 is 1 and has no slope.

#include "wide_gamma.h"

#define VALUE(name) INLINE v16d COPY(name##_value)(const v16d *q)
#define SLOPES(name) INLINE void COPY(name##_slopes)(const v16d *q, v16d *d)
// MARK: Gamma and inverse gamma: x, concentration a, rate b

/// log of b^a x^(a - 1) exp(-b x) / Gamma(a) with y = b x (or of the inverse gamma density, with y = b / x).
#define v_gamma_density COPY(v_gamma_density)
INLINE v16d v_gamma_density(v16d x, v16d a, v16d y) {
  return 0.5 * v_wide_log_of(a) - v_deviance(a, y) - v_stirling_error(a) - HALF_LOG_2PI - v_wide_log_of(x);
}

VALUE(gamma) {
  v16d x = q[0], a = q[1], b = q[2];
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b), inside = IS_POSITIVE(x);
  v16d safe = legal ? a : 1.0, rate = legal ? b : 1.0, at = inside ? x : 1.0;
  return v_judged(legal, inside, v_gamma_density(at, safe, rate * at));
}
SLOPES(gamma) {
  v16d x = q[0], a = q[1], b = q[2], y = b * x;
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b), inside = IS_POSITIVE(x);
  d[0] = v_judged_slope(legal, inside, (a - 1.0 - y) / x);
  d[1] = v_judged_slope(legal, inside, v_wide_log_ratio(y, a) - v_digamma_excess(a));
  d[2] = v_judged_slope(legal, inside, (a - y) / b);
}

VALUE(inverse_gamma) {
  v16d x = q[0], a = q[1], b = q[2];
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b), inside = IS_POSITIVE(x);
  v16d safe = legal ? a : 1.0, rate = legal ? b : 1.0, at = inside ? x : 1.0;
  return v_judged(legal, inside, v_gamma_density(at, safe, rate / at));
}
SLOPES(inverse_gamma) {
  v16d x = q[0], a = q[1], b = q[2];
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b), inside = IS_POSITIVE(x);
  v16d y = b / x;
  d[0] = v_judged_slope(legal, inside, (y - a - 1.0) / x);
  d[1] = v_judged_slope(legal, inside, v_wide_log_ratio(y, a) - v_digamma_excess(a));
  d[2] = v_judged_slope(legal, inside, (a - y) / b);
}

// MARK: Beta: x, concentrations a (near 1) and b (near 0)

VALUE(beta) {
  v16d x = q[0], a = q[1], b = q[2];
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b), inside = (x >= 0.0) & (x <= 1.0), interior = (x > 0.0) & (x < 1.0);
  v16d at = interior ? x : 0.5;
  a = legal ? a : 1.0, b = legal ? b : 1.0;
  v16d sum = a + b, rest = 1.0 - at;
  v16d y = v_stirling_error(sum) - v_stirling_error(a) - v_stirling_error(b)
           + 0.5 * (v_wide_log_of(a) + v_wide_log_of(b / sum)) - HALF_LOG_2PI
           - v_deviance(a, sum * at) - v_deviance(b, sum * rest) - v_wide_log_of(at) - v_wide_log_of(rest);
  v16d own = x == 0.0 ? a : b, other = x == 0.0 ? b : a;
  v16d edge = own == 1.0 ? v_wide_log_of(other) : own < 1.0 ? (v16d)(INFINITY) : (v16d)(-INFINITY);
  return v_judged(legal, inside, interior ? y : edge);
}
SLOPES(beta) {
  v16d x = q[0], a = q[1], b = q[2];
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b);
  v16l at_zero = (x == 0.0) & (a == 1.0), at_one = (x == 1.0) & (b == 1.0);
  v16l inside = ((x > 0.0) & (x < 1.0)) | at_zero | at_one;
  v16d rest = 1.0 - x, own = at_zero ? 1.0 : x, others = at_one ? 1.0 : rest;
  v16d factor = at_zero ? (v16d)(0.0) : (a - 1.0) / x, other = at_one ? (v16d)(0.0) : (b - 1.0) / rest;
  d[0] = v_judged_slope(legal, inside, factor - other);
  d[1] = v_judged_slope(legal, inside, v_log_plus_step(own, v_wide_log_of(own), a, b));
  d[2] = v_judged_slope(legal, inside, v_log_plus_step(others, v_wide_log1p(at_one ? 0.0 : -x), b, a));
}

// MARK: log B(a, b)

VALUE(log_beta) {
  v16d a = q[0], b = q[1];
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b);
  a = legal ? a : 1.0, b = legal ? b : 1.0;
  v16d sum = a + b;
  v16d y = v_stirling_error(a) + v_stirling_error(b) - v_stirling_error(sum) + HALF_LOG_2PI - 0.5 * v_wide_log_of(sum)
           - (a - 0.5) * v_wide_log1p(b / a) - (b - 0.5) * v_wide_log1p(a / b);
  return v_judged(legal, legal, y);
}
SLOPES(log_beta) {
  v16d a = q[0], b = q[1];
  v16l legal = IS_POSITIVE(a) & IS_POSITIVE(b);
  d[0] = v_judged_slope(legal, legal, -v_digamma_step(a, b));
  d[1] = v_judged_slope(legal, legal, -v_digamma_step(b, a));
}

// MARK: Counts

/// log of exp(-m) m^k / k! for a count k and a rate m.
VALUE(poisson) {
  v16d k = q[0], rate = q[1];
  v16l legal = (rate >= 0.0) & (rate < INFINITY), inside = IS_COUNT(k);
  v16d safe = inside ? v_stand_in(k) : 1.0;
  v16d y = -v_deviance(safe, rate) - v_stirling_error(safe) - HALF_LOG_2PI - 0.5 * v_wide_log_of(safe);
  return v_judged(legal, inside, k == 0.0 ? -rate : y);
}
SLOPES(poisson) {
  v16d k = q[0], rate = q[1];
  v16l legal = (rate >= 0.0) & (rate < INFINITY), inside = IS_COUNT(k) & ((k == 0.0) | (rate > 0.0));
  d[0] = v_judged_slope(legal, inside & (rate > 0.0), v_wide_log_ratio(rate, v_stand_in(k)) - v_count_excess(k));
  d[1] = v_judged_slope(legal, inside, k == 0.0 ? (v16d)(-1.0) : (k - rate) / rate);
}

/// log of n! / (k! m!) (k/n)^k (m/n)^m with n = k + m: the log-probability of k successes in n trials at the most likely
/// probability k/n. 0 where k or m is 0. The numbers need not be whole.
#define v_choice COPY(v_choice)
INLINE v16d v_choice(v16d n, v16d k, v16d m) {
  v16l trivial = NOT((k > 0.0) & (m > 0.0));
  k = trivial ? 1.0 : k, m = trivial ? 1.0 : m, n = trivial ? 2.0 : n;
  v16d y = v_stirling_error(n) - v_stirling_error(k) - v_stirling_error(m) - HALF_LOG_2PI
           - 0.5 * (v_wide_log_of(k) + v_wide_log_of(m / n));
  return trivial ? (v16d)(0.0) : y;
}

/// Probabilities from their log-odds l: p = 1 / (1 + exp(-l)), its complement, and their logarithms.
typedef struct { v16d p, rest, log_p, log_rest; } COPY(odds);
#define v_odds COPY(v_odds)
INLINE COPY(odds) v_odds(v16d l) {
  v16d e = v_wide_exp(-v_wide_abs(l)), softplus = v_wide_log1p(e);
  v16d large = 1.0 / (1.0 + e), small = e / (1.0 + e);
  v16l negative = l < 0.0;
  return (COPY(odds)){negative ? small : large, negative ? large : small,
                      negative ? l - softplus : -softplus, negative ? -softplus : -l - softplus};
}
/// k log(k / (n p)) + m log(m / (n r)) for n = k + m and p + r = 1; computed from the logarithms of p and r where one of these is
/// tiny.
#define v_odds_deviance COPY(v_odds_deviance)
INLINE v16d v_odds_deviance(v16d n, v16d k, v16d m, COPY(odds) o) {
  v16l near = (o.log_p > -30.0) & (o.log_rest > -30.0);
  v16d log_k = v_wide_log_of(k / n), log_m = v_wide_log_of(m / n);
  log_k = k < m ? log_k : v_wide_log1p(-m / n);
  log_m = k < m ? v_wide_log1p(-k / n) : log_m;
  v16d far = (k == 0.0 ? (v16d)(0.0) : k * (log_k - o.log_p)) + (m == 0.0 ? (v16d)(0.0) : m * (log_m - o.log_rest));
  return near ? v_deviance(k, n * o.p) + v_deviance(m, n * o.rest) : far;
}

/// digamma(m + 1) - digamma(k + 1) for counts.
#define v_count_step COPY(v_count_step)
INLINE v16d v_count_step(v16d k, v16d m) {
  return v_wide_log_ratio(v_stand_in(m), v_stand_in(k)) + v_count_excess(m) - v_count_excess(k);
}
/// log r + digamma(n + 1) - digamma(n - k + 1), given r and its logarithm.
#define v_trials_slope COPY(v_trials_slope)
INLINE v16d v_trials_slope(v16d r, v16d log_r, v16d n, v16d k) {
  v16d m = n - k;
  v16d far = v_wide_log_ratio(v_stand_in(n) * (r > 1e-290 ? r : 1.0), v_stand_in(m)) + v_count_excess(n) - v_count_excess(m)
             + (r > 1e-290 ? (v16d)(0.0) : log_r);
  return k * 1024.0 < m + 1.0 ? log_r + v_digamma_step(m + 1.0, k) : far;
}

/// The log-probability of k successes in n trials. Operands: k, n, and the probability p of a success.
VALUE(binomial) {
  v16d k = q[0], n = q[1], p = q[2], m = n - k;
  v16l legal = IS_COUNT(n) & (p >= 0.0) & (p <= 1.0), inside = IS_COUNT(k) & (m >= 0.0);
  return v_judged(legal, inside, v_choice(n, k, m) - v_deviance(k, n * p) - v_deviance(m, n * (1.0 - p)));
}
SLOPES(binomial) {
  v16d k = q[0], n = q[1], p = q[2], m = n - k, rest = 1.0 - p;
  v16l legal = IS_COUNT(n) & (p >= 0.0) & (p <= 1.0);
  v16l inside = IS_COUNT(k) & (m >= 0.0) & ((k == 0.0) | (p > 0.0)) & ((m == 0.0) | (rest > 0.0));
  v16d log_p = v_wide_log_of(p > 0.0 ? p : 1.0), log_rest = v_wide_log1p(rest > 0.0 ? -p : 0.0);
  v16d by_p = k == 0.0 ? -n / rest : m == 0.0 ? n / p : (k - n * p) / (p * rest);
  by_p = n == 0.0 ? (v16d)(0.0) : by_p;
  d[0] = v_judged_slope(legal, inside, log_p - log_rest + v_count_step(k, m));
  d[1] = v_judged_slope(legal, inside, v_trials_slope(rest > 0.0 ? rest : 1.0, log_rest, n, k));
  d[2] = v_judged_slope(legal, inside, by_p);
}

/// The log-probability of k successes in n trials. Operands: k, n, and the log-odds l of a success, which may be infinite.
VALUE(binomial_logits) {
  v16d k = q[0], n = q[1], l = q[2], m = n - k;
  v16l legal = IS_COUNT(n) & (l == l), inside = IS_COUNT(k) & (m >= 0.0);
  v16d y = v_choice(n, k, m) - v_odds_deviance(n, k, m, v_odds(l));
  return v_judged(legal, inside, n == 0.0 ? (v16d)(0.0) : y);
}
SLOPES(binomial_logits) {
  v16d k = q[0], n = q[1], l = q[2], m = n - k;
  COPY(odds) o = v_odds(l);
  v16l legal = IS_COUNT(n) & (l == l);
  v16l inside = IS_COUNT(k) & (m >= 0.0) & ((k == 0.0) | (l > -INFINITY)) & ((m == 0.0) | (l < INFINITY));
  v16d log_rest = l < INFINITY ? o.log_rest : 0.0, log_odds = v_wide_abs(l) < INFINITY ? l : 0.0;
  d[0] = v_judged_slope(legal, inside, log_odds + v_count_step(k, m));
  d[1] = v_judged_slope(legal, inside, v_trials_slope(l < INFINITY ? o.rest : 1.0, log_rest, n, k));
  d[2] = v_judged_slope(legal, inside, k * o.rest - m * o.p);
}

/// log of Gamma(k + r) / (k! Gamma(r)) (r/n)^r (k/n)^k with n = k + r.
#define v_negative_choice COPY(v_negative_choice)
INLINE v16d v_negative_choice(v16d n, v16d k, v16d r) {
  return v_choice(n, k, r) + (k > 0.0 ? v_wide_log_of(r / n) : (v16d)(0.0));
}
/// digamma(k + r) - digamma(k + 1).
#define v_count_slope COPY(v_count_slope)
INLINE v16d v_count_slope(v16d n, v16d k) {
  return v_wide_log_ratio(n, v_stand_in(k)) + v_digamma_excess(n) - v_count_excess(k);
}

/// The log-probability of k successes before failure r. Operands: k, r (not necessarily whole), and the probability p of a
/// success.
VALUE(negative_binomial) {
  v16d k = q[0], r = q[1], p = q[2], n = k + r;
  v16l legal = IS_POSITIVE(r) & (p >= 0.0) & (p <= 1.0), inside = IS_COUNT(k);
  return v_judged(legal, inside, v_negative_choice(n, k, r) - v_deviance(r, n * (1.0 - p)) - v_deviance(k, n * p));
}
SLOPES(negative_binomial) {
  v16d k = q[0], r = q[1], p = q[2], n = k + r, rest = 1.0 - p;
  v16l legal = IS_POSITIVE(r) & (p >= 0.0) & (p <= 1.0);
  v16l inside = IS_COUNT(k) & (rest > 0.0) & ((k == 0.0) | (p > 0.0));
  v16d log_p = v_wide_log_of(p > 0.0 ? p : 1.0);
  d[0] = v_judged_slope(legal, inside, log_p + v_count_slope(n, k));
  d[1] = v_judged_slope(legal, inside, v_log_plus_step(rest, v_wide_log1p(-p), r, k));
  d[2] = v_judged_slope(legal, inside, k == 0.0 ? -r / rest : (k * rest - r * p) / (p * rest));
}

/// The log-probability of k successes before failure r. Operands: k, r, and the log-odds l of a success, which may be infinite.
VALUE(negative_binomial_logits) {
  v16d k = q[0], r = q[1], l = q[2], n = k + r;
  v16l legal = IS_POSITIVE(r) & (l == l), inside = IS_COUNT(k);
  return v_judged(legal, inside, v_negative_choice(n, k, r) - v_odds_deviance(n, k, r, v_odds(l)));
}
SLOPES(negative_binomial_logits) {
  v16d k = q[0], r = q[1], l = q[2], n = k + r;
  COPY(odds) o = v_odds(l);
  v16l legal = IS_POSITIVE(r) & (l == l), inside = IS_COUNT(k) & (l < INFINITY) & ((k == 0.0) | (l > -INFINITY));
  v16d log_p = l > -INFINITY ? o.log_p : 0.0;
  v16l near = o.log_rest > -30.0;
  v16d by_r = v_log_plus_step(near ? o.rest : 1.0, near ? o.log_rest : 0.0, r, k) + (near ? (v16d)(0.0) : o.log_rest);
  d[0] = v_judged_slope(legal, inside, log_p + v_count_slope(n, k));
  d[1] = v_judged_slope(legal, inside, by_r);
  d[2] = v_judged_slope(legal, inside, k * o.rest - r * o.p);
}

/// The same log-probability, given the mean of k: that of a Poisson count whose rate has a gamma distribution. Operands: k, the
/// concentration r, and the mean m.
VALUE(negative_binomial_mean) {
  v16d k = q[0], r = q[1], m = q[2], n = k + r, sum = m + r;
  v16l legal = IS_POSITIVE(r) & (m >= 0.0) & (m < INFINITY), inside = IS_COUNT(k);
  v16d y = v_negative_choice(n, k, r) - v_deviance(r, n * (r / sum)) - v_deviance(k, n * (m / sum));
  return v_judged(legal, inside, y);
}
SLOPES(negative_binomial_mean) {
  v16d k = q[0], r = q[1], m = q[2], n = k + r, sum = m + r;
  v16l legal = IS_POSITIVE(r) & (m >= 0.0) & (m < INFINITY), inside = IS_COUNT(k) & ((k == 0.0) | (m > 0.0));
  v16d log_p = v_wide_log_ratio(m > 0.0 ? m : sum, sum);
  d[0] = v_judged_slope(legal, inside, log_p + v_count_slope(n, k));
  v16l near = v_wide_abs(k - m) < 0.25 * sum;
  v16d by_r = near ? v_wide_log1p_excess(near ? (k - m) / sum : 0.0) : v_wide_log_of(n / sum) + (m - k) / sum;
  d[1] = v_judged_slope(legal, inside, by_r + v_digamma_excess_step(r, k));
  d[2] = v_judged_slope(legal, inside, k == 0.0 ? -r / sum : (k - m) / m * (r / sum));
}

// MARK: Locations and scales: x, location, scale

VALUE(student_t) {
  v16d x = q[0], nu = q[1], location = q[2], scale = q[3];
  v16l legal = IS_POSITIVE(nu) & IS_REAL(location) & IS_POSITIVE(scale), inside = IS_REAL(x);
  nu = legal ? nu : 1.0;
  v16d h = 0.5 * nu, z = (x - location) / (legal ? scale : 1.0);
  v16d y = v_stirling_error(h + 0.5) - v_stirling_error(h) + (h * v_wide_log1p(0.5 / h) - 0.5) - HALF_LOG_2PI
           - v_wide_log_of(legal ? scale : 1.0) - (h + 0.5) * v_wide_log1p(z * z / nu);
  return v_judged(legal, inside, y);
}
SLOPES(student_t) {
  v16d x = q[0], nu = q[1], location = q[2], scale = q[3];
  v16l legal = IS_POSITIVE(nu) & IS_REAL(location) & IS_POSITIVE(scale), inside = IS_REAL(x);
  v16d z = (x - location) / scale, square = z * z, part = square / (nu + square);
  // log(1 + z^2 / nu) - part = -(log(1 - part) + part)
  v16l far = part > 0.75;
  v16d excess = far ? v_wide_log1p(square / nu) - part : -v_wide_log1p_excess(-(far ? 0.0 : part));
  v16d by_location = (nu + 1.0) / (nu + square) * z / scale;
  d[0] = v_judged_slope(legal, inside, -by_location);
  d[1] = v_judged_slope(legal, inside, 0.5 * (v_digamma_half_step(0.5 * nu) - excess + part / nu));
  d[2] = v_judged_slope(legal, inside, by_location);
  d[3] = v_judged_slope(legal, inside, (square - 1.0) * (nu / (nu + square)) / scale);
}

VALUE(cauchy) {
  v16d x = q[0], location = q[1], scale = q[2];
  v16l legal = IS_REAL(location) & IS_POSITIVE(scale), inside = IS_REAL(x);
  v16d z = (x - location) / scale;
  return v_judged(legal, inside, -LOG_PI - v_wide_log_of(scale) - v_wide_log1p(z * z));
}
SLOPES(cauchy) {
  v16d x = q[0], location = q[1], scale = q[2];
  v16l legal = IS_REAL(location) & IS_POSITIVE(scale), inside = IS_REAL(x);
  v16d z = (x - location) / scale, square = z * z, by_location = 2.0 * z / (1.0 + square) / scale;
  d[0] = v_judged_slope(legal, inside, -by_location);
  d[1] = v_judged_slope(legal, inside, by_location);
  d[2] = v_judged_slope(legal, inside, (square - 1.0) / (1.0 + square) / scale);
}

VALUE(half_cauchy) {
  v16d x = q[0], scale = q[1];
  v16l legal = IS_POSITIVE(scale), inside = IS_POSITIVE(x);
  v16d z = x / scale;
  return v_judged(legal, inside, LOG_2 - LOG_PI - v_wide_log_of(scale) - v_wide_log1p(z * z));
}
SLOPES(half_cauchy) {
  v16d x = q[0], scale = q[1];
  v16l legal = IS_POSITIVE(scale), inside = IS_POSITIVE(x);
  v16d z = x / scale, square = z * z;
  d[0] = v_judged_slope(legal, inside, -2.0 * z / (1.0 + square) / scale);
  d[1] = v_judged_slope(legal, inside, (square - 1.0) / (1.0 + square) / scale);
}

VALUE(laplace) {
  v16d x = q[0], location = q[1], scale = q[2];
  v16l legal = IS_REAL(location) & IS_POSITIVE(scale), inside = IS_REAL(x);
  return v_judged(legal, inside, -v_wide_abs((x - location) / scale) - LOG_2 - v_wide_log_of(scale));
}
SLOPES(laplace) {
  v16d x = q[0], location = q[1], scale = q[2];
  v16l legal = IS_REAL(location) & IS_POSITIVE(scale), inside = IS_REAL(x);
  v16d distance = x - location;
  v16d sign = distance > 0.0 ? (v16d)(1.0) : distance < 0.0 ? (v16d)(-1.0) : (v16d)(0.0);
  d[0] = v_judged_slope(legal, inside, -sign / scale);
  d[1] = v_judged_slope(legal, inside, sign / scale);
  d[2] = v_judged_slope(legal, inside, (v_wide_abs(distance / scale) - 1.0) / scale);
}

// MARK: Weibull: x, scale, concentration

VALUE(weibull) {
  v16d x = q[0], scale = q[1], k = q[2];
  v16l legal = IS_POSITIVE(scale) & IS_POSITIVE(k), inside = IS_POSITIVE(x);
  v16d safe = inside ? x : 1.0, power = k * v_wide_log_ratio(safe, legal ? scale : 1.0);
  v16l huge = power > 700.0;
  v16d y = v_wide_log_of(k) - v_wide_log_of(safe) + power - v_wide_exp(huge ? 0.0 : power);
  return v_judged(legal, inside, huge ? (v16d)(-INFINITY) : y);
}
SLOPES(weibull) {
  v16d x = q[0], scale = q[1], k = q[2];
  v16l legal = IS_POSITIVE(scale) & IS_POSITIVE(k);
  v16d log_ratio = v_wide_log_ratio(IS_POSITIVE(x) ? x : 1.0, legal ? scale : 1.0), power = k * log_ratio;
  // Where the log-density is infinite there is no slope.
  v16l inside = IS_POSITIVE(x) & (power <= 700.0);
  v16d survived = v_wide_exp(inside ? power : 0.0);
  d[0] = v_judged_slope(legal, inside, (k - 1.0 - k * survived) / x);
  d[1] = v_judged_slope(legal, inside, k * (survived - 1.0) / scale);
  d[2] = v_judged_slope(legal, inside, 1.0 / k + log_ratio * (1.0 - survived));
}

// MARK: Uniform: x, low, high

VALUE(uniform) {
  v16d x = q[0], low = q[1], high = q[2];
  v16l legal = IS_REAL(low) & IS_REAL(high) & (low < high), inside = (x >= low) & (x <= high);
  return v_judged(legal, inside, -v_wide_log_of(high - low));
}
SLOPES(uniform) {
  v16d x = q[0], low = q[1], high = q[2], density = 1.0 / (high - low);
  v16l legal = IS_REAL(low) & IS_REAL(high) & (low < high), inside = (x >= low) & (x <= high);
  d[0] = v_judged_slope(legal, inside, (v16d)(0.0));
  d[1] = v_judged_slope(legal, inside, density);
  d[2] = v_judged_slope(legal, inside, -density);
}

// MARK: Truncated normal: x, location, scale, low, high; lane by lane

VALUE(truncated_normal) {
  v16d y;
  for (int i = 0; i < 16; i++) {
    const double lane[5] = {q[0][i], q[1][i], q[2][i], q[3][i], q[4][i]};
    y[i] = coix_truncated_normal(lane, NULL);
  }
  return y;
}
SLOPES(truncated_normal) {
  for (int i = 0; i < 16; i++) {
    const double lane[5] = {q[0][i], q[1][i], q[2][i], q[3][i], q[4][i]};
    double slopes[5];
    coix_truncated_normal(lane, slopes);
    for (int k = 0; k < 5; k++) d[k][i] = slopes[k];
  }
}

/// A draw, which is the value itself, and its derivatives with respect to the operands.
VALUE(truncated_normal_draw) { return q[0]; }
SLOPES(truncated_normal_draw) {
  for (int i = 0; i < 16; i++) {
    const double lane[6] = {q[0][i], q[1][i], q[2][i], q[3][i], q[4][i], q[5][i]};
    double slopes[6];
    coix_truncated_normal_move(lane, slopes);
    for (int k = 0; k < 6; k++) d[k][i] = slopes[k];
  }
}

// MARK: Kernels over rows

#define KERNELS(id, name, arity)                                                                   \
  static void COPY(name##_values)(const density_operand *q, size_t o, float *out, size_t count) {  \
    v16d w[arity];                                                                                 \
    for (size_t i = 0; i < count; i += 16) {                                                       \
      const size_t n = coix_min(16, count - i);                                                    \
      COPY(load_operands)(q, arity, o, i, n, w);                                                   \
      COPY(store_numbers)(out + i, COPY(name##_value)(w), n);                                      \
    }                                                                                              \
  }                                                                                                \
  static void COPY(name##_backward)(const density_operand *q, size_t o, const float *gradient,     \
                                    float *const *out, size_t count) {                             \
    v16d w[arity], d[arity];                                                                       \
    for (size_t i = 0; i < count; i += 16) {                                                       \
      const size_t n = coix_min(16, count - i);                                                    \
      COPY(load_operands)(q, arity, o, i, n, w);                                                   \
      COPY(name##_slopes)(w, d);                                                                   \
      COPY(store_slopes)(gradient, d, arity, out, o * count + i, n);                               \
    }                                                                                              \
  }

static __attribute__((noinline)) void COPY(load_operands)(const density_operand *q, int arity, size_t o, size_t i, size_t n,
                                                          v16d *wide) {
  for (int k = 0; k < arity; k++) {
    const float *data = q[k].data + o * q[k].outer_stride;
    wide[k] = v_widen(n == 16 ? v_operand(data, q[k].row_stride, i) : v_operand_part(data, q[k].row_stride, i, n));
  }
}

INLINE void COPY(store_numbers)(float *out, v16d wide, size_t n) {
  if (n == 16) v_store(out, v_narrow(wide));
  else v_store_part(out, v_narrow(wide), n);
}

static __attribute__((noinline)) void COPY(store_slopes)(const float *gradient, const v16d *slopes, int arity, float *const *out,
                                                         size_t at, size_t n) {
  v16d g = v_widen(n == 16 ? v_load(gradient + at) : v_load_part(gradient + at, n));
  for (int k = 0; k < arity; k++) {
    if (!out[k]) continue;
    // A slope too large for a float becomes the largest float. The slopes of a density minus itself then cancel; infinite ones
    // would give NaN.
    v16d y = g == 0.0 ? (v16d)(0.0) : g * slopes[k];
    y = y > FLT_MAX ? (v16d)(FLT_MAX) : y < -FLT_MAX ? (v16d)(-FLT_MAX) : y;
    COPY(store_numbers)(out[k] + at, y, n);
  }
}

DENSITIES(KERNELS)

#define ENTRY(id, name, arity) [id] = {COPY(name##_values), COPY(name##_backward)},
static const density_table COPY(table) = {{DENSITIES(ENTRY)}};
#undef ENTRY
#undef KERNELS
#undef VALUE
#undef SLOPES
