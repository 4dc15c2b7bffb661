// The workload `smc`, fused by hand: 50 steps of x' = a x + q z in two coordinates, y = x + noise, systematic resampling before every
// step but the first, and the gradient of -log Z by a and log q along the samples: through the gathers, not through the choice of
// ancestors.
//
//   smc [forward] [particles = 1000000] [threads = 1]
//   smc gradient [particles = 100000] [threads = 1]
//   smc check                                         the gradient against differences with the ancestors held fixed
//
// Keys are those of the workload. State is row-major, [particles, 2], as Coix keeps it between stages; weights are [particles].

#include "pairs.h"
#include "resampling.h"

#define MOST_STEPS 50
enum { GATHER, DRAW, DENSITY, SUMS, LAYOUT, OFFSPRING, PARTS };
static const char *const part_names[] = {"gather", "draws", "move, density, store", "exp, log-sum-exp", "layout", "prefix, offspring"};

typedef struct {
  size_t n;
  int steps;
  float a, log_q;
  const float *y;             // [steps, 2]
  float *x[MOST_STEPS];       // [n, 2]; two buffers in turn, or one for each step
  float *weight[MOST_STEPS];  // [n], of the step alone
  int32_t *ancestor[MOST_STEPS]; // [n]
  resampling weights[MOST_STEPS]; // of each step
  float *adjoint[2];          // [n, 2]
  coix_key draw[MOST_STEPS], choice[MOST_STEPS]; // of each step, and of the resampling before it
  double log_z;
  double gradient_a, gradient_log_q;
  double (*block_gradients)[2];
  size_t bytes;
  int freezes;                // keep the ancestors of the last run
  uint64_t spent[PARTS];      // of one thread
} filter;

static filter make_filter(size_t n, int steps, const float *y, int keeps) {
  filter f = {.n = n, .steps = steps, .a = 0.9f, .log_q = 0.0f, .y = y};
  const int copies = keeps ? steps : 2;
  for (int t = 0; t < steps; t++) {
    f.x[t] = t < copies ? memory(8 * n) : f.x[t - 2];
    f.weight[t] = t < copies ? memory(4 * n) : f.weight[t - 2];
    f.ancestor[t] = t < copies ? memory(4 * n) : f.ancestor[t - 2];
    f.weights[t] = t < copies ? make_resampling(n) : f.weights[t - 2];
  }
  // The keys that Coix's vsmc draws with from seed 0.
  coix_key scope = {0, 0};
  for (int t = steps - 1; t > 0; t--) {
    coix_key proposal = next_key(&scope);
    f.choice[t] = next_key(&proposal);
    scope = next_key(&proposal);
    skip_keys(&proposal, (t > 1 ? 2 : 1) + 1);
    f.draw[t] = next_key(&proposal);
  }
  coix_key first = next_key(&scope);
  f.draw[0] = next_key(&first);
  f.bytes = (size_t)copies * 16 * n;
  if (keeps) {
    for (int k = 0; k < 2; k++) f.adjoint[k] = memory(8 * n);
    f.block_gradients = memory(16 * f.weights[0].blocks);
    f.bytes += 16 * n;
  }
  return f;
}

// MARK: Forward

/// The log-density of y, the sum of two coordinates, unit variance.
INLINE v16 log_density(v16 x0, v16 x1, v16 y0, v16 y1) {
  v16 d0 = y0 - x0, d1 = y1 - x1;
  return v_fma((v16)(-0.5f), v_fma(d1, d1, d0 * d0), (v16)(-1.837877066f));
}

/// Step t of a block of rows, in one loop or, to see what each part takes, in loops over 512 rows.
INLINE void step_rows(filter *f, int t, coix_key key, size_t start, size_t rows, const int in_parts, uint64_t *spent) {
  const float *before = t ? f->x[t - 1] : NULL;
  float *x = f->x[t] + 2 * start, *weight = f->weight[t] + start;
  const int32_t *index = t ? f->ancestor[t] + start : NULL;
  const v16 a = (v16)(f->a), s = (v16)(t ? expf(f->log_q) : 1.0f), y0 = (v16)(f->y[2 * t]), y1 = (v16)(f->y[2 * t + 1]);
  if (!in_parts) {
    for (size_t r = 0; r < rows; r += 16) {
      v16 z0, z1;
      normal_pairs(key, (uint32_t)(start + r), &z0, &z1);
      v16 x0 = s * z0, x1 = s * z1;
      if (t) {
        pair p = gather_pair(before, index + r);
        x0 = v_fma(a, p.first, x0);
        x1 = v_fma(a, p.second, x1);
      }
      store_pair(x + 2 * r, x0, x1);
      v_store(weight + r, log_density(x0, x1, y0, y1));
    }
    return;
  }
  float z[2][512], p[2][512];
  for (size_t r0 = 0; r0 < rows; r0 += 512) {
    uint64_t c0 = ticks();
    for (size_t r = 0; t && r < 512; r += 16) {
      pair q = gather_pair(before, index + r0 + r);
      v_store(p[0] + r, q.first);
      v_store(p[1] + r, q.second);
    }
    uint64_t c1 = ticks();
    for (size_t r = 0; r < 512; r += 16) {
      v16 z0, z1;
      normal_pairs(key, (uint32_t)(start + r0 + r), &z0, &z1);
      v_store(z[0] + r, z0);
      v_store(z[1] + r, z1);
    }
    uint64_t c2 = ticks();
    for (size_t r = 0; r < 512; r += 16) {
      v16 x0 = s * v_load(z[0] + r), x1 = s * v_load(z[1] + r);
      if (t) {
        x0 = v_fma(a, v_load(p[0] + r), x0);
        x1 = v_fma(a, v_load(p[1] + r), x1);
      }
      store_pair(x + 2 * (r0 + r), x0, x1);
      v_store(weight + r0 + r, log_density(x0, x1, y0, y1));
    }
    uint64_t c3 = ticks();
    spent[GATHER] += c1 - c0, spent[DRAW] += c2 - c1, spent[DENSITY] += c3 - c2;
  }
}

INLINE void step_block(filter *f, int t, size_t b, coix_key key, const int in_parts, uint64_t *spent) {
  const size_t start = b * BLOCK, rows = least(BLOCK, f->n - start);
  // The rows beyond the end of the last sixteen land in the memory's padding, and are looked at by nobody.
  step_rows(f, t, key, start, rows, in_parts, spent);
  uint64_t c = in_parts ? ticks() : 0;
  resampling *w = &f->weights[t];
  w->greatest[b] = block_greatest(f->weight[t] + start, rows);
  w->sum[b] = block_sum(f->weight[t] + start, rows, w->greatest[b]);
  if (in_parts) spent[SUMS] += ticks() - c;
}

/// Within a team: all of the filter.
INLINE void forward_team(filter *f, const int in_parts) {
  uint64_t *spent = f->spent;
  for (int t = 0; t < f->steps; t++) {
    resampling *w = &f->weights[t];
#pragma omp for schedule(static)
    for (size_t b = 0; b < w->blocks; b++) step_block(f, t, b, f->draw[t], in_parts, spent);
#pragma omp single
    {
      uint64_t c = ticks();
      lay_out(w, f->n, t + 1 < f->steps ? uniform_of(f->choice[t + 1]) : 0.0);
      f->log_z += w->log_sum - log((double)f->n);
      spent[LAYOUT] += ticks() - c;
    }
    if (t + 1 == f->steps || f->freezes) continue;
#pragma omp for schedule(static)
    for (size_t b = 0; b < w->blocks; b++) {
      uint64_t c = in_parts ? ticks() : 0;
      block_offspring(w, b, f->weight[t] + b * BLOCK, f->ancestor[t + 1]);
      if (in_parts) spent[OFFSPRING] += ticks() - c;
    }
  }
}
static void forward(filter *f, int threads, int in_parts) {
  f->log_z = 0;
#pragma omp parallel num_threads(threads)
  {
    if (in_parts) forward_team(f, 1);
    else forward_team(f, 0);
  }
}

// MARK: Backward

/// The gradient of -log Z at step t, for a block of rows: from the adjoints of its children to its own, and the parameters' part.
///
/// adjoint(x_t) = -W_t (y - x_t) + a * the children's adjoints; W_t are the step's normalised weights, since
/// -log Z is a sum over steps of -log mean exp(w_t).
INLINE void back_block(filter *f, int t, size_t b) {
  const size_t start = b * BLOCK, rows = least(BLOCK, f->n - start), padded = (rows + 15) / 16 * 16;
  const resampling *w = &f->weights[t];
  const float *x = f->x[t] + 2 * start, *weight = f->weight[t] + start, *before = t ? f->x[t - 1] : NULL;
  const int32_t *index = t ? f->ancestor[t] + start : NULL;
  float *adjoint = f->adjoint[t & 1] + 2 * start, sums[2 * BLOCK] __attribute__((aligned(64)));
  memset(sums, 0, 8 * padded);
  if (t + 1 < f->steps) {
    // Children of neighbouring rows are neighbours.
    const float *children = f->adjoint[(t + 1) & 1];
    const int32_t *parent = f->ancestor[t + 1];
    for (int32_t i = w->start[b]; i < w->start[b + 1]; i++) {
      float *to = sums + 2 * ((size_t)parent[i] - start);
      __m128 sum = _mm_add_ps(_mm_castpd_ps(_mm_load_sd((double *)to)), _mm_castpd_ps(_mm_load_sd((const double *)(children + 2 * i))));
      _mm_store_sd((double *)to, _mm_castps_pd(sum));
    }
  }
  const v16 a = (v16)(f->a), y0 = (v16)(f->y[2 * t]), y1 = (v16)(f->y[2 * t + 1]);
  const v16 log_sum = (v16)((float)w->log_sum);
  v16d by_a = (v16d)(0.0), by_s = (v16d)(0.0);
  const v16 inverse = (v16)(1.0f / expf(f->log_q));
  for (size_t r = 0; r < rows; r += 16) {
    pair c = load_pair(sums + 2 * r), own = load_pair(x + 2 * r);
    v16 normalised = v_exp(v_load(weight + r) - log_sum);
    if (r + 16 > rows) normalised = LANES < (int32_t)(rows - r) ? normalised : (v16)(0.0f);
    v16 d0 = v_fma(a, c.first, -normalised * (y0 - own.first)), d1 = v_fma(a, c.second, -normalised * (y1 - own.second));
    store_pair(adjoint + 2 * r, d0, d1);
    if (!t) continue;
    pair p = gather_pair(before, index + r);
    v16 z0 = (own.first - a * p.first) * inverse, z1 = (own.second - a * p.second) * inverse;
    by_a += v_widen(v_fma(d0, p.first, d1 * p.second));
    by_s += v_widen(v_fma(d0, z0, d1 * z1));
  }
  f->block_gradients[b][0] = v_wide_sum(by_a);
  f->block_gradients[b][1] = v_wide_sum(by_s);
}

static void backward(filter *f, int threads) {
  double by_a = 0, by_s = 0;
#pragma omp parallel num_threads(threads)
  for (int t = f->steps - 1; t >= 0; t--) {
#pragma omp for schedule(static)
    for (size_t b = 0; b < f->weights[t].blocks; b++) back_block(f, t, b);
#pragma omp single
    for (size_t b = 0; b < f->weights[t].blocks; b++) {
      by_a += f->block_gradients[b][0];
      by_s += f->block_gradients[b][1];
    }
  }
  f->gradient_a = by_a;
  f->gradient_log_q = by_s * exp(f->log_q);
}

// MARK: Data and what is exact

/// The data of the workload.
static void simulate(int steps, float *y) {
  float z[MOST_STEPS * 4], x[2];
  const size_t count = (size_t)steps * 4;
  coix_draw_normal((coix_key){0, 3}, (coix_draw){.valid_rows = count, .rows = count, .elements = 1, .row_stride = 1}, z, 1);
  for (int t = 0; t < steps; t++)
    for (int i = 0; i < 2; i++) {
      x[i] = t == 0 ? z[i] : 0.9f * x[i] + z[4 * t + i];
      y[2 * t + i] = x[i] + z[4 * t + 2 + i];
    }
}
/// log Z by Kalman's filter.
static double kalman(int steps, const float *y, double a, double log_q) {
  double total = 0;
  for (int i = 0; i < 2; i++) {
    double m = 0, v = 1;
    for (int t = 0; t < steps; t++) {
      if (t) m = a * m, v = a * a * v + exp(2 * log_q);
      double s = v + 1, e = (double)y[2 * t + i] - m, g = v / s;
      total -= 0.5 * (log(2 * M_PI * s) + e * e / s);
      m += g * e;
      v *= 1 - g;
    }
  }
  return total;
}

int main(int argc, char **argv) {
  const char *mode = mode_of(argc, argv, "forward");
  const int gradient = !strcmp(mode, "gradient"), steps = MOST_STEPS, threads = threads_of(argc, argv);
  const size_t n = particles_of(argc, argv, gradient ? 100000 : 1000000);
  float y[2 * MOST_STEPS];
  simulate(steps, y);
  if (!strcmp(mode, "check")) {
    filter f = make_filter(2048, 10, y, 1);
    forward(&f, 1, 0);
    backward(&f, 1);
    f.freezes = 1;
    const float h = 2e-3f;
    double z[4];
    for (int k = 0; k < 4; k++) {
      f.a = 0.9f + (k == 0 ? h : k == 1 ? -h : 0);
      f.log_q = k == 2 ? h : k == 3 ? -h : 0;
      forward(&f, 1, 0);
      z[k] = f.log_z;
    }
    printf("by a: %.5f, differences %.5f\nby log q: %.5f, differences %.5f\n", f.gradient_a, -(z[0] - z[1]) / (2 * h),
           f.gradient_log_q, -(z[2] - z[3]) / (2 * h));
    return 0;
  }
  filter f = make_filter(n, steps, y, gradient);
  const double rows = (double)n * steps;
  double t[25];
  const int repeats = (int)least(25, 3 + (size_t)(5e8 / rows));
  for (int k = 0; k < repeats; k++) {
    double start = now();
    forward(&f, threads, 0);
    if (gradient) backward(&f, threads);
    t[k] = now() - start;
  }
  printf("%.2f ns a particle and step; log Z %.5f (exact %.5f)\n", 1e9 * fastest(t, repeats) / rows, f.log_z, kalman(steps, y, 0.9, 0));
  if (gradient) printf("by a %.4f, by log q %.4f; memory %.0f MB\n", f.gradient_a, f.gradient_log_q, (double)f.bytes * 1e-6);
  report("smc", gradient ? mode : "forward", n, threads, fastest(t, repeats));
  if (threads > 1) return 0;
  memset(f.spent, 0, sizeof f.spent);
  forward(&f, 1, 1);
  printf("forward in parts, ns:");
  for (int p = 0; p < PARTS; p++)
    printf(" %s %.2f%s", part_names[p], tick_nanoseconds() * (double)f.spent[p] / rows, p + 1 < PARTS ? "," : "\n");
}
