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

/// Floats or rows that a thread takes at a time, elementwise.
#define BLOCK ((size_t)4096)

static void slope(coix_activation activation, const float *y, const float *dy, float *dz, size_t count, int team) {
  int threads = coix_team_for((double)count * 0.3, team);
  if (threads <= 1) {
    kernels->slope(activation, y, dy, dz, count);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t start = 0; start < count; start += BLOCK)
    kernels->slope(activation, y + start, dy + start, dz + start, coix_min(BLOCK, count - start));
}

static void row_sums(const float *x, float *sums, size_t count, size_t rows, int team) {
  COIX_FOR(o, count, coix_team_for((double)count * (double)rows * 0.1, team),
           sums[o] = kernels->row_sum(x + o * rows, rows));
}

/// Few inputs: the kernel's gradient is split by outputs; that of the inputs, a sum over outputs, by rows.
static void narrow_in(const dense_narrow *n, int team) {
  int threads = coix_team_for((double)n->in * (double)n->out * (double)n->rows * 2.0 * multiply_add, team);
  if (threads <= 1) {
    kernels->narrow_in(n, 0, n->out);
    return;
  }
  const size_t outputs = share(n->out, threads, 2), blocks = coix_blocks(n->out, outputs);
  dense_narrow weights = *n;
  weights.dx = NULL;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t b = 0; b < blocks; b++)
    kernels->narrow_in(&weights, b * outputs, coix_min((b + 1) * outputs, n->out));
  if (!n->dx) return;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t start = 0; start < n->rows; start += BLOCK) {
    dense_narrow part = *n;
    part.dkernel = part.dbias = NULL;
    part.dz += start;
    part.dx += start;
    if (part.y) part.y += start;
    part.rows = coix_min(BLOCK, n->rows - start);
    kernels->narrow_in(&part, 0, n->out);
  }
}

/// Few outputs: every input's gradients are its own.
static void narrow_out(const dense_narrow *n, int team) {
  int threads = coix_team_for((double)n->in * (double)n->out * (double)n->rows * 2.0 * multiply_add, team);
  if (threads <= 1) {
    kernels->narrow_out(n, 0, n->in);
    return;
  }
  const size_t inputs = share(n->in, threads, 2), blocks = coix_blocks(n->in, inputs);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t b = 0; b < blocks; b++) kernels->narrow_out(n, b * inputs, coix_min((b + 1) * inputs, n->in));
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
  const int few_inputs = in >= 1 && in <= COIX_NARROW && out >= 1 && rows >= 1 && dkernel;
  const int few_outputs = out >= 1 && out <= COIX_NARROW && rows >= 1 && !few_inputs;

  // The gradient before the activation. With few inputs the one pass takes a ReLU's with it.
  const float *gradient = dy;
  if (activation != COIX_IDENTITY && !(few_inputs && activation == COIX_RELU)) {
    slope(activation, y, dy, dz, out * rows, team);
    gradient = dz;
  }

  dense_narrow n = {.x = x, .kernel = kernel, .dz = gradient, .dx = dx, .dkernel = dkernel,
                    .in = in, .out = out, .rows = rows, .stride = rows};
  if (few_inputs) {
    n.y = activation == COIX_RELU ? y : NULL;
    n.dbias = dbias;
    narrow_in(&n, team);
    return;
  }
  if (dbias) row_sums(gradient, dbias, out, rows, team);
  if (few_outputs) {
    if (dx || dkernel) narrow_out(&n, team);
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
