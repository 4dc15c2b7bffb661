// Weights in double. Part of every copy (see copies.h).

/// exp d for d <= 0, as v_exp does it, in double; 0 below exp -708. 2 ulp.
INLINE v16d COPY(v_exp_wide)(v16d d) {
  v16d x = d < -708.0 ? (v16d)(-708.0) : d;
  // Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits.
  const double magic = 6755399441055744.0;
  v16d t = x * 1.4426950408889634 + magic;
  v16d n = t - magic;
  v16l k = __builtin_bit_cast(v16l, t) - 0x4338000000000000;
  v16d r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  v16d p = (v16d)(1.0 / 479001600.0);
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  v16d y = p * __builtin_bit_cast(v16d, (k + 1023) << 52);
  return d < -708.0 ? (v16d)(0.0) : y;
}

/// out[i] = exp(x[i] - greatest).
static void COPY(exponentials)(const float *x, size_t n, float greatest, double *out) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t rest = n - i;
    v16 row = rest < 16 ? v_load_part(x + i, rest) : v_load(x + i);
    v16d e = COPY(v_exp_wide)(v_widen(row) - (double)greatest);
    memcpy(out + i, &e, coix_min(rest, 16) * sizeof(double));
  }
}

static const resampling_table COPY(table) = {COPY(exponentials)};
