// Branch-free float arithmetic on sixteen lanes. Part of every copy (see copies.h).
// Errors in units in the last place (ulp) are the largest seen in tests of these functions.

// MARK: Memory

INLINE v16 v_load(const float *p) { return *(const v16_memory *)p; }
INLINE void v_store(float *p, v16 v) { *(v16_memory *)p = v; }

/// The first n < 16 floats. The other lanes repeat the first one, so that they raise no floating-point exceptions of their
/// own.
INLINE v16 v_load_part(const float *p, size_t n) {
#if COIX_NATIVE == 16
  return _mm512_mask_loadu_ps(_mm512_set1_ps(p[0]), (__mmask16)((1u << n) - 1), p);
#else
  v16 v = (v16)(p[0]);
  for (size_t i = 1; i < n; i++) v[i] = p[i];
  return v;
#endif
}
INLINE void v_store_part(float *p, v16 v, size_t n) {
#if COIX_NATIVE == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#else
  for (size_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

/// An operand that varies along the row (stride 1) or is one value for all of it (stride 0).
INLINE v16 v_operand(const float *p, size_t stride, size_t i) { return stride ? v_load(p + i) : (v16)(p[0]); }
INLINE v16 v_operand_part(const float *p, size_t stride, size_t i, size_t n) {
  return stride ? v_load_part(p + i, n) : (v16)(p[0]);
}

// MARK: Basics

INLINE v16u v_bits(v16 x) { return __builtin_bit_cast(v16u, x); }
INLINE v16 v_from_bits(v16u x) { return __builtin_bit_cast(v16, x); }

INLINE v16 v_fma(v16 a, v16 b, v16 c) {
#if COIX_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// The larger of both; NaN if b is NaN.
INLINE v16 v_max(v16 a, v16 b) { return a > b ? a : b; }
INLINE v16 v_min(v16 a, v16 b) { return a < b ? a : b; }
INLINE v16 v_abs(v16 x) { return __builtin_elementwise_abs(x); }
INLINE v16 v_copysign(v16 x, v16 sign) { return v_from_bits((v_bits(x) & 0x7fffffffu) | (v_bits(sign) & 0x80000000u)); }
INLINE v16 v_sqrt(v16 x) { return __builtin_elementwise_sqrt(x); }
INLINE v16 v_floor(v16 x) { return __builtin_elementwise_floor(x); }
INLINE v16d v_widen(v16 x) { return __builtin_convertvector(x, v16d); }
INLINE v16 v_narrow(v16d x) { return __builtin_convertvector(x, v16); }

/// The sum of the lanes, always added in the same order: a tree.
INLINE float v_sum(v16 v) {
  typedef float v8 __attribute__((ext_vector_type(8)));
  typedef float v4 __attribute__((ext_vector_type(4)));
  v8 a = v.lo + v.hi;
  v4 b = a.lo + a.hi;
  return (b[0] + b[2]) + (b[1] + b[3]);
}
INLINE double v_wide_sum(v16d v) {
  typedef double v8 __attribute__((ext_vector_type(8)));
  typedef double v4 __attribute__((ext_vector_type(4)));
  v8 a = v.lo + v.hi;
  v4 b = a.lo + a.hi;
  return (b[0] + b[2]) + (b[1] + b[3]);
}

// MARK: Exponential

/// exp r - 1 for x = n log 2 + r, with `*integer` set to the integer n and |r| <= log(2) / 2.
INLINE v16 v_exp_reduced(v16 x, v16i *integer) {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const float magic = 12582912.0f;
  v16 t = v_fma(x, (v16)(1.44269504f), (v16)(magic));
  v16 n = t - magic;
  *integer = __builtin_bit_cast(v16i, t) - 0x4b400000;
  v16 r = v_fma(n, (v16)(-0.693359375f), x);
  r = v_fma(n, (v16)(2.12194440e-4f), r);
  v16 p = (v16)(1.9875691500e-4f);
  p = v_fma(p, r, (v16)(1.3981999507e-3f));
  p = v_fma(p, r, (v16)(8.3334519073e-3f));
  p = v_fma(p, r, (v16)(4.1665795894e-2f));
  p = v_fma(p, r, (v16)(1.6666665459e-1f));
  p = v_fma(p, r, (v16)(5.0000001201e-1f));
  return v_fma(p, r * r, r);
}

/// exp x = 2^n exp r. 1 ulp; denormal results included.
INLINE v16 v_exp(v16 x) {
  x = x > 89.0f ? (v16)(89.0f) : x;
  x = x < -104.0f ? (v16)(-104.0f) : x;
  v16i n;
  v16 p = v_exp_reduced(x, &n) + 1.0f;
  // Two factors, so that neither overflows where the product does not.
  v16i half = n >> 1;
  v16 first = __builtin_bit_cast(v16, (half + 127) << 23);
  v16 second = __builtin_bit_cast(v16, (n - half + 127) << 23);
  return p * first * second;
}

/// exp x - 1 without cancellation. 2 ulp.
INLINE v16 v_expm1(v16 x) {
  v16 c = x > 89.0f ? (v16)(89.0f) : x;
  c = c < -20.0f ? (v16)(-20.0f) : c;
  v16i n;
  v16 p = v_exp_reduced(c, &n);
  // Half the scale, doubled at the end: 2^128 is not a float.
  v16 half = __builtin_bit_cast(v16, (n + 126) << 23);
  v16 y = v_fma(half, p, half - 0.5f) * 2.0f;
  return x == 0.0f ? x : y;
}

// MARK: Logarithms

/// log(1 + f) + e log 2 for 1 + f in [sqrt(1/2), sqrt 2), plus the small correction `low`, which is added to the small terms
/// first (S. Moshier's Cephes polynomial).
INLINE v16 v_log_core(v16 f, v16 e, v16 low) {
  v16 z = f * f;
  v16 p = (v16)(7.0376836292e-2f);
  p = v_fma(p, f, (v16)(-1.1514610310e-1f));
  p = v_fma(p, f, (v16)(1.1676998740e-1f));
  p = v_fma(p, f, (v16)(-1.2420140846e-1f));
  p = v_fma(p, f, (v16)(1.4249322787e-1f));
  p = v_fma(p, f, (v16)(-1.6668057665e-1f));
  p = v_fma(p, f, (v16)(2.0000714765e-1f));
  p = v_fma(p, f, (v16)(-2.4999993993e-1f));
  p = v_fma(p, f, (v16)(3.3333331174e-1f));
  v16 y = v_fma(p * f, z, low);
  y = v_fma(e, (v16)(-2.12194440e-4f), y);
  y = v_fma(z, (v16)(-0.5f), y);
  return v_fma(e, (v16)(0.693359375f), f + y);
}

/// The natural logarithm: -inf at 0, NaN for negative numbers. 1 ulp.
INLINE v16 v_log(v16 x) {
  v16i tiny = x < 1.17549435e-38f;
  v16 scaled = tiny ? x * 8388608.0f : x;
  v16u bits = v_bits(scaled) - 0x3f3504f3u; // sqrt(1/2), so that the mantissa comes out around 1
  v16i exponent = __builtin_bit_cast(v16i, bits) >> 23;
  v16 m = v_from_bits((bits & 0x007fffffu) + 0x3f3504f3u);
  v16 e = __builtin_convertvector(exponent, v16);
  e = tiny ? e - 23.0f : e;
  v16 y = v_log_core(m - 1.0f, e, (v16)(0.0f));
  y = x == INFINITY ? x : y;
  y = x == 0.0f ? (v16)(-INFINITY) : y;
  return x >= 0.0f ? y : (v16)(NAN);
}

/// log(1 + x) from u, the rounded sum 1 + x, finite and positive, and the part of the sum that rounding lost. 1 ulp.
INLINE v16 v_log1p_inside(v16 u, v16 lost) {
  v16u bits = v_bits(u) - 0x3f3504f3u;
  v16i exponent = __builtin_bit_cast(v16i, bits) >> 23;
  v16 m = v_from_bits((bits & 0x007fffffu) + 0x3f3504f3u);
  return v_log_core(m - 1.0f, __builtin_convertvector(exponent, v16), lost / u);
}

INLINE v16 v_log1p(v16 x) {
  v16 u = 1.0f + x;
  v16 y = v_log1p_inside(u, v_abs(x) < 1.0f ? x - (u - 1.0f) : 1.0f - (u - x));
  y = u == INFINITY ? u : y;
  y = u == 0.0f ? (v16)(-INFINITY) : y;
  y = x == 0.0f ? x : y;
  return u >= 0.0f ? y : (v16)(NAN);
}

// MARK: In double

/// 1.5 * 2^52: adding it rounds to an integer and leaves that in the low bits.
#define WIDE_ROUNDER 6755399441055744.0
#define WIDE_ROUNDER_BITS 0x4338000000000000ll

/// The nearest integer, for |x| < 2^51.
INLINE v16d v_wide_nearest(v16d x) { return (x + WIDE_ROUNDER) - WIDE_ROUNDER; }

INLINE v16d v_wide_fma(v16d a, v16d b, v16d c) {
#if COIX_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// exp d for d <= 0, as v_exp computes it, in double; 0 for d < -708. 2 ulp. Even and odd powers run side by side.
INLINE v16d v_wide_exp(v16d d) {
  v16d x = d < -708.0 ? (v16d)(-708.0) : d;
  v16d t = v_wide_fma(x, (v16d)(1.4426950408889634), (v16d)(WIDE_ROUNDER));
  v16d n = t - WIDE_ROUNDER;
  v16l k = __builtin_bit_cast(v16l, t) - WIDE_ROUNDER_BITS;
  v16d r = v_wide_fma(n, (v16d)(-0.693147180369123816490), x);
  r = v_wide_fma(n, (v16d)(-1.90821492927058770002e-10), r);
  v16d r2 = r * r;
  v16d even = v_wide_fma(r2, (v16d)(1.0 / 479001600.0), (v16d)(1.0 / 3628800.0));
  v16d odd = v_wide_fma(r2, (v16d)(1.0 / 39916800.0), (v16d)(1.0 / 362880.0));
  even = v_wide_fma(even, r2, (v16d)(1.0 / 40320.0));
  odd = v_wide_fma(odd, r2, (v16d)(1.0 / 5040.0));
  even = v_wide_fma(even, r2, (v16d)(1.0 / 720.0));
  odd = v_wide_fma(odd, r2, (v16d)(1.0 / 120.0));
  even = v_wide_fma(even, r2, (v16d)(1.0 / 24.0));
  odd = v_wide_fma(odd, r2, (v16d)(1.0 / 6.0));
  even = v_wide_fma(even, r2, (v16d)(0.5));
  // 1 + r (1 + r (even + r odd)): the largest terms last.
  v16d p = v_wide_fma(v_wide_fma(odd, r, even), r2, r) + 1.0;
  v16d y = p * __builtin_bit_cast(v16d, (k + 1023) << 52);
  return d < -708.0 ? (v16d)(0.0) : y;
}

/// log x in double for finite positive normal x: log m = 2 artanh((m - 1) / (m + 1)), eleven terms.
INLINE v16d v_wide_log(v16d x) {
  v16l bits = __builtin_bit_cast(v16l, x) - 0x3fe6a09e667f3bcdll;
  v16l exponent = bits >> 52;
  v16d m = __builtin_bit_cast(v16d, (bits & 0xfffffffffffffll) + 0x3fe6a09e667f3bcdll);
  // Small integers to double without a 64-bit conversion instruction.
  v16d e = __builtin_bit_cast(v16d, exponent + WIDE_ROUNDER_BITS) - WIDE_ROUNDER;
  v16d s = (m - 1.0) / (m + 1.0), z = s * s;
  v16d p = (v16d)(1.0 / 21);
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return 2.0 * s + 2.0 * s * z * p + e * 0.69314718055994531;
}

// MARK: Activations

/// tanh x = (e^2x - 1) / (e^2x + 1). 2 ulp.
INLINE v16 v_tanh(v16 x) {
  v16 a = v_abs(x);
  v16 m = v_expm1(2.0f * (a > 10.0f ? (v16)(10.0f) : a));
  return v_copysign(m / (m + 2.0f), x);
}

/// 1 / (1 + exp(-x)), from exp(-|x|) so that neither end over- or underflows early. 2 ulp.
INLINE v16 v_sigmoid(v16 x) {
  v16 e = v_exp(-v_abs(x));
  return (x < 0.0f ? e : (v16)(1.0f)) / (1.0f + e);
}

/// log(1 + exp x) = max(x, 0) + log1p(exp(-|x|)). 2 ulp.
INLINE v16 v_softplus(v16 x) {
  return (x < 0.0f ? (v16)(0.0f) : x) + v_log1p(v_exp(-v_abs(x)));
}

INLINE v16 v_relu(v16 x) { return x < 0.0f ? (v16)(0.0f) : x; }

/// The inverse error function for |x| < 1, from w = -log(1 - x^2). See v_erfinv.
INLINE v16 v_erfinv_of(v16 x, v16 w) {
  v16i central = w < 5.0f;
  v16 c = w - 2.5f;
  v16 p = (v16)(2.81022636e-08f);
  p = v_fma(p, c, (v16)(3.43273939e-07f));
  p = v_fma(p, c, (v16)(-3.5233877e-06f));
  p = v_fma(p, c, (v16)(-4.39150654e-06f));
  p = v_fma(p, c, (v16)(0.00021858087f));
  p = v_fma(p, c, (v16)(-0.00125372503f));
  p = v_fma(p, c, (v16)(-0.00417768164f));
  p = v_fma(p, c, (v16)(0.246640727f));
  p = v_fma(p, c, (v16)(1.50140941f));
  if (__builtin_reduce_and(central) == 0) { // one lane in three hundred is not central
    v16 t = v_sqrt(w) - 3.0f;
    v16 q = (v16)(-0.000200214257f);
    q = v_fma(q, t, (v16)(0.000100950558f));
    q = v_fma(q, t, (v16)(0.00134934322f));
    q = v_fma(q, t, (v16)(-0.00367342844f));
    q = v_fma(q, t, (v16)(0.00573950773f));
    q = v_fma(q, t, (v16)(-0.0076224613f));
    q = v_fma(q, t, (v16)(0.00943887047f));
    q = v_fma(q, t, (v16)(1.00167406f));
    q = v_fma(q, t, (v16)(2.83297682f));
    p = central ? p : q;
  }
  return p * x;
}

INLINE v16 v_erfinv_inside(v16 x) {
  v16 square = x * x, u = 1.0f - square;
  return v_erfinv_of(x, -v_log1p_inside(u, (1.0f - u) - square));
}

/// The inverse error function in single precision: M. Giles, "Approximating the erfinv function", GPU Computing
/// Gems 2 (2010), listing 5: two polynomials in w = -log(1 - x^2). Like XLA, with log1p and +-inf at +-1.
/// Where x^2 is near 1, its rounding limits the precision of the result, as in XLA: 60 ulp at 0.9998.
INLINE v16 v_erfinv(v16 x) {
  v16 y = v_erfinv_of(x, -v_log1p(-(x * x)));
  return v_abs(x) == 1.0f ? x * INFINITY : y;
}
