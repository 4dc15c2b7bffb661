// Work that threads share. A thread that has work for several publishes it and begins with it; *helpers*, threads that look for
// such work, take parts of it. A helper that finds none keeps looking for a moment, since the next barrier is often only
// microseconds away and waking a thread takes some fifty; then it leaves. It also leaves after some milliseconds of work, so that
// others have a turn who want the thread that it came from, and is called in again. Who calls helpers in is the runtime's affair.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // for sched_getaffinity
#endif

#include "internal.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/// Nanoseconds for which a helper without work looks for some, and for which it stays at most.
#define PATIENCE 300000u
#define STAY 10000000u
/// Looks between two glances at the clock, and between two offers of the core to whoever waits for one.
#define LOOKS 64

/// Work whose parts threads take one after the other. It lies on the stack of the thread that published it, which removes it from
/// the list and waits for its helpers before it returns.
typedef struct job {
  void (*work)(void *context, size_t part);
  void *context;
  size_t parts;
  atomic_size_t next;     // the first part that nobody has taken
  atomic_int helpers;     // at work
  int places;             // for more helpers; under the lock
  struct job *later;      // in the list; under the lock
} job;

// Each in a cache line of its own: what helpers look at, and what those change who have the lock.
static _Alignas(64) atomic_int open_places; // of all jobs; changed under the lock
static atomic_uint dismissals;
static _Alignas(64) atomic_int looking;     // helpers without work; changed under the lock
static _Alignas(64) atomic_int is_locked;
static job *jobs;                           // under the lock, as is the rest
static int present;                         // helpers, at work or looking
static int called;                          // helpers that have been called and are not there yet
static void (*call_helpers)(int count);

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// Nobody holds the lock for longer than a few reads and writes take.
static void lock(void) {
  for (int looks = 1;; looks++) {
    if (!atomic_load_explicit(&is_locked, memory_order_relaxed)
        && !atomic_exchange_explicit(&is_locked, 1, memory_order_acquire)) return;
    pause_briefly();
    if (looks % LOOKS == 0) sched_yield();
  }
}
static void unlock(void) { atomic_store_explicit(&is_locked, 0, memory_order_release); }

/// The cores that a container's quota is worth, at least one; `cores` without a quota.
static int within_quota(int cores) {
  FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
  if (!file) return cores;
  long long quota = 0, period = 0;
  if (fscanf(file, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0 && quota / period < cores)
    cores = quota < period ? 1 : (int)(quota / period);
  fclose(file);
  return cores;
}

static int count_cores(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return within_quota(CPU_COUNT(&set));
#endif
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores > 0 ? (int)cores : 1;
}

static int core_count;
__attribute__((constructor)) static void know_cores(void) { core_count = count_cores(); }

int coix_cores(void) { return core_count; }

void coix_set_helper_source(void (*source)(int count)) {
  lock();
  call_helpers = source;
  unlock();
}

static void take_parts(job *j) {
  size_t part;
  while ((part = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed)) < j->parts) j->work(j->context, part);
}

/// Takes places from a job; under the lock.
static void close_places(job *j, int count) {
  j->places -= count;
  atomic_fetch_sub_explicit(&open_places, count, memory_order_relaxed);
}

/// A job with a place for the calling helper; under the lock.
static job *open_job(void) {
  for (job *j = jobs; j; j = j->later) {
    if (j->places == 0) continue;
    if (atomic_load_explicit(&j->next, memory_order_relaxed) >= j->parts) {
      close_places(j, j->places); // there is nothing left to do
      continue;
    }
    close_places(j, 1);
    atomic_fetch_add_explicit(&j->helpers, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&looking, 1, memory_order_relaxed);
    return j;
  }
  return NULL;
}

/// Waits for a job with a place. Returns 0 if the helper's patience ends before, or everybody is dismissed.
static int look(void) {
  const unsigned dismissed = atomic_load_explicit(&dismissals, memory_order_relaxed);
  const uint64_t start = coix_now();
  for (int looks = 1; atomic_load_explicit(&open_places, memory_order_relaxed) <= 0; looks++) {
    pause_briefly();
    if (looks % LOOKS) continue;
    if (coix_now() - start > PATIENCE || atomic_load_explicit(&dismissals, memory_order_relaxed) != dismissed) return 0;
    sched_yield();
  }
  return 1;
}

void coix_help(void) {
  const uint64_t start = coix_now();
  lock();
  called -= called > 0;
  present++;
  atomic_fetch_add_explicit(&looking, 1, memory_order_relaxed);
  unlock();
  for (;;) {
    const int leaves = !look() || coix_now() - start > STAY;
    lock();
    job *j = leaves ? NULL : open_job(); // somebody else may have had the place
    if (leaves) {
      present--;
      atomic_fetch_sub_explicit(&looking, 1, memory_order_relaxed);
    }
    unlock();
    if (leaves) return;
    if (!j) continue;
    take_parts(j);
    lock();
    atomic_fetch_add_explicit(&looking, 1, memory_order_relaxed);
    unlock();
    // The job may be gone as soon as its last helper is.
    atomic_fetch_sub_explicit(&j->helpers, 1, memory_order_release);
  }
}

int coix_helpers_at_hand(void) { return atomic_load_explicit(&looking, memory_order_relaxed); }

void coix_dismiss_helpers(void) { atomic_fetch_add_explicit(&dismissals, 1, memory_order_relaxed); }

void coix_share(size_t parts, int team, void *context, void (*work)(void *context, size_t part)) {
  if (team <= 1 || parts <= 1) {
    for (size_t part = 0; part < parts; part++) work(context, part);
    return;
  }
  job own = {.work = work, .context = context, .parts = parts};
  const int places = (int)coix_min((size_t)team, parts) - 1;
  lock();
  own.places = places;
  own.later = jobs;
  jobs = &own;
  atomic_fetch_add_explicit(&open_places, places, memory_order_relaxed);
  int missing = places - atomic_load_explicit(&looking, memory_order_relaxed) - called;
  if (missing > core_count - 1 - present - called) missing = core_count - 1 - present - called;
  void (*const source)(int) = call_helpers;
  if (missing > 0 && source) called += missing;
  unlock();
  if (missing > 0 && source) source(missing);

  take_parts(&own);

  lock();
  job **link = &jobs;
  while (*link != &own) link = &(*link)->later;
  *link = own.later;
  close_places(&own, own.places);
  unlock();
  uint64_t start = 0;
  for (int looks = 1; atomic_load_explicit(&own.helpers, memory_order_acquire) > 0; looks++) {
    pause_briefly();
    if (looks % LOOKS) continue;
    // Who still works has the core that this thread would take with looking, perhaps.
    start = start ? start : coix_now();
    if (coix_now() - start < PATIENCE) sched_yield();
    else nanosleep(&(struct timespec){.tv_nsec = PATIENCE / 10}, NULL);
  }
}

typedef struct {
  size_t count, slices;
  coix_slice_work work;
} slices;

static void run_slice(void *context, size_t slice) {
  const slices *s = context;
  s->work(s->count * slice / s->slices, s->count * (slice + 1) / s->slices);
}

/// Slices for each thread: one that comes late then leaves some to the others.
#define SLICES_A_THREAD ((size_t)4)

void coix_share_slices(size_t count, int team, coix_slice_work work) {
  slices s = {count, coix_min(count, SLICES_A_THREAD * (size_t)team), work};
  coix_share(s.slices, team, &s, run_slice);
}
