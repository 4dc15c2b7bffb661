// The copies of dense.c: see copies.h.

#include "native_vector.h"
#define UNITS (16 / COIX_NATIVE)

#include "dense_product.h"
#include "dense_narrow.h"

/// dz, but 0 where the gradient dy is 0 and the derivative makes dz NaN.
INLINE v16 COPY(counted)(v16 dy, v16 dz) { return ((dy == 0.0f) & (dz != dz)) ? (v16)(0.0f) : dz; }

static void COPY(slope)(coix_activation activation, const float *y_, const float *dy_, float *dz, size_t count) {
#define SLOPE(CASE, expression)                                                                    \
  case CASE: {                                                                                     \
    size_t i = 0;                                                                                  \
    for (; i + 16 <= count; i += 16) {                                                             \
      v16 y = v_load(y_ + i), dy = v_load(dy_ + i);                                                \
      v_store(dz + i, COPY(counted)(dy, expression));                                              \
    }                                                                                              \
    if (i < count) {                                                                               \
      v16 y = v_load_part(y_ + i, count - i), dy = v_load_part(dy_ + i, count - i);                \
      v_store_part(dz + i, COPY(counted)(dy, expression), count - i);                              \
    }                                                                                              \
  } break;
  switch (activation) {
    case COIX_IDENTITY: memcpy(dz, dy_, count * sizeof *dz); break;
    SLOPE(COIX_RELU, y > 0.0f ? dy : (v16)(0.0f))
    SLOPE(COIX_TANH, dy * ((1.0f - y) * (1.0f + y)))
    SLOPE(COIX_SIGMOID, dy * (y * (1.0f - y)))
    SLOPE(COIX_SOFTPLUS, -(dy * v_expm1(-y)))
  }
#undef SLOPE
}

static float COPY(row_sum)(const float *x, size_t rows) {
  v16d sum = (v16d)(0.0);
  size_t r = 0;
  for (; r + 16 <= rows; r += 16) sum += v_widen(v_load(x + r));
  double rest = 0.0;
  for (; r < rows; r++) rest += (double)x[r];
  return (float)(v_wide_sum(sum) + rest);
}

/// Products that are summed one after the other in single precision; these partial sums are added
/// in double.
#define TERMS ((size_t)64)
#define DOT(LOAD, ...)                                                                             \
  v16 sum = (v16)(0.0f);                                                                           \
  v16d wide = (v16d)(0.0);                                                                         \
  for (size_t l = 0; l < k; l++) {                                                                 \
    if (l && l % TERMS == 0) {                                                                     \
      wide += v_widen(sum);                                                                        \
      sum = (v16)(0.0f);                                                                           \
    }                                                                                              \
    sum = v_fma(LOAD(a + (i * k + l) * rows + r, ##__VA_ARGS__), LOAD(b + (l * n + j) * rows + r, ##__VA_ARGS__), sum); \
  }                                                                                                \
  if (k > TERMS) sum = v_narrow(wide + v_widen(sum));

static void COPY(batched_matmul)(const float *a, const float *b, float *out, size_t m, size_t k, size_t n, size_t rows) {
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      float *y = out + (i * n + j) * rows;
      size_t r = 0;
      for (; r + 16 <= rows; r += 16) {
        DOT(v_load)
        v_store(y + r, sum);
      }
      if (r < rows) {
        DOT(v_load_part, rows - r)
        v_store_part(y + r, sum, rows - r);
      }
    }
  }
}
#undef DOT
#undef TERMS

static const dense_table COPY(table) = {
    COPY(product), COPY(narrow_in), COPY(narrow_out), COPY(slope), COPY(row_sum), COPY(batched_matmul), COPY(activate),
};
#undef UNITS
#undef UNROLL
