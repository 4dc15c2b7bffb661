// Sums over all particles' weights, from which evidence and effective sample size are computed. They are taken in double, by
// blocks whose borders depend on the number of particles alone.

#define _GNU_SOURCE // for madvise

#include "internal.h"

#include <math.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

/// Columns that are processed at a time.
#define GROUP ((size_t)16)

/// For a block of rows: the greatest log-weight of each column of a group, and the sums over rows of exp(w - greatest) and of its
/// square.
typedef struct {
  float greatest[GROUP];
  double sums[GROUP], squares[GROUP];
} group_moments;

typedef struct {
  float (*greatest)(const float *x, size_t n);
  void (*moments)(const float *x, size_t n, float shift, double *sums);
  void (*group)(const float *x, size_t rows, size_t columns, size_t width, group_moments *out);
} weights_table;

#define COIX_TEMPLATE "Copies/weights_copy.h"
#include "copies.h"
COIX_CHOOSE(weights_table, kernels)

#define MOST_BLOCKS 256
#define LEAST_BLOCK ((size_t)8192)

/// The moments of a block relative to the block's own greatest weight, so that one pass through memory is enough.
static void block(const float *x, size_t n, coix_block_moments *out) {
  out->greatest = kernels->greatest(x, n);
  out->sums[0] = out->sums[1] = 0;
  if (out->greatest == -INFINITY) return;
  kernels->moments(x, n, out->greatest, out->sums);
}

/// Lets the system take back the memory of numbers that lie in a file.
static void let_go(const float *x, size_t n) {
#if defined(__linux__)
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t start = ((uintptr_t)x + page - 1) / page * page, end = (uintptr_t)(x + n) / page * page;
  if (start < end) madvise((void *)start, end - start, MADV_DONTNEED); // a refusal does no harm
#else
  (void)x, (void)n;
#endif
}

size_t coix_weight_block(size_t n) {
  return coix_max(LEAST_BLOCK, coix_blocks(coix_blocks(n, MOST_BLOCKS), COIX_LANES) * COIX_LANES);
}

void coix_weight_block_moments(const float *x, coix_block_moments *parts, size_t n, size_t first, size_t end, int is_in_file,
                               int team) {
  const size_t size = coix_weight_block(n);
  COIX_FOR(i, end - first, coix_team_for((double)(size * (end - first)), team), {
    const size_t b = first + i, count = coix_min(size, n - b * size);
    block(x + b * size, count, parts + b);
    if (is_in_file) let_go(x + b * size, count);
  });
}

void coix_weight_merge_blocks(const coix_block_moments *parts, size_t blocks, double *greatest, double *sum,
                              double *sum_of_squares) {
  float m = parts[0].greatest;
  for (size_t b = 1; b < blocks; b++) m = m != m || m > parts[b].greatest ? m : parts[b].greatest;
  double s = 0, q = 0;
  for (size_t b = 0; b < blocks; b++) {
    if (parts[b].greatest == -INFINITY) continue;
    double scale = exp((double)parts[b].greatest - (double)m);
    s += parts[b].sums[0] * scale;
    q += parts[b].sums[1] * scale * scale;
  }
  *greatest = m;
  *sum = s;
  *sum_of_squares = q;
}

static void one_column(const float *x, double *greatest, double *sum, double *sum_of_squares, size_t n, int is_in_file,
                       int team) {
  coix_block_moments parts[MOST_BLOCKS];
  const size_t blocks = coix_blocks(n, coix_weight_block(n));
  coix_weight_block_moments(x, parts, n, 0, blocks, is_in_file, team);
  coix_weight_merge_blocks(parts, blocks, greatest, sum, sum_of_squares);
}

/// There are fewer blocks than for a single column, since their moments are kept on the stack.
#define MOST_GROUP_BLOCKS 64
#define LEAST_GROUP_BLOCK ((size_t)1024)

/// The moments of up to GROUP neighbouring columns.
static void one_group(const float *x, double *greatest, double *sum, double *sum_of_squares, size_t n, size_t columns,
                      size_t width, int threads) {
  const size_t size = coix_max(LEAST_GROUP_BLOCK, coix_blocks(n, MOST_GROUP_BLOCKS)), blocks = coix_blocks(n, size);
  group_moments moments[MOST_GROUP_BLOCKS], *const parts = moments;
  COIX_FOR(b, blocks, threads,
           kernels->group(x + b * size * columns, coix_min(size, n - b * size), columns, width, parts + b));
  for (size_t c = 0; c < width; c++) {
    float m = parts[0].greatest[c];
    for (size_t b = 1; b < blocks; b++) m = m != m || m > parts[b].greatest[c] ? m : parts[b].greatest[c];
    double s = 0, q = 0;
    for (size_t b = 0; b < blocks; b++) {
      if (parts[b].greatest[c] == -INFINITY) continue;
      double scale = exp((double)parts[b].greatest[c] - (double)m);
      s += parts[b].sums[c] * scale;
      q += parts[b].squares[c] * scale * scale;
    }
    greatest[c] = m;
    sum[c] = s;
    sum_of_squares[c] = q;
  }
}

void coix_weight_moments(const float *log_weight, double *greatest, double *sum, double *sum_of_squares,
                         size_t n, size_t columns, int is_in_file, int team) {
  if (n == 0) return;
  if (columns == 1) {
    one_column(log_weight, greatest, sum, sum_of_squares, n, is_in_file, team);
    return;
  }
  // Threads share long columns by their blocks; of short columns, each thread takes whole groups.
  const size_t groups = coix_blocks(columns, GROUP);
  const int within = coix_team_for((double)(n * coix_min(columns, GROUP)), team);
  const int across = within > 1 ? 1 : coix_team_for((double)n * (double)columns, team);
  COIX_FOR(g, groups, across,
           one_group(log_weight + g * GROUP, greatest + g * GROUP, sum + g * GROUP, sum_of_squares + g * GROUP, n,
                     columns, coix_min(GROUP, columns - g * GROUP), within));
  if (is_in_file) let_go(log_weight, n * columns);
}

int coix_weights_are_valid(const double *greatest, const double *sum, size_t columns) {
  for (size_t c = 0; c < columns; c++)
    if (isnan(sum[c]) || isinf(greatest[c])) return 0;
  return 1;
}

void coix_weight_summary(const double *greatest, const double *sum, const double *sum_of_squares, float *ess, float *log_z,
                         size_t n, size_t columns) {
  double sizes = 0, evidence = 0;
  for (size_t c = 0; c < columns; c++) {
    sizes += sum[c] * sum[c] / sum_of_squares[c];
    evidence += greatest[c] + log(sum[c]) - log((double)n);
  }
  *ess = (float)(sizes / (double)columns);
  *log_z = (float)evidence;
}
