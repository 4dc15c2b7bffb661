// What a step costs besides time: heap allocations and instructions.
//
// The allocations are counted by definitions of malloc and its like in the executable itself, which stand before the C
// library's for all of the process: they count while they are asked to, and call the C library's. Nothing needs to be
// preloaded or allowed. Instructions come from the processor's counter through Linux, where there is one that may be read.

#ifndef BENCH_COUNTERS_H
#define BENCH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

/// Calls of malloc, calloc, realloc, posix_memalign and aligned_alloc.
typedef struct {
  uint64_t all;
  /// Those made while a parallel region ran, on any thread.
  uint64_t in_regions;
} bench_allocations;

/// Whether allocations can be counted here: with glibc, and not under a sanitizer, which has definitions of its own.
bool bench_can_count_allocations(void);

/// Starts to count from zero. `is_in_region` is called at each allocation, on any thread, and must not allocate.
void bench_start_allocations(bool (*is_in_region)(void));

/// Stops, and gives the counts since the start.
bench_allocations bench_stop_allocations(void);

/// Opens a counter of the instructions that this thread, and all threads that come of it from now on, execute outside of
/// the kernel. A file descriptor, or an error number below zero.
int bench_open_instructions(void);

/// A counter's number so far; false if it cannot be read.
bool bench_read_instructions(int descriptor, uint64_t *count);

#endif
