// Logarithms, and differences between the gamma function's logarithm and Stirling's formula, in double on sixteen lanes.
// Log-densities are built from these, so that logarithms of gamma functions, which may be huge, are never subtracted from each
// other. Part of the density copies.

#define v_wide_log_of COPY(v_wide_log_of)
#define v_wide_log1p COPY(v_wide_log1p)
#define v_wide_log1p_excess COPY(v_wide_log1p_excess)
#define v_wide_log_ratio COPY(v_wide_log_ratio)
#define v_deviance COPY(v_deviance)
#define v_stirling_error COPY(v_stirling_error)
#define v_digamma_excess COPY(v_digamma_excess)
#define v_digamma_step COPY(v_digamma_step)
#define v_digamma_excess_step COPY(v_digamma_excess_step)
#define v_digamma_half_step COPY(v_digamma_half_step)
#define v_wide_abs COPY(v_wide_abs)

// Long functions are not inlined, to keep the code small; their arguments are passed through memory.

#define HALF_LOG_2PI 0.91893853320467274
#define LOG_PI 1.1447298858494002
#define LOG_2 0.69314718055994531
#define EULER_GAMMA 0.57721566490153286

INLINE v16d v_wide_abs(v16d x) { return __builtin_elementwise_abs(x); }

/// log x for every x: -inf at 0, NaN for negative numbers.
static __attribute__((noinline)) void COPY(wide_log_of)(v16d *x_) {
  v16d x = *x_;
  v16l ordinary = (x > 0.0) & (x < INFINITY);
  v16d y = v_wide_log(ordinary ? x : 1.0);
  *x_ = ordinary ? y : x == 0.0 ? (v16d)(-INFINITY) : x == INFINITY ? x : (v16d)(NAN);
}
INLINE v16d v_wide_log_of(v16d x) {
  COPY(wide_log_of)(&x);
  return x;
}

/// log(1 + x).
INLINE v16d v_wide_log1p(v16d x) {
  v16d u = 1.0 + x;
  v16d lost = v_wide_abs(x) < 1.0 ? x - (u - 1.0) : 1.0 - (u - x);
  v16d y = v_wide_log_of(u);
  return ((u > 0.0) & (u < INFINITY)) ? y + lost / u : y;
}

/// log(1 + x) - x, which is near -x^2/2 for small x: by the series of artanh(x / (2 + x)) there.
static __attribute__((noinline)) void COPY(wide_log1p_excess_of)(v16d *x_) {
  v16d x = *x_;
  v16l small = v_wide_abs(x) < 0.25;
  v16d s = (small ? x : 0.0) / (2.0 + (small ? x : 0.0)), z = s * s;
  v16d p = (v16d)(1.0 / 19);
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  *x_ = small ? 2.0 * s * z * p - x * s : v_wide_log1p(x) - x;
}
INLINE v16d v_wide_log1p_excess(v16d x) {
  COPY(wide_log1p_excess_of)(&x);
  return x;
}

/// log(x / y) for x >= 0, y > 0, also where the two are nearly equal.
INLINE v16d v_wide_log_ratio(v16d x, v16d y) {
  v16d r = (x - y) / y;
  v16l near = v_wide_abs(r) < 0.5;
  v16d direct = v_wide_log_of(x) - v_wide_log_of(y);
  return near ? v_wide_log1p(near ? r : 0.0) : direct;
}

/// x log(x / m) + m - x for x, m >= 0: the deviance term of C. Loader, "Fast and accurate computation of binomial probabilities" (2000).
static __attribute__((noinline)) v16d COPY(deviance_of)(const v16d *x_, const v16d *m_) {
  v16d x = *x_, m = *m_;
  v16d safe = x == 0.0 ? 1.0 : x, r = (m - safe) / safe;
  v16l near = v_wide_abs(r) < 0.25;
  v16d y = near ? -safe * v_wide_log1p_excess(near ? r : 0.0) : safe * v_wide_log_of(safe / m) + (m - safe);
  return x == 0.0 ? m : y;
}
INLINE v16d v_deviance(v16d x, v16d m) { return COPY(deviance_of)(&x, &m); }

/// log Gamma(a) - ((a - 1/2) log a - a + log(2 pi)/2) for a > 0: Stirling's series at a, or, below 8, at a + 8.
static __attribute__((noinline)) void COPY(stirling_error_of)(v16d *a_) {
  v16d a = *a_;
  a = ((a > 0.0) & (a < INFINITY)) ? a : 1.0;
  v16l small = a < 8.0;
  v16d b = small ? a + 8.0 : a;
  v16d u = 1.0 / b, z = u * u;
  v16d y = u * (1.0 / 12 + z * (-1.0 / 360 + z * (1.0 / 1260 + z * (-1.0 / 1680 + z * (1.0 / 1188 - z * (691.0 / 360360))))));
  v16d c = small ? a : 1.0;
  v16d product = c * (c + 1.0) * (c + 2.0) * (c + 3.0) * (c + 4.0) * (c + 5.0) * (c + 6.0) * (c + 7.0);
  v16d step = (c + 7.5) * v_wide_log(c + 8.0) - 8.0 - v_wide_log(product) - (c - 0.5) * v_wide_log(c);
  *a_ = small ? y + step : y;
}
INLINE v16d v_stirling_error(v16d a) {
  COPY(stirling_error_of)(&a);
  return a;
}

/// digamma(a) - log a for a > 0: the asymptotic series at a, or, below 8, at a + 8.
static __attribute__((noinline)) void COPY(digamma_excess_of)(v16d *a_) {
  v16d a = *a_;
  a = ((a > 0.0) & (a < INFINITY)) ? a : 1.0;
  v16l small = a < 8.0;
  v16d b = small ? a + 8.0 : a;
  v16d u = 1.0 / b, z = u * u;
  v16d y = -0.5 * u - z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760))))));
  v16d c = small ? a : 1.0;
  v16d before = 1.0 / c + 1.0 / (c + 1.0) + 1.0 / (c + 2.0) + 1.0 / (c + 3.0) + 1.0 / (c + 4.0) + 1.0 / (c + 5.0)
                + 1.0 / (c + 6.0) + 1.0 / (c + 7.0);
  *a_ = small ? y + v_wide_log(c + 8.0) - v_wide_log(c) - before : y;
}
INLINE v16d v_digamma_excess(v16d a) {
  COPY(digamma_excess_of)(&a);
  return a;
}

/// digamma(a + t) - digamma(a) for a > 0, t >= 0, as a sum of positive terms: the difference of the asymptotic series at a, or, below 8,
/// at a + 8, by divided differences.
/// If `excess`, log(1 + t / a) is subtracted.
static __attribute__((noinline)) v16d COPY(digamma_step_of)(const v16d *a_, const v16d *t_, int excess) {
  v16d a = *a_, t = *t_;
  v16l small = a < 8.0;
  v16d b = small ? a + 8.0 : a, c = b + t;
  v16d z = 1.0 / (b * b), w = 1.0 / (c * c);
  static const double series[] = {691.0 / 32760, -1.0 / 132, 1.0 / 240, -1.0 / 252, 1.0 / 120, -1.0 / 12};
  v16d value = (v16d)(0.0), divided = (v16d)(0.0);
  for (int i = 0; i < 6; i++) {
    divided = divided * w + value;
    value = value * z + series[i];
  }
  // The series begins with z, not with 1.
  divided = divided * w + value;
  v16d y = 0.5 * (t / b) / c - divided * ((t / b) / c) * (1.0 / b + 1.0 / c);
  v16d growth = v_wide_log1p(t / b), removed = excess ? v_wide_log1p(t / a) : (v16d)(0.0);
  v16d d = small ? a : 1.0, before = (v16d)(0.0);
  for (int i = 0; i < 8; i++) before += t / (d + (double)i) / (d + (i + t));
  return small ? y + before + growth - removed : excess ? y : y + growth;
}
INLINE v16d v_digamma_step(v16d a, v16d t) { return COPY(digamma_step_of)(&a, &t, 0); }
INLINE v16d v_digamma_excess_step(v16d a, v16d t) { return COPY(digamma_step_of)(&a, &t, 1); }

/// digamma(h + 1/2) - digamma(h) - 1/(2 h) for h > 0: the difference of the asymptotic series at h, or, below 8, at h + 8.
INLINE v16d v_digamma_half_step(v16d h) {
  v16l small = h < 8.0;
  v16d b = small ? h + 8.0 : h;
  v16d z = 1.0 / (b * b);
  v16d y = z * (1.0 / 8 - z * (1.0 / 64 - z * (1.0 / 128 - z * (17.0 / 2048 - z * (31.0 / 2048 - z * (691.0 / 16384
           - z * (5461.0 / 32768)))))));
  v16d c = small ? h : 1.0, before = (v16d)(0.0);
  for (int i = 0; i < 8; i++) before += 0.5 / ((c + (double)i) * (c + (i + 0.5)));
  return small ? y + before + 0.5 / b - 0.5 / c : y;
}

/// log x + digamma(a + t) - digamma(a), given x, its logarithm, and t >= 0.
#define v_log_plus_step COPY(v_log_plus_step)
INLINE v16d v_log_plus_step(v16d x, v16d log_x, v16d a, v16d t) {
  v16d sum = a + t;
  v16d far = v_wide_log_ratio(sum * x, a) + v_digamma_excess(sum) - v_digamma_excess(a);
  return t * 1024.0 < a ? log_x + v_digamma_step(a, t) : far;
}

// digamma(x + 1) = log(v_stand_in(x)) + v_count_excess(x) for x >= 0.
#define v_stand_in COPY(v_stand_in)
INLINE v16d v_stand_in(v16d x) { return x > 0.0 ? x : 1.0; }
#define v_count_excess COPY(v_count_excess)
INLINE v16d v_count_excess(v16d x) {
  v16d safe = v_stand_in(x);
  return x > 0.0 ? v_digamma_excess(safe) + 1.0 / safe : -EULER_GAMMA;
}

// MARK: Domains

#define IS_POSITIVE(a) (((a) > 0.0) & ((a) < INFINITY))
#define IS_REAL(a) (v_wide_abs(a) < INFINITY)
#define IS_COUNT(a) (((a) >= 0.0) & ((a) < INFINITY) & ((a) == __builtin_elementwise_floor(a)))
#define NOT(condition) (~(condition))


#define v_judged COPY(v_judged)
/// The log-density y; -inf where the value is not `inside` the support, NaN where the parameters are not `legal`.
INLINE v16d v_judged(v16l legal, v16l inside, v16d y) {
  y = inside ? y : (v16d)(-INFINITY);
  return legal ? y : (v16d)(NAN);
}
/// The slope y; 0 where the value is not `inside` the support, NaN where the parameters are not `legal`.
#define v_judged_slope COPY(v_judged_slope)
INLINE v16d v_judged_slope(v16l legal, v16l inside, v16d y) {
  y = inside ? y : (v16d)(0.0);
  return legal ? y : (v16d)(NAN);
}
