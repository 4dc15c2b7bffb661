// The matrix product: blocks of a are packed for the second-level cache, strips of x for the first-level
// cache, and tiles are held in registers (K. Goto and R. van de Geijn, "Anatomy of high-performance
// matrix multiplication", 2008). Part of dense_copy.h.

// A tile is `mr` rows of a by `w` registers of x. Tiles are large enough that their independent sums hide the
// latency of the multiply-adds: two units of four cycles each.
#if COIX_NATIVE == 16
#define MOST_MR 8
#define USUAL_W 2
#elif COIX_NATIVE == 8
#define MOST_MR 6
#define USUAL_W 2
#else
#define MOST_MR 3
#define USUAL_W 4
#endif
#define USUAL_STRIP (USUAL_W * COIX_NATIVE)
#define MOST_STRIP 128

// The most terms of the sum and the most rows of a in one block. A packed block of a takes at most 256 KB of the
// second-level cache, and of the stack; the larger it is, the less often x is packed.
#define BLOCK_K 256
#define BLOCK_M 256
// PANEL is how many floats of x are packed at a time. GROUP is the part of them that is multiplied with one
// tile of a after the other; it takes half of a first-level cache.
#define PANEL (BLOCK_K * 64)
#define GROUP (BLOCK_K * 16)
// Up to so many terms are few.
#define FEW_K 8
// From so many terms on, a tile takes long enough that what it and its successors need can be fetched meanwhile.
#define FAR_K 96
// Fetching x pays where it is large, thus far away, and where each line is used often: from so many multiply-adds on.
#define FAR_WORK ((size_t)1 << 27)
// Asks for every line of `count` floats, wherever lines begin: the first float's, and that of the last in each sixteen.
#define FETCH(x, count, write, locality)                                                           \
  for (size_t at = 0; at < (count) + 15; at += 16) __builtin_prefetch((x) + at - (at > 0), write, locality)

enum { COPY(first_block) = 1, COPY(relu_at_end) = 2 };
#define FIRST COPY(first_block)
#define RELU_AT_END COPY(relu_at_end)

/// Where a tile reads its strips of x and writes their results: element (k, r) of strip s lies at
/// x[s * x_strip + k * x_k + r], and y's at y[j * y_m + s * width + r].
typedef struct {
  const float *x;
  size_t x_k, x_strip, ks, strips;
  float *y;
  size_t y_m;
  int flags;
} COPY(strips);

/// y[j, r] (+)= sum_k a[k * a_k + j] x[k, r] for j < mr, on every strip of w registers. With FIRST, y starts from `bias`
/// (nullable).
INLINE void COPY(tile)(const int mr, const int w, const float *block, size_t a_k, const float *bias,
                       const COPY(strips) *s) {
  const size_t ks = s->ks, x_k = s->x_k, y_m = s->y_m;
  float start[8];
  UNROLL for (int j = 0; j < mr; j++) start[j] = bias ? bias[j] : 0.0f;
  for (size_t strip = 0; strip < s->strips; strip++) {
    const float *a = block, *x = s->x + strip * s->x_strip;
    float *y = s->y + strip * (size_t)(w * COIX_NATIVE);
    vn sum[8][8];
    UNROLL for (int j = 0; j < mr; j++)
      UNROLL for (int v = 0; v < w; v++) sum[j][v] = (vn)(0.0f);
    if (ks >= FAR_K)
      for (int j = 0; j < mr; j++)
        FETCH(y + (size_t)j * y_m, (size_t)(w * COIX_NATIVE), 1, 3);
    _Pragma("clang loop unroll_count(2)")
    for (size_t k = 0; k < ks; k++, a += a_k, x += x_k) {
      vn row[8];
      UNROLL for (int v = 0; v < w; v++) row[v] = *(const vn_memory *)(x + v * COIX_NATIVE);
      UNROLL for (int j = 0; j < mr; j++) {
        vn factor = (vn)(a[j]);
        UNROLL for (int v = 0; v < w; v++) sum[j][v] = n_fma(factor, row[v], sum[j][v]);
      }
    }
#define FINISH(before, after)                                                                      \
  UNROLL for (int j = 0; j < mr; j++)                                                              \
    UNROLL for (int v = 0; v < w; v++) {                                                           \
      vn_memory *out = (vn_memory *)(y + (size_t)j * y_m + v * COIX_NATIVE);                       \
      vn value = sum[j][v] + (before);                                                             \
      *out = after;                                                                                \
    }
    switch (s->flags) {
      case 0: FINISH(*out, value) break;
      case FIRST: FINISH((vn)(start[j]), value) break;
      case RELU_AT_END: FINISH(*out, value < 0.0f ? (vn)(0.0f) : value) break;
      case FIRST | RELU_AT_END: FINISH((vn)(start[j]), value < 0.0f ? (vn)(0.0f) : value) break;
    }
#undef FINISH
  }
}

#define TILE(mr, w)                                                                                \
  static void COPY(tile_##mr##_##w)(const float *a, size_t a_k, const float *bias, const COPY(strips) *s) { \
    COPY(tile)(mr, w, a, a_k, bias, s);                                                            \
  }
typedef void (*COPY(tile_function))(const float *a, size_t a_k, const float *bias, const COPY(strips) *s);

// Tile functions by mr: tiles that are sixteen rows wide, tiles of the usual width, wider tiles for products with at
// most three rows of a, and tiles between these for what is left of the rows.
#if COIX_NATIVE == 16
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(7, 2) TILE(8, 2)
TILE(1, 3) TILE(2, 3) TILE(3, 3) TILE(4, 3) TILE(5, 3) TILE(6, 3) TILE(7, 3) TILE(8, 3)
TILE(1, 8) TILE(2, 4) TILE(3, 4)
#define T(mr, w) COPY(tile_##mr##_##w)
static const COPY(tile_function) COPY(middle_tiles)[] = {0, T(1, 3), T(2, 3), T(3, 3), T(4, 3), T(5, 3), T(6, 3), T(7, 3), T(8, 3)};
static const COPY(tile_function) COPY(unit_tiles)[] = {0, T(1, 1), T(2, 1), T(3, 1), T(4, 1), T(5, 1), T(6, 1), T(7, 1), T(8, 1)};
static const COPY(tile_function) COPY(usual_tiles)[] = {0, T(1, 2), T(2, 2), T(3, 2), T(4, 2), T(5, 2), T(6, 2), T(7, 2), T(8, 2)};
static const COPY(tile_function) COPY(wide_tiles)[] = {0, T(1, 8), T(2, 4), T(3, 4)};
static const size_t COPY(wide_strip)[] = {0, 128, 64, 64};
#elif COIX_NATIVE == 8
TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2)
TILE(1, 8) TILE(2, 4) TILE(3, 4)
#define T(mr, w) COPY(tile_##mr##_##w)
static const COPY(tile_function) COPY(usual_tiles)[] = {0, T(1, 2), T(2, 2), T(3, 2), T(4, 2), T(5, 2), T(6, 2)};
static const COPY(tile_function) COPY(wide_tiles)[] = {0, T(1, 8), T(2, 4), T(3, 4)};
static const size_t COPY(wide_strip)[] = {0, 64, 32, 32};
#else
TILE(1, 4) TILE(2, 4) TILE(3, 4)
#define T(mr, w) COPY(tile_##mr##_##w)
static const COPY(tile_function) COPY(usual_tiles)[] = {0, T(1, 4), T(2, 4), T(3, 4)};
static const COPY(tile_function) COPY(wide_tiles)[] = {0, T(1, 4), T(2, 4), T(3, 4)};
static const size_t COPY(wide_strip)[] = {0, 16, 16, 16};
#endif
#if COIX_NATIVE == 16
#define UNIT_TILES COPY(unit_tiles)
#else
#define UNIT_TILES COPY(usual_tiles)
#endif

/// The first of the rows of a that go to tile t of `tiles`. Rows are divided as evenly as possible: the first `ms % tiles`
/// tiles have one more.
INLINE size_t COPY(tile_start)(size_t t, size_t tiles, size_t ms) { return t * (ms / tiles) + coix_min(t, ms % tiles); }

/// Transposes eight vectors of eight in place.
typedef float COPY(v8) __attribute__((ext_vector_type(8)));
typedef float COPY(v8_memory) __attribute__((ext_vector_type(8), aligned(4)));
INLINE void COPY(transpose)(COPY(v8) v[8]) {
  COPY(v8) t[8], u[8];
  UNROLL for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  UNROLL for (int i = 0; i < 8; i += 4)
    UNROLL for (int j = 0; j < 2; j++) {
      u[i + 2 * j] = __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      u[i + 2 * j + 1] = __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  UNROLL for (int i = 0; i < 4; i++) {
    v[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// Packs `count` <= 8 rows, each contiguous in k, as [ks, width]: packed[k * width + j] = x[j * row + k].
/// May write zeros up to packed[k * width + 8); the numbers for larger k overwrite them.
INLINE void COPY(pack_rows)(const float *x, size_t row, size_t count, size_t ks, size_t width, float *packed) {
  size_t k = 0;
  for (; k + 8 <= ks; k += 8) {
    COPY(v8) v[8];
    UNROLL for (size_t j = 0; j < 8; j++) v[j] = j < count ? *(const COPY(v8_memory) *)(x + j * row + k) : (COPY(v8))(0.0f);
    COPY(transpose)(v);
    UNROLL for (size_t i = 0; i < 8; i++) *(COPY(v8_memory) *)(packed + (k + i) * width) = v[i];
  }
  for (; k < ks; k++)
    for (size_t j = 0; j < count; j++) packed[k * width + j] = x[j * row + k];
}

/// Packs a's rows [0, mr) and columns [0, ks) as [ks, mr]; may write up to eight floats beyond the end.
static void COPY(pack_tile)(const float *a, size_t a_m, size_t a_k, size_t mr, size_t ks, float *packed) {
  if (a_k == 1 && ks >= 8) {
    COPY(pack_rows)(a, a_m, mr, ks, mr, packed);
    return;
  }
  if (a_m == 1 && mr == 8) {
    for (size_t k = 0; k < ks; k++) *(COPY(v8_memory) *)(packed + k * 8) = *(const COPY(v8_memory) *)(a + k * a_k);
    return;
  }
  for (size_t k = 0; k < ks; k++)
    for (size_t j = 0; j < mr; j++) packed[k * mr + j] = a[j * a_m + k * a_k];
}

/// Packs x's columns [0, count) as strips of [ks, width], zeros beyond count.
static void COPY(pack_strips)(const float *x, size_t x_k, size_t x_r, size_t ks, size_t count, size_t width, float *packed) {
  size_t whole = count / width * width;
  if (whole < count) memset(packed + whole * ks, 0, ks * width * sizeof *packed);
  if (x_r == 1) {
    for (size_t k = 0; k < ks; k++) {
      const float *row = x + k * x_k;
      for (size_t r = 0; r < whole; r += 16) v_store(packed + r / width * width * ks + k * width + r % width, v_load(row + r));
      for (size_t r = whole; r < count; r++) packed[whole * ks + k * width + r - whole] = row[r];
    }
    return;
  }
  for (size_t r = 0; r < whole; r += 8)
    COPY(pack_rows)(x + r * x_r, x_r, 8, ks, width, packed + r / width * width * ks + r % width);
  for (size_t r = whole; r < count; r++)
    for (size_t k = 0; k < ks; k++) packed[whole * ks + k * width + r - whole] = x[r * x_r + k * x_k];
}

/// Applies an activation in place.
static void COPY(activate)(coix_activation activation, float *y, size_t count) {
#define CASE(name, f)                                                                              \
  case name: {                                                                                     \
    size_t i = 0;                                                                                  \
    for (; i + 16 <= count; i += 16) v_store(y + i, f(v_load(y + i)));                             \
    if (i < count) v_store_part(y + i, f(v_load_part(y + i, count - i)), count - i);               \
  } break;
  switch (activation) {
    CASE(COIX_RELU, v_relu)
    CASE(COIX_TANH, v_tanh)
    CASE(COIX_SIGMOID, v_sigmoid)
    CASE(COIX_SOFTPLUS, v_softplus)
    default: break;
  }
#undef CASE
}

/// Part of x that is packed next: `runs` runs of `length` floats, `stride` floats apart. Runs are far apart, so the machine
/// doesn't foresee them; tiles ask for them, `share` at a time.
typedef struct {
  const float *x;
  size_t runs, length, stride, share;
} COPY(ahead);

INLINE void COPY(ask)(COPY(ahead) *ahead) {
  for (size_t i = coix_min(ahead->share, ahead->runs); i > 0; i--, ahead->runs--, ahead->x += ahead->stride)
    FETCH(ahead->x, ahead->length, 0, 2);
}

/// Multiplies all tiles of a block of `ms` rows of a with the strips `s`. The block's columns lie a_k floats apart; it is packed
/// tile by tile if a_k is 0. If `count` < `width`, s has a single strip, of which only `count` columns exist.
static void COPY(meet)(const COPY(tile_function) *tiles, const float *a, size_t a_k, size_t ms, const float *bias,
                       COPY(strips) s, size_t count, size_t width, COPY(ahead) *ahead) {
  size_t tile_count = coix_blocks(ms, MOST_MR);
  float *y = s.y;
  for (size_t t = 0; t < tile_count; t++) {
    size_t m = COPY(tile_start)(t, tile_count, ms), mr = COPY(tile_start)(t + 1, tile_count, ms) - m;
    const float *tile = a_k ? a + m : a + m * s.ks, *start = bias ? bias + m : 0;
    const size_t tile_k = a_k ? a_k : mr;
    s.y = y + m * s.y_m;
    COPY(ask)(ahead);
    if (count == width) {
      tiles[mr](tile, tile_k, start, &s);
      continue;
    }
    float part[MOST_MR * MOST_STRIP];
    COPY(strips) q = s;
    q.y = part;
    q.y_m = width;
    memset(part, 0, sizeof part);
    for (size_t j = 0; j < mr && !(s.flags & FIRST); j++) memcpy(part + j * width, s.y + j * s.y_m, count * sizeof *part);
    tiles[mr](tile, tile_k, start, &q);
    for (size_t j = 0; j < mr; j++) memcpy(s.y + j * s.y_m, part + j * width, count * sizeof *part);
  }
}

/// Multiplies one block of a (see meet) with all columns of x.
static void COPY(block)(const dense_product *p, const float *a, size_t a_k, size_t ms, const float *bias, const float *x,
                        size_t ks, float *y, int flags, int last) {
  _Alignas(64) float panel[PANEL];
  size_t r = 0;
  while (r < p->rows) {
    // The widest tiles that fit, and whose strip fits into the panel.
    const COPY(tile_function) *tiles = UNIT_TILES;
    size_t width = 16, left = p->rows - r;
    if (ms <= 3 && left >= COPY(wide_strip)[ms] && COPY(wide_strip)[ms] * ks <= PANEL)
      tiles = COPY(wide_tiles), width = COPY(wide_strip)[ms];
#if COIX_NATIVE == 16
    else if (left >= 48 && (ms <= 3 || left < 64)) tiles = COPY(middle_tiles), width = 48;
#endif
    else if (left >= USUAL_STRIP) tiles = COPY(usual_tiles), width = USUAL_STRIP;
    size_t fit = PANEL / (width * coix_max(ks, 1)), group = coix_max(1, GROUP / (width * coix_max(ks, 1)));
    size_t strips = coix_min(fit, coix_max(1, left / width)), count = coix_min(strips * width, left);
    COPY(strips) s = {.x = x + r * p->x_r, .x_k = p->x_k, .x_strip = width * p->x_r, .ks = ks, .y_m = p->y_m, .flags = flags};
    COPY(ahead) ahead = {0};
    // If several tiles read these strips, or tiles cannot read them where they are, make a compact copy.
    if (p->x_r != 1 || left < width || (ms > 2 * MOST_MR && ks > 8)) {
      COPY(pack_strips)(s.x, p->x_k, p->x_r, ks, count, width, panel);
      s = (COPY(strips)){.x = panel, .x_k = width, .x_strip = width * ks, .ks = ks, .y_m = p->y_m, .flags = flags};
      const size_t columns = coix_min(count, left - count);
      if (ks >= FAR_K && columns && p->ks * p->rows * ms > FAR_WORK) {
        const float *next = x + (r + count) * p->x_r;
        ahead = p->x_r == 1 ? (COPY(ahead)){next, ks, columns, p->x_k, 0} : (COPY(ahead)){next, columns, ks, p->x_r, 0};
        ahead.share = coix_blocks(ahead.runs, coix_blocks(strips, group) * coix_blocks(ms, MOST_MR));
      }
    }
    const float *from = s.x;
    for (size_t g = 0; g < strips; g += group) {
      s.x = from + g * s.x_strip;
      s.y = y + r + g * width;
      s.strips = coix_min(group, strips - g);
      COPY(meet)(tiles, a, a_k, ms, bias, s, coix_min(width, left), width, &ahead);
    }
    if (last && p->activation > COIX_RELU)
      for (size_t m = 0; m < ms; m++) COPY(activate)(p->activation, y + m * p->y_m + r, count);
    r += count;
  }
}

static void COPY(product)(const dense_product *p) {
  float packed[coix_min(p->ms, BLOCK_M) * coix_min(p->ks, BLOCK_K) + 8];
  size_t k_blocks = coix_max(1, coix_blocks(p->ks, BLOCK_K)), m_blocks = coix_blocks(p->ms, BLOCK_M);
  for (size_t kb = 0; kb < k_blocks; kb++) {
    size_t k0 = COPY(tile_start)(kb, k_blocks, p->ks), ks = COPY(tile_start)(kb + 1, k_blocks, p->ks) - k0;
    int last = kb + 1 == k_blocks;
    int flags = (kb == 0 ? FIRST : 0) | (last && p->activation == COIX_RELU ? RELU_AT_END : 0);
    for (size_t mb = 0; mb < m_blocks; mb++) {
      size_t m0 = COPY(tile_start)(mb, m_blocks, p->ms), ms = COPY(tile_start)(mb + 1, m_blocks, p->ms) - m0;
      const float *a = p->a + m0 * p->a_m + k0 * p->a_k;
      size_t tile_count = coix_blocks(ms, MOST_MR);
      // Columns of a that are no longer than a tile, or few, are read where they are: packing them would take as long as
      // multiplying them.
      const int in_place = p->a_m == 1 && (p->a_k <= MOST_MR || ks <= FEW_K);
      for (size_t t = 0; t < tile_count && !in_place; t++) {
        size_t m = COPY(tile_start)(t, tile_count, ms), mr = COPY(tile_start)(t + 1, tile_count, ms) - m;
        COPY(pack_tile)(a + m * p->a_m, p->a_m, p->a_k, mr, ks, packed + m * ks);
      }
      COPY(block)(p, in_place ? a : packed, in_place ? p->a_k : 0, ms, p->bias ? p->bias + m0 : 0, p->x + k0 * p->x_k, ks,
                  p->y + m0 * p->y_m, flags, last);
    }
  }
}
#undef PANEL
#undef GROUP
#undef FEW_K
#undef FAR_K
#undef FAR_WORK
#undef FETCH
#undef MOST_MR
#undef USUAL_W
#undef USUAL_STRIP
#undef MOST_STRIP
#undef BLOCK_K
#undef BLOCK_M
#undef UNIT_TILES
#undef T
#undef TILE
#undef FIRST
#undef RELU_AT_END
