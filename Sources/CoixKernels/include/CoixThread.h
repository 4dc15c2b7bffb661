// One pointer for each thread, to the execution context in which tensor operators find their tape and
// buffers. A C thread-local takes half a nanosecond to read; a Swift task-local takes ten, and GCD workers
// don't inherit it.

#ifndef COIX_THREAD_H
#define COIX_THREAD_H

// This model is for variables of the program and of libraries loaded at its start: reading one needs no
// function call.
extern _Thread_local void *coix_thread_slot __attribute__((tls_model("initial-exec")));

static inline void *coix_get_thread_slot(void) { return coix_thread_slot; }
static inline void coix_set_thread_slot(void *value) { coix_thread_slot = value; }

#endif
