// What all programs here share: time, memory, sixteen lanes, Coix's vector mathematics and its Threefry normals.
//
// The mathematics is Coix's own (Sources/CoixKernels/Copies/vector_math.h), so that draws, exponentials and logarithms have
// the same bits as in Coix. Nothing is contracted by the compiler; where a fused multiply-add is meant the code says v_fma.

#ifndef LIMITS_H
#define LIMITS_H

#include <immintrin.h>
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "CoixKernels.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang diagnostic ignored "-Wunused-function"

#define COIX_FMA 1
#define COIX_NATIVE 16
#define COPY(name) limit_##name
#define INLINE static inline __attribute__((always_inline))
#include "Copies/vector_types.h"
#include "Copies/vector_math.h"

// What the kernels' blocks refer to. Nobody copies one, so that no run-time library for them is needed.
void *_NSConcreteStackBlock[32], *_NSConcreteGlobalBlock[32];

// MARK: Basics

INLINE double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
INLINE uint64_t ticks(void) { return __builtin_ia32_rdtsc(); }
/// Nanoseconds in a tick of the time stamp counter.
static double tick_nanoseconds(void) {
  static double known = 0;
  if (known > 0) return known;
  double t0 = now();
  uint64_t c0 = ticks();
  while (now() - t0 < 0.02) {}
  return known = (now() - t0) * 1e9 / (double)(ticks() - c0);
}
static double peak_megabytes(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)u.ru_maxrss / 1024;
}
/// Aligned, touched, with room for vectors that reach beyond the end.
static void *memory(size_t bytes) {
  size_t padded = (bytes + 4096 + 63) / 64 * 64;
  void *p = aligned_alloc(64, padded);
  if (!p) exit(1);
  memset(p, 0, padded);
  return p;
}
INLINE size_t least(size_t a, size_t b) { return a < b ? a : b; }
INLINE size_t blocks_of(size_t n, size_t size) { return (n + size - 1) / size; }

/// The shortest time: the machine is shared.
static double fastest(const double *t, int n) {
  double m = t[0];
  for (int i = 1; i < n; i++) m = fmin(m, t[i]);
  return m;
}

/// A figure as one line of JSON, which `scripts/compare` reads.
static void report(const char *workload, const char *mode, size_t particles, int threads, double seconds) {
  printf("{\"workload\": \"%s\", \"mode\": \"%s\", \"particles\": %zu, \"threads\": %d, \"seconds\": %.9f}\n", workload, mode,
         particles, threads, seconds);
}
/// A program's arguments: PROGRAM [MODE [PARTICLES [THREADS]]].
static const char *mode_of(int argc, char **argv, const char *otherwise) { return argc > 1 ? argv[1] : otherwise; }
static size_t particles_of(int argc, char **argv, size_t otherwise) { return argc > 2 ? (size_t)atol(argv[2]) : otherwise; }
static int threads_of(int argc, char **argv) { return argc > 3 ? atoi(argv[3]) : 1; }

#define UNROLL _Pragma("clang loop unroll(full)")
/// Lanes [0, 16).
#define LANES ((v16i){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})

INLINE float lanes_max(v16 v) { return _mm512_reduce_max_ps((__m512)v); }

// MARK: Keys

/// The next draw of a stream, as Coix's KeyStream has it: (stream, draw) = split(stream).
static coix_key next_key(coix_key *stream) {
  coix_key draw = coix_threefry(*stream, 1);
  *stream = coix_threefry(*stream, 0);
  return draw;
}
static void skip_keys(coix_key *stream, int count) {
  while (count-- > 0) (void)next_key(stream);
}
/// The first uniform number in [0, 1) of a key.
static double uniform_of(coix_key key) {
  coix_key bits = coix_threefry(key, 0);
  return (double)((bits.word0 ^ bits.word1) >> 9) * 0x1p-23;
}

// MARK: Normal numbers

/// Threefry-2x32 with 20 rounds on `n` sixteens at once; two of them keep both vector ports busy.
#define THREEFRY_ROUND(by)                                                                          \
  UNROLL for (int h = 0; h < n; h++) {                                                              \
    x0[h] += x1[h];                                                                                 \
    x1[h] = (v16u)_mm512_rol_epi32((__m512i)x1[h], by) ^ x0[h];                                     \
  }
#define THREEFRY_INJECT(a, b)                                                                       \
  UNROLL for (int h = 0; h < n; h++) {                                                              \
    x0[h] += (a);                                                                                   \
    x1[h] += (b);                                                                                   \
  }
#define EVEN_ROUNDS THREEFRY_ROUND(13) THREEFRY_ROUND(15) THREEFRY_ROUND(26) THREEFRY_ROUND(6)
#define ODD_ROUNDS THREEFRY_ROUND(17) THREEFRY_ROUND(29) THREEFRY_ROUND(16) THREEFRY_ROUND(24)
INLINE void threefry(coix_key key, v16u *x0, v16u *x1, const int n) {
  const uint32_t k0 = key.word0, k1 = key.word1, k2 = k0 ^ k1 ^ 0x1BD11BDAu;
  THREEFRY_INJECT(k0, k1)
  EVEN_ROUNDS THREEFRY_INJECT(k1, k2 + 1u)
  ODD_ROUNDS THREEFRY_INJECT(k2, k0 + 2u)
  EVEN_ROUNDS THREEFRY_INJECT(k0, k1 + 3u)
  ODD_ROUNDS THREEFRY_INJECT(k1, k2 + 4u)
  EVEN_ROUNDS THREEFRY_INJECT(k2, k0 + 5u)
}

/// Uniform in (-1, 1), from random bits; as Coix's.
INLINE v16 symmetric_uniform(v16u bits) {
  v16 f = v_from_bits((bits >> 9) | 0x3f800000u) - 1.0f;
  v16 u = v_fma(f, (v16)(1.0f - -0x1.fffffep-1f), (v16)(-0x1.fffffep-1f));
  return u < -0x1.fffffep-1f ? (v16)(-0x1.fffffep-1f) : u;
}
/// The standard normal number of random bits; Coix's, bit for bit.
INLINE v16 normal_of_bits(v16u bits) { return 1.41421356f * v_erfinv_inside(symmetric_uniform(bits)); }

/// Two normal numbers for each of sixteen rows from `row` on: elements 2 row and 2 row + 1 of the key's sequence.
INLINE void normal_pairs(coix_key key, uint32_t row, v16 *z0, v16 *z1) {
  v16u lane = __builtin_bit_cast(v16u, LANES), low = 2u * (lane + row);
  v16u x0[2] = {(v16u)(0), (v16u)(0)}, x1[2] = {low, low + 1u};
  threefry(key, x0, x1, 2);
  *z0 = normal_of_bits(x0[0] ^ x1[0]);
  *z1 = normal_of_bits(x0[1] ^ x1[1]);
}

/// What all threads wait for within a parallel region.
#define BARRIER _Pragma("omp barrier")

#endif
