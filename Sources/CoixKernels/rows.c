// Moving rows: between the row-major whole plate and particle-minor chunks, gathers, scatters.

#include "internal.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/// Rows transposed at a time, so that both sides of the transposition stay in cache.
#define TILE ((size_t)64)

/// The most terms of a sum in single precision.
#define SHORT_SUM ((size_t)64)
/// Sums that are held in double at a time.
#define SUMS ((size_t)256)

/// The sum of rows [first, last) in double.
static void sum_long_run(const float *source, float *to, size_t first, size_t last, size_t elements) {
  for (size_t start = 0; start < elements; start += SUMS) {
    const size_t count = coix_min(SUMS, elements - start);
    double sums[SUMS] = {0};
    for (size_t r = first; r < last; r++)
      for (size_t e = 0; e < count; e++) sums[e] += (double)source[r * elements + start + e];
    for (size_t e = 0; e < count; e++) to[start + e] = (float)sums[e];
  }
}

typedef struct {
  bool (*load_short_rows)(const float *source, const int32_t *index, float *destination, size_t valid_rows, size_t rows,
                          size_t elements);
  bool (*store_short_rows)(const float *source, float *destination, size_t valid_rows, size_t rows, size_t elements);
  bool (*scatter_runs)(const float *source, const int32_t *index, float *destination, size_t begin, size_t end, size_t count,
                       size_t elements);
} rows_table;

#define COIX_TEMPLATE "Copies/rows_copy.h"
#include "copies.h"
COIX_CHOOSE(rows_table, kernels)

/// Loads the rows numbered in `row_numbers`, or, if that is NULL, those from `first_row` on; through an
/// index if there is one.
static void load_tiles(const float *source, const int32_t *index, const uint64_t *row_numbers, float *destination,
                       size_t first_row, size_t valid_rows, size_t rows, size_t elements) {
  for (size_t start = 0; start < rows; start += TILE) {
    size_t end = coix_min(start + TILE, rows);
    size_t at[TILE];
    for (size_t r = start; r < end; r++) {
      size_t lane = coix_min(r, valid_rows - 1);
      size_t s = row_numbers ? (size_t)row_numbers[lane] : first_row + lane;
      at[r - start] = (index ? (size_t)index[s] : s) * elements;
    }
    for (size_t e = 0; e < elements; e++)
      for (size_t r = start; r < end; r++) destination[e * rows + r] = source[at[r - start] + e];
  }
}

void coix_load_rows(const float *source, const int32_t *index, float *destination,
                    size_t first_row, size_t valid_rows, size_t rows, size_t elements) {
  if (valid_rows == 0) return;
  if (index ? kernels->load_short_rows(source, index + first_row, destination, valid_rows, rows, elements)
            : kernels->load_short_rows(source + first_row * elements, NULL, destination, valid_rows, rows, elements))
    return;
  load_tiles(source, index, NULL, destination, first_row, valid_rows, rows, elements);
}

void coix_load_numbered_rows(const float *source, const int32_t *index, const uint64_t *row_numbers, float *destination,
                             size_t valid_rows, size_t rows, size_t elements) {
  if (valid_rows > 0) load_tiles(source, index, row_numbers, destination, 0, valid_rows, rows, elements);
}

void coix_store_rows(const float *source, float *destination,
                     size_t first_row, size_t valid_rows, size_t rows, size_t elements) {
  destination += first_row * elements;
  if (kernels->store_short_rows(source, destination, valid_rows, rows, elements)) return;
  for (size_t start = 0; start < valid_rows; start += TILE) {
    size_t end = coix_min(start + TILE, valid_rows);
    for (size_t e = 0; e < elements; e++)
      for (size_t r = start; r < end; r++) destination[r * elements + e] = source[e * rows + r];
  }
}

void coix_store_numbered_rows(const float *source, const uint64_t *row_numbers, float *destination,
                              size_t valid_rows, size_t rows, size_t elements) {
  for (size_t start = 0; start < valid_rows; start += TILE) {
    size_t end = coix_min(start + TILE, valid_rows);
    for (size_t e = 0; e < elements; e++)
      for (size_t r = start; r < end; r++) destination[row_numbers[r] * elements + e] = source[e * rows + r];
  }
}

void coix_spread_rows(const float *source, size_t source_rows, float *destination, size_t rows, size_t elements,
                      size_t outer, size_t inner, int by_inner) {
  for (size_t e = 0; e < elements; e++) {
    const float *from = source + e * source_rows;
    float *to = destination + e * rows;
    for (size_t k = 0; k < outer; k++) {
      float *run = to + k * inner;
      if (by_inner) memcpy(run, from, inner * sizeof(float));
      else for (size_t j = 0; j < inner; j++) run[j] = from[k];
    }
    for (size_t r = outer * inner; r < rows; r++) to[r] = to[outer * inner - 1];
  }
}

void coix_fold_rows(const float *source, size_t rows, float *destination, size_t destination_rows, size_t elements,
                    size_t outer, size_t inner, int by_inner) {
  memset(destination, 0, elements * destination_rows * sizeof(float));
  for (size_t e = 0; e < elements; e++) {
    const float *from = source + e * rows;
    float *to = destination + e * destination_rows;
    if (!by_inner) {
      for (size_t k = 0; k < outer; k++) {
        double sum = 0.0;
        for (size_t j = 0; j < inner; j++) sum += (double)from[k * inner + j];
        to[k] = (float)sum;
      }
    } else if (outer <= SHORT_SUM) {
      for (size_t k = 0; k < outer; k++)
        for (size_t j = 0; j < inner; j++) to[j] += from[k * inner + j];
    } else {
      for (size_t start = 0; start < inner; start += SUMS) {
        const size_t count = coix_min(SUMS, inner - start);
        double sums[SUMS] = {0};
        for (size_t k = 0; k < outer; k++)
          for (size_t j = 0; j < count; j++) sums[j] += (double)from[k * inner + start + j];
        for (size_t j = 0; j < count; j++) to[start + j] = (float)sums[j];
      }
    }
  }
}

/// Gathers rows [begin, end). Short rows of a fixed length take one or two moves each.
static void gather_range(const float *source, const int32_t *index, float *destination, size_t begin, size_t end,
                         size_t elements) {
#define GATHER(n)                                                                                  \
  for (size_t r = begin; r < end; r++)                                                             \
    memcpy(destination + r * (n), source + (size_t)index[r] * (n), (n) * sizeof(float))
  switch (elements) {
    case 1: GATHER(1); break;
    case 2: GATHER(2); break;
    case 4: GATHER(4); break;
    default: GATHER(elements);
  }
#undef GATHER
}

void coix_gather_rows(const float *source, const int32_t *index, float *destination,
                      size_t count, size_t elements, int team) {
  int threads = coix_team_for((double)count * (2.0 + 0.5 * (double)elements), team);
  if (threads <= 1) {
    gather_range(source, index, destination, 0, count, elements);
    return;
  }
  const size_t block = 4096, blocks = coix_blocks(count, block);
  COIX_FOR(b, blocks, threads,
           gather_range(source, index, destination, b * block, coix_min(count, (b + 1) * block), elements));
}

/// Adds up the rows of targets [begin, end).
static void scatter_block(const float *source, const int32_t *order, const int32_t *offsets, float *destination,
                          size_t begin, size_t end, size_t elements) {
  memset(destination + begin * elements, 0, (end - begin) * elements * sizeof(float));
  for (size_t t = begin; t < end; t++) {
    const int32_t first = offsets[t], last = offsets[t + 1];
    float *to = destination + t * elements;
#define FROM(k) (source + (size_t)order[k] * elements)
    if ((size_t)(last - first) <= SHORT_SUM) {
      for (int32_t k = first; k < last; k++)
        for (size_t e = 0; e < elements; e++) to[e] += FROM(k)[e];
      continue;
    }
    for (size_t start = 0; start < elements; start += SUMS) {
      const size_t count = coix_min(SUMS, elements - start);
      double sums[SUMS] = {0};
      for (int32_t k = first; k < last; k++)
        for (size_t e = 0; e < count; e++) sums[e] += (double)FROM(k)[start + e];
      for (size_t e = 0; e < count; e++) to[start + e] += (float)sums[e];
    }
#undef FROM
  }
}

/// Targets or rows that a thread takes at a time.
#define BLOCK ((size_t)4096)

void coix_scatter_add_rows(const float *source, const int32_t *order, const int32_t *offsets, float *destination,
                           size_t targets, size_t elements, int team) {
  if (targets == 0) return;
  double work = ((double)targets + (double)(offsets[targets] - offsets[0])) * (2.0 + 0.5 * (double)elements);
  COIX_FOR(b, coix_blocks(targets, BLOCK), coix_team_for(work, team),
           scatter_block(source, order, offsets, destination, b * BLOCK, coix_min(targets, (b + 1) * BLOCK), elements));
}

/// Adds up the runs of rows of one target that start in [begin, end), of any number of elements.
static void scatter_wide_runs(const float *source, const int32_t *index, float *destination, size_t begin, size_t end,
                              size_t count, size_t elements) {
  for (size_t r = begin; r < count; r++) {
    const size_t first = r;
    if (r > 0 && index[r] == index[r - 1]) continue;
    if (r >= end) break;
    float *to = destination + (size_t)index[r] * elements;
    while (r + 1 < count && index[r + 1] == index[first]) r++;
    if (r - first >= SHORT_SUM) {
      sum_long_run(source, to, first, r + 1, elements);
      continue;
    }
    for (size_t k = first; k <= r; k++)
      for (size_t e = 0; e < elements; e++) to[e] += source[k * elements + e];
  }
}

/// Rows [begin, end): the sums of the runs that start there, and zeros for the targets between theirs, before the first row's, or
/// after the last one's.
static void scatter_runs_block(const float *source, const int32_t *index, float *destination, size_t first_target,
                               size_t end_target, size_t begin, size_t end, size_t count, size_t elements) {
  const size_t from = begin > 0 ? (size_t)index[begin - 1] + 1 : first_target;
  const size_t to = end < count ? (size_t)index[end - 1] + 1 : end_target;
  memset(destination + from * elements, 0, (to - from) * elements * sizeof(float));
  if (!kernels->scatter_runs(source, index, destination, begin, end, count, elements))
    scatter_wide_runs(source, index, destination, begin, end, count, elements);
}

void coix_scatter_add_runs(const float *source, const int32_t *index, float *destination, size_t first_target,
                           size_t end_target, size_t count, size_t elements, int team) {
  // Without rows there is a block, too, of zeros.
  COIX_FOR(b, coix_max(coix_blocks(count, BLOCK), 1), coix_team_for((double)count * (2.0 + 0.5 * (double)elements), team),
           scatter_runs_block(source, index, destination, first_target, end_target, b * BLOCK,
                              coix_min(count, (b + 1) * BLOCK), count, elements));
}

size_t coix_rows_elsewhere(const int32_t *index, size_t count, int32_t first, int32_t end, int32_t *out) {
  size_t found = 0;
  int32_t last = -1;
  for (size_t r = 0; r < count; r++) {
    const int32_t row = index[r];
    if ((row >= first && row < end) || row == last) continue;
    if (out) out[found] = row;
    found++;
    last = row;
  }
  return found;
}

int coix_rows_are_within(const int32_t *index, size_t count, int32_t first, int32_t end) {
  int32_t least = INT32_MAX, greatest = INT32_MIN;
  for (size_t r = 0; r < count; r++) {
    least = index[r] < least ? index[r] : least;
    greatest = index[r] > greatest ? index[r] : greatest;
  }
  return count == 0 || (least >= first && greatest < end);
}

int coix_ascends(const int32_t *index, size_t count) {
  int falls = 0;
  for (size_t r = 1; r < count; r++) falls |= index[r] < index[r - 1];
  return !falls;
}

void coix_sort_rows(const int32_t *index, size_t count, size_t targets, int32_t *order, int32_t *offsets) {
  memset(offsets, 0, (targets + 1) * sizeof *offsets);
  for (size_t r = 0; r < count; r++) offsets[(size_t)index[r] + 1]++;
  for (size_t t = 0; t < targets; t++) offsets[t + 1] += offsets[t];
  // Filling `order` advances each offset from the start to the end of its target's rows; then the offsets
  // are moved back.
  for (size_t r = 0; r < count; r++) order[offsets[(size_t)index[r]]++] = (int32_t)r;
  for (size_t t = targets; t > 0; t--) offsets[t] = offsets[t - 1];
  offsets[0] = 0;
}

/// The position that a float index stands for: rounded to nearest, clamped to [0, n). NaN gives 0.
static inline size_t position(float index, size_t n) {
  if (!(index > 0.0f)) return 0;
  if (index >= (float)n) return n - 1;
  return coix_min((size_t)(index + 0.5f), n - 1);
}

void coix_gather_axis(const float *x, const float *index, size_t index_stride, float *out,
                      size_t outer, size_t n, size_t inner) {
  if (n == 0) return;
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < inner; i++)
      out[o * inner + i] = x[(o * n + position(index[i * index_stride], n)) * inner + i];
}

void coix_scatter_axis(const float *dy, const float *index, size_t index_stride, float *dx,
                       size_t outer, size_t n, size_t inner) {
  if (n == 0) return;
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < inner; i++)
      dx[(o * n + position(index[i * index_stride], n)) * inner + i] += dy[o * inner + i];
}

/// Sums in double: clears the scratch sums, adds the terms by the statement `add`, and rounds them to `destination`.
#define IN_DOUBLE(sums, destination, count, add)                                                   \
  do {                                                                                             \
    memset(sums, 0, (count) * sizeof(double));                                                     \
    add;                                                                                           \
    coix_round(sums, destination, count);                                                          \
  } while (0)

void coix_scatter_positions(const float *source, const int32_t *index, double *sums, float *destination, size_t n,
                            size_t count, size_t inner) {
  IN_DOUBLE(sums, destination, n * inner,
            for (size_t k = 0; k < count; k++) coix_accumulate_double(sums + (size_t)index[k] * inner, source + k * inner, inner));
}

void coix_positions(const float *x, int32_t *positions, size_t n, size_t count) {
  for (size_t i = 0; i < count; i++) positions[i] = (int32_t)position(x[i], n);
}

void coix_scatter_table(const float *gradient, const int32_t *positions, double *sums, float *table, size_t n, size_t inner,
                        size_t rows) {
  IN_DOUBLE(sums, table, n * inner,
            for (size_t i = 0; i < inner; i++)
              for (size_t r = 0; r < rows; r++) sums[(size_t)positions[r] * inner + i] += (double)gradient[i * rows + r]);
}

void coix_one_hot(const float *index, float *out, size_t depth, size_t inner) {
  for (size_t k = 0; k < depth; k++)
    for (size_t i = 0; i < inner; i++) out[k * inner + i] = index[i] == (float)k ? 1.0f : 0.0f;
}
