// The normal log-density and its gradient on a strip of rows. Part of every copy (see copies.h).

/// Elements whose constants are computed at a time, if the scale is the same for all rows.
#define ELEMENTS 64

#define AT(q, e, i) v_operand((q).data + (e) * (q).element_stride, q##_row, i)
#define AT_PART(q, e, i, n) v_operand_part((q).data + (e) * (q).element_stride, q##_row, i, n)

/// Writes the log-density of the `count` elements (at most ELEMENTS) of each group, summed, for rows [0, rows) to `out`, or adds
/// it, of one group, to `wide` if that is not null.
INLINE void COPY(density_elements)(normal_operand x, size_t x_row, normal_operand loc, size_t loc_row,
                                   normal_operand scale, size_t scale_row, float *out, v16d *wide, size_t groups,
                                   size_t count, size_t rows) {
  float inverse[ELEMENTS];
  double constant = 0.0;
  for (size_t g = 0; g < groups; g++) {
    if (!scale_row && (g == 0 || scale.element_stride)) {
      constant = 0.0;
      for (size_t e = 0; e < count; e++) {
        if (e && !scale.element_stride) {
          inverse[e] = inverse[0];
          continue;
        }
        float s = scale.data[e * scale.element_stride];
        inverse[e] = 1.0f / s;
        constant += log(2.5066282746310002 * (double)s) * (scale.element_stride ? 1.0 : (double)count);
      }
    }
    const v16 offset = (v16)(wide ? 0.0f : (float)constant);
    size_t i = 0;
#define ELEMENT(LOAD, ...)                                                                         \
    v16 d = LOAD(x, e, __VA_ARGS__) - LOAD(loc, e, __VA_ARGS__);                                   \
    if (scale_row) {                                                                               \
      v16 s = LOAD(scale, e, __VA_ARGS__);                                                         \
      d = d / s;                                                                                   \
      logs += v_log(2.50662827f * s);                                                              \
    } else {                                                                                       \
      d = d * inverse[e];                                                                          \
    }                                                                                              \
    squares = v_fma(d, d, squares);
    // What is not finite may have overflowed on the way.
#define CHECKED(n)                                                                                 \
    if (__builtin_reduce_or(!(v_abs(y) < INFINITY)))                                               \
      for (size_t l = 0; l < (n); l++)                                                             \
        if (!(fabsf(y[l]) < INFINITY)) y[l] = (float)(normal_row(x, loc, scale, i + l, count) + (wide ? constant : 0.0));
    for (; i + 16 <= rows; i += 16) {
      v16 squares = (v16)(0.0f), logs = offset;
      for (size_t e = 0; e < count; e++) { ELEMENT(AT, i) }
      v16 y = v_fma((v16)(-0.5f), squares, -logs);
      CHECKED(16)
      if (wide) wide[i / 16] += v_widen(y) - constant;
      else v_store(out + g * rows + i, y);
    }
    if (i < rows) {
      size_t n = rows - i;
      v16 squares = (v16)(0.0f), logs = offset;
      for (size_t e = 0; e < count; e++) { ELEMENT(AT_PART, i, n) }
      v16 y = v_fma((v16)(-0.5f), squares, -logs);
      CHECKED(n)
      if (wide) wide[i / 16] += v_widen(y) - constant;
      else v_store_part(out + g * rows + i, y, n);
    }
    x.data += count * x.element_stride;
    loc.data += count * loc.element_stride;
    scale.data += count * scale.element_stride;
  }
#undef ELEMENT
#undef CHECKED
}

/// Calls density_elements with constant row strides, so that each layout (which operands vary over the rows) has a loop of its
/// own.
INLINE void COPY(density_block)(normal_operand x, normal_operand loc, normal_operand scale, float *out, v16d *wide,
                                size_t groups, size_t count, size_t rows) {
  int layout = (x.row_stride ? 4 : 0) + (loc.row_stride ? 2 : 0) + (scale.row_stride ? 1 : 0);
#define LAYOUT(xr, lr, sr)                                                                         \
  case xr * 4 + lr * 2 + sr:                                                                       \
    COPY(density_elements)(x, xr, loc, lr, scale, sr, out, wide, groups, count, rows);             \
    break;
  switch (layout) {
    LAYOUT(0, 0, 0) LAYOUT(0, 0, 1) LAYOUT(0, 1, 0) LAYOUT(0, 1, 1)
    LAYOUT(1, 0, 0) LAYOUT(1, 0, 1) LAYOUT(1, 1, 0) LAYOUT(1, 1, 1)
  }
#undef LAYOUT
}

/// Rows whose sums over long events are held in double at a time.
#define WIDE_ROWS 2048

static void COPY(long_density)(normal_operand x, normal_operand loc, normal_operand scale, float *out, size_t elements,
                               size_t rows) {
  v16d wide[WIDE_ROWS / 16];
  for (size_t r = 0; r < rows; r += WIDE_ROWS) {
    const size_t count = coix_min(WIDE_ROWS, rows - r);
    memset(wide, 0, sizeof wide);
#define PART(q) ((normal_operand){(q).data + e * (q).element_stride + r * (q).row_stride, (q).element_stride, (q).row_stride})
    for (size_t e = 0; e < elements; e += ELEMENTS)
      COPY(density_block)(PART(x), PART(loc), PART(scale), NULL, wide, 1, coix_min(ELEMENTS, elements - e), count);
#undef PART
    for (size_t i = 0; i < count; i += 16) {
      if (i + 16 <= count) v_store(out + r + i, v_narrow(wide[i / 16]));
      else v_store_part(out + r + i, v_narrow(wide[i / 16]), count - i);
    }
  }
}
#undef WIDE_ROWS

static void COPY(density)(normal_operand x, normal_operand loc, normal_operand scale, float *out, size_t groups,
                          size_t elements, size_t rows) {
  if (elements == 0) for (size_t i = 0; i < groups * rows; i++) out[i] = 0.0f;
  else if (elements <= ELEMENTS) COPY(density_block)(x, loc, scale, out, NULL, groups, elements, rows);
  else
    for (size_t g = 0; g < groups; g++)
      COPY(long_density)(at_element(x, g * elements), at_element(loc, g * elements), at_element(scale, g * elements),
                         out + g * rows, elements, rows);
}

/// The gradient of one element, from the gradient g of the log-density and the operands at that element. Null outputs are
/// skipped. The gradient is 0 where g is 0, whatever the operands.
INLINE void COPY(slope_rows)(const float *g_, const float *x_, size_t xr, const float *loc_, size_t lr,
                             const float *scale_, size_t sr, float *dx, float *dloc, float *dscale, size_t rows) {
  const float inverse = 1.0f / scale_[0];
  size_t i = 0;
#define SLOPE(LOAD, STORE, ...)                                                                    \
  v16 g = LOAD(g_, 1, __VA_ARGS__);                                                                \
  v16 r = sr ? 1.0f / LOAD(scale_, sr, __VA_ARGS__) : (v16)(inverse);                              \
  v16 z = (LOAD(x_, xr, __VA_ARGS__) - LOAD(loc_, lr, __VA_ARGS__)) * r;                           \
  v16 h = g * r;                                                                                   \
  v16 d = h * z, slope = v_fma(d, z, -h);                                                          \
  d = g == 0.0f ? (v16)(0.0f) : d;                                                                 \
  slope = g == 0.0f ? (v16)(0.0f) : slope;                                                         \
  if (__builtin_reduce_or(!(v_abs(slope) < INFINITY)))                                             \
    for (size_t l = 0; l < coix_min(16, rows - i); l++) /* what may have overflowed on the way */  \
      if (!(fabsf(slope[l]) < INFINITY)) {                                                         \
        const double s = scale_[sr * (i + l)], w = ((double)x_[xr * (i + l)] - (double)loc_[lr * (i + l)]) / s; \
        d[l] = (float)((double)g[l] * w / s);                                                      \
        slope[l] = (float)((double)g[l] * (w * w - 1.0) / s);                                      \
      }
  for (; i + 16 <= rows; i += 16) {
    SLOPE(v_operand, v_store, i)
    if (dx) v_store(dx + i, -d);
    if (dloc) v_store(dloc + i, d);
    if (dscale) v_store(dscale + i, slope);
  }
  if (i < rows) {
    size_t n = rows - i;
    SLOPE(v_operand_part, v_store_part, i, n)
    if (dx) v_store_part(dx + i, -d, n);
    if (dloc) v_store_part(dloc + i, d, n);
    if (dscale) v_store_part(dscale + i, slope, n);
  }
#undef SLOPE
}

static void COPY(slope)(const float *g, normal_operand x, normal_operand loc, normal_operand scale, float *dx,
                        float *dloc, float *dscale, size_t groups, size_t elements, size_t rows) {
  int layout = (x.row_stride ? 4 : 0) + (loc.row_stride ? 2 : 0) + (scale.row_stride ? 1 : 0);
#define OF_ELEMENT(d) ((d) ? (d) + e * rows : 0)
#define LAYOUT(xr, lr, sr)                                                                         \
  case xr * 4 + lr * 2 + sr:                                                                       \
    for (size_t e = 0; e < groups * elements; e++)                                                 \
      COPY(slope_rows)(g + e / elements * rows, at_element(x, e).data, xr, at_element(loc, e).data, lr, \
                       at_element(scale, e).data, sr, OF_ELEMENT(dx), OF_ELEMENT(dloc), OF_ELEMENT(dscale), rows); \
    break;
  switch (layout) {
    LAYOUT(0, 0, 0) LAYOUT(0, 0, 1) LAYOUT(0, 1, 0) LAYOUT(0, 1, 1)
    LAYOUT(1, 0, 0) LAYOUT(1, 0, 1) LAYOUT(1, 1, 0) LAYOUT(1, 1, 1)
  }
#undef LAYOUT
#undef OF_ELEMENT
}

static const normal_table COPY(table) = {COPY(density), COPY(slope)};
#undef AT
#undef AT_PART
#undef ELEMENTS
