// Gradients of layers with at most four inputs, or at most four outputs: one pass over all arrays. Part of
// dense_copy.h.

/// Rows between two horizontal sums. The arrays that are read again for every output then stay in the
/// first-level cache.
#define NARROW_ROWS 512

#define LOAD(p) (*(const vn_memory *)(p))
#define STORE(p, v) (*(vn_memory *)(p) = (v))

/// The arrays that a narrow pass reads and writes, starting at its first row. Consecutive features are `rows`
/// floats apart.
typedef struct {
  const float *x, *y, *dz;
  float *dx;
  size_t rows;
} COPY(narrow_part);

/// A copy of a last part of less than sixteen rows, filled up with zeros.
typedef struct {
  float x[4][16], y[4][16], dz[4][16], dx[4][16];
} COPY(narrow_tail);

static __attribute__((noinline)) COPY(narrow_part) COPY(pad)(COPY(narrow_part) p, COPY(narrow_tail) *tail, size_t xs, size_t dzs, size_t lanes) {
  memset(tail, 0, sizeof *tail);
  for (size_t i = 0; i < xs; i++) {
    if (p.x) memcpy(tail->x[i], p.x + i * p.rows, lanes * sizeof(float));
    if (p.dx) memcpy(tail->dx[i], p.dx + i * p.rows, lanes * sizeof(float));
  }
  for (size_t j = 0; j < dzs; j++) {
    memcpy(tail->dz[j], p.dz + j * p.rows, lanes * sizeof(float));
    if (p.y) memcpy(tail->y[j], p.y + j * p.rows, lanes * sizeof(float));
  }
  return (COPY(narrow_part)){p.x ? tail->x[0] : 0, p.y ? tail->y[0] : 0, tail->dz[0], p.dx ? tail->dx[0] : 0, 16};
}

static __attribute__((noinline)) void COPY(unpad)(COPY(narrow_part) p, const COPY(narrow_tail) *tail, size_t xs, size_t lanes) {
  for (size_t i = 0; p.dx && i < xs; i++) memcpy(p.dx + i * p.rows, tail->dx[i], lanes * sizeof(float));
}

/// The sums of the lanes of four vectors, each added like v_sum.
typedef float COPY(v4) __attribute__((ext_vector_type(4)));
INLINE COPY(v4) COPY(four_sums)(v16 a, v16 b, v16 c, v16 d) {
#define HALVES(a, b)                                                                               \
  (__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)           \
   + __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
  const v16 x = HALVES(a, b), y = HALVES(c, d);
#undef HALVES
  v16 s = __builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
          + __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  s += __builtin_shufflevector(s, s, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  s += __builtin_shufflevector(s, s, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  return __builtin_shufflevector(s, s, 0, 4, 8, 12);
}

/// Writes the sums of the lanes of `count` vectors of sixteen, each to a place of its own; adds them if there are `more` there.
INLINE void COPY(add_sums)(float *const *to, const vn lanes[][UNITS], const int count, int more) {
  UNROLL for (int t = 0; t < count; t += 4) {
    v16 v[4];
    UNROLL for (int i = 0; i < 4; i++) memcpy(&v[i], lanes[t + i < count ? t + i : t], sizeof v[i]);
    const COPY(v4) sums = COPY(four_sums)(v[0], v[1], v[2], v[3]);
    UNROLL for (int i = 0; i < 4; i++)
      if (t + i < count) *to[t + i] = sums[i] + (more ? *to[t + i] : 0.0f);
  }
}

// MARK: Few inputs

/// The step for one register of rows from `at` on, for `ni` inputs and `no` outputs. The step adds to dx unless
/// `first`, when it sets dx.
INLINE void COPY(narrow_in_step)(const int ni, const int no, const int relu, const int with_dx, const int with_dkernel,
                                 const COPY(narrow_part) p, size_t at, const int first, const vn k[4][2], vn dk[4][2],
                                 vn db[2]) {
  vn d[2];
  UNROLL for (int j = 0; j < no; j++) {
    d[j] = LOAD(p.dz + (size_t)j * p.rows + at);
    if (relu) d[j] = LOAD(p.y + (size_t)j * p.rows + at) > 0.0f ? d[j] : (vn)(0.0f);
    if (with_dkernel) db[j] += d[j];
  }
  UNROLL for (int i = 0; i < ni; i++) {
    if (with_dkernel) {
      vn x = LOAD(p.x + (size_t)i * p.rows + at);
      UNROLL for (int j = 0; j < no; j++) dk[i][j] = n_fma(d[j], x, dk[i][j]);
    }
    if (with_dx) {
      float *to = p.dx + (size_t)i * p.rows + at;
      vn sum = first ? k[i][0] * d[0] : n_fma(k[i][0], d[0], LOAD(to));
      if (no > 1) sum = n_fma(k[i][1], d[1], sum);
      STORE(to, sum);
    }
  }
}

/// The gradient for `ni` inputs and `no` outputs from o on, rows [start, start + count).
INLINE void COPY(narrow_in_tile)(const int ni, const int no, const int relu, const int with_dx, const int with_dkernel,
                                 const dense_narrow *n, size_t o, size_t start, size_t count, const int first) {
  vn k[4][2], sums[5 * 2][UNITS];
  UNROLL for (int j = 0; j < no; j++)
    UNROLL for (int i = 0; i < ni; i++) k[i][j] = (vn)(with_dx ? n->kernel[(size_t)i * n->out + o + (size_t)j] : 0.0f);
  const COPY(narrow_part) p = {with_dkernel ? n->x + start : 0, relu ? n->y + o * n->stride + start : 0,
                               n->dz + o * n->stride + start, with_dx ? n->dx + start : 0, n->stride};
  const size_t whole = count / 16 * 16;
  COPY(narrow_tail) tail;
  COPY(narrow_part) rest = {0}, padded = {0};
  if (whole < count) {
    rest = (COPY(narrow_part)){with_dkernel ? p.x + whole : 0, relu ? p.y + whole : 0, p.dz + whole,
                               with_dx ? p.dx + whole : 0, p.rows};
    padded = COPY(pad)(rest, &tail, ni, no, count - whole);
  }
  // Each pass takes one register's lanes of every sixteen rows: with fewer sums at once, the sums stay in
  // registers.
  UNROLL for (int u = 0; u < UNITS; u++) {
    vn dk[4][2], db[2];
    UNROLL for (int j = 0; j < no; j++) {
      db[j] = (vn)(0.0f);
      UNROLL for (int i = 0; i < ni; i++) dk[i][j] = (vn)(0.0f);
    }
    const size_t lanes = (size_t)(u * COIX_NATIVE);
    for (size_t r = 0; r < whole; r += 16)
      COPY(narrow_in_step)(ni, no, relu, with_dx, with_dkernel, p, r + lanes, first, k, dk, db);
    if (whole < count) COPY(narrow_in_step)(ni, no, relu, with_dx, with_dkernel, padded, lanes, first, k, dk, db);
    UNROLL for (int j = 0; j < no; j++) {
      UNROLL for (int i = 0; i < ni; i++) sums[i * no + j][u] = dk[i][j];
      sums[ni * no + j][u] = db[j];
    }
  }
  if (whole < count) COPY(unpad)(rest, &tail, ni, count - whole);
  if (!with_dkernel) return;
  float *to[5 * 2];
  UNROLL for (int j = 0; j < no; j++) {
    UNROLL for (int i = 0; i < ni; i++) to[i * no + j] = n->dkernel + (size_t)i * n->out + o + (size_t)j;
    if (n->dbias) to[ni * no + j] = n->dbias + o + (size_t)j;
  }
  if (n->dbias) COPY(add_sums)(to, sums, (ni + 1) * no, start > 0);
  else COPY(add_sums)(to, sums, ni * no, start > 0);
}

INLINE void COPY(narrow_in_all)(const int ni, const int relu, const int with_dx, const int with_dkernel,
                                const dense_narrow *n, size_t start, size_t end) {
  for (size_t r = 0; r < n->rows; r += NARROW_ROWS) {
    size_t count = coix_min(NARROW_ROWS, n->rows - r), o = start;
    if (start + 2 <= end) {
      COPY(narrow_in_tile)(ni, 2, relu, with_dx, with_dkernel, n, o, r, count, 1);
      for (o += 2; o + 2 <= end; o += 2) COPY(narrow_in_tile)(ni, 2, relu, with_dx, with_dkernel, n, o, r, count, 0);
      if (o < end) COPY(narrow_in_tile)(ni, 1, relu, with_dx, with_dkernel, n, o, r, count, 0);
    } else if (start < end) {
      COPY(narrow_in_tile)(ni, 1, relu, with_dx, with_dkernel, n, o, r, count, 1);
    }
  }
}

#define NARROW_IN(ni)                                                                              \
  static void COPY(narrow_in_##ni)(const dense_narrow *n, size_t start, size_t end) {              \
    if (n->y) {                                                                                    \
      if (n->dx && n->dkernel) COPY(narrow_in_all)(ni, 1, 1, 1, n, start, end);                    \
      else if (n->dx) COPY(narrow_in_all)(ni, 1, 1, 0, n, start, end);                             \
      else COPY(narrow_in_all)(ni, 1, 0, 1, n, start, end);                                        \
    } else {                                                                                       \
      if (n->dx && n->dkernel) COPY(narrow_in_all)(ni, 0, 1, 1, n, start, end);                    \
      else if (n->dx) COPY(narrow_in_all)(ni, 0, 1, 0, n, start, end);                             \
      else COPY(narrow_in_all)(ni, 0, 0, 1, n, start, end);                                        \
    }                                                                                              \
  }
NARROW_IN(1) NARROW_IN(2) NARROW_IN(3) NARROW_IN(4)

static void COPY(narrow_in)(const dense_narrow *n, size_t start, size_t end) {
  switch (n->in) {
    case 1: COPY(narrow_in_1)(n, start, end); break;
    case 2: COPY(narrow_in_2)(n, start, end); break;
    case 3: COPY(narrow_in_3)(n, start, end); break;
    case 4: COPY(narrow_in_4)(n, start, end); break;
  }
}

// MARK: Few outputs

/// The step for one register of rows from `at` on, for `no` outputs and `ni` inputs.
INLINE void COPY(narrow_out_step)(const int no, const int ni, const int with_dx, const int with_dkernel,
                                  const COPY(narrow_part) p, size_t at, const vn k[2][4], vn dk[2][4]) {
  vn d[4];
  UNROLL for (int j = 0; j < no; j++) d[j] = LOAD(p.dz + (size_t)j * p.rows + at);
  UNROLL for (int i = 0; i < ni; i++) {
    if (with_dkernel) {
      vn x = LOAD(p.x + (size_t)i * p.rows + at);
      UNROLL for (int j = 0; j < no; j++) dk[i][j] = n_fma(d[j], x, dk[i][j]);
    }
    if (with_dx) {
      vn sum = k[i][0] * d[0];
      UNROLL for (int j = 1; j < no; j++) sum = n_fma(k[i][j], d[j], sum);
      STORE(p.dx + (size_t)i * p.rows + at, sum);
    }
  }
}

/// The gradient for `no` outputs and `ni` inputs from i0 on, rows [start, start + count).
INLINE void COPY(narrow_out_tile)(const int no, const int ni, const int with_dx, const int with_dkernel,
                                  const dense_narrow *n, size_t i0, size_t start, size_t count) {
  vn k[2][4], sums[2 * 4][UNITS];
  UNROLL for (int i = 0; i < ni; i++)
    UNROLL for (int j = 0; j < no; j++)
      k[i][j] = (vn)(with_dx ? n->kernel[(i0 + (size_t)i) * n->out + (size_t)j] : 0.0f);
  const COPY(narrow_part) p = {with_dkernel ? n->x + i0 * n->stride + start : 0, 0, n->dz + start,
                               with_dx ? n->dx + i0 * n->stride + start : 0, n->stride};
  const size_t whole = count / 16 * 16;
  COPY(narrow_tail) tail;
  COPY(narrow_part) rest = {0}, padded = {0};
  if (whole < count) {
    rest = (COPY(narrow_part)){with_dkernel ? p.x + whole : 0, 0, p.dz + whole, with_dx ? p.dx + whole : 0, p.rows};
    padded = COPY(pad)(rest, &tail, ni, no, count - whole);
  }
  UNROLL for (int u = 0; u < UNITS; u++) { // as in narrow_in_tile
    vn dk[2][4];
    UNROLL for (int i = 0; i < ni; i++)
      UNROLL for (int j = 0; j < no; j++) dk[i][j] = (vn)(0.0f);
    const size_t lanes = (size_t)(u * COIX_NATIVE);
    for (size_t r = 0; r < whole; r += 16) COPY(narrow_out_step)(no, ni, with_dx, with_dkernel, p, r + lanes, k, dk);
    if (whole < count) COPY(narrow_out_step)(no, ni, with_dx, with_dkernel, padded, lanes, k, dk);
    UNROLL for (int i = 0; i < ni; i++)
      UNROLL for (int j = 0; j < no; j++) sums[i * no + j][u] = dk[i][j];
  }
  if (whole < count) COPY(unpad)(rest, &tail, ni, count - whole);
  if (!with_dkernel) return;
  float *to[2 * 4];
  UNROLL for (int s = 0; s < ni * no; s++) to[s] = n->dkernel + i0 * n->out + (size_t)s;
  COPY(add_sums)(to, sums, ni * no, start > 0);
}

INLINE void COPY(narrow_out_all)(const int no, const int with_dx, const int with_dkernel, const dense_narrow *n,
                                 size_t start, size_t end) {
  for (size_t r = 0; r < n->rows; r += NARROW_ROWS) {
    size_t count = coix_min(NARROW_ROWS, n->rows - r), i = start;
    for (; i + 2 <= end; i += 2) COPY(narrow_out_tile)(no, 2, with_dx, with_dkernel, n, i, r, count);
    if (i < end) COPY(narrow_out_tile)(no, 1, with_dx, with_dkernel, n, i, r, count);
  }
}

#define NARROW_OUT(no)                                                                             \
  static void COPY(narrow_out_##no)(const dense_narrow *n, size_t start, size_t end) {             \
    if (n->dx && n->dkernel) COPY(narrow_out_all)(no, 1, 1, n, start, end);                        \
    else if (n->dx) COPY(narrow_out_all)(no, 1, 0, n, start, end);                                 \
    else COPY(narrow_out_all)(no, 0, 1, n, start, end);                                            \
  }
NARROW_OUT(1) NARROW_OUT(2) NARROW_OUT(3) NARROW_OUT(4)

static void COPY(narrow_out)(const dense_narrow *n, size_t start, size_t end) {
  switch (n->out) {
    case 1: COPY(narrow_out_1)(n, start, end); break;
    case 2: COPY(narrow_out_2)(n, start, end); break;
    case 3: COPY(narrow_out_3)(n, start, end); break;
    case 4: COPY(narrow_out_4)(n, start, end); break;
  }
}
#undef NARROW_ROWS
#undef NARROW_IN
#undef NARROW_OUT
#undef LOAD
#undef STORE
