/* By hand and not by llhttp: an answer of 101 has no body and no chunks, and of a refusal only what
 * its Content-Length announces is of interest. Whatever does not fit is OPENING_BAD. */
#include "opening.h"

static bool is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put_query(buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (is_token_char((unsigned char)*text))
            buf_byte(out, *text);
        else
            buf_format(out, "%%%02X", (unsigned char)*text);
    }
}

static void put_target(buf *out, const url_parts *url, const char *token)
{
    if (url->target.n == 0 || url->target.p[0] == '?')
        buf_byte(out, '/');
    buf_append_slice(out, url->target);
    if (!token)
        return;
    buf_byte(out, memchr(url->target.p, '?', url->target.n) ? '&' : '?');
    buf_text(out, "token=");
    put_query(out, token);
}

void opening_request(buf *out, const url_parts *url, slice key, const char *token, bool in_query)
{
    buf_text(out, "GET ");
    put_target(out, url, in_query ? token : NULL);
    buf_text(out, " HTTP/1.1\r\nHost: ");
    buf_append_slice(out, url->authority);
    buf_text(out, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
                  "\r\nSec-WebSocket-Key: ");
    buf_append_slice(out, key);
    if (token && !in_query) {
        buf_text(out, "\r\nAuthorization: Bearer ");
        buf_text(out, token);
    }
    buf_text(out, "\r\n\r\n");
}

/* The answer -------------------------------------------------------------------------------- */

static slice trim(slice s)
{
    while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
        s = (slice){s.p + 1, s.n - 1};
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* The value of the first header of that name; n == 0: there is none. */
static slice header(slice head, slice name)
{
    for (const char *line = memmem(head.p, head.n, "\r\n", 2); line;) {
        line += 2;
        size_t left = head.n - (size_t)(line - head.p);
        const char *end = memmem(line, left, "\r\n", 2);
        slice all = {line, end ? (size_t)(end - line) : left};
        if (all.n > name.n && all.p[name.n] == ':' && slice_ieq((slice){all.p, name.n}, name))
            return trim((slice){all.p + name.n + 1, all.n - name.n - 1});
        line = end;
    }
    return (slice){"", 0};
}

static int status_of(slice head)
{
    static const slice version = SLICE_INIT("HTTP/1.1 ");
    int status = 0;
    if (head.n < version.n + 3 || !slice_eq((slice){head.p, version.n}, version))
        return 0;
    for (size_t i = version.n; i < version.n + 3; i++) {
        if (head.p[i] < '0' || head.p[i] > '9')
            return 0;
        status = status * 10 + (head.p[i] - '0');
    }
    return status;
}

static size_t length_of(slice head)
{
    slice text = header(head, SLICE("Content-Length"));
    size_t n = 0;
    for (size_t i = 0; i < text.n && n <= OPENING_BODY_MAX; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return 0;
        n = n * 10 + (size_t)(text.p[i] - '0');
    }
    return n < OPENING_BODY_MAX ? n : OPENING_BODY_MAX;
}

static opening_result upgraded(slice head, slice key)
{
    char accept[WS_ACCEPT_SIZE];
    ws_accept(key, accept);
    bool right =
        slice_ieq(header(head, SLICE("Upgrade")), SLICE("websocket")) &&
        slice_eq(header(head, SLICE("Sec-WebSocket-Accept")), (slice){accept, WS_ACCEPT_SIZE}) &&
        header(head, SLICE("Sec-WebSocket-Extensions")).n == 0;
    return right ? OPENING_DONE : OPENING_BAD;
}

opening_result opening_read(slice all, bool ended, slice key, opening_answer *out)
{
    const char *end = memmem(all.p, all.n, "\r\n\r\n", 4);
    *out = (opening_answer){.body = {"", 0}};
    if (!end)
        return ended || all.n > OPENING_HEAD_MAX ? OPENING_BAD : OPENING_MORE;
    slice head = {all.p, (size_t)(end - all.p)};
    out->used = head.n + 4;
    out->status = status_of(head);
    if (out->status == 101)
        return upgraded(head, key);
    if (out->status < 200)
        return OPENING_BAD;
    size_t length = length_of(head), come = all.n - out->used;
    if (come < length && !ended)
        return OPENING_MORE;
    out->body = (slice){all.p + out->used, come < length ? come : length};
    return OPENING_REFUSED;
}
