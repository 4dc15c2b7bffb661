// Dense layers, forward and backward, on particle-minor arrays: [features, rows].

#include "dense_types.h"

#define COIX_TEMPLATE "Copies/dense_copy.h"
#include "copies.h"
COIX_CHOOSE(dense_table, kernels)

/// Nanoseconds a multiply-add, roughly.
static const double multiply_add = 0.03;

/// An even share of `count` for each of `threads`, rounded up to a multiple of `grain`.
static inline size_t share(size_t count, int threads, size_t grain) {
  return coix_blocks(coix_blocks(count, (size_t)threads), grain) * grain;
}

/// The product, its columns (rows of the batch) split over a team.
static void product_by_rows(const dense_product *p, int team) {
  int threads = coix_team_for((double)p->ms * (double)p->ks * (double)p->rows * multiply_add, team);
  if (threads <= 1) {
    kernels->product(p);
    return;
  }
  const size_t block = share(p->rows, threads, 64), blocks = coix_blocks(p->rows, block);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t b = 0; b < blocks; b++) {
    dense_product part = *p;
    const size_t start = b * block;
    part.x += start * p->x_r;
    part.y += start;
    part.rows = coix_min(block, p->rows - start);
    kernels->product(&part);
  }
}

/// The product, its rows split over a team.
static void product_by_outputs(const dense_product *p, int team) {
  int threads = coix_team_for((double)p->ms * (double)p->ks * (double)p->rows * multiply_add, team);
  if (threads <= 1) {
    kernels->product(p);
    return;
  }
  const size_t block = share(p->ms, threads, 8), blocks = coix_blocks(p->ms, block);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t b = 0; b < blocks; b++) {
    dense_product part = *p;
    const size_t start = b * block;
    part.a += start * p->a_m;
    part.y += start * p->y_m;
    part.ms = coix_min(block, p->ms - start);
    kernels->product(&part);
  }
}

void coix_dense_forward(const float *x, const float *kernel, const float *bias, float *y,
                        size_t in, size_t out, size_t rows, coix_activation activation, int team) {
  const dense_product p = {.a = kernel, .a_m = 1, .a_k = out, .x = x, .x_k = rows, .x_r = 1, .bias = bias,
                           .y = y, .y_m = rows, .ms = out, .ks = in, .rows = rows, .activation = activation};
  product_by_rows(&p, team);
}

void coix_dense_backward(const float *x, const float *kernel, const float *y, const float *dy,
                         float *dz, float *dx, float *dkernel, float *dbias,
                         size_t in, size_t out, size_t rows, coix_activation activation, int team) {
  const int narrow_in = in >= 1 && in <= COIX_NARROW && dkernel;
  const int narrow_out = out >= 1 && out <= COIX_NARROW && !narrow_in;

  // The gradient before the activation. A narrow layer's own pass takes a ReLU's with it.
  const float *gradient = dy;
  if (activation != COIX_IDENTITY && !(narrow_in && activation == COIX_RELU)) {
    kernels->slope(activation, y, dy, dz, out * rows);
    gradient = dz;
  }

  if (narrow_in) {
    const dense_narrow n = {.x = x, .kernel = kernel, .y = activation == COIX_RELU ? y : NULL, .dz = gradient, .dx = dx,
                            .dkernel = dkernel, .dbias = dbias, .in = in, .out = out, .rows = rows};
    kernels->narrow_in(&n, 0, out);
    return;
  }
  if (dbias)
    for (size_t o = 0; o < out; o++) dbias[o] = kernels->row_sum(gradient + o * rows, rows);
  if (narrow_out && (dx || dkernel)) {
    const dense_narrow n = {.x = x, .kernel = kernel, .dz = gradient, .dx = dx, .dkernel = dkernel,
                            .in = in, .out = out, .rows = rows};
    kernels->narrow_out(&n, 0, in);
    return;
  }
  if (dx) {
    const dense_product p = {.a = kernel, .a_m = out, .a_k = 1, .x = gradient, .x_k = rows, .x_r = 1,
                             .y = dx, .y_m = rows, .ms = in, .ks = out, .rows = rows};
    product_by_rows(&p, team);
  }
  if (dkernel) {
    const dense_product p = {.a = x, .a_m = rows, .a_k = 1, .x = gradient, .x_k = 1, .x_r = rows,
                             .y = dkernel, .y_m = out, .ms = in, .ks = rows, .rows = out};
    product_by_outputs(&p, team);
  }
}

void coix_batched_matmul(const float *a, const float *b, float *out, size_t m, size_t k, size_t n, size_t rows) {
  kernels->batched_matmul(a, b, out, m, k, n, rows);
}
