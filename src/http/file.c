/* A file as an answer: read on the thread pool, one piece ahead of the socket, with the next piece
 * read only when little is queued. The head goes out with the first piece, so that a file that
 * cannot be read is still a clean 500. Rejected: sendfile(2), which blocks the loop on a slow disk.
 *
 *   READING --on_read--> (queued > READ_AHEAD: WAITING --file_drained-->) READING ... --> done
 *      \--peer gone: file_peer_gone; the read in flight ends first--> freed
 *
 * Owner of the descriptor: the file_answer. What must never happen: the buffer freed under the
 * thread that reads into it; a file cut short looking like a whole one. */
#include "http_internal.h"

#include "mem.h"
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

enum { FILE_PIECE = 64 * 1024, READ_AHEAD = 128 * 1024 };

typedef struct file_answer {
    uv_fs_t read;
    exchange *x;
    uv_loop_t *loop;
    int fd;
    uint64_t offset, left, length;
    bool reading;
    char bytes[FILE_PIECE];
} file_answer;

static void on_read(uv_fs_t *read);

static void free_file(file_answer *f)
{
    close(f->fd);
    free(f);
}

static void start_read(file_answer *f)
{
    size_t n = f->left < FILE_PIECE ? (size_t)f->left : FILE_PIECE;
    uv_buf_t room = uv_buf_init(f->bytes, (unsigned)n);
    f->reading = true;
    f->read.data = f;
    if (uv_fs_read(f->loop, &f->read, f->fd, &room, 1, (int64_t)f->offset, on_read) != 0)
        abort(); /* only when it is called wrongly */
}

/* The answer is complete, or was never begun and becomes a 500. */
static void finish(file_answer *f)
{
    exchange *x = f->x;
    x->file = NULL;
    free_file(f);
    response_done(x);
}

static void read_failed(file_answer *f)
{
    exchange *x = f->x;
    if (x->begun) {
        conn_abort(x->hc->c);
        return;
    }
    x->file = NULL;
    x->answered = false;
    free_file(f);
    exchange_fail(x, 500, "internal", "the file could not be read", false);
}

static void send_piece(file_answer *f, size_t n)
{
    exchange *x = f->x;
    conn *c = x->hc->c;
    bool corked = conn_cork(c);
    if (!x->begun)
        response_head(x, LENGTH_KNOWN, f->length);
    response_body(x, (slice){f->bytes, n});
    f->offset += n;
    f->left -= n;
    if (f->left == 0)
        finish(f);
    else if (conn_queued(c) < READ_AHEAD)
        start_read(f);
    if (corked)
        conn_uncork(c);
}

static void on_read(uv_fs_t *read)
{
    file_answer *f = read->data;
    ssize_t n = read->result;
    uv_fs_req_cleanup(read);
    f->reading = false;
    if (f->x == NULL)
        free_file(f);
    else if (n > 0)
        send_piece(f, (size_t)n);
    else
        read_failed(f);
}

void file_drained(exchange *x)
{
    file_answer *f = x->file;
    if (!f->reading && f->left > 0)
        start_read(f);
}

void file_peer_gone(exchange *x)
{
    file_answer *f = x->file;
    x->file = NULL;
    f->x = NULL;
    if (!f->reading)
        free_file(f);
    exchange_settle(x, 499);
}

/* Nothing to read: HEAD, an empty file, nobody there, or a request that turned out broken. */
static bool without_body(exchange *x, uint64_t length)
{
    if (x->hc == NULL || x->answered || x->begun || x->body_fault != 0 || length == 0) {
        exchange_finish(x, SLICE(""));
        return true;
    }
    if (!x->is_head)
        return false;
    x->answered = true;
    response_head(x, LENGTH_KNOWN, length);
    response_done(x);
    return true;
}

void exchange_finish_file(exchange *x, int fd, uint64_t offset, uint64_t length)
{
    if (without_body(x, length)) {
        close(fd);
        return;
    }
    file_answer *f = mem_resize(NULL, sizeof *f);
    f->x = x;
    f->loop = conn_loop(x->hc->c);
    f->fd = fd;
    f->offset = offset;
    f->left = f->length = length;
    f->reading = false;
    x->file = f;
    x->answered = true;
    start_read(f);
}
