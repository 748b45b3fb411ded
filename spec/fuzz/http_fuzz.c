/* Request bytes through the real connection code over a socket pair: once whole, once in pieces
 * whose sizes the first byte seeds. Besides what the sanitizers see: nothing may be left over, and
 * the statuses must not depend on the split (except where a body turns out bad after its handler
 * was asked, or 100 Continue is a matter of time). The client's socket counts as a trusted proxy,
 * so that what it says of its clients is read too; an address comes out of that, or its own.
 *
 *   cmake -B build-fuzz -DLUNACAST_FUZZ=ON -DLUNACAST_SANITIZE=ON -DCMAKE_C_COMPILER=clang
 *   build-fuzz/http_fuzz spec/fuzz/corpus/http_fuzz
 *
 * spec/c/http_corpus_spec.c replays the corpus with any compiler. */
#include "../c/http_rig.h"
#include "forwarded.h"

enum { MAX_STATUSES = 64, LONGEST_INPUT = 32768 };

typedef struct {
    int list[MAX_STATUSES];
    size_t n;
} statuses;

static rig fuzz_rig;

/* Every answer of the host has exactly one Date line, right behind the first two. */
static void note_statuses(const rig_answer *a, statuses *out)
{
    static const char mark[] = "\r\nServer: lunacast\r\nDate: ";
    const char *p = a->data, *end = a->data + a->len;
    while (p != NULL && out->n < MAX_STATUSES &&
           (p = memmem(p, (size_t)(end - p), mark, sizeof mark - 1)) != NULL) {
        const char *line = p;
        while (line > a->data && line[-1] != '\n')
            line--;
        out->list[out->n++] = atoi(line + 9);
        p += sizeof mark - 1;
    }
}

static void drop_one(conn *c, void *arg)
{
    (void)arg;
    conn_abort(c);
}

static void run_once(const char *data, size_t n, size_t step, statuses *out)
{
    rig_answer a = {0};
    int fd = rig_connect(&fuzz_rig);
    rig_send(&fuzz_rig, fd, &a, data, n, step);
    rig_pump(&fuzz_rig, fd, &a, 3);
    note_statuses(&a, out);
    free(a.data);
    close(fd);
    conn_pool_each(fuzz_rig.pool, drop_one, NULL);
    for (int i = 0; i < 1000 && (conn_pool_count(fuzz_rig.pool) > 0 || exchange_alive() > 0); i++)
        uv_run(&fuzz_rig.loop, UV_RUN_NOWAIT);
    if (conn_pool_count(fuzz_rig.pool) + exchange_alive() + frame_alive() > 0) {
        fprintf(stderr, "%zu connections, %zu exchanges and %zu frames are left\n",
                conn_pool_count(fuzz_rig.pool), exchange_alive(), frame_alive());
        abort();
    }
    fuzz_rig.stream_count = 0;
}

static bool mentions(const char *data, size_t n, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= n; i++)
        if (strncasecmp(data + i, word, length) == 0)
            return true;
    return false;
}

/* Whether the order of events may rightly change an answer. */
static bool timing_matters(const char *data, size_t n)
{
    static const char *const words[] = {"chunk",   "expect", "/later", "/never",
                                        "/writer", "/file",  "/big",   "content-length"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (mentions(data, n, words[i]))
            return true;
    return memchr(data, '%', n) != NULL; /* those words in disguise */
}

static void check_address(slice peer, slice network)
{
    uint8_t address[ADDRESS_BYTES];
    if (!slice_eq(peer, SLICE("unix")) && !address_parse(peer, address))
        abort();
    if (network.n < 4 || memchr(network.p, '\r', network.n) != NULL)
        abort();
}

static void on_exchange(exchange *x, void *arg)
{
    slice host = forwarded_host(x);
    check_address(forwarded_peer(x), forwarded_network(x));
    if (forwarded_is_tls(x) && host.n > 255)
        abort();
    rig_on_exchange(x, arg);
}

static void start_rig(void)
{
    static const char *const proxies[] = {"unix", "10.0.0.0/8", NULL};
    char error[200];
    rig_start(&fuzz_rig);
    fuzz_rig.handler.on_exchange = on_exchange;
    strcpy(fuzz_rig.file, "/proc/self/exe");
    fuzz_rig.file_size = 200000;
    if (forwarded_trust(proxies, error, sizeof error) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2 || size > LONGEST_INPUT)
        return 0;
    if (fuzz_rig.pool == NULL)
        start_rig();
    const char *data = (const char *)bytes + 1;
    statuses whole = {.n = 0}, split = {.n = 0};
    srand(*bytes);
    run_once(data, size - 1, size, &whole);
    run_once(data, size - 1, *bytes & 1 ? 0 : 1, &split);
    if (!timing_matters(data, size - 1) && memcmp(&whole, &split, sizeof whole) != 0) {
        fprintf(stderr, "%zu answers whole (first %d), %zu split (first %d):\n%.*s\n", whole.n,
                whole.list[0], split.n, split.list[0], (int)size - 1, data);
        abort();
    }
    return 0;
}
