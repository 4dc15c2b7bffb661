// Reductions along contiguous floats and down columns. Part of every copy (see copies.h).

// MARK: Contiguous

/// The larger or the smaller of two numbers; NaN if either is NaN.
INLINE v16 COPY(larger)(v16 a, v16 b) { return a != a ? a : v_max(a, b); }
INLINE v16 COPY(smaller)(v16 a, v16 b) { return a != a ? a : v_min(a, b); }

INLINE float COPY(lanes_max)(v16 v) {
  float m = v[0];
  for (int l = 1; l < 16; l++) m = m != m || m > v[l] ? m : v[l];
  return m;
}

static double COPY(sum)(const float *x, size_t n) {
  v16d a = (v16d)(0.0), b = a;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    a += v_widen(v_load(x + i));
    b += v_widen(v_load(x + i + 16));
  }
  double rest = 0.0;
  for (; i < n; i++) rest += (double)x[i];
  return v_wide_sum(a + b) + rest;
}

/// The largest of n >= 1 floats, or of their negatives; NaN if one is NaN.
INLINE float COPY(extreme)(const float *x, size_t n, float sign) {
  float m = sign * x[0];
  size_t i = 0;
  if (n >= 16) {
    v16 a = sign * v_load(x), b = a, c = a, d = a;
    for (; i + 64 <= n; i += 64) {
      a = COPY(larger)(a, sign * v_load(x + i));
      b = COPY(larger)(b, sign * v_load(x + i + 16));
      c = COPY(larger)(c, sign * v_load(x + i + 32));
      d = COPY(larger)(d, sign * v_load(x + i + 48));
    }
    for (; i + 16 <= n; i += 16) a = COPY(larger)(a, sign * v_load(x + i));
    m = COPY(lanes_max)(COPY(larger)(COPY(larger)(a, b), COPY(larger)(c, d)));
  }
  for (; i < n; i++) m = m != m || m > sign * x[i] ? m : sign * x[i];
  return m;
}
static float COPY(max)(const float *x, size_t n) { return COPY(extreme)(x, n, 1.0f); }
static float COPY(min)(const float *x, size_t n) { return -COPY(extreme)(x, n, -1.0f); }

/// Sum of exp(x - shift), in double.
static double COPY(sum_exp)(const float *x, size_t n, float shift) {
  v16d a = (v16d)(0.0);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) a += v_widen(v_exp(v_load(x + i) - shift));
  double sum = v_wide_sum(a);
  if (i < n) {
    v16 v = v_exp(v_load_part(x + i, n - i) - shift);
    for (size_t l = 0; l < n - i; l++) sum += (double)v[l];
  }
  return sum;
}

/// y = exp(x - shift) * factor, or (x - shift) - factor if `logarithmic`.
static void COPY(softmax)(const float *x, float *y, size_t n, float shift, float factor, int logarithmic) {
  size_t i = 0;
  if (logarithmic) {
    for (; i + 16 <= n; i += 16) v_store(y + i, (v_load(x + i) - shift) - factor);
    for (; i < n; i++) y[i] = (x[i] - shift) - factor;
    return;
  }
  for (; i + 16 <= n; i += 16) v_store(y + i, v_exp(v_load(x + i) - shift) * factor);
  if (i < n) v_store_part(y + i, v_exp(v_load_part(x + i, n - i) - shift) * factor, n - i);
}

/// y = gradient * y, as COIX_SEED_MULTIPLY has it, and 0 where x is -inf: from the softmax of x to the gradient of x.
static void COPY(seed)(const float *x, const float *gradient, size_t stride, float *y, size_t count) {
  for (size_t i = 0; i < count; i += 16) {
    const size_t lanes = coix_min(16, count - i);
    const v16 at = lanes == 16 ? v_load(x + i) : v_load_part(x + i, lanes);
    const v16 g = lanes == 16 ? v_operand(gradient, stride, i) : v_operand_part(gradient, stride, i, lanes);
    const v16 slope = at == -INFINITY ? (v16)(0.0f) : lanes == 16 ? v_load(y + i) : v_load_part(y + i, lanes);
    v16 product = g * slope;
    product = ((g == 0.0f) & (product != product)) ? (v16)(0.0f) : product;
    if (lanes == 16) v_store(y + i, product);
    else v_store_part(y + i, product, lanes);
  }
}

// MARK: Columns

/// The first sixteen columns of row k, or the first `lanes` of them if there are no more.
INLINE v16 COPY(column)(const float *x, size_t k, size_t inner, size_t lanes) {
  return lanes == 16 ? v_load(x + k * inner) : v_load_part(x + k * inner, lanes);
}
INLINE void COPY(put)(float *out, v16 v, size_t lanes) {
  if (lanes == 16) v_store(out, v);
  else v_store_part(out, v, lanes);
}

INLINE v16 COPY(column_max)(const float *x, size_t n, size_t inner, size_t lanes) {
  v16 m = COPY(column)(x, 0, inner, lanes);
  for (size_t k = 1; k < n; k++) m = COPY(larger)(m, COPY(column)(x, k, inner, lanes));
  return m;
}

/// Sums of few terms in float, of many in double.
INLINE v16 COPY(column_sum)(const float *x, size_t n, size_t inner, size_t lanes) {
  if (n <= 64) {
    v16 sum = COPY(column)(x, 0, inner, lanes);
    for (size_t k = 1; k < n; k++) sum += COPY(column)(x, k, inner, lanes);
    return sum;
  }
  v16d sum = (v16d)(0.0);
  for (size_t k = 0; k < n; k++) sum += v_widen(COPY(column)(x, k, inner, lanes));
  return v_narrow(sum);
}

INLINE v16 COPY(column_sum_exp)(const float *x, size_t n, size_t inner, size_t lanes, v16 shift) {
  if (n <= 64) {
    v16 sum = (v16)(0.0f);
    for (size_t k = 0; k < n; k++) sum += v_exp(COPY(column)(x, k, inner, lanes) - shift);
    return sum;
  }
  v16d sum = (v16d)(0.0);
  for (size_t k = 0; k < n; k++) sum += v_widen(v_exp(COPY(column)(x, k, inner, lanes) - shift));
  return v_narrow(sum);
}

INLINE void COPY(reduce_strip)(coix_reduction op, const float *x, float *out, size_t n, size_t inner, size_t lanes) {
  v16 result;
  if (op == COIX_SUM) {
    result = COPY(column_sum)(x, n, inner, lanes);
  } else if (op == COIX_MAX) {
    result = COPY(column_max)(x, n, inner, lanes);
  } else if (op == COIX_MIN) {
    result = COPY(column)(x, 0, inner, lanes);
    for (size_t k = 1; k < n; k++) result = COPY(smaller)(result, COPY(column)(x, k, inner, lanes));
  } else {
    v16 m = COPY(column_max)(x, n, inner, lanes);
    v16 shift = v_abs(m) == INFINITY ? (v16)(0.0f) : m;
    result = shift + v_log(COPY(column_sum_exp)(x, n, inner, lanes, shift));
    result = m == INFINITY ? m : result;
  }
  COPY(put)(out, result, lanes);
}

/// out[i] = reduction over k of x[k, i] for i in [start, end); n >= 1.
static void COPY(reduce_columns)(coix_reduction op, const float *x, float *out, size_t n, size_t inner, size_t start, size_t end) {
  size_t i = start;
#define STRIPS(OP)                                                                                 \
  case OP:                                                                                         \
    for (; i + 16 <= end; i += 16) COPY(reduce_strip)(OP, x + i, out + i, n, inner, 16);           \
    if (i < end) COPY(reduce_strip)(OP, x + i, out + i, n, inner, end - i);                        \
    break;
  switch (op) { STRIPS(COIX_SUM) STRIPS(COIX_MAX) STRIPS(COIX_MIN) STRIPS(COIX_LOGSUMEXP) }
#undef STRIPS
}

INLINE void COPY(softmax_strip)(const float *x, float *y, size_t n, size_t inner, int logarithmic, size_t lanes) {
  v16 shift = COPY(column_max)(x, n, inner, lanes);
  if (logarithmic) {
    v16 log_sum = v_log(COPY(column_sum_exp)(x, n, inner, lanes, shift));
    for (size_t k = 0; k < n; k++) COPY(put)(y + k * inner, (COPY(column)(x, k, inner, lanes) - shift) - log_sum, lanes);
    return;
  }
  v16 sum = (v16)(0.0f);
  v16d wide = (v16d)(0.0);
  for (size_t k = 0; k < n; k++) {
    v16 e = v_exp(COPY(column)(x, k, inner, lanes) - shift);
    COPY(put)(y + k * inner, e, lanes);
    if (n <= 64) sum += e;
    else wide += v_widen(e);
  }
  if (n > 64) sum = v_narrow(wide);
  for (size_t k = 0; k < n; k++) COPY(put)(y + k * inner, COPY(column)(y, k, inner, lanes) / sum, lanes);
}

static void COPY(softmax_columns)(const float *x, float *y, size_t n, size_t inner, int logarithmic, size_t start, size_t end) {
  size_t i = start;
  for (; i + 16 <= end; i += 16) COPY(softmax_strip)(x + i, y + i, n, inner, logarithmic, 16);
  if (i < end) COPY(softmax_strip)(x + i, y + i, n, inner, logarithmic, end - i);
}

// MARK: Running sums

/// More levels than any axis needs for its blocks of sixteen, blocks of sixteen blocks, and so on.
#define LEVELS 11

/// Running sums: within a block of sixteen, terms are added one after the other. The sum of all terms before a block is
/// computed in the same way from the blocks' totals.
INLINE void COPY(running_strip)(const float *x, float *y, size_t n, size_t inner, int backward, size_t lanes) {
  // By level: the sum within the current block, and that of the blocks before it.
  v16 within[LEVELS], before[LEVELS];
  for (int l = 0; l < LEVELS; l++) within[l] = before[l] = (v16)(0.0f);
  for (size_t k = 0; k < n; k++) {
    const size_t at = (backward ? n - 1 - k : k) * inner;
    const v16 term = lanes == 16 ? v_load(x + at) : v_load_part(x + at, lanes);
    within[0] = k % 16 ? within[0] + term : term;
    COPY(put)(y + at, k < 16 ? within[0] : within[0] + before[0], lanes);
    size_t count = k + 1;
    for (int l = 1; count % 16 == 0; l++) { // a block of the level below is complete
      count /= 16;
      within[l] = count % 16 != 1 ? within[l] + within[l - 1] : within[l - 1];
      before[l - 1] = count <= 16 ? within[l] : within[l] + before[l];
    }
  }
}
#undef LEVELS

static void COPY(running_sums)(const float *x, float *y, size_t n, size_t inner, int backward) {
  size_t i = 0;
  for (; i + 16 <= inner; i += 16) COPY(running_strip)(x + i, y + i, n, inner, backward, 16);
  if (i < inner) COPY(running_strip)(x + i, y + i, n, inner, backward, inner - i);
}

/// The first largest of up to sixteen columns; NaN counts as largest.
INLINE void COPY(argmax_strip)(const float *x, float *out, size_t n, size_t inner, size_t lanes) {
  v16 best = lanes == 16 ? v_load(x) : v_load_part(x, lanes), at = (v16)(0.0f);
  for (size_t k = 1; k < n; k++) {
    const v16 candidate = lanes == 16 ? v_load(x + k * inner) : v_load_part(x + k * inner, lanes);
    const v16i leads = (candidate > best) | ((candidate != candidate) & (best == best));
    best = leads ? candidate : best;
    at = leads ? (v16)((float)k) : at;
  }
  COPY(put)(out, at, lanes);
}

static void COPY(argmax)(const float *x, float *out, size_t n, size_t inner) {
  size_t i = 0;
  for (; i + 16 <= inner; i += 16) COPY(argmax_strip)(x + i, out + i, n, inner, 16);
  if (i < inner) COPY(argmax_strip)(x + i, out + i, n, inner, inner - i);
}

static const reduce_table COPY(table) = {
    COPY(sum), COPY(max), COPY(min), COPY(sum_exp), COPY(softmax), COPY(seed), COPY(reduce_columns), COPY(softmax_columns),
    COPY(running_sums), COPY(argmax),
};
