#include <stdatomic.h>
#include <stddef.h>

#include "BenchCounters.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

/// What tells whether a parallel region runs; null while nothing is counted.
static _Atomic(bool (*)(void)) region_test = NULL;
static _Atomic uint64_t all = 0, in_regions = 0;

void bench_start_allocations(bool (*is_in_region)(void)) {
  // Whatever is made at the first call is made before anything counts.
  is_in_region();
  atomic_store(&all, 0);
  atomic_store(&in_regions, 0);
  atomic_store(&region_test, is_in_region);
}

bench_allocations bench_stop_allocations(void) {
  atomic_store(&region_test, NULL);
  return (bench_allocations){.all = atomic_load(&all), .in_regions = atomic_load(&in_regions)};
}

#if defined(__GLIBC__) && !defined(SANITIZED)

#include <errno.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

bool bench_can_count_allocations(void) { return true; }

static inline void count_one(void) {
  bool (*is_in_region)(void) = atomic_load_explicit(&region_test, memory_order_relaxed);
  if (__builtin_expect(is_in_region == NULL, 1)) return;
  atomic_fetch_add_explicit(&all, 1, memory_order_relaxed);
  if (is_in_region()) atomic_fetch_add_explicit(&in_regions, 1, memory_order_relaxed);
}

void *malloc(size_t size) {
  count_one();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  count_one();
  return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
  count_one();
  return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
  count_one();
  if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
  void *made = __libc_memalign(alignment, size);
  if (made == NULL) return ENOMEM;
  *memory = made;
  return 0;
}

#else

bool bench_can_count_allocations(void) { return false; }

#endif
