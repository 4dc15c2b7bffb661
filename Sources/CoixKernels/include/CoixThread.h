// What each thread has for itself: a pointer to the execution context in which tensor operators find their tape and
// buffers, and a clock. A C thread-local takes half a nanosecond to read; a Swift task-local takes ten, and GCD workers
// don't inherit it.

#ifndef COIX_THREAD_H
#define COIX_THREAD_H

#include <stdint.h>

// This model is for variables of the program and of libraries loaded at its start: reading one needs no
// function call.
extern _Thread_local void *coix_thread_slot __attribute__((tls_model("initial-exec")));

static inline void *coix_get_thread_slot(void) { return coix_thread_slot; }
static inline void coix_set_thread_slot(void *value) { coix_thread_slot = value; }

/// How long the thread has been in parallel regions: in work that a team shares, or would share if it were allowed more threads.
typedef struct {
  uint64_t nanoseconds;
  /// When the region began that it is in; 0 outside of regions.
  uint64_t began;
} coix_region_clock;

extern _Thread_local coix_region_clock coix_regions __attribute__((tls_model("initial-exec")));

static inline uint64_t coix_get_region_nanoseconds(void) { return coix_regions.nanoseconds; }
static inline void coix_set_region_nanoseconds(uint64_t value) { coix_regions.nanoseconds = value; }

#endif
