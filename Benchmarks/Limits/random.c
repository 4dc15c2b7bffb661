// The workload `random`: normal numbers in a loop over sixteen lanes, and whether their bits are those of Coix's kernel.
//
//   random [forward] [numbers = 10000000] [threads = 1]

#include "limits.h"

int main(int argc, char **argv) {
  // Whole pairs of sixteens, so that the loop needs no end of its own.
  const size_t n = (particles_of(argc, argv, 10000000) + 31) / 32 * 32;
  const int threads = threads_of(argc, argv);
  float *a = memory(4 * n), *b = memory(4 * n);
  const coix_key key = {0, 5};
  double t[20];
  for (int k = 0; k < 20; k++) {
    double start = now();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t r = 0; r < n; r += 32) {
      v16u low = __builtin_bit_cast(v16u, LANES) + (uint32_t)r, x0[2] = {(v16u)(0), (v16u)(0)}, x1[2] = {low, low + 16u};
      threefry(key, x0, x1, 2);
      v_store(a + r, normal_of_bits(x0[0] ^ x1[0]));
      v_store(a + r + 16, normal_of_bits(x0[1] ^ x1[1]));
    }
    t[k] = now() - start;
  }
  coix_draw_normal(key, (coix_draw){.valid_rows = n, .rows = n, .elements = 1, .row_stride = 1}, b, 1);
  size_t other = 0;
  for (size_t i = 0; i < n; i++) other += a[i] != b[i];
  printf("%.2f ns a number; %zu differ\n", 1e9 * fastest(t, 20) / (double)n, other);
  report("random", "forward", n, threads, fastest(t, 20));
}
