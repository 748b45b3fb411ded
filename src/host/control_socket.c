/* A socket in the data folder and not below /run: whoever may write the data is who may command,
 * and the command finds it by the application's folder alone. Its mode is set before it has a name,
 * so that at no time anybody else can open it.
 *
 * Owner: the host. What must never happen: the socket of another live server replaced; a server
 * that does not start since nobody could command it. */
#include "control_socket.h"

#include "buf.h"
#include "listener.h"
#include "log.h"
#include "setup.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char *path_of(const worker_shared *shared)
{
    char *data = setup_path(shared, "data");
    buf path = {0};
    mkdir(data, 0700); /* there is one, or opening the socket says why not */
    buf_format(&path, "%s/control.sock", data);
    free(data);
    return buf_cstr(&path);
}

control_socket control_socket_open(const worker_shared *shared)
{
    control_socket s = {.fd = -1, .path = path_of(shared)};
    listen_address address = {0};
    char error[1024];
    buf name = {0};
    buf_format(&name, "unix:%s", s.path);
    if (listen_parse(buf_cstr(&name), &address, error, sizeof error) == 0) {
        address.mode = 0600;
        s.fd = listen_open(&address, error, sizeof error);
    }
    buf_free(&name);
    s.opened = s.fd >= 0;
    if (!s.opened)
        log_warn("no control socket: `lunacast status` and the like can't reach this server",
                 LOG_TEXT("error", error));
    return s;
}

void control_socket_close(control_socket *s)
{
    if (s->path == NULL)
        return;
    if (s->opened)
        unlink(s->path);
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
}
