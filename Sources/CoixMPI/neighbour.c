// How the death of a process is noticed by another one of its host.
//
// A process that dies without exiting can't say so, and MPICH's launcher, which notices by its files, kills all others at once and
// names the first of them. So each process hands another one copies of these files: until they are closed, that launcher notices
// nothing, and there is time to say who has died.

#define _GNU_SOURCE // for accept4 and struct ucred
#include "CoixMPI.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/// Standard output, standard error, and the connection to the launcher.
enum { FILES = 3 };
/// Room for so many files in a message.
typedef union {
  char bytes[CMSG_SPACE(FILES * sizeof(int))];
  struct cmsghdr head;
} file_room;

/// Where the neighbour's call comes in, and the line to whom this process has called.
static int door = -1, line = -1;
/// The neighbour's files.
static int held[FILES], held_count;
static atomic_bool has_left;

/// Repeats a call that a signal interrupts.
#define UNINTERRUPTED(result, call)                                                                                         \
  do result = (call);                                                                                                       \
  while (result < 0 && errno == EINTR)

/// The process at the other end, if it is this user's; else -1.
static pid_t caller(int socket) {
  struct ucred who;
  socklen_t size = sizeof who;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) || who.uid != geteuid() ? -1 : who.pid;
}

int coix_mpi_listen(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t size = sizeof address.sun_family; // without a name: the system finds one, of five hexadecimal digits
  door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (door < 0 || bind(door, (struct sockaddr *)&address, size) || listen(door, 1)) return -1;
  size = sizeof address;
  if (getsockname(door, (struct sockaddr *)&address, &size)) return -1;
  return (int)strtol(address.sun_path + 1, NULL, 16);
}

void coix_mpi_call(int number) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%05x", (unsigned)number);
  line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (line < 0 || connect(line, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 6)) return;
  if (caller(line) < 0) return;

  file_room room = {{0}};
  struct msghdr message = {.msg_iov = &(struct iovec){"", 1}, .msg_iovlen = 1};
  // Other launchers notice by the process itself.
  const char *connection = getenv("PMI_FD");
  const int files[FILES] = {STDOUT_FILENO, STDERR_FILENO, connection ? atoi(connection) : -1};
  int open_files[FILES], count = 0;
  for (int i = 0; connection && i < FILES; i++)
    if (fcntl(files[i], F_GETFD) >= 0) open_files[count++] = files[i];
  if (count) {
    room.head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN((size_t)count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&room.head), open_files, (size_t)count * sizeof(int));
    message.msg_control = &room;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
  }
  sendmsg(line, &message, MSG_NOSIGNAL);
}

void coix_mpi_leave(void) {
  has_left = true;
  if (line >= 0) send(line, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void coix_mpi_let_go(void) {
  while (held_count) close(held[--held_count]);
}

/// How a process has ended that nobody has asked for its status yet; 0 if the system doesn't tell.
static int status_of(pid_t process) {
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

/// Whether a process has ended by a signal that it has sent to itself.
static bool is_crash(int status) {
  const int signals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (WIFSIGNALED(status) && WTERMSIG(status) == signals[i]) return true;
  return false;
}

const char *coix_mpi_watch(void) {
  int watched;
  pid_t process;
  do {
    UNINTERRUPTED(watched, accept4(door, NULL, NULL, SOCK_CLOEXEC));
    if (watched < 0) return NULL;
    process = caller(watched);
    if (process < 0) close(watched);
  } while (process < 0);
  close(door);

  char byte;
  file_room room;
  struct msghdr message = {
      .msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
  ssize_t received;
  UNINTERRUPTED(received, recvmsg(watched, &message, MSG_CMSG_CLOEXEC));
  if (received == 1) {
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS) {
      held_count = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      memcpy(held, CMSG_DATA(head), (size_t)held_count * sizeof(int));
    }
    UNINTERRUPTED(received, recv(watched, &byte, 1, 0));
    if (received == 1) { // it leaves
      coix_mpi_let_go();
      return NULL;
    }
  }
  int status = status_of(process); // before others ask for it
  if (!is_crash(status)) {
    // Where a launcher ends all processes, this one dies meanwhile, too.
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    if (!status) status = status_of(process);
  }
  if (has_left) return NULL;

  static char text[128];
  if (WIFSIGNALED(status))
    snprintf(text, sizeof text, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
  else if (status)
    snprintf(text, sizeof text, "has ended with status %d", WEXITSTATUS(status));
  else
    snprintf(text, sizeof text, "has died: it was killed, or has crashed");
  return text;
}

#else

int coix_mpi_listen(void) { return -1; }
void coix_mpi_call(int number) { (void)number; }
void coix_mpi_leave(void) {}
void coix_mpi_let_go(void) {}
/// Whether a process has ended by a signal that it has sent to itself.
static bool is_crash(int status) {
  const int signals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (WIFSIGNALED(status) && WTERMSIG(status) == signals[i]) return true;
  return false;
}

const char *coix_mpi_watch(void) { return NULL; }

#endif
