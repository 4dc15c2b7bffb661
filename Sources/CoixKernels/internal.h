// What the kernel files share: the choice of instruction set, and teams.

#ifndef COIX_INTERNAL_H
#define COIX_INTERNAL_H

#include "CoixKernels.h"

#define COIX_BASELINE 0
#define COIX_AVX2 1
#define COIX_AVX512 2

/// The instruction set to run with. Safe to call from constructors.
int coix_level(void);

/// A team that is about to be used. Until coix_end_region the thread is in a parallel region, be it of a team
/// of 1: more threads would share the work.
int coix_begin_region(int team);

/// Ends the thread's parallel region, if it is in one. Who calls a kernel with a team sees to it: coix_execute, mostly.
void coix_end_region(void);

/// Nanoseconds since some moment; never 0.
uint64_t coix_now(void);

/// Nanoseconds of work for which waking a second thread pays, and for which handing a part to one that looks for work does.
#define COIX_WAKING 1e5
#define COIX_HANDING 1e4

/// The threads to use for `nanoseconds` of work when the caller allows `team`: no more than are worth it, and for little work no
/// more than look for some already.
static inline int coix_team_for(double nanoseconds, int team) {
  if (nanoseconds < COIX_HANDING) return 1;
  int most = team;
  if (nanoseconds < COIX_WAKING) {
    most = 1 + coix_helpers_at_hand();
    if (most == 1 || team == 1) return 1;
  }
  if (nanoseconds < COIX_HANDING * (double)most) most = (int)(nanoseconds / COIX_HANDING) + 1;
  return coix_begin_region(most < team ? most : team);
}

/// Work on the parts [start, end) of a list.
typedef void (^coix_slice_work)(size_t start, size_t end);
/// Runs the work on slices of [0, count), which up to `team` threads share.
void coix_share_slices(size_t count, int team, coix_slice_work work);

/// Runs a statement for each i < count, divided among `team` threads.
#define COIX_FOR(i, count, team, ...)                                                              \
  do {                                                                                             \
    const size_t count_ = (count);                                                                 \
    const int threads_ = (team);                                                                   \
    if (threads_ <= 1) {                                                                           \
      for (size_t i = 0; i < count_; i++) __VA_ARGS__;                                             \
    } else {                                                                                       \
      coix_share_slices(count_, threads_, ^(size_t start_, size_t end_) {                          \
        for (size_t i = start_; i < end_; i++) __VA_ARGS__;                                        \
      });                                                                                          \
    }                                                                                              \
  } while (0)

/// Points `kernels` at the table of the instruction set in use, once, at load.
#if defined(__x86_64__)
#define COIX_CHOOSE(type, kernels)                                                                 \
  static const type *kernels = &table_baseline;                                                    \
  __attribute__((constructor)) static void choose_kernels(void) {                                  \
    kernels = coix_level() == COIX_AVX512 ? &table_avx512                                          \
              : coix_level() == COIX_AVX2 ? &table_avx2 : &table_baseline;                         \
  }
#else
#define COIX_CHOOSE(type, kernels) static const type *const kernels = &table_baseline;
#endif

/// The first proposals of thirty-two gamma draws with the keys of some indices (see gamma.c): each one's volume, the uniform
/// number that boosts it, and a bit that says whether the cheap test accepts it.
uint32_t coix_gamma_proposals(coix_key key, const uint64_t *index, const float *alpha, float *volume, float *boost);

static inline size_t coix_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t coix_max(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t coix_blocks(size_t count, size_t block) { return (count + block - 1) / block; }

#endif
