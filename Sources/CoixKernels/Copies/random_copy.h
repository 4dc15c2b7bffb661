// Threefry and the transformations of its bits, sixteen elements at a time. Part of every copy (see copies.h).

INLINE v16u COPY(rotate)(v16u x, int by) { return (x << by) | (x >> (32 - by)); }

#define UNROLL _Pragma("clang loop unroll(full)")
#define ROUND(by)                                                                                  \
  UNROLL for (int h = 0; h < 2; h++) {                                                             \
    x0[h] += x1[h];                                                                                \
    x1[h] = COPY(rotate)(x1[h], by) ^ x0[h];                                                       \
  }
#define INJECT(a, b)                                                                               \
  UNROLL for (int h = 0; h < 2; h++) {                                                             \
    x0[h] += (a);                                                                                  \
    x1[h] += (b);                                                                                  \
  }
#define EVEN_ROUNDS ROUND(13) ROUND(15) ROUND(26) ROUND(6)
#define ODD_ROUNDS ROUND(17) ROUND(29) ROUND(16) ROUND(24)

/// Threefry-2x32 with 20 rounds (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), in place.
INLINE void COPY(threefry_pair)(coix_key key, v16u x0[2], v16u x1[2]) {
  const uint32_t k0 = key.word0, k1 = key.word1, k2 = k0 ^ k1 ^ 0x1BD11BDAu;
  INJECT(k0, k1)
  EVEN_ROUNDS INJECT(k1, k2 + 1u)
  ODD_ROUNDS INJECT(k2, k0 + 2u)
  EVEN_ROUNDS INJECT(k0, k1 + 3u)
  ODD_ROUNDS INJECT(k1, k2 + 4u)
  EVEN_ROUNDS INJECT(k2, k0 + 5u)
}

/// The counters `first + lane * stride`, where lanes from `valid` on repeat the last valid lane.
INLINE void COPY(counters)(uint64_t first, uint64_t stride, uint64_t valid, v16u *high, v16u *low) {
  v16u lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  if (stride < (1u << 28)) {
    if (valid < 16) lane = lane < (uint32_t)valid ? lane : (v16u)((uint32_t)valid - 1u);
    *low = (v16u)((uint32_t)first) + lane * (uint32_t)stride;
    v16i carried = *low < (v16u)((uint32_t)first);
    *high = (v16u)((uint32_t)(first >> 32)) - __builtin_bit_cast(v16u, carried);
    return;
  }
  for (uint64_t l = 0; l < 16; l++) {
    uint64_t index = first + (l < valid ? l : valid - 1) * stride;
    (*low)[l] = (uint32_t)index;
    (*high)[l] = (uint32_t)(index >> 32);
  }
}

/// The counters `base + number * stride` for sixteen row numbers.
INLINE void COPY(numbered_counters)(uint64_t base, uint64_t stride, const uint64_t *numbers, v16u *high, v16u *low) {
  UNROLL for (size_t l = 0; l < 16; l++) {
    uint64_t index = base + numbers[l] * stride;
    (*low)[l] = (uint32_t)index;
    (*high)[l] = (uint32_t)(index >> 32);
  }
}

/// Rows of an element whose bits are drawn at a time.
#define BATCH 256

/// The bits of rows [start, start + count) of element e, with `count` at most BATCH; fills `out` up to a multiple of
/// 32. Two vectors of sixteen are computed at once: a single one would wait for its own results.
static void COPY(batch_bits)(coix_key key, const coix_draw *draw, size_t e, size_t start, size_t count, uint32_t *out) {
  const uint64_t first = draw->row_numbers ? 0 : draw->first_row;
  const uint64_t base = first * draw->row_stride + e * draw->element_stride + draw->offset;
  const uint64_t last = draw->valid_rows - 1, stride = draw->row_stride;
  for (size_t i = 0; i < count; i += 32) {
    v16u high[2], low[2];
    UNROLL for (size_t h = 0; h < 2; h++) {
      uint64_t row = coix_min(start + i + 16 * h, last);
      if (draw->row_numbers) {
        uint64_t numbers[16];
        UNROLL for (size_t l = 0; l < 16; l++) numbers[l] = draw->row_numbers[coix_min(row + l, last)];
        COPY(numbered_counters)(base, stride, numbers, &high[h], &low[h]);
      } else {
        COPY(counters)(base + row * stride, stride, draw->valid_rows - row, &high[h], &low[h]);
      }
    }
    COPY(threefry_pair)(key, high, low);
    *(v16u_memory *)(out + i) = high[0] ^ low[0];
    *(v16u_memory *)(out + i + 16) = high[1] ^ low[1];
  }
}

/// A number in [0, 1), from the upper 23 bits.
INLINE v16 COPY(unit)(v16u bits) { return v_from_bits((bits >> 9) | 0x3f800000u) - 1.0f; }

/// A number in [low, high), as JAX computes it: f * (high - low) + low in float32, then the maximum with low.
INLINE v16 COPY(between)(v16u bits, float low, float high) {
  v16 u = v_fma(COPY(unit)(bits), (v16)(high - low), (v16)(low));
  return u < low ? (v16)(low) : u;
}

INLINE v16 COPY(normal)(v16u bits) {
  return 1.41421356f * v_erfinv_inside(COPY(between)(bits, -0x1.fffffep-1f, 1.0f));
}

/// Loops over the rows [start, start + count) of element e, sixteen from i on at a time. `bits` are the bits of these rows,
/// of which the first `lanes` exist.
#define FOR_LANES(T, out)                                                                          \
  uint32_t batch[BATCH];                                                                           \
  for (size_t i = start; i < start + count; i += 16) {                                             \
    const size_t at = (i - start) % BATCH, left = start + count - i, lanes = coix_min(16, left);   \
    if (at == 0) COPY(batch_bits)(key, draw, e, i, coix_min(BATCH, left), batch);                  \
    v16u bits = *(const v16u_memory *)(batch + at);                                                \
    T *target = (out) + i;

#define PUT(vector_type, value)                                                                    \
  do {                                                                                             \
    vector_type v_ = (value);                                                                      \
    if (lanes == 16) *(vector_type##_memory *)target = v_;                                         \
    else for (size_t l = 0; l < lanes; l++) target[l] = v_[l];                                     \
  } while (0)

static void COPY(draw_bits)(coix_key key, const coix_draw *draw, size_t e, size_t start, size_t count, uint32_t *out) {
  FOR_LANES(uint32_t, out) PUT(v16u, bits); }
}

static void COPY(draw_uniform)(coix_key key, const coix_draw *draw, size_t e, size_t start, size_t count,
                               float low, float high, float *out) {
  FOR_LANES(float, out) PUT(v16, COPY(between)(bits, low, high)); }
}

static void COPY(draw_normal)(coix_key key, const coix_draw *draw, size_t e, size_t start, size_t count, float *out) {
  FOR_LANES(float, out) PUT(v16, COPY(normal)(bits)); }
}

static void COPY(draw_normal_affine)(coix_key key, const coix_draw *draw, size_t e, size_t start, size_t count,
                                     const float *loc, size_t loc_row_stride, const float *scale,
                                     size_t scale_row_stride, float *noise, float *out) {
  FOR_LANES(float, out)
    v16 z = COPY(normal)(bits);
    v16 l = lanes == 16 ? v_operand(loc, loc_row_stride, i) : v_operand_part(loc, loc_row_stride, i, lanes);
    v16 s = lanes == 16 ? v_operand(scale, scale_row_stride, i) : v_operand_part(scale, scale_row_stride, i, lanes);
    v16 x = l + s * z;
    // A number too large for a float becomes the largest float; NaN stays NaN.
    const v16 largest = (v16){0} + 3.40282347e38f;
    x = x > largest ? largest : x;
    x = x < -largest ? -largest : x;
    PUT(v16, x);
    if (noise) {
      target = noise + i;
      PUT(v16, z);
    }
  }
}

static void COPY(draw_gumbel)(coix_key key, const coix_draw *draw, size_t e, size_t start, size_t count, float *out) {
  FOR_LANES(float, out) PUT(v16, -v_log(-v_log(COPY(between)(bits, 1.17549435e-38f, 1.0f)))); }
}

/// Thirty-two keys.
typedef struct {
  v16u word0[2], word1[2];
} COPY(keys);

/// Block `counter` of each key.
INLINE COPY(keys) COPY(threefry_keys)(COPY(keys) key, uint32_t counter) {
  v16u x0[2], x1[2], k2[2];
  UNROLL for (int h = 0; h < 2; h++) {
    x0[h] = (v16u){0};
    x1[h] = (v16u)(counter);
    k2[h] = key.word0[h] ^ key.word1[h] ^ 0x1BD11BDAu;
  }
  INJECT(key.word0[h], key.word1[h])
  EVEN_ROUNDS INJECT(key.word1[h], k2[h] + 1u)
  ODD_ROUNDS INJECT(k2[h], key.word0[h] + 2u)
  EVEN_ROUNDS INJECT(key.word0[h], key.word1[h] + 3u)
  ODD_ROUNDS INJECT(key.word1[h], k2[h] + 4u)
  EVEN_ROUNDS INJECT(k2[h], key.word0[h] + 5u)
  return (COPY(keys)){{x0[0], x0[1]}, {x1[0], x1[1]}};
}

/// The first proposals of thirty-two gamma draws; see coix_gamma_proposals. The arithmetic is that of gamma.c.
static uint32_t COPY(gamma_proposals)(coix_key key, const uint64_t *index, const float *alpha, float *volume, float *boost) {
  COPY(keys) element;
  UNROLL for (size_t h = 0; h < 2; h++)
    COPY(numbered_counters)(0, 1, index + 16 * h, &element.word0[h], &element.word1[h]);
  COPY(threefry_pair)(key, element.word0, element.word1);
  const COPY(keys) search = COPY(threefry_keys)(element, 0);
  const COPY(keys) boosts = COPY(threefry_keys)(COPY(threefry_keys)(element, 1), 0);
  const COPY(keys) normals = COPY(threefry_keys)(COPY(threefry_keys)(COPY(threefry_keys)(search, 1), 1), 0);
  const COPY(keys) uniforms = COPY(threefry_keys)(COPY(threefry_keys)(search, 2), 0);
  uint32_t accepted = 0;
  for (size_t h = 0; h < 2; h++) {
    const v16 a = v_load(alpha + 16 * h);
    const v16 d = (a >= 1.0f ? a : a + 1.0f) - (float)(1.0 / 3.0);
    const v16 c = (float)(1.0 / 3.0) / v_sqrt(d);
    const v16 x = COPY(normal)(normals.word0[h] ^ normals.word1[h]);
    const v16 v = 1.0f + x * c, square = x * x;
    const v16 u = COPY(between)(uniforms.word0[h] ^ uniforms.word1[h], 0.0f, 1.0f);
    const v16i holds = (v > 0.0f) & (u < 1.0f - 0.0331f * (square * square));
    v_store(volume + 16 * h, v * v * v);
    v_store(boost + 16 * h, COPY(between)(boosts.word0[h] ^ boosts.word1[h], 0.0f, 1.0f));
    for (size_t l = 0; l < 16; l++) accepted |= (uint32_t)(holds[l] & 1) << (16 * h + l);
  }
  return accepted;
}

/// x mod span, by a product with the inverse, which is rounded down: the quotient is right or one too small.
INLINE v16u COPY(modulo)(v16u x, uint32_t span, double inverse) {
  v16u quotient = __builtin_convertvector(__builtin_convertvector(x, v16d) * inverse, v16u);
  v16u rest = x - quotient * span;
  return rest >= span ? rest - span : rest;
}

/// Random bits of two keys, combined as JAX does it; see coix_draw_randint.
static void COPY(draw_randint)(coix_key key, const coix_draw *draw, size_t e, size_t start, size_t count,
                               coix_key second, uint32_t low, uint32_t span, uint32_t multiplier, int32_t *out) {
  uint32_t other[BATCH];
  const double inverse = (1 - 0x1p-52) / span;
  FOR_LANES(int32_t, out)
    if (at == 0) COPY(batch_bits)(second, draw, e, i, coix_min(BATCH, left), other);
    v16u more = *(const v16u_memory *)(other + at);
    v16u sum = COPY(modulo)(bits, span, inverse) * multiplier + COPY(modulo)(more, span, inverse);
    PUT(v16i, __builtin_bit_cast(v16i, low + COPY(modulo)(sum, span, inverse)));
  }
}

static const random_table COPY(table) = {
    COPY(draw_bits), COPY(draw_uniform), COPY(draw_normal), COPY(draw_normal_affine), COPY(draw_gumbel), COPY(draw_randint),
    COPY(gamma_proposals),
};
#undef ROUND
#undef EVEN_ROUNDS
#undef ODD_ROUNDS
#undef FOR_LANES
#undef PUT
#undef INJECT
#undef BATCH
#undef UNROLL
