// What dense.c and its copies share.

#ifndef COIX_DENSE_TYPES_H
#define COIX_DENSE_TYPES_H

#include "internal.h"

/// One matrix product: y[m, r] = activation(bias[m] + sum_k a(m, k) x(k, r)) for m < ms, k < ks, r < rows, with
/// a(m, k) at m * a_m + k * a_k, x(k, r) at k * x_k + r * x_r (one of the two is 1) and y(m, r) at m * y_m + r.
typedef struct {
  const float *a;
  size_t a_m, a_k;
  const float *x;
  size_t x_k, x_r;
  const float *bias;
  float *y;
  size_t y_m;
  size_t ms, ks, rows;
  coix_activation activation;
} dense_product;

/// The gradient of a layer with few inputs or few outputs, of `rows` rows; features lie `stride` floats apart.
/// `dz` is the gradient before the activation; with `y` it is the gradient after a ReLU instead.
/// Nullable: y, dx, dkernel, dbias.
typedef struct {
  const float *x, *kernel, *y, *dz;
  float *dx, *dkernel, *dbias;
  size_t in, out, rows, stride;
} dense_narrow;

/// The most inputs or outputs that count as few.
#define COIX_NARROW 4

typedef struct {
  void (*product)(const dense_product *p);
  /// The whole gradient for inputs <= COIX_NARROW, of the outputs [start, end).
  void (*narrow_in)(const dense_narrow *n, size_t start, size_t end);
  /// The whole gradient for outputs <= COIX_NARROW, of the inputs [start, end). Ignores y.
  void (*narrow_out)(const dense_narrow *n, size_t start, size_t end);
  /// dz = dy * activation', where the derivative is computed from the output y.
  void (*slope)(coix_activation activation, const float *y, const float *dy, float *dz, size_t count);
  /// The sum of a row.
  float (*row_sum)(const float *x, size_t rows);
  void (*batched_matmul)(const float *a, const float *b, float *out, size_t m, size_t k, size_t n, size_t rows);
  /// y = activation(y).
  void (*activate)(coix_activation activation, float *y, size_t count);
} dense_table;

#endif
