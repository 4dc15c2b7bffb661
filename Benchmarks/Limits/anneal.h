// The model of the workload `anneal`: parameters, keys, the target density.

#ifndef ANNEAL_H
#define ANNEAL_H

#include "limits.h"

#define KERNELS 7
#define HIDDEN 50
#define BETAS 6

/// 2 -> 50, relu, -> a location's shift and a scale before softplus, two numbers each. By columns: one array for each input or output.
typedef struct {
  float in[2][HIDDEN], bias[HIDDEN], out[4][HIDDEN], out_bias[4];
} kernel;

typedef struct {
  kernel forward[KERNELS], reverse[KERNELS];
  float betas[BETAS];
} parameters;
#define PARAMETER_COUNT (sizeof(parameters) / sizeof(float))

/// As Coix's Dense draws its kernel: normal numbers cut off at two, of variance 1/2; the outputs' kernels are 0.
static void initial_parameters(parameters *p) {
  memset(p, 0, sizeof *p);
  for (int side = 0; side < 2; side++)
    for (int k = 0; k < KERNELS; k++) {
      float u[2 * HIDDEN];
      coix_key key = coix_threefry((coix_key){0, 1 + (uint32_t)side}, (uint64_t)k);
      const coix_draw draw = {.valid_rows = 2 * HIDDEN, .rows = 2 * HIDDEN, .elements = 1, .row_stride = 1};
      coix_draw_uniform(key, draw, -0.95449974f, 0.95449974f, u, 1);
      coix_unary(COIX_ERFINV, u, u, 2 * HIDDEN, 1);
      for (int i = 0; i < 2 * HIDDEN; i++) {
        float z = fminf(fmaxf(u[i] * sqrtf(2.0f), -2.0f), 2.0f) * (sqrtf(0.5f) / 0.87962566f);
        (side ? p->reverse : p->forward)[k].in[i / HIDDEN][i % HIDDEN] = z;
      }
    }
  for (int i = 0; i < BETAS; i++) p->betas[i] = -1;
}

/// The inverse temperatures of the eight targets, and the derivative of those between by the parameters.
static void temperatures(const float *betas, float b[KERNELS + 1], float by[BETAS][BETAS]) {
  float sum = betas[0];
  for (int k = 0; k < BETAS; k++) {
    if (k) sum += log1pf(expf(betas[k]));
    float value = 1 / (1 + expf(-sum)), slope = value * (1 - value);
    b[k + 1] = value;
    for (int i = 0; i < BETAS; i++) by[k][i] = i > k ? 0 : i == 0 ? slope : slope / (1 + expf(-betas[i]));
  }
  b[0] = 0;
  b[KERNELS] = 1;
}

/// The keys that Coix's nviRKL draws with.
typedef struct {
  coix_key first, draw[KERNELS], choice[KERNELS];
} anneal_keys;
static anneal_keys keys_of(coix_key scope) {
  anneal_keys keys;
  for (int k = KERNELS - 1; k >= 0; k--) {
    coix_key proposal = next_key(&scope);
    keys.choice[k] = next_key(&proposal);
    scope = next_key(&proposal);
    skip_keys(&proposal, 2);
    keys.draw[k] = next_key(&proposal);
  }
  keys.first = next_key(&scope);
  return keys;
}

#define HALF_LOG_2PI 0.9189385332046727

/// The log-density of eight modes on a circle, unnormalised, and of the wide normal at the start; their gradients if asked for.
typedef struct { v16 modes, start, modes_by[2]; } densities;
INLINE densities target(v16 x0, v16 x1, const int by) {
  static const float mean[8][2] = {{7.0710678f, 7.0710678f}, {10.0f, 0.0f}, {7.0710678f, -7.0710678f}, {0.0f, -10.0f},
                                   {-7.0710678f, -7.0710678f}, {-10.0f, 0.0f}, {-7.0710678f, 7.0710678f}, {0.0f, 10.0f}};
  densities d;
  v16 e[8], m = (v16)(-INFINITY), sum = (v16)(0.0f), s0 = sum, s1 = sum;
  UNROLL for (int j = 0; j < 8; j++) {
    v16 d0 = x0 - mean[j][0], d1 = x1 - mean[j][1];
    e[j] = -v_fma(d1, d1, d0 * d0); // the variance is 1/2
    m = v_max(m, e[j]);
  }
  UNROLL for (int j = 0; j < 8; j++) {
    e[j] = v_exp(e[j] - m);
    sum += e[j];
    if (by) {
      s0 = v_fma(e[j], (v16)(mean[j][0]), s0);
      s1 = v_fma(e[j], (v16)(mean[j][1]), s1);
    }
  }
  d.modes = m + v_log(sum) - (float)(2 * HALF_LOG_2PI - 0.69314718055994531);
  d.start = v_fma((v16)(-0.02f), v_fma(x1, x1, x0 * x0), (v16)((float)(-2 * (HALF_LOG_2PI + 1.6094379124341003))));
  if (by) {
    v16 inverse = 1.0f / sum;
    d.modes_by[0] = 2.0f * (s0 * inverse - x0);
    d.modes_by[1] = 2.0f * (s1 * inverse - x1);
  }
  return d;
}

/// A network's outputs for `n` sixteens of rows: shifts of the location out[0], out[1], scales before softplus out[2], out[3].
INLINE void network(const kernel *k, const v16 *x0, const v16 *x1, v16 out[4][4], const int n) {
  UNROLL for (int o = 0; o < 4; o++)
    UNROLL for (int v = 0; v < n; v++) out[o][v] = (v16)(k->out_bias[o]);
  _Pragma("clang loop unroll(disable)")
  for (int j = 0; j < HIDDEN; j++) {
    UNROLL for (int v = 0; v < n; v++) {
      v16 h = v_fma((v16)(k->in[1][j]), x1[v], v_fma((v16)(k->in[0][j]), x0[v], (v16)(k->bias[j])));
      h = (v16)_mm512_max_ps(_mm512_setzero_ps(), (__m512)h);
      UNROLL for (int o = 0; o < 4; o++) out[o][v] = v_fma((v16)(k->out[o][j]), h, out[o][v]);
    }
  }
}

/// The log-density of two independent normal numbers, from the standardised values; one logarithm for both scales.
INLINE v16 log_normal(v16 z0, v16 z1, v16 s0, v16 s1) {
  return v_fma((v16)(-0.5f), v_fma(z1, z1, z0 * z0), (v16)((float)(-2 * HALF_LOG_2PI))) - v_log(s0 * s1);
}

#endif
