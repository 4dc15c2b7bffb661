// One pointer a thread: the execution context that tensor operators find their tape and buffers through.
// A C thread-local costs half a nanosecond to read; a Swift task-local ten, and it doesn't reach GCD workers.

#ifndef COIX_THREAD_H
#define COIX_THREAD_H

// The model for variables of the program and of libraries loaded with it: no call to find the variable.
extern _Thread_local void *coix_thread_slot __attribute__((tls_model("initial-exec")));

static inline void *coix_get_thread_slot(void) { return coix_thread_slot; }
static inline void coix_set_thread_slot(void *value) { coix_thread_slot = value; }

#endif
