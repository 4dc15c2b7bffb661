// Correlations of images, element (y, x) of which is a row of numbers. Part of every copy (see copies.h).

#include "native_vector.h"

// The most results of a line that are held in registers at a time, beside as many numbers of the image.
#if COIX_NATIVE == 16
#define MOST_RESULTS 8
#else
#define MOST_RESULTS 6
#endif

INLINE vn COPY(load)(const float *p) { return *(const vn_memory *)p; }
/// An element of the kernel: one number for all rows, or one for each.
INLINE vn COPY(tap)(const float *p, size_t step) { return step ? COPY(load)(p) : (vn)(*p); }

/// Results [x, x + n) of a line, for one register of rows. Those of one line of the kernel are summed first; terms outside of the
/// image are left out.
INLINE void COPY(tile)(const ptrdiff_t n, const correlation_line *l, ptrdiff_t x, size_t row) {
  const ptrdiff_t step = l->image_column, width = l->image_width, from = x - l->left;
  // Element v of the kernel's line meets column from + j + v for result j: taps [low, high) meet the image in some result, taps
  // [first, last) in all.
  const ptrdiff_t low = clamped(1 - from - n, 0, l->kernel_width), high = clamped(width - from, low, l->kernel_width);
  const ptrdiff_t first = clamped(-from, low, high), last = clamped(width - from - n + 1, first, high);
  vn sum[MOST_RESULTS];
  UNROLL for (ptrdiff_t j = 0; j < n; j++) sum[j] = (vn)(0.0f);
  for (size_t u = 0; u < l->kernel_height; u++) {
    const float *image = l->image + (ptrdiff_t)u * l->image_line + from * step + (ptrdiff_t)row;
    const float *kernel = l->kernel + (ptrdiff_t)u * l->kernel_line + (ptrdiff_t)(row * l->kernel_step);
    vn part[MOST_RESULTS], window[MOST_RESULTS];
    UNROLL for (ptrdiff_t j = 0; j < n; j++) part[j] = (vn)(0.0f);
    ptrdiff_t v = low;
#define EDGE(end)                                                                                  \
  for (; v < (end); v++) {                                                                         \
    const vn factor = COPY(tap)(kernel + v * l->kernel_column, l->kernel_step);                    \
    UNROLL for (ptrdiff_t j = 0; j < n; j++)                                                       \
      if (from + j + v >= 0 && from + j + v < width)                                               \
        part[j] = n_fma(COPY(load)(image + (j + v) * step), factor, part[j]);                      \
  }
    EDGE(first)
    if (v < last) {
      // The window slides over the image: number c of it, counted from the first tap, stays in register c % n.
      UNROLL for (ptrdiff_t j = 0; j + 1 < n; j++) window[j] = COPY(load)(image + (v + j) * step);
#define TAP(t)                                                                                     \
  {                                                                                                \
    const vn factor = COPY(tap)(kernel + (v + t) * l->kernel_column, l->kernel_step);              \
    window[(t + n - 1) % n] = COPY(load)(image + (v + t + n - 1) * step);                          \
    UNROLL for (ptrdiff_t j = 0; j < n; j++) part[j] = n_fma(window[(t + j) % n], factor, part[j]); \
  }
      for (; v + n <= last; v += n)
        UNROLL for (ptrdiff_t t = 0; t < n; t++) TAP(t)
      UNROLL for (ptrdiff_t t = 0; t + 1 < n; t++)
        if (v + t < last) TAP(t)
      v = last;
#undef TAP
    }
    EDGE(high)
#undef EDGE
    UNROLL for (ptrdiff_t j = 0; j < n; j++) sum[j] += part[j];
  }
  UNROLL for (ptrdiff_t j = 0; j < n; j++) *(vn_memory *)(l->result + (x + j) * l->result_column + (ptrdiff_t)row) = sum[j];
}

#define TILE(n)                                                                                    \
  static void COPY(tile_##n)(const correlation_line *l, ptrdiff_t x, size_t row) { COPY(tile)(n, l, x, row); }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#if COIX_NATIVE == 16
TILE(7) TILE(8)
#endif
#undef TILE

typedef void (*COPY(tile_function))(const correlation_line *l, ptrdiff_t x, size_t row);
static const COPY(tile_function) COPY(tiles)[] = {
    0, COPY(tile_1), COPY(tile_2), COPY(tile_3), COPY(tile_4), COPY(tile_5), COPY(tile_6),
#if COIX_NATIVE == 16
    COPY(tile_7), COPY(tile_8),
#endif
};

/// One row's results of a line, with sums in the same order. `step` is the distance of columns in the image, a constant 1 for
/// an image without rows.
#define COLUMNS ((ptrdiff_t)64)
INLINE void COPY(single)(const correlation_line *l, const ptrdiff_t step, size_t row) {
  for (ptrdiff_t x = 0; x < l->result_width; x += COLUMNS) {
    const ptrdiff_t count = l->result_width - x < COLUMNS ? l->result_width - x : COLUMNS, from = x - l->left;
    float sum[COLUMNS] = {0};
    for (size_t u = 0; u < l->kernel_height; u++) {
      const float *image = l->image + (ptrdiff_t)u * l->image_line + (ptrdiff_t)row;
      const float *kernel = l->kernel + (ptrdiff_t)u * l->kernel_line + (ptrdiff_t)(row * l->kernel_step);
      float part[COLUMNS] = {0};
      for (ptrdiff_t v = 0; v < l->kernel_width; v++) {
        const float factor = kernel[v * l->kernel_column];
        const ptrdiff_t low = clamped(-from - v, 0, count), high = clamped(l->image_width - from - v, low, count);
        for (ptrdiff_t j = low; j < high; j++) {
#if COIX_FMA
          part[j] = __builtin_fmaf(image[(from + j + v) * step], factor, part[j]);
#else
          part[j] = image[(from + j + v) * step] * factor + part[j];
#endif
        }
      }
      for (ptrdiff_t j = 0; j < count; j++) sum[j] += part[j];
    }
    for (ptrdiff_t j = 0; j < count; j++) l->result[(x + j) * l->result_column + (ptrdiff_t)row] = sum[j];
  }
}

static void COPY(line)(const correlation_line *l, size_t rows) {
  size_t row = 0;
  const ptrdiff_t tiles = (l->result_width + MOST_RESULTS - 1) / MOST_RESULTS;
  for (; row + COIX_NATIVE <= rows; row += COIX_NATIVE) {
    // As even as possible.
    for (ptrdiff_t t = 0; t < tiles; t++) {
      const ptrdiff_t start = t * l->result_width / tiles, end = (t + 1) * l->result_width / tiles;
      COPY(tiles)[end - start](l, start, row);
    }
  }
  for (; row < rows; row++) {
    if (l->image_column == 1) COPY(single)(l, 1, row);
    else COPY(single)(l, l->image_column, row);
  }
}
#undef COLUMNS
#undef MOST_RESULTS
#undef UNROLL

static const correlation_table COPY(table) = {COPY(line)};
