// Correlations of two-dimensional images: convolutions and their gradients.

#include "internal.h"

#include <string.h>

/// One line of results. The image starts with the line that the kernel's first line meets, and the kernel has only those lines
/// that meet the image. Distances are in floats; those of the kernel and of the results may be negative.
typedef struct {
  const float *image, *kernel;
  float *result;
  ptrdiff_t image_line, image_column, image_width;
  ptrdiff_t kernel_line, kernel_column, kernel_width;
  ptrdiff_t result_column, result_width;
  /// The columns of zeros to the left of the image.
  ptrdiff_t left;
  size_t kernel_height;
  /// 1 if each row has a kernel of its own, 0 if one serves for all.
  size_t kernel_step;
} correlation_line;

typedef struct {
  void (*line)(const correlation_line *l, size_t rows);
} correlation_table;

/// `value`, but at least `low` and at most `high`.
static inline ptrdiff_t clamped(ptrdiff_t value, ptrdiff_t low, ptrdiff_t high) {
  return value < low ? low : value > high ? high : value;
}

#define COIX_TEMPLATE "Copies/correlation_copy.h"
#include "copies.h"
COIX_CHOOSE(correlation_table, kernels)

/// Rows that are taken at a time, and lines of results.
#define ROWS ((size_t)16)
#define LINES ((size_t)8)
/// Where there are more rows, a block's part of an image has gaps, and lines of the image evict each other from the cache. What
/// some lines of results need of it is copied, if it takes no more floats than this, and so is the kernel: 256 KB of the stack.
#define STRIP ((size_t)48 << 10)
#define KERNEL ((size_t)16 << 10)

/// Copies a block's rows of `count` elements that lie `stride` floats apart.
static void pack(const float *from, size_t stride, size_t count, float *to) {
  for (size_t i = 0; i < count; i++) memcpy(to + i * ROWS, from + i * stride, ROWS * sizeof *to);
}

/// Lines [start, end) of one block's results. `image`, `kernel` and `out` are those of the block's first row, `count` its rows.
static void correlate_lines(const float *image, const float *kernel, size_t kernel_row_stride, float *out,
                            const coix_correlation *shape, size_t start, size_t end, size_t rows, size_t count) {
  const size_t result_height = shape->height + 2 * shape->top + 1 - shape->kernel_height;
  const size_t result_width = shape->width + 2 * shape->left + 1 - shape->kernel_width;
  const size_t kernel_size = shape->kernel_height * shape->kernel_width;
  // The image's lines that these results meet.
  const size_t first = start > shape->top ? coix_min(start - shape->top, shape->height) : 0;
  const size_t met = end + shape->kernel_height - 1;
  const size_t last = met > shape->top ? coix_max(first, coix_min(met - shape->top, shape->height)) : first;
  size_t image_column = rows, kernel_column = kernel_row_stride ? rows : 1;
  image += first * shape->width * rows;
  float strip[STRIP], taps[KERNEL];
  if (rows > ROWS && count == ROWS && (last - first) * shape->width * ROWS <= STRIP && kernel_size * ROWS <= KERNEL) {
    pack(image, rows, (last - first) * shape->width, strip);
    image = strip;
    image_column = ROWS;
    if (kernel_row_stride) {
      pack(kernel, rows, kernel_size, taps);
      kernel = taps;
      kernel_column = ROWS;
    }
  }
  for (size_t y = start; y < end; y++) {
    // The kernel's lines [low, high) meet the image's lines from y + low - top on.
    const size_t low = shape->top > y ? coix_min(shape->top - y, shape->kernel_height) : 0;
    const size_t below = shape->height + shape->top > y ? shape->height + shape->top - y : 0;
    const size_t high = coix_max(low, coix_min(shape->kernel_height, below));
    correlation_line l = {
        .image = image, .kernel = kernel, .result = out + y * result_width * rows,
        .image_line = (ptrdiff_t)(shape->width * image_column), .image_column = (ptrdiff_t)image_column,
        .image_width = (ptrdiff_t)shape->width,
        .kernel_line = (ptrdiff_t)(shape->kernel_width * kernel_column), .kernel_column = (ptrdiff_t)kernel_column,
        .kernel_width = (ptrdiff_t)shape->kernel_width,
        .result_column = (ptrdiff_t)rows, .result_width = (ptrdiff_t)result_width,
        .left = (ptrdiff_t)shape->left, .kernel_height = high - low, .kernel_step = kernel_row_stride,
    };
    if (shape->flips & COIX_FLIP_KERNEL) {
      l.kernel += (kernel_size - 1) * kernel_column;
      l.kernel_line = -l.kernel_line;
      l.kernel_column = -l.kernel_column;
    }
    if (shape->flips & COIX_FLIP_RESULT) {
      l.result = out + ((result_height - y) * result_width - 1) * rows;
      l.result_column = -l.result_column;
    }
    l.kernel += (ptrdiff_t)low * l.kernel_line;
    if (high > low) l.image += (y + low - shape->top - first) * shape->width * image_column;
    kernels->line(&l, count);
  }
}

void coix_correlate(const float *image, const float *kernel, size_t kernel_row_stride, float *out, coix_correlation shape,
                    size_t outer, size_t rows, int team) {
  const size_t result_height = shape.height + 2 * shape.top + 1 - shape.kernel_height;
  const size_t result_width = shape.width + 2 * shape.left + 1 - shape.kernel_width;
  const size_t image_size = shape.height * shape.width * rows, result_size = result_height * result_width * rows;
  const size_t kernel_size = shape.kernel_height * shape.kernel_width * (kernel_row_stride ? rows : 1);
  const size_t blocks = coix_blocks(rows, ROWS), groups = coix_blocks(result_height, LINES);
  // Roughly what a multiply-add takes, in nanoseconds.
  const double cost = 0.02 * (double)(outer * result_size) * (double)(shape.kernel_height * shape.kernel_width);
  COIX_FOR(i, outer * blocks * groups, coix_team_for(cost, team), {
    const size_t start = i % groups * LINES, row = i / groups % blocks * ROWS, o = i / groups / blocks;
    correlate_lines(image + o * image_size + row, kernel + o * kernel_size + row * kernel_row_stride, kernel_row_stride,
                    out + o * result_size + row, &shape, start, coix_min(start + LINES, result_height), rows,
                    coix_min(ROWS, rows - row));
  });
}
