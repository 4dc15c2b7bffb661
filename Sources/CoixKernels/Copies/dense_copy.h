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

typedef double COPY(vn_wide) __attribute__((ext_vector_type(COIX_NATIVE)));

/// out[i, j] for i < mr, j < nr, for one register of rows, so that each number that is read takes part in several products.
INLINE void COPY(row_products)(const size_t mr, const size_t nr, const float *a, const float *b, float *out, size_t k, size_t n,
                               size_t rows) {
  vn sum[2][4];
  COPY(vn_wide) wide[2][4];
  UNROLL for (size_t i = 0; i < mr; i++)
    UNROLL for (size_t j = 0; j < nr; j++) sum[i][j] = (vn)(0.0f), wide[i][j] = (COPY(vn_wide))(0.0);
  for (size_t start = 0; start < k; start += TERMS) {
    if (start)
      UNROLL for (size_t i = 0; i < mr; i++)
        UNROLL for (size_t j = 0; j < nr; j++) {
          wide[i][j] += __builtin_convertvector(sum[i][j], COPY(vn_wide));
          sum[i][j] = (vn)(0.0f);
        }
    for (size_t l = start; l < coix_min(start + TERMS, k); l++) {
      vn right[4];
      UNROLL for (size_t j = 0; j < nr; j++) right[j] = *(const vn_memory *)(b + (l * n + j) * rows);
      UNROLL for (size_t i = 0; i < mr; i++) {
        const vn left = *(const vn_memory *)(a + (i * k + l) * rows);
        UNROLL for (size_t j = 0; j < nr; j++) sum[i][j] = n_fma(left, right[j], sum[i][j]);
      }
    }
  }
  UNROLL for (size_t i = 0; i < mr; i++)
    UNROLL for (size_t j = 0; j < nr; j++) {
      if (k > TERMS)
        sum[i][j] = __builtin_convertvector(wide[i][j] + __builtin_convertvector(sum[i][j], COPY(vn_wide)), vn);
      *(vn_memory *)(out + (i * n + j) * rows) = sum[i][j];
    }
}

static void COPY(batched_matmul)(const float *a, const float *b, float *out, size_t m, size_t k, size_t n, size_t rows) {
  size_t row = 0;
  for (; row + COIX_NATIVE <= rows; row += COIX_NATIVE)
    for (size_t i = 0; i < m; i += 2)
      for (size_t j = 0; j < n; j += 4) {
        const float *left = a + i * k * rows + row, *right = b + j * rows + row;
        float *y = out + (i * n + j) * rows + row;
#define PRODUCTS(mr, nr)                                                                           \
  case 5 * (mr) + (nr): COPY(row_products)(mr, nr, left, right, y, k, n, rows); break;
        switch (5 * coix_min(2, m - i) + coix_min(4, n - j)) {
          PRODUCTS(1, 1) PRODUCTS(1, 2) PRODUCTS(1, 3) PRODUCTS(1, 4)
          PRODUCTS(2, 1) PRODUCTS(2, 2) PRODUCTS(2, 3) PRODUCTS(2, 4)
        }
#undef PRODUCTS
      }
  const size_t rest = rows - row;
  for (size_t i = 0; i < m && rest > 0; i++)
    for (size_t j = 0; j < n; j++) {
      v16 sum = (v16)(0.0f);
      v16d wide = (v16d)(0.0);
      for (size_t l = 0; l < k; l++) {
        if (l && l % TERMS == 0) {
          wide += v_widen(sum);
          sum = (v16)(0.0f);
        }
        sum = v_fma(v_load_part(a + (i * k + l) * rows + row, rest), v_load_part(b + (l * n + j) * rows + row, rest), sum);
      }
      if (k > TERMS) sum = v_narrow(wide + v_widen(sum));
      v_store_part(out + (i * n + j) * rows + row, sum, rest);
    }
}
#undef TERMS

static const dense_table COPY(table) = {
    COPY(product), COPY(narrow_in), COPY(narrow_out), COPY(slope), COPY(row_sum), COPY(batched_matmul), COPY(activate),
};
#undef UNITS
#undef UNROLL
