// The workload `resample`: systematic resampling by the scheme of resampling.h.
//
//   resample [forward] [particles = 1000000] [threads = 1]
//
// Prints how many ancestors differ from the exact ones (from sums in 80-bit floats).

#include "resampling.h"

/// Ancestors by 80-bit sums.
static void exact(const float *log_weight, size_t n, double u, int32_t *index) {
  float greatest = log_weight[0];
  for (size_t j = 1; j < n; j++) greatest = fmaxf(greatest, log_weight[j]);
  long double total = 0, sum = expl((long double)log_weight[0] - greatest);
  for (size_t j = 0; j < n; j++) total += expl((long double)log_weight[j] - greatest);
  for (size_t i = 0, j = 0; i < n; i++) {
    while (((long double)i + u) * total / n > sum && j + 1 < n) sum += expl((long double)log_weight[++j] - greatest);
    index[i] = (int32_t)j;
  }
}

int main(int argc, char **argv) {
  const size_t n = particles_of(argc, argv, 1000000);
  const int threads = threads_of(argc, argv);
  float *log_weight = memory(4 * n);
  int32_t *index = memory(4 * n), *wanted = memory(4 * n);
  coix_draw_normal((coix_key){0, 7}, (coix_draw){.valid_rows = n, .rows = n, .elements = 1, .row_stride = 1}, log_weight, 1);
  const double u = uniform_of((coix_key){0, 8});
  exact(log_weight, n, u, wanted);
  resampling r = make_resampling(n);
  double t[100];
  for (int k = 0; k < 100; k++) {
    double start = now();
#pragma omp parallel num_threads(threads)
    resample_team(&r, log_weight, u, n, index);
    t[k] = now() - start;
  }
  size_t wrong = 0;
  for (size_t i = 0; i < n; i++) wrong += index[i] != wanted[i];
  printf("%.2f ns a particle; %zu ancestors differ\n", 1e9 * fastest(t, 100) / (double)n, wrong);
  report("resample", "forward", n, threads, fastest(t, 100));
}
