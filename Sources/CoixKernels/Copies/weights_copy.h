// Sums over weights. Part of every copy (see copies.h).

static float COPY(greatest)(const float *x, size_t n) {
  float m = x[0];
  size_t i = 0;
  if (n >= 16) {
    v16 a = v_load(x);
    for (; i + 16 <= n; i += 16) {
      v16 b = v_load(x + i);
      a = a != a ? a : v_max(a, b);
    }
    for (int l = 0; l < 16; l++) m = m != m || m > a[l] ? m : a[l];
  }
  for (; i < n; i++) m = m != m || m > x[i] ? m : x[i];
  return m;
}

/// Adds exp(x - shift) to sums[0] and its square to sums[1].
static void COPY(moments)(const float *x, size_t n, float shift, double *sums) {
  v16d a = (v16d)(0.0), b = (v16d)(0.0);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    v16 e = v_exp(v_load(x + i) - shift);
    a += v_widen(e);
    b += v_widen(e * e);
  }
  sums[0] += v_wide_sum(a);
  sums[1] += v_wide_sum(b);
  if (i < n) {
    v16 e = v_exp(v_load_part(x + i, n - i) - shift);
    for (size_t l = 0; l < n - i; l++) {
      sums[0] += (double)e[l];
      sums[1] += (double)e[l] * (double)e[l];
    }
  }
}

/// Up to sixteen neighbouring columns, a lane for each.
static void COPY(group)(const float *x, size_t rows, size_t columns, size_t width, group_moments *out) {
#define ROW(r) (width == 16 ? v_load(x + (r) * columns) : v_load_part(x + (r) * columns, width))
  v16 m = ROW(0);
  for (size_t r = 1; r < rows; r++) {
    v16 row = ROW(r);
    m = m != m ? m : v_max(m, row);
  }
  // A shift of -inf would give NaN for elements of -inf.
  v16 shift = m == -INFINITY ? (v16)(0.0f) : m;
  v16d a = (v16d)(0.0), b = (v16d)(0.0);
  for (size_t r = 0; r < rows; r++) {
    v16 e = v_exp(ROW(r) - shift);
    a += v_widen(e);
    b += v_widen(e * e);
  }
#undef ROW
  memcpy(out->greatest, &m, sizeof m);
  memcpy(out->sums, &a, sizeof a);
  memcpy(out->squares, &b, sizeof b);
}

static const weights_table COPY(table) = {COPY(greatest), COPY(moments), COPY(group)};
