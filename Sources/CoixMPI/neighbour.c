// How one process of a host notices that another one is killed, or crashes.
//
// A process to which that happens can't say so. MPICH's launcher, which notices by the ends of its files, kills all others at once, and
// names the first of them. So another process holds copies of these files: until it closes them, that launcher notices nothing, and
// there is time to say who has died.

#define _GNU_SOURCE // for syscall
#include "CoixMPI.h"

#include <stdlib.h>

int coix_mpi_launcher_file(void) {
  const char *file = getenv("PMI_FD");
  return file ? atoi(file) : -1;
}

#if defined(__linux__) && __has_include(<sys/pidfd.h>)

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/// The files of the process that is watched.
static int held[3] = {-1, -1, -1};

void coix_mpi_let_watch(int watcher) {
  // Where the system has no such rule, it needs none.
  prctl(PR_SET_PTRACER, (unsigned long)watcher, 0, 0, 0);
}

void coix_mpi_let_go(void) {
  for (int i = 0; i < 3; i++)
    if (held[i] >= 0) close(held[i]);
}

/// How a process has ended for whose status nobody has asked yet; 0 if the system doesn't tell.
static int status_of(int process) {
  char name[32], text[2048];
  snprintf(name, sizeof name, "/proc/%d/stat", process);
  const int file = open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  text[length > 0 ? length : 0] = 0;
  const char *last = strrchr(text, ' ');
  return last ? atoi(last) : 0;
}

/// Whether a process gets a signal for what it does itself.
static bool is_crash(int number) {
  return number == SIGABRT || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGSEGV ||
         number == SIGTRAP;
}

const char *coix_mpi_watch(int process, int launcher_file) {
  const int watched = (int)syscall(SYS_pidfd_open, process, 0);
  if (watched < 0) return NULL;
  const int files[3] = {STDOUT_FILENO, STDERR_FILENO, launcher_file};
  for (int i = 0; i < 3; i++) held[i] = (int)syscall(SYS_pidfd_getfd, watched, files[i], 0);
  struct pollfd end = {.fd = watched, .events = POLLIN};
  while (poll(&end, 1, -1) < 0)
    if (errno != EINTR) return NULL;
  const int status = status_of(process);
  if (!WIFSIGNALED(status)) return NULL; // it has said itself why it ends
  const int number = WTERMSIG(status);
  // Where a launcher ends all processes, this one dies meanwhile, too.
  if (!is_crash(number)) nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  static char text[128];
  snprintf(text, sizeof text, "was killed by signal %d (%s)", number, strsignal(number));
  return text;
}

#else

void coix_mpi_let_watch(int watcher) { (void)watcher; }
void coix_mpi_let_go(void) {}
const char *coix_mpi_watch(int process, int launcher_file) {
  (void)process, (void)launcher_file;
  return NULL;
}

#endif
