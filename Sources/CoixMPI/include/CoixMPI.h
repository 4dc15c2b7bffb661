// MPI, found when the program runs: nothing of it is needed to build this, and nothing is loaded before `coix_mpi_start`.
//
// One thread calls at a time. A function that returns int returns 0, or an error whose text `coix_mpi_error_text` has. Whoever
// waits for other processes yields its core meanwhile, and gives up when the time-out is over.

#ifndef COIX_MPI_H
#define COIX_MPI_H

#include <stddef.h>

/// Errors besides those of the library, which are positive.
enum {
  /// No library was found.
  COIX_MPI_NO_LIBRARY = -1,
  /// The library lacks a function.
  COIX_MPI_NO_SYMBOL = -2,
  /// Nobody knows how to call the library.
  COIX_MPI_UNKNOWN_FAMILY = -3,
  /// The library does not let threads take turns in calling it.
  COIX_MPI_NO_THREADS = -4,
  /// The launcher has started several processes, and the library sees one.
  COIX_MPI_OTHER_LAUNCHER = -5,
  /// The others did not come in time.
  COIX_MPI_TIMEOUT = -6,
};

/// How many processes a launcher says that it has started, by its environment variables; 0 if there was no launcher.
int coix_mpi_launched(void);

/// Loads and starts a library: the one at the path in COIX_MPI_LIBRARY, else the one that the program is linked with, else the
/// one that the launcher speaks for.
///
/// - timeout: the seconds to wait for others.
int coix_mpi_start(double timeout);

/// Which of the processes this is, and how many there are.
int coix_mpi_rank(void);
int coix_mpi_size(void);

/// The library's name and version.
const char *coix_mpi_version(void);
const char *coix_mpi_error_text(int error);

/// Each process's `bytes` bytes, to all of them.
int coix_mpi_gather(const void *mine, void *all, size_t bytes);

/// The same in place, counts[r] elements of `unit` bytes from process r, one after another.
int coix_mpi_gather_parts(void *all, const int *counts, size_t unit);

/// A process's bytes, to all others.
int coix_mpi_broadcast(void *data, size_t bytes, int root);

/// Bytes from one process to another.
int coix_mpi_send(const void *data, size_t bytes, int to);
int coix_mpi_receive(void *data, size_t bytes, int from);

/// To each other process r the out_bytes[r] bytes at out[r], and from it in_bytes[r] bytes, to in[r].
int coix_mpi_swap(const void *const *out, const size_t *out_bytes, void *const *in, const size_t *in_bytes);

/// After a time-out: asks the others whether they are there, and waits for their answers, up to two seconds. Who waits for others
/// answers.
///
/// - is_here: [size]: 1 for those that have answered, and for this one; 1 for all if nobody has waited too long.
int coix_mpi_ask(unsigned char *is_here);

/// The regular end: all processes come to it.
int coix_mpi_finish(void);

/// Ends all processes of the job at once.
_Noreturn void coix_mpi_abort(int status);

/// Calls a function when the process exits, with its exit status where the system tells, else with 70.
void coix_mpi_at_exit(void (*hook)(int status));

/// The file by which MPICH's launcher speaks to this process; -1 where another launcher has started it.
int coix_mpi_launcher_file(void);

/// Lets another process of this host and user watch this one.
void coix_mpi_let_watch(int watcher);

/// Waits, on a thread of its own, until a process that lets this one watch it has ended. Holds copies of its standard output and
/// error and of its launcher's file meanwhile. Returns how it was killed; NULL if it has exited, or can't be watched.
const char *coix_mpi_watch(int process, int launcher_file);

/// Closes these copies.
void coix_mpi_let_go(void);

#endif
