// What this target believes of MPI libraries: what it calls, and the constants of the two families of binary interfaces.
// Tests/MPI/interface.c compares all of it with the headers.

#ifndef COIX_MPI_INTERFACE_H
#define COIX_MPI_INTERFACE_H

/// The functions, with their parameters; each returns int. COMM, TYPE, REQUEST, HANDLER and STATUS are the types of
/// handles, which is where the families differ.
#define COIX_MPI_FUNCTIONS(F)                                                                                               \
  F(Init_thread, (int *, char ***, int, int *))                                                                             \
  F(Initialized, (int *))                                                                                                   \
  F(Query_thread, (int *))                                                                                                  \
  F(Finalize, (void))                                                                                                       \
  F(Abort, (COMM, int))                                                                                                     \
  F(Error_string, (int, char *, int *))                                                                                     \
  F(Comm_rank, (COMM, int *))                                                                                               \
  F(Comm_size, (COMM, int *))                                                                                               \
  F(Comm_dup, (COMM, COMM *))                                                                                               \
  F(Comm_free, (COMM *))                                                                                                    \
  F(Comm_set_errhandler, (COMM, HANDLER))                                                                                   \
  F(Type_contiguous, (int, TYPE, TYPE *))                                                                                   \
  F(Type_commit, (TYPE *))                                                                                                  \
  F(Type_free, (TYPE *))                                                                                                    \
  F(Iallgather, (const void *, int, TYPE, void *, int, TYPE, COMM, REQUEST *))                                              \
  F(Iallgatherv, (const void *, int, TYPE, void *, const int *, const int *, TYPE, COMM, REQUEST *))                        \
  F(Ibcast, (void *, int, TYPE, int, COMM, REQUEST *))                                                                      \
  F(Isend, (const void *, int, TYPE, int, int, COMM, REQUEST *))                                                            \
  F(Irecv, (void *, int, TYPE, int, int, COMM, REQUEST *))                                                                  \
  F(Iprobe, (int, int, COMM, int *, STATUS *))                                                                              \
  F(Test, (REQUEST *, int *, STATUS *))

/// The level of threads that take turns.
#define COIX_MPI_SERIALIZED 2

// Open MPI: handles are addresses of these symbols.
#define COIX_OPEN_MPI_WORLD "ompi_mpi_comm_world"
#define COIX_OPEN_MPI_BYTE "ompi_mpi_byte"
#define COIX_OPEN_MPI_ERRORS_RETURN "ompi_mpi_errors_return"
#define COIX_OPEN_MPI_IN_PLACE 1
#define COIX_OPEN_MPI_NO_STATUS 0

// What MPICH, Intel MPI, MVAPICH and Cray MPI have agreed on: handles are numbers.
#define COIX_MPICH_WORLD 0x44000000
#define COIX_MPICH_BYTE 0x4c00010d
#define COIX_MPICH_ERRORS_RETURN 0x54000001
#define COIX_MPICH_IN_PLACE -1
#define COIX_MPICH_NO_STATUS 1

#endif
