// Rows of few elements, between memory where a row's elements follow each other and chunks where an element's rows do; and sums
// of rows. Part of every copy (see copies.h).

/// Two vectors of sixteen pairs, apart: the first of each, then the second.
INLINE void COPY(store_apart)(v16 low, v16 high, float *first, float *second) {
  v_store(first, __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
  v_store(second, __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
}

/// Loads consecutive rows of n elements. n is a compile-time constant, as in all that follows.
INLINE void COPY(load_consecutive)(const float *restrict source, float *restrict destination, size_t valid_rows, size_t rows,
                                   const size_t n) {
  size_t r = 0;
  if (n == 2)
    for (; r + 16 <= valid_rows; r += 16)
      COPY(store_apart)(v_load(source + 2 * r), v_load(source + 2 * r + 16), destination + r, destination + rows + r);
  for (; r < valid_rows; r++)
    for (size_t e = 0; e < n; e++) destination[e * rows + r] = source[r * n + e];
}

/// Loads rows of n elements through an index.
INLINE void COPY(load_indexed)(const float *restrict source, const int32_t *restrict index, float *restrict destination,
                               size_t valid_rows, size_t rows, const size_t n) {
  size_t r = 0;
  if (n == 2)
    for (; r + 16 <= valid_rows; r += 16) {
      double pairs[16]; // only moved, never computed with
      for (size_t l = 0; l < 16; l++) memcpy(pairs + l, source + (size_t)index[r + l] * 2, sizeof(double));
      v16 low, high;
      memcpy(&low, pairs, sizeof low);
      memcpy(&high, pairs + 8, sizeof high);
      COPY(store_apart)(low, high, destination + r, destination + rows + r);
    }
  for (; r < valid_rows; r++) {
    const float *from = source + (size_t)index[r] * n;
    for (size_t e = 0; e < n; e++) destination[e * rows + r] = from[e];
  }
}

#define EACH_LENGTH(call)                                                                          \
  switch (elements) {                                                                              \
    case 1: call(1); break;                                                                        \
    case 2: call(2); break;                                                                        \
    case 3: call(3); break;                                                                        \
    case 4: call(4); break;                                                                        \
    default: return false;                                                                         \
  }

/// Loads rows of one to four elements, through an index if there is one; returns false for other lengths.
static bool COPY(load_short_rows)(const float *source, const int32_t *index, float *destination, size_t valid_rows, size_t rows,
                                  size_t elements) {
#define INDEXED(n) COPY(load_indexed)(source, index, destination, valid_rows, rows, n)
#define CONSECUTIVE(n) COPY(load_consecutive)(source, destination, valid_rows, rows, n)
  if (index) {
    EACH_LENGTH(INDEXED)
  } else {
    EACH_LENGTH(CONSECUTIVE)
  }
#undef CONSECUTIVE
#undef INDEXED
  for (size_t e = 0; e < elements; e++)
    for (size_t r = valid_rows; r < rows; r++) destination[e * rows + r] = destination[e * rows + valid_rows - 1];
  return true;
}

/// Stores rows of n elements.
INLINE void COPY(store)(const float *restrict source, float *restrict destination, size_t valid_rows, size_t rows,
                        const size_t n) {
  size_t r = 0;
  if (n == 2)
    for (; r + 16 <= valid_rows; r += 16) {
      const v16 first = v_load(source + r), second = v_load(source + rows + r);
      v_store(destination + 2 * r,
              __builtin_shufflevector(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
      v_store(destination + 2 * r + 16,
              __builtin_shufflevector(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
    }
  for (; r < valid_rows; r++)
    for (size_t e = 0; e < n; e++) destination[r * n + e] = source[e * rows + r];
}

/// Stores rows of one to four elements; returns false for other lengths.
static bool COPY(store_short_rows)(const float *source, float *destination, size_t valid_rows, size_t rows, size_t elements) {
#define STORE(n) COPY(store)(source, destination, valid_rows, rows, n)
  EACH_LENGTH(STORE)
#undef STORE
  return true;
}

/// Adds up the runs of rows of one target that start in [begin, end). Each row stores its run's sum so far: how long runs are
/// cannot be foretold, and a wrong guess would cost more than a store. For the same reason a row's number is compared with the
/// one before it in a vector, which compilers make no branch of. The vector has `n` lanes or more.
#define SCATTER_RUNS(n, lanes)                                                                                              \
  static void COPY(scatter_runs_##n)(const float *restrict source, const int32_t *restrict index,                           \
                                     float *restrict destination, size_t begin, size_t end, size_t count) {                 \
    typedef float row_type __attribute__((ext_vector_type(lanes)));                                                         \
    typedef int32_t mask_type __attribute__((ext_vector_type(lanes)));                                                      \
    size_t r = begin;                                                                                                       \
    while (r > 0 && r < end && index[r] == index[r - 1]) r++; /* a run that started before */                               \
    size_t last = end; /* behind the last row of the runs */                                                                \
    while (r < end && last < count && index[last] == index[end - 1]) last++;                                                \
    row_type sum = (row_type)(0.0f), row = (row_type)(0.0f);                                                                \
    int32_t before = -1;                                                                                                    \
    size_t first = r;                                                                                                       \
    for (; r < last; r++) {                                                                                                 \
      const int32_t target = index[r];                                                                                      \
      first = target == before ? first : r;                                                                                 \
      memcpy(&row, source + r * n, n * sizeof(float));                                                                      \
      sum = (row_type)((mask_type)sum & ((mask_type)(target) == (mask_type)(before))) + row;                                \
      before = target;                                                                                                      \
      float *to = destination + (size_t)target * n;                                                                         \
      memcpy(to, &sum, n * sizeof(float));                                                                                  \
      if (__builtin_expect(r - first == SHORT_SUM, 0)) {                                                                    \
        while (r + 1 < last && index[r + 1] == target) r++;                                                                 \
        sum_long_run(source, to, first, r + 1, n);                                                                          \
      }                                                                                                                     \
    }                                                                                                                       \
  }
SCATTER_RUNS(1, 1)
SCATTER_RUNS(2, 2)
SCATTER_RUNS(3, 4)
SCATTER_RUNS(4, 4)
#undef SCATTER_RUNS

/// The same for rows of one to four elements; returns false for other lengths.
static bool COPY(scatter_runs)(const float *source, const int32_t *index, float *destination, size_t begin, size_t end,
                               size_t count, size_t elements) {
#define SCATTER(n) COPY(scatter_runs_##n)(source, index, destination, begin, end, count)
  EACH_LENGTH(SCATTER)
#undef SCATTER
  return true;
}
#undef EACH_LENGTH

static const rows_table COPY(table) = {COPY(load_short_rows), COPY(store_short_rows), COPY(scatter_runs)};
