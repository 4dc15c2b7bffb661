// Compares what CoixMPI believes of an MPI library with the library's own header: compiled by each family's mpicc, and run.

#include "../../Sources/CoixMPI/interface.h"

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

static int differences = 0;

static void expect(const char *what, intptr_t believed, intptr_t found) {
  if (believed == found) return;
  printf("%s is %#lx, not %#lx\n", what, (long)found, (long)believed);
  differences++;
}

#define COMM MPI_Comm
#define TYPE MPI_Datatype
#define REQUEST MPI_Request
#define HANDLER MPI_Errhandler
#define STATUS MPI_Status

/// The function has the parameters that it is called with; MPI_X of another type does not compile.
#define CHECK_FUNCTION(name, parameters)                                                                                    \
  {                                                                                                                         \
    int(*function) parameters = MPI_##name;                                                                                 \
    (void)function;                                                                                                         \
  }

#define VALUE(x) (intptr_t)(x)

#ifdef OPEN_MPI
#include <dlfcn.h>

static void expect_symbol(const char *name, intptr_t found) {
  expect(name, (intptr_t)dlsym(RTLD_DEFAULT, name), found);
}
#endif

int main(void) {
  COIX_MPI_FUNCTIONS(CHECK_FUNCTION)
  expect("MPI_SUCCESS", 0, MPI_SUCCESS);
  expect("MPI_THREAD_SERIALIZED", COIX_MPI_SERIALIZED, MPI_THREAD_SERIALIZED);
#ifdef OPEN_MPI
  expect_symbol(COIX_OPEN_MPI_WORLD, VALUE(MPI_COMM_WORLD));
  expect_symbol(COIX_OPEN_MPI_BYTE, VALUE(MPI_BYTE));
  expect_symbol(COIX_OPEN_MPI_ERRORS_RETURN, VALUE(MPI_ERRORS_RETURN));
  expect("MPI_IN_PLACE", COIX_OPEN_MPI_IN_PLACE, VALUE(MPI_IN_PLACE));
  expect("MPI_STATUS_IGNORE", COIX_OPEN_MPI_NO_STATUS, VALUE(MPI_STATUS_IGNORE));
  expect("the size of a handle", sizeof(void *), sizeof(MPI_Request));
#else
  expect("MPI_COMM_WORLD", COIX_MPICH_WORLD, VALUE(MPI_COMM_WORLD));
  expect("MPI_BYTE", COIX_MPICH_BYTE, VALUE(MPI_BYTE));
  expect("MPI_ERRORS_RETURN", COIX_MPICH_ERRORS_RETURN, VALUE(MPI_ERRORS_RETURN));
  expect("MPI_IN_PLACE", COIX_MPICH_IN_PLACE, VALUE(MPI_IN_PLACE));
  expect("MPI_STATUS_IGNORE", COIX_MPICH_NO_STATUS, VALUE(MPI_STATUS_IGNORE));
  expect("the size of a handle", sizeof(int), sizeof(MPI_Request));
#endif
  puts(differences ? "the header differs" : "as believed");
  return differences != 0;
}
