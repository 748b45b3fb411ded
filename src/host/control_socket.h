/* The socket by which the command line talks to a running server: <data>/control.sock. */
#pragma once
#include "worker.h"

typedef struct {
    int fd; /* -1: there is none, or the listener has taken it */
    bool opened;
    char *path;
} control_socket;

/* Opens it for its owner alone (mode 0600); a stale one is replaced. Where it can't be opened the
 * server runs without, and the log says what that costs. */
control_socket control_socket_open(const worker_shared *shared);
/* Removes it. The descriptor is the listener's by then, or is closed here. */
void control_socket_close(control_socket *s);
