// Included once for each family of MPI libraries. They differ in what a handle is, HANDLE; IN(x) gives names of the family's own.

#define COMM HANDLE
#define TYPE HANDLE
#define REQUEST HANDLE
#define HANDLER HANDLE
#define STATUS void

#define DECLARE(name, parameters) int(*name) parameters;
static struct {
  HANDLE world, byte, errors_return;
  void *in_place, *no_status;
  COIX_MPI_FUNCTIONS(DECLARE)
} IN(mpi);
#undef DECLARE

/// A communicator of our own: our messages never meet those of the user's program.
static HANDLE IN(comm);

static int IN(resolve)(void *library) {
#define RESOLVE(name, parameters)                                                                                           \
  if (!(*(void **)&IN(mpi).name = dlsym(library, "MPI_" #name))) return missing("MPI_" #name);
  COIX_MPI_FUNCTIONS(RESOLVE)
#undef RESOLVE
  return 0;
}

static int IN(start)(int *level) {
  int is_running;
  TRY(IN(mpi).Initialized(&is_running)); // the user's program may have started it
  TRY(is_running ? IN(mpi).Query_thread(level) : IN(mpi).Init_thread(NULL, NULL, COIX_MPI_SERIALIZED, level));
  is_ours = !is_running;
  TRY(IN(mpi).Comm_dup(IN(mpi).world, &IN(comm)));
  TRY(IN(mpi).Comm_set_errhandler(IN(comm), IN(mpi).errors_return));
  TRY(IN(mpi).Comm_rank(IN(comm), &rank));
  return IN(mpi).Comm_size(IN(comm), &size);
}

static int IN(finish)(void) {
  TRY(IN(mpi).Comm_free(&IN(comm)));
  return is_ours ? IN(mpi).Finalize() : 0;
}

/// Sends a message of nothing but its tag. Nobody waits until it has gone.
static int IN(say)(int tag, int to) {
  HANDLE request;
  return IN(mpi).Isend(NULL, 0, IN(mpi).byte, to, tag, IN(comm), &request);
}

/// Takes such a message, if there is one.
static int IN(hear)(int tag, int from, int *is_there) {
  HANDLE request;
  TRY(IN(mpi).Iprobe(from, tag, IN(comm), is_there, IN(mpi).no_status));
  return *is_there ? IN(mpi).Irecv(NULL, 0, IN(mpi).byte, from, tag, IN(comm), &request) : 0;
}

/// Answers those who ask, and notes them.
static int IN(answer)(unsigned char *is_here) {
  for (int r = 0; r < size; r++) {
    int asks = 0;
    if (r != rank) TRY(IN(hear)(QUESTION, r, &asks));
    if (!asks) continue;
    if (is_here) is_here[r] = 1;
    TRY(IN(say)(ANSWER, r));
  }
  return 0;
}

static int IN(ask)(unsigned char *is_here) {
  for (int r = 0; r < size; r++) {
    is_here[r] = r == rank;
    if (r != rank) TRY(IN(say)(QUESTION, r));
  }
  const double start = seconds();
  for (int missing = 1; missing && seconds() - start < 2;) {
    TRY(IN(answer)(is_here));
    missing = 0;
    for (int r = 0; r < size; r++) {
      int answers = is_here[r];
      if (!answers) TRY(IN(hear)(ANSWER, r, &answers));
      if (answers) is_here[r] = 1;
      missing += !answers;
    }
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
  return 0;
}

/// Waits for a transfer, and answers those who ask meanwhile.
static int IN(settle)(HANDLE request) {
  const double start = seconds();
  for (long round = 0;; round++) {
    int is_done;
    TRY(IN(mpi).Test(&request, &is_done, IN(mpi).no_status));
    if (is_done) return 0;
    if (!rest(start)) return COIX_MPI_TIMEOUT;
    if (round % 256 == 255) TRY(IN(answer)(NULL));
  }
}

/// Starts a transfer of elements of `unit` bytes, and waits for it. Counts are int, and so count elements, not bytes.
#define TRANSFER(unit, call)                                                                                                \
  do {                                                                                                                      \
    HANDLE type, request;                                                                                                   \
    TRY(IN(mpi).Type_contiguous((int)(unit), IN(mpi).byte, &type));                                                         \
    TRY(IN(mpi).Type_commit(&type));                                                                                        \
    TRY(IN(mpi).call);                                                                                                      \
    TRY(IN(settle)(request));                                                                                               \
    TRY(IN(mpi).Type_free(&type));                                                                                          \
  } while (0)

static int IN(gather)(const void *mine, void *all, size_t bytes) {
  TRANSFER(bytes, Iallgather(mine, 1, type, all, 1, type, IN(comm), &request));
  return 0;
}

static int IN(gather_parts)(void *all, const int *counts, size_t unit) {
  int offsets[size];
  offsets[0] = 0;
  for (int r = 1; r < size; r++) offsets[r] = offsets[r - 1] + counts[r - 1];
  TRANSFER(unit, Iallgatherv(IN(mpi).in_place, 0, type, all, counts, offsets, type, IN(comm), &request));
  return 0;
}

static int IN(broadcast)(void *data, size_t bytes, int root) {
  TRANSFER(bytes, Ibcast(data, 1, type, root, IN(comm), &request));
  return 0;
}

static int IN(send)(const void *data, size_t bytes, int to) {
  TRANSFER(bytes, Isend(data, 1, type, to, DATA, IN(comm), &request));
  return 0;
}

static int IN(receive)(void *data, size_t bytes, int from) {
  TRANSFER(bytes, Irecv(data, 1, type, from, DATA, IN(comm), &request));
  return 0;
}

/// At most an int's number of bytes to and from each other rank.
static int IN(swap)(const void *const *out, const size_t *out_bytes, void *const *in, const size_t *in_bytes) {
  HANDLE requests[2 * size];
  int count = 0;
  for (int r = 0; r < size; r++)
    if (r != rank && in_bytes[r])
      TRY(IN(mpi).Irecv(in[r], (int)in_bytes[r], IN(mpi).byte, r, DATA, IN(comm), &requests[count++]));
  for (int r = 0; r < size; r++)
    if (r != rank && out_bytes[r])
      TRY(IN(mpi).Isend(out[r], (int)out_bytes[r], IN(mpi).byte, r, DATA, IN(comm), &requests[count++]));
  for (int i = 0; i < count; i++) TRY(IN(settle)(requests[i]));
  return 0;
}

#undef TRANSFER
#undef COMM
#undef TYPE
#undef REQUEST
#undef HANDLER
#undef STATUS
