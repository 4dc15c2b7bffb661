// Sine, cosine, log-gamma, digamma and trigamma, computed in double. Part of the elementwise copies.

#define v_sine COPY(v_sine)
#define v_loggamma COPY(v_loggamma)
#define v_digamma COPY(v_digamma)
#define v_trigamma COPY(v_trigamma)
#define v_sine_of_pi COPY(v_sine_of_pi)

static __attribute__((noinline)) void COPY(sine_lanes)(float *y, const float *x, int cosine) {
  for (int i = 0; i < 16; i++)
    if (!(fabsf(x[i]) <= 1e6f)) y[i] = cosine ? cosf(x[i]) : sinf(x[i]);
}

/// sin x, or cos x: the distance to the nearest multiple of pi/2, in double, then Taylor's series on
/// [-pi/4, pi/4]. 1 ulp. Beyond 1e6 the C library computes each lane.
INLINE v16 v_sine(v16 x, int cosine) {
  v16i large = !(v_abs(x) <= 1e6f);
  v16d w = v_widen(large ? (v16)(0.0f) : x);
  v16d t = w * 0.63661977236758134 + WIDE_ROUNDER;
  v16l quadrant = __builtin_bit_cast(v16l, t) + (cosine ? 1 : 0);
  v16d n = t - WIDE_ROUNDER;
  v16d r = (w - n * 1.5707963267341256) - n * 6.0771005065061922e-11;
  v16d z = r * r;
  v16d s = r + r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 - z * (1.0 / 39916800)))));
  v16d c = 1.0 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 - z * (1.0 / 3628800)))));
  v16d v = (quadrant & 1) != 0 ? c : s;
  v = (quadrant & 2) != 0 ? -v : v;
  v16 y = v_narrow(v);
  if (!cosine) y = x == 0.0f ? x : y;
  if (__builtin_reduce_or(large)) COPY(sine_lanes)((float *)&y, (const float *)&x, cosine);
  return y;
}

/// sin(pi d) (or cos) for |d| <= 1/2, by Taylor's series.
INLINE v16d v_sine_of_pi(v16d d, int cosine) {
  v16d r = d * 3.1415926535897932, z = r * r;
  if (cosine)
    return 1.0 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800
           + z * (1.0 / 479001600 + z * (-1.0 / 87178291200.0 + z * (1.0 / 20922789888000.0))))))));
  return r + r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 + z * (-1.0 / 39916800
         + z * (1.0 / 6227020800.0 + z * (-1.0 / 1307674368000.0)))))));
}

/// log |Gamma(x)|: Stirling's series at x + 8 or above, the recurrence's product below, reflection for x < 1/2.
/// +inf at 0 and the negative integers. Relative error about 1e-7, also beside the zeros at 1 and 2.
INLINE v16 v_loggamma(v16 x) {
  v16i finite = v_abs(x) < INFINITY;
  v16d w = v_widen(finite ? x : (v16)(1.0f));
  v16l mirrored = w < 0.5;
  v16d a = mirrored ? 1.0 - w : w;
  v16l small = a < 8.0;
  v16d product = a * (a + 1.0) * (a + 2.0) * (a + 3.0) * (a + 4.0) * (a + 5.0) * (a + 6.0) * (a + 7.0);
  v16d shifted = small ? a + 8.0 : a;
  v16d u = 1.0 / shifted, z = u * u;
  v16d series = u * (1.0 / 12 + z * (-1.0 / 360 + z * (1.0 / 1260 + z * (-1.0 / 1680 + z * (1.0 / 1188 - z * (691.0 / 360360))))));
  v16d y = (shifted - 0.5) * v_wide_log(shifted) - shifted + 0.91893853320467274 + series;
  y = small ? y - v_wide_log(product) : y;
  v16d d = w - v_wide_nearest(w);
  v16d sine = v_sine_of_pi(d, 0);
  sine = sine < 0.0 ? -sine : sine;
  v16l pole = sine == 0.0;
  v16d reflected = 1.1447298858494002 - v_wide_log(pole ? (v16d)(1.0) : sine) - y;
  y = mirrored ? (pole ? (v16d)(INFINITY) : reflected) : y;
  v16 result = ((x == 1.0f) | (x == 2.0f)) ? (v16)(0.0f) : v_narrow(y);
  return finite ? result : x * x;
}

/// Gamma'(x) / Gamma(x): the asymptotic series at x + 8 or above, recurrence below, reflection for x < 1/2.
/// -inf at 0, +inf at -0: the limits from either side; NaN at the other poles, where those differ.
INLINE v16 v_digamma(v16 x) {
  v16i finite = v_abs(x) < INFINITY;
  v16d w = v_widen(finite ? x : (v16)(1.0f));
  v16l mirrored = w < 0.5;
  v16d a = mirrored ? 1.0 - w : w;
  v16l small = a < 8.0;
  v16d before = 1.0 / a + 1.0 / (a + 1.0) + 1.0 / (a + 2.0) + 1.0 / (a + 3.0) + 1.0 / (a + 4.0) + 1.0 / (a + 5.0)
                + 1.0 / (a + 6.0) + 1.0 / (a + 7.0);
  v16d shifted = small ? a + 8.0 : a;
  v16d u = 1.0 / shifted, z = u * u;
  v16d y = v_wide_log(shifted) - 0.5 * u
           - z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760))))));
  y = small ? y - before : y;
  v16d d = w - v_wide_nearest(w);
  v16d sine = v_sine_of_pi(d, 0);
  v16d cotangent = v_sine_of_pi(d, 1) / sine;
  y = mirrored ? (sine == 0.0 ? (v16d)(NAN) : y - 3.1415926535897932 * cotangent) : y;
  v16 result = v_narrow(y);
  result = x == 0.0f ? -1.0f / x : result;
  return finite ? result : x == INFINITY ? x : (v16)(NAN);
}

/// The derivative of digamma, computed in the same way. +inf at the poles.
INLINE v16 v_trigamma(v16 x) {
  v16i finite = v_abs(x) < INFINITY;
  v16d w = v_widen(finite ? x : (v16)(1.0f));
  v16l mirrored = w < 0.5;
  v16d a = mirrored ? 1.0 - w : w;
  v16l small = a < 8.0;
  v16d before = (v16d)(0.0);
  for (int i = 0; i < 8; i++) {
    v16d term = 1.0 / (a + (double)i);
    before += term * term;
  }
  v16d shifted = small ? a + 8.0 : a;
  v16d u = 1.0 / shifted, z = u * u;
  v16d y = u + 0.5 * z
           + u * z * (1.0 / 6 - z * (1.0 / 30 - z * (1.0 / 42 - z * (1.0 / 30 - z * (5.0 / 66 - z * (691.0 / 2730))))));
  y = small ? y + before : y;
  v16d ratio = 3.1415926535897932 / v_sine_of_pi(w - v_wide_nearest(w), 0);
  y = mirrored ? ratio * ratio - y : y;
  v16 result = v_narrow(y);
  return finite ? result : x == INFINITY ? (v16)(0.0f) : (v16)(NAN);
}
