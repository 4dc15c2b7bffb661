#define _GNU_SOURCE

#include <errno.h>

#include "BenchCounters.h"

#ifdef __linux__

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

int bench_open_instructions(void) {
  struct perf_event_attr attributes = {
      .type = PERF_TYPE_HARDWARE,
      .size = sizeof attributes,
      .config = PERF_COUNT_HW_INSTRUCTIONS,
      .inherit = 1,
      // What every user may count of their own processes unless an administrator forbids it.
      .exclude_kernel = 1,
      .exclude_hv = 1,
  };
  long descriptor = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
  return descriptor < 0 ? -errno : (int)descriptor;
}

bool bench_read_instructions(int descriptor, uint64_t *count) {
  return read(descriptor, count, sizeof *count) == sizeof *count;
}

#else

int bench_open_instructions(void) { return -ENOSYS; }
bool bench_read_instructions(int descriptor, uint64_t *count) { return false; }

#endif
