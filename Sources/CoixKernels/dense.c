// Dense layers, forward and backward, on particle-minor arrays: [features, rows].

#include "dense_types.h"

#define COIX_TEMPLATE "Copies/dense_copy.h"
#include "copies.h"
COIX_CHOOSE(dense_table, kernels)

/// Nanoseconds, roughly: a multiply-add of a narrow layer and of other products, and what an output takes besides.
static const double narrow_multiply_add = 0.03, multiply_add = 0.01, an_output = 0.05;

/// An even share of `count` for each of `threads`, rounded up to a multiple of `grain`.
static inline size_t share(size_t count, int threads, size_t grain) {
  return coix_blocks(coix_blocks(count, (size_t)threads), grain) * grain;
}

// MARK: Long sums

/// The most terms of a sum in single precision, added in blocks of at most 256. Longer sums are split, and the
/// sums of the parts are added in double.
#define TERMS ((size_t)1 << 14)
/// Outputs, and rows of them, whose sums are held in double at a time: 128 KB of the stack, beside no more for packed
/// terms. The more there are, the less often their terms are packed.
#define WIDE_OUTPUTS ((size_t)128)
#define WIDE_ROWS ((size_t)128)

static void product(const dense_product *p) {
  if (p->ks <= TERMS) {
    kernels->product(p);
    return;
  }
  double sums[WIDE_OUTPUTS * WIDE_ROWS];
  for (size_t m = 0; m < p->ms; m += WIDE_OUTPUTS) {
    for (size_t r = 0; r < p->rows; r += WIDE_ROWS) {
      const size_t ms = coix_min(WIDE_OUTPUTS, p->ms - m), rows = coix_min(WIDE_ROWS, p->rows - r);
      float *y = p->y + m * p->y_m + r;
      for (size_t i = 0; i < ms; i++)
        for (size_t j = 0; j < rows; j++) sums[i * rows + j] = p->bias ? (double)p->bias[m + i] : 0.0;
      for (size_t k = 0; k < p->ks; k += TERMS) {
        const dense_product part = {.a = p->a + m * p->a_m + k * p->a_k, .a_m = p->a_m, .a_k = p->a_k,
                                    .x = p->x + k * p->x_k + r * p->x_r, .x_k = p->x_k, .x_r = p->x_r,
                                    .y = y, .y_m = p->y_m, .ms = ms, .ks = coix_min(TERMS, p->ks - k), .rows = rows};
        kernels->product(&part);
        for (size_t i = 0; i < ms; i++)
          for (size_t j = 0; j < rows; j++) sums[i * rows + j] += (double)y[i * p->y_m + j];
      }
      for (size_t i = 0; i < ms; i++) {
        for (size_t j = 0; j < rows; j++) y[i * p->y_m + j] = (float)sums[i * rows + j];
        kernels->activate(p->activation, y + i * p->y_m, rows);
      }
    }
  }
}

/// The kernel's gradient, a sum over many rows, for features [start, end) of the wide side of a narrow layer,
/// whose other side has OTHER features. BIAS says whether the biases' gradient is wanted, too.
#define WIDE_FEATURES ((size_t)64)
#define LONG_NARROW(FEATURES, OTHER, KERNEL_AT, RUN, BIAS, ...)                                    \
  for (size_t f = start; f < end; f += WIDE_FEATURES) {                                            \
    const size_t count = coix_min(WIDE_FEATURES, end - f);                                         \
    double sums[WIDE_FEATURES * COIX_NARROW] = {0}, bias_sums[WIDE_FEATURES] = {0};                \
    float part[WIDE_FEATURES * COIX_NARROW], bias_part[WIDE_FEATURES];                             \
    for (size_t r = 0; r < n->rows; r += TERMS) {                                                  \
      dense_narrow q = *n;                                                                         \
      q.FEATURES = count;                                                                          \
      q.rows = coix_min(TERMS, n->rows - r);                                                       \
      q.dkernel = part;                                                                            \
      q.dbias = BIAS ? bias_part : NULL;                                                           \
      __VA_ARGS__                                                                                  \
      kernels->RUN(&q, 0, count);                                                                  \
      for (size_t i = 0; i < count * n->OTHER; i++) sums[i] += (double)part[i];                    \
      for (size_t i = 0; BIAS && i < count; i++) bias_sums[i] += (double)bias_part[i];             \
    }                                                                                              \
    for (size_t i = 0; i < n->OTHER; i++)                                                          \
      for (size_t j = 0; j < count; j++) KERNEL_AT;                                                \
    for (size_t i = 0; BIAS && i < count; i++) n->dbias[f + i] = (float)bias_sums[i];              \
  }

/// The gradients of the kernel and the bias alone, for the outputs [start, end) of a layer with few inputs.
static void narrow_in_weights(const dense_narrow *n, size_t start, size_t end) {
  if (n->rows <= TERMS) {
    kernels->narrow_in(n, start, end);
    return;
  }
  LONG_NARROW(out, in, n->dkernel[i * n->out + f + j] = (float)sums[i * count + j], narrow_in, n->dbias, {
    q.x = n->x + r;
    q.dz = n->dz + f * n->stride + r;
    if (n->y) q.y = n->y + f * n->stride + r;
  })
}

/// The gradient of the kernel alone, for the inputs [start, end) of a layer with few outputs.
static void narrow_out_weights(const dense_narrow *n, size_t start, size_t end) {
  if (n->rows <= TERMS) {
    kernels->narrow_out(n, start, end);
    return;
  }
  LONG_NARROW(in, out, n->dkernel[(f + j) * n->out + i] = (float)sums[j * n->out + i], narrow_out, 0, {
    q.x = n->x + f * n->stride + r;
    q.dz = n->dz + r;
  })
}

// MARK: Teams

#ifdef _OPENMP
extern void kmp_set_blocktime(int);
#endif

/// Who shares work. Waking OpenMP's threads takes little beside what wide layers do; the helpers of sharing.c also pay for less.
typedef struct {
  int threads, are_openmp;
} workers;

/// Nanoseconds of work from which on OpenMP's threads do it.
#define WIDE 2e6

static workers workers_for(double nanoseconds, int team) {
#ifdef _OPENMP
  if (nanoseconds >= WIDE && team > 1) {
    // Neither they nor the helpers spin beside each other.
    kmp_set_blocktime(0);
    coix_dismiss_helpers();
    return (workers){coix_begin_region(team), 1};
  }
#endif
  return (workers){coix_team_for(nanoseconds, team), 0};
}

/// Runs a statement for each i < count, divided among workers. Workers of a stage never come here with a team.
#define DENSE_FOR(i, count, who, ...)                                                              \
  do {                                                                                             \
    const workers who_ = (who);                                                                    \
    if (who_.are_openmp) {                                                                         \
      _Pragma("omp parallel for schedule(static) num_threads(who_.threads)")                       \
      for (size_t i = 0; i < (count); i++) __VA_ARGS__;                                            \
    } else {                                                                                       \
      COIX_FOR(i, count, who_.threads, __VA_ARGS__);                                               \
    }                                                                                              \
  } while (0)

/// The product, with its columns (rows of the batch) or its rows split over a team, whichever are more: parts that are
/// nearly square pack least.
static void product_by_team(const dense_product *p, int team) {
  const workers who = workers_for((double)p->ms * (double)p->rows * ((double)p->ks * multiply_add + an_output), team);
  if (who.threads <= 1) {
    product(p);
    return;
  }
  const int by_rows = p->rows > p->ms;
  const size_t count = by_rows ? p->rows : p->ms, block = share(count, who.threads, by_rows ? 64 : 8);
  DENSE_FOR(b, coix_blocks(count, block), who, {
    dense_product part = *p;
    const size_t start = b * block, size = coix_min(block, count - start);
    if (by_rows) {
      part.x += start * p->x_r;
      part.y += start;
      part.rows = size;
    } else {
      part.a += start * p->a_m;
      if (p->bias) part.bias += start;
      part.y += start * p->y_m;
      part.ms = size;
    }
    product(&part);
  });
}

/// Floats, or rows, that a thread takes at a time.
#define BLOCK ((size_t)4096)

static void slope(coix_activation activation, const float *y, const float *dy, float *dz, size_t count, int team) {
  const workers who = workers_for((double)count * 0.3, team);
  if (who.threads <= 1) {
    kernels->slope(activation, y, dy, dz, count);
    return;
  }
  DENSE_FOR(b, coix_blocks(count, BLOCK), who, {
    const size_t start = b * BLOCK;
    kernels->slope(activation, y + start, dy + start, dz + start, coix_min(BLOCK, count - start));
  });
}

static void row_sums(const float *x, float *sums, size_t count, size_t rows, int team) {
  DENSE_FOR(o, count, workers_for((double)count * (double)rows * 0.1, team),
           sums[o] = kernels->row_sum(x + o * rows, rows));
}

/// Few inputs: the kernel's gradient is split by outputs; that of the inputs, a sum over outputs, by rows.
static void narrow_in(const dense_narrow *n, int team) {
  const workers who = workers_for((double)n->in * (double)n->out * (double)n->rows * 2.0 * narrow_multiply_add, team);
  if (who.threads <= 1 && n->rows <= TERMS) {
    kernels->narrow_in(n, 0, n->out);
    return;
  }
  const size_t outputs = share(n->out, who.threads, 2), blocks = coix_blocks(n->out, outputs);
  dense_narrow weights = *n;
  weights.dx = NULL;
  DENSE_FOR(b, blocks, who, narrow_in_weights(&weights, b * outputs, coix_min((b + 1) * outputs, n->out)));
  if (!n->dx) return;
  DENSE_FOR(b, coix_blocks(n->rows, BLOCK), who, {
    dense_narrow part = *n;
    const size_t start = b * BLOCK;
    part.dkernel = part.dbias = NULL;
    part.dz += start;
    part.dx += start;
    if (part.y) part.y += start;
    part.rows = coix_min(BLOCK, n->rows - start);
    kernels->narrow_in(&part, 0, n->out);
  });
}

/// Few outputs: the work is split by inputs, since each input has gradients of its own.
static void narrow_out(const dense_narrow *n, int team) {
  const workers who = workers_for((double)n->in * (double)n->out * (double)n->rows * 2.0 * narrow_multiply_add, team);
  const size_t inputs = share(n->in, who.threads, 2), blocks = coix_blocks(n->in, inputs);
  if (n->rows <= TERMS || !n->dkernel) {
    DENSE_FOR(b, blocks, who, kernels->narrow_out(n, b * inputs, coix_min((b + 1) * inputs, n->in)));
    return;
  }
  dense_narrow weights = *n, inputs_alone = *n;
  weights.dx = NULL;
  inputs_alone.dkernel = NULL;
  DENSE_FOR(b, blocks, who, {
    const size_t start = b * inputs, end = coix_min(start + inputs, n->in);
    narrow_out_weights(&weights, start, end);
    if (n->dx) kernels->narrow_out(&inputs_alone, start, end);
  });
}

void coix_dense_forward(const float *x, const float *kernel, const float *bias, float *y,
                        size_t in, size_t out, size_t rows, coix_activation activation, int team) {
  const dense_product p = {.a = kernel, .a_m = 1, .a_k = out, .x = x, .x_k = rows, .x_r = 1, .bias = bias,
                           .y = y, .y_m = rows, .ms = out, .ks = in, .rows = rows, .activation = activation};
  product_by_team(&p, team);
}

void coix_dense_backward(const float *x, const float *kernel, const float *y, const float *dy,
                         float *dz, float *dx, float *dkernel, float *dbias,
                         size_t in, size_t out, size_t rows, coix_activation activation, int team) {
  // The pass for few inputs adds up the inputs' gradients over the outputs one after the other in single
  // precision, so it is not used for gradients of the inputs over more than 512 outputs.
  const int few_inputs = in >= 1 && in <= COIX_NARROW && out >= 1 && rows >= 1 && dkernel && (!dx || out <= 512);
  const int few_outputs = in >= 1 && out >= 1 && out <= COIX_NARROW && rows >= 1 && !few_inputs;

  // The gradient before the activation. With few inputs, the single pass includes the derivative of a ReLU.
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
    product_by_team(&p, team);
  }
  if (dkernel) {
    const dense_product p = {.a = x, .a_m = rows, .a_k = 1, .x = gradient, .x_k = 1, .x_r = rows,
                             .y = dkernel, .y_m = out, .ms = in, .ks = rows, .rows = out};
    product_by_team(&p, team);
  }
}

void coix_batched_matmul(const float *a, const float *b, float *out, size_t m, size_t k, size_t n, size_t rows) {
  kernels->batched_matmul(a, b, out, m, k, n, rows);
}
