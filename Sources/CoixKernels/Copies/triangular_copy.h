// Triangular matrices, element (i, j) of which is a row of numbers. Part of every copy (see copies.h).

/// y[r] -= a[r] b[r] for the numbers of a row; a has stride 0 or 1.
INLINE void COPY(subtract_product)(const float *a_, size_t as, const float *b_, float *y_, size_t rows) {
  size_t i = 0;
  for (; i + 16 <= rows; i += 16) v_store(y_ + i, v_fma(-v_operand(a_, as, i), v_load(b_ + i), v_load(y_ + i)));
  if (i < rows) {
    size_t n = rows - i;
    v_store_part(y_ + i, v_fma(-v_operand_part(a_, as, i, n), v_load_part(b_ + i, n), v_load_part(y_ + i, n)), n);
  }
}

/// y[r] /= a[r].
INLINE void COPY(divide_by)(const float *a_, size_t as, float *y_, size_t rows) {
  size_t i = 0;
  for (; i + 16 <= rows; i += 16) v_store(y_ + i, v_load(y_ + i) / v_operand(a_, as, i));
  if (i < rows) {
    size_t n = rows - i;
    v_store_part(y_ + i, v_load_part(y_ + i, n) / v_operand_part(a_, as, i, n), n);
  }
}

/// Forward substitution, or backward substitution with the transposed factor. `step` is 0 for a factor that all rows share,
/// else 1.
static void COPY(solve)(const float *factor, size_t step, const float *b, float *x, size_t n, size_t rows, int transposed) {
  const size_t width = step ? rows : 1;
  memcpy(x, b, n * rows * sizeof(float));
  for (size_t k = 0; k < n; k++) {
    const size_t i = transposed ? n - 1 - k : k;
    float *target = x + i * rows;
    for (size_t m = 0; m < k; m++) {
      const size_t j = transposed ? n - 1 - m : m;
      const float *element = factor + (transposed ? j * n + i : i * n + j) * width;
      COPY(subtract_product)(element, step, x + j * rows, target, rows);
    }
    COPY(divide_by)(factor + (i * n + i) * width, step, target, rows);
  }
}

/// The Cholesky factor, row by row (Cholesky and Banachiewicz), from the lower triangle of the matrix, with zeros above the
/// diagonal.
static void COPY(factorise)(const float *matrix, float *factor, size_t n, size_t rows) {
#define L(i, j) (factor + ((i) * n + (j)) * rows)
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j <= i; j++) {
      memcpy(L(i, j), matrix + (i * n + j) * rows, rows * sizeof(float));
      for (size_t k = 0; k < j; k++) COPY(subtract_product)(L(i, k), 1, L(j, k), L(i, j), rows);
      if (j < i) {
        COPY(divide_by)(L(j, j), 1, L(i, j), rows);
        continue;
      }
      float *diagonal = L(i, i);
      size_t r = 0;
      for (; r + 16 <= rows; r += 16) v_store(diagonal + r, v_sqrt(v_load(diagonal + r)));
      if (r < rows) v_store_part(diagonal + r, v_sqrt(v_load_part(diagonal + r, rows - r)), rows - r);
    }
    for (size_t j = i + 1; j < n; j++) memset(L(i, j), 0, rows * sizeof(float));
  }
#undef L
}

/// The backward pass of the factorisation, one step at a time in reverse (I. Murray, "Differentiation of the Cholesky
/// decomposition", 2016, section 4), in place: the lower triangle of the factor's gradient becomes the gradient of the
/// matrix, symmetrised.
static void COPY(slope)(const float *factor, float *gradient, size_t n, size_t rows) {
#define L(i, j) (factor + ((i) * n + (j)) * rows)
#define G(i, j) (gradient + ((i) * n + (j)) * rows)
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; j++) {
      for (size_t i = j; i < n; i++) {
        COPY(subtract_product)(L(j, k), 1, G(i, j), G(i, k), rows);
        COPY(subtract_product)(L(i, k), 1, G(i, j), G(j, k), rows);
      }
    }
    for (size_t j = k + 1; j < n; j++) {
      COPY(divide_by)(L(k, k), 1, G(j, k), rows);
      COPY(subtract_product)(L(j, k), 1, G(j, k), G(k, k), rows);
    }
    COPY(divide_by)(L(k, k), 1, G(k, k), rows);
    for (size_t r = 0; r < rows; r++) G(k, k)[r] *= 0.5f;
  }
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++)
      for (size_t r = 0; r < rows; r++) G(i, j)[r] = G(j, i)[r] = 0.5f * G(i, j)[r];
#undef L
#undef G
}

static const triangular_table COPY(table) = {COPY(solve), COPY(factorise), COPY(slope)};
