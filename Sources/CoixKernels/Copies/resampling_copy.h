// Weights in double. Part of every copy (see copies.h).

/// out[i] = exp(x[i] - greatest).
static void COPY(exponentials)(const float *x, size_t n, float greatest, double *out) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t rest = n - i;
    v16 row = rest < 16 ? v_load_part(x + i, rest) : v_load(x + i);
    v16d e = v_wide_exp(v_widen(row) - (double)greatest);
    memcpy(out + i, &e, coix_min(rest, 16) * sizeof(double));
  }
}

static const resampling_table COPY(table) = {COPY(exponentials)};
