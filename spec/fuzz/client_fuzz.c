/* An upstream's bytes through the real client over a unix socket: once whole, once in pieces whose
 * sizes the first byte seeds. Besides what the sanitizers see: exactly one end, the same one
 * however the bytes were split, and no connection kept after a failure.
 *
 * First byte: 1 HEAD, 2 an upgrade is wanted, 4 the upstream stays silent instead of ending, 8
 * every piece is read while the owner pauses. The rest seeds the splits. */
#include "client.h"
#include "metrics.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LONGEST_INPUT = 32768, TURNS = 2000 };

typedef struct {
    int status, ends, heads, upgraded;
    client_code code;
    uint64_t bytes, sum;
    bool pausing;
} outcome;

static uv_loop_t loop;
static uv_async_t awake; /* idle connections keep no loop alive */
static client *cl;
static int listening = -1;
static char path[64];

static void on_head(client_request *r, const client_answer *a)
{
    outcome *o = client_owner(r);
    o->heads++;
    o->status = a->status;
    if (a->status < 200 || a->length < -1)
        abort();
}

static void on_body(client_request *r, slice data)
{
    outcome *o = client_owner(r);
    for (size_t i = 0; i < data.n; i++)
        o->sum = o->sum * 31 + (unsigned char)data.p[i];
    o->bytes += data.n;
    if (o->heads != 1 || data.n == 0)
        abort();
    if (o->pausing) {
        client_pause(r);
        client_resume(r);
    }
}

static void on_end(client_request *r, client_code code, const char *why)
{
    outcome *o = client_owner(r);
    o->ends++;
    o->code = code;
    if ((code == CLIENT_OK) != (why == NULL) || (code == CLIENT_OK && o->heads != 1))
        abort();
}

static void on_upgrade(client_request *r, const client_answer *a, conn *c, slice rest)
{
    outcome *o = client_owner(r);
    o->upgraded++;
    o->ends++;
    o->status = a->status;
    (void)rest;
    conn_abort(c);
}

static const client_ops ops = {on_head, on_body, on_end, NULL, on_upgrade, NULL};

static void start(void)
{
    static const client_options options = {.connections = 4,
                                           .waiting = 4,
                                           .kept = 4,
                                           .idle_ms = 60000,
                                           .ca_file = "",
                                           .header_block = 8192,
                                           .headers = 50};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "/tmp/lunacast-client-fuzz-%d", (int)getpid());
    strcpy(address.sun_path, path);
    unlink(path);
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listening, 8) != 0)
        abort();
    uv_loop_init(&loop);
    uv_async_init(&loop, &awake, NULL);
    cl = client_new(&loop, &options);
}

static client_request *ask(uint8_t flags, outcome *o)
{
    buf headers = {0};
    client_add_header(&headers, SLICE("Host"), SLICE("fuzz"));
    client_call call = {.path = slice_of(path),
                        .method = flags & 1 ? SLICE("HEAD") : SLICE("GET"),
                        .target = SLICE("/"),
                        .headers = &headers,
                        .upgrade = (flags & 2) != 0};
    client_request *r = client_start(cl, &call, &ops, o);
    buf_free(&headers);
    return r;
}

static int accept_one(void)
{
    for (int i = 0; i < TURNS; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
    }
    abort();
}

static void send_pieces(int fd, const char *data, size_t n, size_t step, const outcome *o)
{
    while (n > 0 && o->ends == 0) {
        size_t part = step != 0 ? step : (size_t)(rand() % 40) + 1;
        ssize_t sent = send(fd, data, part < n ? part : n, MSG_NOSIGNAL);
        uv_run(&loop, UV_RUN_NOWAIT);
        if (sent < 0 && errno != EAGAIN)
            return;
        data += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
    }
}

static double connections(void)
{
    double value = 0;
    metrics_get(SLICE("lunacast_client_connections"), &value);
    return value;
}

static void run_once(uint8_t flags, const char *data, size_t n, size_t step, outcome *o)
{
    client_request *r = ask(flags, o);
    int fd = accept_one();
    send_pieces(fd, data, n, step, o);
    for (int i = 0; i < 3; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    if (flags & 4) {
        if (o->ends == 0)
            client_cancel(r);
        o->code = o->ends == 0 ? CLIENT_TIMEOUT : o->code;
        o->ends = 1;
    }
    close(fd);
    for (int i = 0; i < TURNS && (o->ends == 0 || connections() > 0); i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    if (o->ends != 1 || connections() > 0) {
        fprintf(stderr, "%d ends, %g connections are left\n", o->ends, connections());
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2 || size > LONGEST_INPUT)
        return 0;
    if (listening < 0)
        start();
    const char *data = (const char *)bytes + 1;
    outcome whole = {.pausing = false}, split = {.pausing = (*bytes & 8) != 0};
    srand(*bytes);
    run_once(*bytes, data, size - 1, size, &whole);
    run_once(*bytes, data, size - 1, *bytes & 16 ? 1 : 0, &split);
    if (whole.status != split.status || whole.code != split.code || whole.bytes != split.bytes ||
        whole.sum != split.sum || whole.upgraded != split.upgraded) {
        fprintf(stderr, "whole: %d %s, %zu bytes; split: %d %s, %zu bytes\n", whole.status,
                client_code_word(whole.code), (size_t)whole.bytes, split.status,
                client_code_word(split.code), (size_t)split.bytes);
        abort();
    }
    return 0;
}
