// Weights in double, and the assignment of evenly spaced positions to them. Part of every copy (see copies.h).

/// out[i] = exp(x[i] - greatest).
static void COPY(exponentials)(const float *x, size_t n, float greatest, double *out) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t rest = n - i;
    v16 row = rest < 16 ? v_load_part(x + i, rest) : v_load(x + i);
    v16d e = v_wide_exp(v_widen(row) - (double)greatest);
    memcpy(out + i, &e, coix_min(rest, 16) * sizeof(double));
  }
}

/// The sum of exp(x[i] - greatest).
static double COPY(sum)(const float *x, size_t n, float greatest) {
  v16d sum = (v16d)(0.0);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) sum += v_wide_exp(v_widen(v_load(x + i)) - (double)greatest);
  double total = v_wide_sum(sum), rest[16];
  COPY(exponentials)(x + i, n - i, greatest, rest);
  for (size_t l = 0; i + l < n; l++) total += rest[l];
  return total;
}

/// The running sums of sixteen numbers.
INLINE v16d COPY(scan)(v16d v) {
  const v16d zero = (v16d)(0.0);
  v += __builtin_shufflevector(zero, v, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
  v += __builtin_shufflevector(zero, v, 0, 1, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29);
  v += __builtin_shufflevector(zero, v, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27);
  v += __builtin_shufflevector(zero, v, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  return v;
}

/// Writes the numbers of up to sixteen rows to their runs: row + l to index[at] and on up to ends[l], but never to
/// index[limit] or beyond. Returns the end of the last run.
INLINE size_t COPY(write_runs)(int32_t *index, int32_t row, const int32_t *ends, size_t rows, size_t at, size_t limit) {
  typedef int32_t v8i_memory __attribute__((ext_vector_type(8), aligned(4)));
  if (rows == 16 && (size_t)ends[15] + 8 <= limit) {
    // A vector may reach beyond its row's run, since later rows overwrite that part.
    for (int32_t l = 0; l < 16; l++) {
      const size_t to = (size_t)ends[l];
      *(v8i_memory *)(index + at) = (v8i_memory)(row + l);
      for (at += 8; __builtin_expect(at < to, 0); at++) index[at] = row + l;
      at = to;
    }
    return at;
  }
  for (size_t l = 0; l < rows; l++)
    for (const size_t to = coix_min((size_t)ends[l], limit); at < to; at++) index[at] = row + (int32_t)l;
  return at;
}

/// Rows whose runs' ends are computed before the runs are written, so that neither waits for the other.
#define RUNS ((size_t)512)

/// Assigns the positions from `at` on, below `limit`, to the rows of a block that starts at `row`. `before` is the sum of all
/// weights before the block.
static void COPY(even_runs)(const float *x, size_t n, float greatest, double before, even_positions p, size_t at, size_t limit,
                            int32_t row, int32_t *index) {
  const v16d per_weight = (v16d)(p.per_weight), offset = (v16d)(p.offset), count = (v16d)((double)limit);
  double sum = 0.0;
  v16i end = (v16i)((int32_t)at);
  int32_t ends[RUNS];
  for (size_t start = 0; start < n && at < limit; start += RUNS) {
    const size_t stop = coix_min(start + RUNS, n);
    for (size_t j = start; j < stop; j += 16) {
      v16 w = stop - j < 16 ? v_load_part(x + j, stop - j) : v_load(x + j);
      v16d bound = before + (sum + COPY(scan)(v_wide_exp(v_widen(w) - (double)greatest)));
      sum = bound[15] - before;
      v16d within = v_wide_fma(bound, per_weight, offset);
      within = within < count ? within : count;
      end = __builtin_elementwise_max(__builtin_convertvector(within, v16i), (v16i)(end[15]));
      memcpy(ends + (j - start), &end, sizeof end);
    }
    for (size_t j = start; j < stop; j += 16)
      at = COPY(write_runs)(index, row + (int32_t)j, ends + (j - start), coix_min(16, stop - j), at, limit);
  }
  if (at == limit) return;
  // The last row with a positive weight takes the positions that rounding has left over.
  double w = 0.0;
  size_t last = n;
  while (last > 0 && !(w > 0.0)) COPY(exponentials)(x + --last, 1, greatest, &w);
  while (at < limit) index[at++] = row + (int32_t)last;
}

static const resampling_table COPY(table) = {COPY(exponentials), COPY(sum), COPY(even_runs)};
