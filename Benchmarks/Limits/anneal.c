// The workload `anneal`, fused by hand: eight targets from a wide normal to eight modes, seven forward and seven reverse kernels
// 2 -> 50 -> (2, 2), seven resamplings; the gradient of few particles as nviRKL defines it, and Adam.
//
//   anneal [forward] [particles = 1000000] [threads = 1]
//   anneal train [particles = 36]                        a step of up to 48 particles, and its parts
//   anneal losses                                        those of the first steps
//
// Keys and initial parameters are those of the workload, so that its numbers must come out.

#include "anneal.h"
#include "pairs.h"
#include "resampling.h"

// MARK: Forward, many particles

typedef struct {
  size_t n;
  float *x[2];       // [n, 2]
  float *density[2]; // [n], of the target that the particles have come to
  float *weight;     // [n]
  int32_t *ancestor;
  resampling weights;
  double log_z, ess;
} annealing;

static annealing make_annealing(size_t n) {
  annealing a = {.n = n, .weight = memory(4 * n), .ancestor = memory(4 * n), .weights = make_resampling(n)};
  for (int k = 0; k < 2; k++) a.x[k] = memory(8 * n), a.density[k] = memory(4 * n);
  return a;
}

static void first_rows(annealing *a, size_t start, size_t rows, coix_key key) {
  for (size_t r = start; r < start + rows; r += 16) {
    v16 z0, z1;
    normal_pairs(key, (uint32_t)r, &z0, &z1);
    z0 *= 5.0f, z1 *= 5.0f;
    store_pair(a->x[0] + 2 * r, z0, z1);
    v_store(a->density[0] + r, target(z0, z1, 0).start);
    v_store(a->weight + r, (v16)(0.0f));
  }
}

/// Step k for rows in fours of sixteen.
static void step_rows(annealing *a, int k, float beta, size_t start, size_t rows, coix_key key, const parameters *p) {
  const float *before = a->x[k & 1], *density = a->density[k & 1];
  float *x = a->x[(k + 1) & 1], *next = a->density[(k + 1) & 1];
  for (size_t r = start; r < start + rows; r += 64) {
    v16 p0[4], p1[4], x0[4], x1[4], old[4], out[4][4], weight[4];
    UNROLL for (size_t v = 0; v < 4; v++) {
      // Beyond the last row the indices are 0.
      pair from = gather_pair(before, a->ancestor + r + 16 * v);
      p0[v] = from.first, p1[v] = from.second;
      old[v] = (v16)_mm512_i32gather_ps(_mm512_loadu_si512(a->ancestor + r + 16 * v), density, 4);
    }
    network(&p->forward[k], p0, p1, out, 4);
    UNROLL for (size_t v = 0; v < 4; v++) {
      v16 z0, z1, s0 = v_softplus(out[2][v]), s1 = v_softplus(out[3][v]);
      normal_pairs(key, (uint32_t)(r + 16 * v), &z0, &z1);
      x0[v] = v_fma(s0, z0, out[0][v] + p0[v]);
      x1[v] = v_fma(s1, z1, out[1][v] + p1[v]);
      weight[v] = -log_normal(z0, z1, s0, s1) - old[v];
    }
    network(&p->reverse[k], x0, x1, out, 4);
    UNROLL for (size_t v = 0; v < 4; v++) {
      v16 s0 = v_softplus(out[2][v]), s1 = v_softplus(out[3][v]);
      v16 z0 = (p0[v] - (out[0][v] + x0[v])) / s0, z1 = (p1[v] - (out[1][v] + x1[v])) / s1;
      densities d = target(x0[v], x1[v], 0);
      v16 density = v_fma((v16)(beta), d.modes, (1.0f - beta) * d.start);
      store_pair(x + 2 * (r + 16 * v), x0[v], x1[v]);
      v_store(next + r + 16 * v, density);
      v_store(a->weight + r + 16 * v, weight[v] + log_normal(z0, z1, s0, s1) + density);
    }
  }
}

static void forward(annealing *a, const parameters *p, coix_key seed, int threads) {
  const anneal_keys keys = keys_of(seed);
  float b[KERNELS + 1], by[BETAS][BETAS];
  temperatures(p->betas, b, by);
  a->log_z = 0;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (size_t i = 0; i < a->weights.blocks; i++) first_rows(a, i * BLOCK, least(BLOCK, a->n - i * BLOCK), keys.first);
    for (int k = 0; k < KERNELS; k++) {
      resample_team(&a->weights, a->weight, uniform_of(keys.choice[k]), a->n, a->ancestor);
#pragma omp single
      if (k) a->log_z += a->weights.log_sum - log((double)a->n);
#pragma omp for schedule(static)
      for (size_t i = 0; i < a->weights.blocks; i++)
        step_rows(a, k, b[k + 1], i * BLOCK, least(BLOCK, a->n - i * BLOCK), keys.draw[k], p);
    }
#pragma omp for schedule(static)
    for (size_t i = 0; i < a->weights.blocks; i++) {
      const size_t rows = least(BLOCK, a->n - i * BLOCK);
      a->weights.greatest[i] = block_greatest(a->weight + i * BLOCK, rows);
      a->weights.sum[i] = block_sum(a->weight + i * BLOCK, rows, a->weights.greatest[i]);
    }
  }
  lay_out(&a->weights, a->n, 0);
  a->log_z += a->weights.log_sum - log((double)a->n);
  double square = 0;
  for (size_t i = 0; i < a->n; i++) square += exp(2 * ((double)a->weight[i] - a->weights.log_sum));
  a->ess = 1 / square;
}

// MARK: A train step of few particles

#define MOST 48
#define SIXTEENS 3
enum { RESAMPLE, DRAW, NETWORKS, DENSITIES, LOSS, BACK, ADAM, PARTS };
static const char *const part_names[] = {"resampling", "draws", "networks forward", "densities", "loss and adjoints",
                                         "networks backward", "Adam"};

typedef struct {
  size_t n;
  parameters p, gradient, first_moment, second_moment;
  int step;
  resampling weights;
  double loss;
  uint64_t spent[PARTS];
} training;

/// What a step leaves for the adjoints of its networks, and to the next step.
typedef struct {
  float x[2][MOST], before[2][MOST], density[MOST], difference[MOST], difference_before[MOST];
} rows_of_step;

/// The parameters' gradient of a network, from the adjoints of its outputs, [4][rows]: hidden units in the lanes, a half at a time.
INLINE void network_back(const kernel *k, kernel *gradient, const float x[2][MOST], const float adjoint[4][MOST], size_t rows) {
  for (int half = 0; half < HIDDEN; half += 32) {
    v16 in0[2], in1[2], bias[2], out[4][2], g_in0[2], g_in1[2], g_bias[2], g_out[4][2];
    __mmask16 mask[2] = {0xffff, half ? (1 << (HIDDEN - 48)) - 1 : 0xffff};
    UNROLL for (int v = 0; v < 2; v++) {
      const int j = half + 16 * v;
      in0[v] = (v16)_mm512_maskz_loadu_ps(mask[v], k->in[0] + j);
      in1[v] = (v16)_mm512_maskz_loadu_ps(mask[v], k->in[1] + j);
      bias[v] = (v16)_mm512_maskz_loadu_ps(mask[v], k->bias + j);
      g_in0[v] = g_in1[v] = g_bias[v] = (v16)(0.0f);
      UNROLL for (int o = 0; o < 4; o++) {
        out[o][v] = (v16)_mm512_maskz_loadu_ps(mask[v], k->out[o] + j);
        g_out[o][v] = (v16)(0.0f);
      }
    }
    for (size_t r = 0; r < rows; r++) {
      const v16 x0 = (v16)(x[0][r]), x1 = (v16)(x[1][r]);
      UNROLL for (int v = 0; v < 2; v++) {
        v16 h = v_fma(in1[v], x1, v_fma(in0[v], x0, bias[v])), dh = (v16)(0.0f);
        h = (v16)_mm512_max_ps(_mm512_setzero_ps(), (__m512)h);
        UNROLL for (int o = 0; o < 4; o++) {
          const v16 a = (v16)(adjoint[o][r]);
          g_out[o][v] = v_fma(h, a, g_out[o][v]);
          dh = v_fma(out[o][v], a, dh);
        }
        dh = h > 0.0f ? dh : (v16)(0.0f);
        g_bias[v] += dh;
        g_in0[v] = v_fma(dh, x0, g_in0[v]);
        g_in1[v] = v_fma(dh, x1, g_in1[v]);
      }
    }
    UNROLL for (int v = 0; v < 2; v++) {
      const int j = half + 16 * v;
      _mm512_mask_storeu_ps(gradient->in[0] + j, mask[v], (__m512)g_in0[v]);
      _mm512_mask_storeu_ps(gradient->in[1] + j, mask[v], (__m512)g_in1[v]);
      _mm512_mask_storeu_ps(gradient->bias + j, mask[v], (__m512)g_bias[v]);
      UNROLL for (int o = 0; o < 4; o++) _mm512_mask_storeu_ps(gradient->out[o] + j, mask[v], (__m512)g_out[o][v]);
    }
  }
  for (int o = 0; o < 4; o++) {
    float sum = 0;
    for (size_t r = 0; r < rows; r++) sum += adjoint[o][r];
    gradient->out_bias[o] = sum;
  }
}

/// The adjoint of a network's input: rows in the lanes.
INLINE void input_back(const kernel *k, const v16 *x0, const v16 *x1, const v16 adjoint[4][4], v16 *d0, v16 *d1) {
  UNROLL for (int v = 0; v < SIXTEENS; v++) d0[v] = d1[v] = (v16)(0.0f);
  _Pragma("clang loop unroll(disable)")
  for (int j = 0; j < HIDDEN; j++)
    UNROLL for (int v = 0; v < SIXTEENS; v++) {
      v16 h = v_fma((v16)(k->in[1][j]), x1[v], v_fma((v16)(k->in[0][j]), x0[v], (v16)(k->bias[j])));
      v16 dh = (v16)(k->out[0][j]) * adjoint[0][v];
      UNROLL for (int o = 1; o < 4; o++) dh = v_fma((v16)(k->out[o][j]), adjoint[o][v], dh);
      dh = h > 0.0f ? dh : (v16)(0.0f);
      d0[v] = v_fma(dh, (v16)(k->in[0][j]), d0[v]);
      d1[v] = v_fma(dh, (v16)(k->in[1][j]), d1[v]);
    }
}

static void adam(training *t) {
  const int step = ++t->step;
  const float c1 = 1 - (float)pow((double)0.9f, step), c2 = 1 - (float)pow((double)0.999f, step);
  coix_adam((float *)&t->p, (const float *)&t->gradient, (float *)&t->first_moment, (float *)&t->second_moment, PARAMETER_COUNT, 1e-3f,
            0, 0.9, 0.999, 1e-8f, c1, c2);
}

#define PART(name)                                                                                  \
  do {                                                                                              \
    uint64_t c_ = ticks();                                                                          \
    t->spent[name] += c_ - clock;                                                                   \
    clock = c_;                                                                                     \
  } while (0)

/// The loss and its gradient. Each step's goes back at once: what a step hands on has a gradient for the temperatures only.
static void loss_and_gradient(training *t, coix_key seed) {
  const size_t n = t->n;
  const float share = 1.0f / (float)n;
  const anneal_keys keys = keys_of(seed);
  uint64_t clock = ticks();
  float b[KERNELS + 1], by[BETAS][BETAS], by_b[KERNELS + 1] = {0}, weight[MOST] = {0};
  temperatures(t->p.betas, b, by);
  rows_of_step s __attribute__((aligned(64)));
  int32_t ancestor[MOST + 16] = {0};
  float adjoint[4][MOST] __attribute__((aligned(64)));
  t->loss = 0;
  for (size_t v = 0; v < SIXTEENS; v++) {
    v16 z0, z1;
    normal_pairs(keys.first, (uint32_t)(16 * v), &z0, &z1);
    v_store(s.x[0] + 16 * v, z0 * 5.0f);
    v_store(s.x[1] + 16 * v, z1 * 5.0f);
    densities d = target(z0 * 5.0f, z1 * 5.0f, 0);
    v_store(s.density + 16 * v, d.start);
    v_store(s.difference + 16 * v, d.modes - d.start);
  }
  PART(DRAW);
  v16 used[SIXTEENS]; // 1 where there is a row
  for (int v = 0; v < SIXTEENS; v++) used[v] = LANES + 16 * v < (int32_t)n ? (v16)(1.0f) : (v16)(0.0f);

  for (int k = 0; k < KERNELS; k++) {
    t->weights.greatest[0] = block_greatest(weight, n);
    t->weights.sum[0] = block_sum(weight, n, t->weights.greatest[0]);
    lay_out(&t->weights, n, uniform_of(keys.choice[k]));
    block_offspring(&t->weights, 0, weight, ancestor);
    v16 p0[4], p1[4], x0[4], x1[4], z0[4], z1[4], s0[4], s1[4], out[4][4], old[4], old_difference[4];
    UNROLL for (size_t v = 0; v < SIXTEENS; v++) {
      const __m512i index = _mm512_loadu_si512(ancestor + 16 * v);
      p0[v] = (v16)_mm512_i32gather_ps(index, s.x[0], 4);
      p1[v] = (v16)_mm512_i32gather_ps(index, s.x[1], 4);
      old[v] = (v16)_mm512_i32gather_ps(index, s.density, 4);
      old_difference[v] = (v16)_mm512_i32gather_ps(index, s.difference, 4);
    }
    PART(RESAMPLE);
    UNROLL for (size_t v = 0; v < SIXTEENS; v++) normal_pairs(keys.draw[k], (uint32_t)(16 * v), &z0[v], &z1[v]);
    PART(DRAW);
    network(&t->p.forward[k], p0, p1, out, SIXTEENS);
    PART(NETWORKS);
    v16 log_f[4], slope0[4], slope1[4];
    UNROLL for (size_t v = 0; v < SIXTEENS; v++) {
      s0[v] = v_softplus(out[2][v]), s1[v] = v_softplus(out[3][v]);
      slope0[v] = v_sigmoid(out[2][v]), slope1[v] = v_sigmoid(out[3][v]);
      x0[v] = v_fma(s0[v], z0[v], out[0][v] + p0[v]);
      x1[v] = v_fma(s1[v], z1[v], out[1][v] + p1[v]);
      log_f[v] = log_normal(z0[v], z1[v], s0[v], s1[v]);
      v_store(s.before[0] + 16 * v, p0[v]);
      v_store(s.before[1] + 16 * v, p1[v]);
      v_store(s.x[0] + 16 * v, x0[v]);
      v_store(s.x[1] + 16 * v, x1[v]);
    }
    PART(DENSITIES);
    network(&t->p.reverse[k], x0, x1, out, SIXTEENS);
    PART(NETWORKS);

    // Weights, and the adjoints of what the reverse kernel gave. Every row's incremental weight has the adjoint -1/n.
    v16 step[4], g0[4], g1[4], a[4][4], d0[4], d1[4], density[4], difference[4];
    UNROLL for (size_t v = 0; v < SIXTEENS; v++) {
      v16 r0 = v_softplus(out[2][v]), r1 = v_softplus(out[3][v]), i0 = 1.0f / r0, i1 = 1.0f / r1;
      v16 q0 = (p0[v] - (out[0][v] + x0[v])) * i0, q1 = (p1[v] - (out[1][v] + x1[v])) * i1;
      densities d = target(x0[v], x1[v], 1);
      density[v] = v_fma((v16)(b[k + 1]), d.modes, (1.0f - b[k + 1]) * d.start);
      difference[v] = d.modes - d.start;
      step[v] = density[v] + log_normal(q0, q1, r0, r1) - log_f[v] - old[v];
      const v16 g = -share * used[v];
      a[0][v] = g * q0 * i0;
      a[1][v] = g * q1 * i1;
      a[2][v] = g * v_fma(q0, q0, (v16)(-1.0f)) * i0 * v_sigmoid(out[2][v]);
      a[3][v] = g * v_fma(q1, q1, (v16)(-1.0f)) * i1 * v_sigmoid(out[3][v]);
      // By x, but for the way through the reverse network: the target, the reverse kernel's location, -log f at fixed parameters.
      g0[v] = a[0][v] + g * (v_fma((v16)(b[k + 1]), d.modes_by[0], (v16)(-0.04f * (1.0f - b[k + 1])) * x0[v]) + z0[v] / s0[v]);
      g1[v] = a[1][v] + g * (v_fma((v16)(b[k + 1]), d.modes_by[1], (v16)(-0.04f * (1.0f - b[k + 1])) * x1[v]) + z1[v] / s1[v]);
      UNROLL for (int o = 0; o < 4; o++) v_store(adjoint[o] + 16 * v, a[o][v]);
      v_store(s.density + 16 * v, density[v]);
      v_store(s.difference + 16 * v, difference[v]);
      v_store(weight + 16 * v, step[v]);
    }
    // -sum w (v + (1 + v - mean) old) + sum W density, and its gradient by the temperatures.
    const float greatest = block_greatest(weight, n);
    v16 e[4], mean = (v16)(0.0f), total = mean;
    UNROLL for (size_t v = 0; v < SIXTEENS; v++) {
      e[v] = v_exp(step[v] - greatest) * used[v];
      total += e[v];
      mean = v_fma(step[v], used[v] * share, mean);
    }
    const float average = v_sum(mean), scale = 1.0f / v_sum(total);
    v16 loss = (v16)(0.0f), at_old = loss, at_new = loss;
    UNROLL for (size_t v = 0; v < SIXTEENS; v++) {
      v16 excess = step[v] - average, incoming = used[v] * share, outgoing = e[v] * scale;
      loss += v_fma(outgoing, density[v], -incoming * v_fma(1.0f + excess, old[v], step[v]));
      at_old = v_fma(-incoming * excess, old_difference[v], at_old);
      at_new = v_fma(outgoing - incoming, difference[v], at_new);
    }
    t->loss += (double)v_sum(loss);
    by_b[k] += v_sum(at_old);
    by_b[k + 1] += v_sum(at_new);
    PART(LOSS);

    network_back(&t->p.reverse[k], &t->gradient.reverse[k], s.x, adjoint, n);
    input_back(&t->p.reverse[k], x0, x1, a, d0, d1);
    PART(BACK);
    UNROLL for (size_t v = 0; v < SIXTEENS; v++) {
      g0[v] += d0[v], g1[v] += d1[v];
      v_store(adjoint[0] + 16 * v, g0[v]);
      v_store(adjoint[1] + 16 * v, g1[v]);
      v_store(adjoint[2] + 16 * v, g0[v] * z0[v] * slope0[v]);
      v_store(adjoint[3] + 16 * v, g1[v] * z1[v] * slope1[v]);
    }
    PART(LOSS);
    network_back(&t->p.forward[k], &t->gradient.forward[k], s.before, adjoint, n);
    PART(BACK);
  }
  for (int i = 0; i < BETAS; i++) {
    float sum = 0;
    for (int k = 0; k < BETAS; k++) sum += by_b[k + 1] * by[k][i];
    t->gradient.betas[i] = sum;
  }
  PART(LOSS);
}

static void train_step(training *t, int i) {
  loss_and_gradient(t, coix_threefry((coix_key){0, 0}, (uint64_t)i));
  uint64_t clock = ticks();
  adam(t);
  PART(ADAM);
}

int main(int argc, char **argv) {
  const char *mode = mode_of(argc, argv, "forward");
  if (!strcmp(mode, "forward")) {
    const size_t n = particles_of(argc, argv, 1000000);
    const int threads = threads_of(argc, argv);
    annealing a = make_annealing(n);
    parameters *p = memory(sizeof *p);
    initial_parameters(p);
    double t[9];
    for (int i = 0; i < 9; i++) {
      double start = now();
      forward(&a, p, (coix_key){0, 0}, threads);
      t[i] = now() - start;
    }
    printf("%.2f ns a particle and step; log Z %.5f (exact %.5f), ESS %.1f\n", 1e9 * fastest(t, 9) / (double)n / KERNELS, a.log_z,
           log(8.0), a.ess);
    report("anneal", mode, n, threads, fastest(t, 9));
    return 0;
  }
  if (strcmp(mode, "train") && strcmp(mode, "losses")) {
    fprintf(stderr, "anneal: there is no loop for the mode %s\n", mode);
    return 0;
  }
  training *t = memory(sizeof *t);
  t->n = least(MOST, particles_of(argc, argv, 36));
  t->weights = make_resampling(t->n);
  initial_parameters(&t->p);
  if (!strcmp(mode, "losses")) {
    for (int i = 1; i <= 1000; i++) {
      train_step(t, i);
      if (i <= 5 || i == 10 || i == 100 || i == 1000) printf("%d %.6f\n", i, t->loss);
    }
    return 0;
  }
  const int batch = 100;
  double times[50];
  for (int k = 0; k < 50; k++) {
    if (k == 1) memset(t->spent, 0, sizeof t->spent);
    double start = now();
    for (int i = 0; i < batch; i++) train_step(t, 1 + k * batch + i);
    times[k] = (now() - start) / batch;
  }
  for (int p = 0; p < PARTS; p++)
    printf("%s %.2f%s", part_names[p], 1e-3 * tick_nanoseconds() * (double)t->spent[p] / (49 * batch), p + 1 < PARTS ? ", " : " us\n");
  report("anneal", mode, t->n, 1, fastest(times, 50));
}
