// Random draws: element i of a draw is a function of (key, i) alone, bit for bit JAX's with
// jax_threefry_partitionable.

#include "internal.h"

typedef struct {
  void (*bits)(coix_key, const coix_draw *, size_t e, size_t start, size_t count, uint32_t *out);
  void (*uniform)(coix_key, const coix_draw *, size_t e, size_t start, size_t count, float low, float high, float *out);
  void (*normal)(coix_key, const coix_draw *, size_t e, size_t start, size_t count, float *out);
  void (*normal_affine)(coix_key, const coix_draw *, size_t e, size_t start, size_t count, const float *loc,
                        size_t loc_row_stride, const float *scale, size_t scale_row_stride, float *noise, float *out);
  void (*gumbel)(coix_key, const coix_draw *, size_t e, size_t start, size_t count, float *out);
  void (*randint)(coix_key, const coix_draw *, size_t e, size_t start, size_t count, coix_key second, uint32_t low,
                  uint32_t span, uint32_t multiplier, int32_t *out);
  uint32_t (*gamma_proposals)(coix_key, const uint64_t *index, const float *alpha, float *volume, float *boost);
} random_table;

#define COIX_TEMPLATE "Copies/random_copy.h"
#include "copies.h"
COIX_CHOOSE(random_table, kernels)

uint32_t coix_gamma_proposals(coix_key key, const uint64_t *index, const float *alpha, float *volume, float *boost) {
  return kernels->gamma_proposals(key, index, alpha, volume, boost);
}

static inline uint32_t rotate(uint32_t x, int by) { return (x << by) | (x >> (32 - by)); }

coix_key coix_threefry(coix_key key, uint64_t counter) {
  static const int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const uint32_t schedule[3] = {key.word0, key.word1, key.word0 ^ key.word1 ^ 0x1BD11BDAu};
  uint32_t x0 = (uint32_t)(counter >> 32) + schedule[0], x1 = (uint32_t)counter + schedule[1];
  for (uint32_t group = 1; group <= 5; group++) {
    for (int i = 0; i < 4; i++) {
      x0 += x1;
      x1 = rotate(x1, rotations[(group + 1) % 2][i]) ^ x0;
    }
    x0 += schedule[group % 3];
    x1 += schedule[(group + 1) % 3] + group;
  }
  return (coix_key){x0, x1};
}

/// Rows a thread takes at a time; a multiple of the lanes.
#define BLOCK ((size_t)4096)

/// Runs `statement` for each element e and each block of rows [start, start + count).
#define FOR_DRAWS(cost, statement)                                                                 \
  do {                                                                                             \
    if (draw.valid_rows == 0) return;                                                              \
    size_t blocks = coix_blocks(draw.rows, BLOCK), tasks = blocks * draw.elements;                 \
    int threads = coix_team_for((double)draw.rows * (double)draw.elements * (cost), team);         \
    if (threads <= 1) {                                                                            \
      for (size_t e = 0; e < draw.elements; e++) {                                                 \
        const size_t start = 0, count = draw.rows;                                                 \
        statement;                                                                                 \
      }                                                                                            \
    } else {                                                                                       \
      COIX_FOR(task, tasks, threads, {                                                             \
        const size_t e = task / blocks, start = task % blocks * BLOCK;                             \
        const size_t count = coix_min(BLOCK, draw.rows - start);                                   \
        statement;                                                                                 \
      });                                                                                          \
    }                                                                                              \
  } while (0)

void coix_draw_bits(coix_key key, coix_draw draw, uint32_t *out, int team) {
  FOR_DRAWS(1.5, kernels->bits(key, &draw, e, start, count, out + e * draw.rows));
}

void coix_draw_uniform(coix_key key, coix_draw draw, float low, float high, float *out, int team) {
  FOR_DRAWS(1.5, kernels->uniform(key, &draw, e, start, count, low, high, out + e * draw.rows));
}

void coix_draw_normal(coix_key key, coix_draw draw, float *out, int team) {
  FOR_DRAWS(3.0, kernels->normal(key, &draw, e, start, count, out + e * draw.rows));
}

void coix_draw_normal_affine(coix_key key, coix_draw draw,
                             const float *loc, size_t loc_element_stride, size_t loc_row_stride,
                             const float *scale, size_t scale_element_stride, size_t scale_row_stride,
                             float *noise, float *out, int team) {
  FOR_DRAWS(3.0, kernels->normal_affine(key, &draw, e, start, count, loc + e * loc_element_stride, loc_row_stride,
                                        scale + e * scale_element_stride, scale_row_stride,
                                        noise ? noise + e * draw.rows : NULL, out + e * draw.rows));
}

void coix_draw_gumbel(coix_key key, coix_draw draw, float *out, int team) {
  FOR_DRAWS(3.0, kernels->gumbel(key, &draw, e, start, count, out + e * draw.rows));
}

void coix_draw_randint(coix_key key, coix_draw draw, int32_t low, int32_t high, int32_t *out, int team) {
  coix_key first = coix_threefry(key, 0), second = coix_threefry(key, 1);
  uint32_t span = high > low ? (uint32_t)high - (uint32_t)low : 1;
  uint32_t multiplier = 65536u % span;
  multiplier = multiplier * multiplier % span; // wraps in uint32, as JAX's does
  FOR_DRAWS(8.0, kernels->randint(first, &draw, e, start, count, second, (uint32_t)low, span, multiplier,
                                  out + e * draw.rows));
}
