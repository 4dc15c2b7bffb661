// The choice of instruction set, what was compiled in, the cores, the thread's slot and clock.

#define _GNU_SOURCE // for sched_getaffinity

#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#endif

_Thread_local void *coix_thread_slot = 0;
_Thread_local coix_region_clock coix_regions = {0, 0};

static int detect_level(void) {
  int level = COIX_BASELINE;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    level = COIX_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) level = COIX_AVX512;
  }
#endif
  // The environment may lower the choice, for comparisons; never raise it.
  const char *wish = getenv("COIX_INSTRUCTION_SET");
  if (wish && !strcmp(wish, "baseline")) return COIX_BASELINE;
  if (wish && !strcmp(wish, "avx2") && level > COIX_AVX2) return COIX_AVX2;
  return level;
}

static int chosen_level = -1;

__attribute__((constructor)) static void choose_level(void) {
  if (chosen_level < 0) chosen_level = detect_level();
}

int coix_level(void) {
  if (chosen_level < 0) choose_level(); // another file's constructor came first
  return chosen_level;
}

const char *coix_instruction_set(void) {
  static const char *const names[] = {"baseline", "avx2", "avx512"};
  return names[coix_level()];
}

int coix_has_fma(void) {
#if defined(__aarch64__)
  return 1;
#else
  return coix_level() != COIX_BASELINE;
#endif
}

const char *coix_c_library(void) {
#if defined(__GLIBC__)
  return gnu_get_libc_version();
#else
  return "";
#endif
}

void coix_core_mask(uint64_t mask[COIX_CORE_WORDS]) {
  memset(mask, 0, COIX_CORE_WORDS * sizeof *mask);
#if defined(__linux__)
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores)) return;
  for (int core = 0; core < 64 * COIX_CORE_WORDS && core < CPU_SETSIZE; core++)
    if (CPU_ISSET(core, &cores)) mask[core / 64] |= (uint64_t)1 << core % 64;
#endif
}

int coix_has_openmp(void) {
#ifdef _OPENMP
  return 1;
#else
  return 0;
#endif
}

int coix_is_optimised(void) {
#ifdef __OPTIMIZE__
  return 1;
#else
  return 0;
#endif
}

uint64_t coix_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + 1;
}

int coix_begin_region(int team) {
  if (!coix_regions.began) coix_regions.began = coix_now();
  return team;
}

void coix_end_region(void) {
  if (!coix_regions.began) return;
  coix_regions.nanoseconds += coix_now() - coix_regions.began;
  coix_regions.began = 0;
}
