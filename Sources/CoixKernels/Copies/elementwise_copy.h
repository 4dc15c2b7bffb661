// Elementwise kernels on contiguous blocks. Part of every copy (see copies.h).

#include "vector_gamma.h"
#include "vector_normal.h"

#pragma clang diagnostic ignored "-Wunused-variable" // not every slope uses x and y

#define UNARY(name, expression)                                                                    \
  static void COPY(name)(const float *x_, float *y_, size_t count) {                               \
    size_t i = 0;                                                                                  \
    for (; i + 16 <= count; i += 16) {                                                             \
      v16 x = v_load(x_ + i);                                                                      \
      v_store(y_ + i, expression);                                                                 \
    }                                                                                              \
    if (i < count) {                                                                               \
      v16 x = v_load_part(x_ + i, count - i);                                                      \
      v_store_part(y_ + i, expression, count - i);                                                 \
    }                                                                                              \
  }

UNARY(negate, -x)
UNARY(exp_, v_exp(x))
UNARY(expm1_, v_expm1(x))
UNARY(log_, v_log(x))
UNARY(log1p_, v_log1p(x))
UNARY(sqrt_, v_sqrt(x))
UNARY(tanh_, v_tanh(x))
UNARY(sigmoid, v_sigmoid(x))
UNARY(softplus, v_softplus(x))
UNARY(relu, v_relu(x))
UNARY(abs_, v_abs(x))
UNARY(square, x * x)
UNARY(reciprocal, 1.0f / x)
UNARY(sin_, v_sine(x, 0))
UNARY(cos_, v_sine(x, 1))
UNARY(sign, x > 0.0f ? (v16)(1.0f) : x < 0.0f ? (v16)(-1.0f) : x)
UNARY(floor_, v_floor(x))
UNARY(loggamma, v_loggamma(x))
UNARY(digamma, v_digamma(x))
UNARY(erfinv, v_erfinv(x))
UNARY(normal_cdf, v_normal_cdf(x))
UNARY(log_normal_cdf, v_log_normal_cdf(x))
UNARY(normal_quantile, v_normal_quantile(x))

/// dx, but 0 where the gradient dy is 0 and the derivative makes dx NaN: numbers that do not count must
/// not make gradients NaN.
INLINE v16 COPY(unless_zero)(v16 dy, v16 dx) { return dy == 0.0f ? (dx != dx ? (v16)(0.0f) : dx) : dx; }

#define SLOPE(name, expression)                                                                    \
  static void COPY(name##_slope)(const float *x_, const float *y_, const float *dy_, float *dx_,   \
                                 size_t count) {                                                   \
    size_t i = 0;                                                                                  \
    for (; i + 16 <= count; i += 16) {                                                             \
      v16 x = v_load(x_ + i), y = v_load(y_ + i), dy = v_load(dy_ + i);                            \
      v_store(dx_ + i, COPY(unless_zero)(dy, expression));                                         \
    }                                                                                              \
    if (i < count) {                                                                               \
      size_t n = count - i;                                                                        \
      v16 x = v_load_part(x_ + i, n), y = v_load_part(y_ + i, n), dy = v_load_part(dy_ + i, n);    \
      v_store_part(dx_ + i, COPY(unless_zero)(dy, expression), n);                                 \
    }                                                                                              \
  }

SLOPE(negate, -dy)
SLOPE(exp_, dy *y)
SLOPE(expm1_, dy *(y + 1.0f))
SLOPE(log_, dy / (x + 0.0f)) // the limit from the right, also at -0
SLOPE(log1p_, dy / (1.0f + x))
SLOPE(sqrt_, dy * 0.5f / (y + 0.0f))
SLOPE(tanh_, dy *((1.0f - y) * (1.0f + y)))
SLOPE(sigmoid, dy *(y * (1.0f - y)))
SLOPE(softplus, dy *v_sigmoid(x))
SLOPE(relu, x > 0.0f ? dy : (v16)(0.0f))
SLOPE(abs_, x > 0.0f ? dy : x < 0.0f ? -dy : x)
SLOPE(square, dy * 2.0f * x)
SLOPE(reciprocal, -dy *y *y)
SLOPE(sin_, dy *v_sine(x, 1))
SLOPE(cos_, -dy *v_sine(x, 0))
SLOPE(sign, (v16)(0.0f))
SLOPE(floor_, (v16)(0.0f))
SLOPE(loggamma, dy *v_digamma(x))
SLOPE(digamma, dy *v_trigamma(x))
SLOPE(erfinv, dy *(0.886226925f * v_exp(y * y)))
SLOPE(normal_cdf, dy *(0.398942280f * v_exp(-0.5f * x * x)))
SLOPE(log_normal_cdf, dy *v_inverse_mills(x))
SLOPE(normal_quantile, dy *(2.50662827f * v_exp(0.5f * y * y)))

/// One row of a binary operation; each operand has stride 0 or 1.
#define BINARY(name, expression)                                                                   \
  INLINE void COPY(name##_row)(const float *a_, size_t as, const float *b_, size_t bs, float *out, \
                               size_t count) {                                                     \
    size_t i = 0;                                                                                  \
    for (; i + 16 <= count; i += 16) {                                                             \
      v16 a = v_operand(a_, as, i), b = v_operand(b_, bs, i);                                      \
      v_store(out + i, expression);                                                                \
    }                                                                                              \
    if (i < count) {                                                                               \
      v16 a = v_operand_part(a_, as, i, count - i), b = v_operand_part(b_, bs, i, count - i);      \
      v_store_part(out + i, expression, count - i);                                                \
    }                                                                                              \
  }                                                                                                \
  static void COPY(name)(const float *a, size_t as, const float *b, size_t bs, float *out,         \
                         size_t count) {                                                           \
    if (as && bs) COPY(name##_row)(a, 1, b, 1, out, count);                                        \
    else if (as) COPY(name##_row)(a, 1, b, 0, out, count);                                         \
    else if (bs) COPY(name##_row)(a, 0, b, 1, out, count);                                         \
    else COPY(name##_row)(a, 0, b, 0, out, count);                                                 \
  }

/// C's powf, lane by lane.
static __attribute__((noinline)) void COPY(power_lanes)(float *a, const float *b) {
  for (int i = 0; i < 16; i++) a[i] = powf(a[i], b[i]);
}
INLINE v16 COPY(v_power)(v16 a, v16 b) {
  COPY(power_lanes)((float *)&a, (const float *)&b);
  return a;
}

#define TRUTH(condition) ((condition) ? (v16)(1.0f) : (v16)(0.0f))
BINARY(add, a + b)
BINARY(subtract, a - b)
BINARY(multiply, a *b)
BINARY(divide, a / b)
BINARY(power, COPY(v_power)(a, b))
BINARY(maximum, a != a ? a : v_max(a, b))
BINARY(minimum, a != a ? a : v_min(a, b))
BINARY(less, TRUTH(a < b))
BINARY(less_equal, TRUTH(a <= b))
BINARY(greater, TRUTH(a > b))
BINARY(greater_equal, TRUTH(a >= b))
BINARY(equal, TRUTH(a == b))
BINARY(not_equal, TRUTH(a != b))
BINARY(seed_multiply, COPY(unless_zero)(a, a *b))
BINARY(seed_divide, COPY(unless_zero)(a, a / b))

INLINE void COPY(select_row)(const float *c_, size_t cs, const float *a_, size_t as, const float *b_,
                             size_t bs, float *out, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    v16 c = v_operand(c_, cs, i), a = v_operand(a_, as, i), b = v_operand(b_, bs, i);
    v_store(out + i, c != 0.0f ? a : b);
  }
  for (; i < count; i++) out[i] = c_[cs * i] != 0.0f ? a_[as * i] : b_[bs * i];
}
static void COPY(select)(const float *c, size_t cs, const float *a, size_t as, const float *b, size_t bs,
                         float *out, size_t count) {
  if (cs && as && bs) COPY(select_row)(c, 1, a, 1, b, 1, out, count);
  else COPY(select_row)(c, cs, a, as, b, bs, out, count);
}

static void COPY(accumulate)(float *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) v_store(y + i, v_load(y + i) + v_load(x + i));
  for (; i < count; i++) y[i] += x[i];
}

/// The index of the first element whose magnitude bits are >= limit (0x7f800000: infinite or NaN), or -1.
static int64_t COPY(first_above)(const float *x, size_t count, uint32_t limit) {
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    v16i any = (v16i)(0);
    for (int j = 0; j < 64; j += 16) any |= (v_bits(v_load(x + i + j)) & 0x7fffffffu) >= limit;
    if (__builtin_reduce_or(any)) break;
  }
  for (; i + 16 <= count; i += 16)
    if (__builtin_reduce_or((v_bits(v_load(x + i)) & 0x7fffffffu) >= limit)) break;
  for (; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    if ((bits & 0x7fffffffu) >= limit) return (int64_t)i;
  }
  return -1;
}

#define VALUE(constant, name, cost) [constant] = COPY(name),
#define DERIVATIVE(constant, name, cost) [constant] = COPY(name##_slope),
static const elementwise_table COPY(table) = {
    .unary = {COIX_UNARY_OPS(VALUE)},
    .slope = {COIX_UNARY_OPS(DERIVATIVE)},
    .binary = {COIX_BINARY_OPS(VALUE)},
    .select = COPY(select),
    .accumulate = COPY(accumulate),
    .first_above = COPY(first_above),
};
#undef VALUE
#undef DERIVATIVE
#undef UNARY
#undef SLOPE
#undef BINARY
#undef TRUTH
