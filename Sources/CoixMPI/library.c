// Which MPI library there is, and its functions under names of our own.

#define _GNU_SOURCE // for RTLD_DEFAULT and on_exit
#include "CoixMPI.h"
#include "interface.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int rank = 0, size = 1;
/// Whether MPI was started here rather than by the user's program.
static bool is_ours;
static double timeout;
/// Whether this process has waited too long.
static bool has_given_up;
/// The tags of messages between two processes.
enum { DATA, QUESTION, ANSWER };
/// What the last error was about; and the library's file, then what it calls itself. MPI asks for so much room.
static char text[8192], version[8192];

#define TRY(call)                                                                                                           \
  do {                                                                                                                      \
    int error = (call);                                                                                                     \
    if (error) return error;                                                                                                \
  } while (0)

static int missing(const char *name) {
  snprintf(text, sizeof text, "the MPI library (%.200s) lacks %s", version, name);
  return COIX_MPI_NO_SYMBOL;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/// Lets others have the core while this process waits, if it is long: who is about to be served keeps it for the time that a transfer takes,
/// then yields, then sleeps. False when it has been too long.
static bool rest(double start) {
  const double waited = seconds() - start;
  if (waited < 50e-6) return true;
  if (waited < 500e-6) return sched_yield(), true;
  if (waited > timeout) {
    has_given_up = true;
    return false;
  }
  nanosleep(&(struct timespec){0, waited < 0.01 ? 20000 : 200000}, NULL);
  return true;
}

typedef void *address;
#define HANDLE address
#define IN(x) open_mpi_##x
#include "family.h"
#undef HANDLE
#undef IN
#define HANDLE int
#define IN(x) mpich_##x
#include "family.h"
#undef HANDLE
#undef IN

static enum { NONE, OPEN_MPI, MPICH } family;
#define CALL(call) (family == OPEN_MPI ? open_mpi_##call : mpich_##call)

// What launchers leave in the environment: Open MPI's mpirun; MPICH's, Intel's and Cray's; srun.
int coix_mpi_launched(void) {
  const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", getenv("SLURM_PROCID") ? "SLURM_STEP_NUM_TASKS" : NULL};
  for (int i = 0; i < 3; i++) {
    const char *value = names[i] ? getenv(names[i]) : NULL;
    if (value) return atoi(value);
  }
  return 0;
}

static void *open_file(const char *name, int flags) {
  snprintf(version, sizeof version, "%s", name);
  return dlopen(name, flags);
}

static void *open_library(void) {
  // RTLD_GLOBAL: Open MPI's plug-ins look for its symbols.
  const int flags = RTLD_NOW | RTLD_GLOBAL;
  const char *path = getenv("COIX_MPI_LIBRARY");
  if (path && *path) return open_file(path, flags);
  if (dlsym(RTLD_DEFAULT, "MPI_Init_thread")) {
    snprintf(version, sizeof version, "which the program is linked with");
    return dlopen(NULL, RTLD_NOW);
  }
  const bool speaks_pmi = getenv("PMI_SIZE") && !getenv("OMPI_COMM_WORLD_SIZE") && !getenv("PMIX_RANK");
  const char *const names[] = {"libmpi.so.40", "libmpi.so.12", "libmpich.so.12"};
  for (int i = 0; i < 3; i++) {
    void *library = open_file(names[speaks_pmi ? (i + 1) % 3 : i], flags);
    if (library) return library;
  }
  return open_file("libmpi.so", flags);
}

static int resolve(void *library) {
  int (*get_version)(char *, int *) = NULL;
  *(void **)&get_version = dlsym(library, "MPI_Get_library_version");
  if (!get_version) return missing("MPI_Get_library_version");
  int length;
  get_version(version, &length);
  version[strcspn(version, "\n")] = 0;
  for (char *c = version; *c; c++)
    if (*c == '\t') *c = ' ';
  if (dlsym(library, COIX_OPEN_MPI_WORLD)) {
    family = OPEN_MPI;
#define RESOLVE(field, name)                                                                                                \
  if (!(open_mpi_mpi.field = dlsym(library, name))) return missing(name)
    RESOLVE(world, COIX_OPEN_MPI_WORLD);
    RESOLVE(byte, COIX_OPEN_MPI_BYTE);
    RESOLVE(errors_return, COIX_OPEN_MPI_ERRORS_RETURN);
#undef RESOLVE
    open_mpi_mpi.in_place = (void *)COIX_OPEN_MPI_IN_PLACE;
    open_mpi_mpi.no_status = (void *)COIX_OPEN_MPI_NO_STATUS;
    return open_mpi_resolve(library);
  }
  if (!strstr(version, "MPICH") && !strstr(version, "Intel") && !strstr(version, "MVAPICH") && !strstr(version, "CRAY"))
    return COIX_MPI_UNKNOWN_FAMILY;
  family = MPICH;
  mpich_mpi.world = COIX_MPICH_WORLD;
  mpich_mpi.byte = COIX_MPICH_BYTE;
  mpich_mpi.errors_return = COIX_MPICH_ERRORS_RETURN;
  mpich_mpi.in_place = (void *)(intptr_t)COIX_MPICH_IN_PLACE;
  mpich_mpi.no_status = (void *)COIX_MPICH_NO_STATUS;
  return mpich_resolve(library);
}

int coix_mpi_start(double seconds_to_wait) {
  timeout = seconds_to_wait;
  const int launched = coix_mpi_launched();
  void *library = open_library();
  if (!library) {
    const char *reason = dlerror();
    snprintf(text, sizeof text, "no MPI library was found for the %d processes that were started (%s)", launched,
             reason ? reason : "?");
    return COIX_MPI_NO_LIBRARY;
  }
  TRY(resolve(library));
  int level = 0;
  TRY(CALL(start(&level)));
  if (level < COIX_MPI_SERIALIZED) return COIX_MPI_NO_THREADS;
  if (launched != size) {
    snprintf(text, sizeof text,
             "the launcher has started %d processes, but %.200s sees %d: launcher and library belong to different MPIs",
             launched, version, size);
    return COIX_MPI_OTHER_LAUNCHER;
  }
  return 0;
}

int coix_mpi_rank(void) { return rank; }
int coix_mpi_size(void) { return size; }
const char *coix_mpi_version(void) { return version; }

const char *coix_mpi_error_text(int error) {
  int length;
  switch (error) {
  case COIX_MPI_NO_LIBRARY:
  case COIX_MPI_NO_SYMBOL:
  case COIX_MPI_OTHER_LAUNCHER: return text;
  case COIX_MPI_UNKNOWN_FAMILY:
    snprintf(text, sizeof text, "%.200s is of no known family of MPI libraries", version);
    return text;
  case COIX_MPI_NO_THREADS:
    snprintf(text, sizeof text, "%.200s was built without support for threads", version);
    return text;
  case COIX_MPI_TIMEOUT:
    snprintf(text, sizeof text, "other ranks did not come within %g seconds", timeout);
    return text;
  default:
    if (family == NONE || CALL(mpi.Error_string)(error, text, &length)) return "unknown MPI error";
    return text;
  }
}

int coix_mpi_gather(const void *mine, void *all, size_t bytes) { return CALL(gather(mine, all, bytes)); }

int coix_mpi_gather_parts(void *all, const int *counts, size_t unit) { return CALL(gather_parts(all, counts, unit)); }

/// The bytes of a message: a count of bytes is int, too.
#define PART ((size_t)1 << 30)

int coix_mpi_broadcast(void *data, size_t bytes, int root) {
  for (size_t done = 0; done < bytes; done += PART)
    TRY(CALL(broadcast((char *)data + done, bytes - done < PART ? bytes - done : PART, root)));
  return 0;
}

int coix_mpi_send(const void *data, size_t bytes, int to) {
  for (size_t done = 0; done < bytes; done += PART)
    TRY(CALL(send((const char *)data + done, bytes - done < PART ? bytes - done : PART, to)));
  return 0;
}

int coix_mpi_receive(void *data, size_t bytes, int from) {
  for (size_t done = 0; done < bytes; done += PART)
    TRY(CALL(receive((char *)data + done, bytes - done < PART ? bytes - done : PART, from)));
  return 0;
}

/// What is left of some bytes after so many parts, a part at most.
static size_t part_of(size_t bytes, size_t done) {
  return bytes <= done ? 0 : bytes - done < PART ? bytes - done : PART;
}

int coix_mpi_swap(const void *const *out, const size_t *out_bytes, void *const *in, const size_t *in_bytes) {
  const void *sources[size];
  void *targets[size];
  size_t source_bytes[size], target_bytes[size];
  bool is_over = false;
  for (size_t done = 0; !is_over; done += PART) {
    is_over = true;
    for (int r = 0; r < size; r++) {
      source_bytes[r] = part_of(out_bytes[r], done);
      target_bytes[r] = part_of(in_bytes[r], done);
      sources[r] = source_bytes[r] ? (const char *)out[r] + done : NULL;
      targets[r] = target_bytes[r] ? (char *)in[r] + done : NULL;
      is_over = is_over && out_bytes[r] <= done + PART && in_bytes[r] <= done + PART;
    }
    TRY(CALL(swap(sources, source_bytes, targets, target_bytes)));
  }
  return 0;
}

int coix_mpi_ask(unsigned char *is_here) {
  memset(is_here, 1, (size_t)size);
  return has_given_up ? CALL(ask(is_here)) : 0;
}

int coix_mpi_finish(void) { return CALL(finish()); }

/// Waits until somebody has read what this process has written into a pipe, up to two seconds.
static void drain(int file) {
  struct stat status;
  if (fstat(file, &status) || !S_ISFIFO(status.st_mode)) return;
  int left = 0;
  for (int i = 0; i < 200 && !ioctl(file, FIONREAD, &left) && left > 0; i++)
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

_Noreturn void coix_mpi_abort(int status) {
  fflush(NULL); // nobody else does, then
  // MPICH's launcher drops what it has not read yet of the ranks' output when a rank ends the job, and may drop what it has not
  // handed on.
  drain(STDOUT_FILENO);
  drain(STDERR_FILENO);
  nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
  if (family == OPEN_MPI) open_mpi_mpi.Abort(open_mpi_mpi.world, status);
  if (family == MPICH) mpich_mpi.Abort(mpich_mpi.world, status);
  _Exit(status);
}

static void (*exit_hook)(int);

#ifdef __GLIBC__
static void call_hook(int status, void *unused) {
  (void)unused;
  exit_hook(status);
}
#else
static void call_hook(void) { exit_hook(70); }
#endif

void coix_mpi_at_exit(void (*hook)(int)) {
  exit_hook = hook;
#ifdef __GLIBC__
  on_exit(call_hook, NULL);
#else
  atexit(call_hook);
#endif
}
