// Triangular systems and Cholesky factors of small matrices, one for each row of the plate: every step is a loop
// over rows.

#include "internal.h"

typedef struct {
  void (*solve)(const float *factor, size_t factor_stride, const float *b, float *x, size_t n, size_t rows, int transposed);
  void (*factorise)(const float *matrix, float *factor, size_t n, size_t rows);
  void (*slope)(const float *factor, float *gradient, size_t n, size_t rows);
} triangular_table;

#define COIX_TEMPLATE "Copies/triangular_copy.h"
#include "copies.h"
COIX_CHOOSE(triangular_table, kernels)

void coix_solve_triangular(const float *factor, size_t factor_outer_stride, size_t factor_row_stride, const float *b, float *x,
                           size_t outer, size_t n, size_t rows, int transposed) {
  for (size_t o = 0; o < outer; o++)
    kernels->solve(factor + o * factor_outer_stride, factor_row_stride, b + o * n * rows, x + o * n * rows, n, rows, transposed);
}

void coix_cholesky(const float *matrix, float *factor, size_t outer, size_t n, size_t rows) {
  for (size_t o = 0; o < outer; o++) kernels->factorise(matrix + o * n * n * rows, factor + o * n * n * rows, n, rows);
}

void coix_cholesky_backward(const float *factor, float *gradient, size_t outer, size_t n, size_t rows) {
  for (size_t o = 0; o < outer; o++) kernels->slope(factor + o * n * n * rows, gradient + o * n * n * rows, n, rows);
}
