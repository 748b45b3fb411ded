/* The head of a request, written once and kept for a second try. The framing is ours alone: no
 * caller can add a header that says where the body ends. What must never happen: a CR, LF or NUL of
 * a caller on the wire outside a body. */
#include "client_internal.h"
#include "http_internal.h"

bool client_header_fits(slice name, slice value)
{
    static const slice own[] = {SLICE_INIT("connection"),
                                SLICE_INIT("keep-alive"),
                                SLICE_INIT("proxy-connection"),
                                SLICE_INIT("content-length"),
                                SLICE_INIT("transfer-encoding"),
                                SLICE_INIT("te"),
                                SLICE_INIT("trailer"),
                                SLICE_INIT("upgrade"),
                                SLICE_INIT("expect")};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (slice_ieq(name, own[i]))
            return false;
    return head_is_token(name.p, name.n) && head_is_clean(value);
}

int client_add_header(buf *headers, slice name, slice value)
{
    if (!client_header_fits(name, value))
        return -1;
    buf_append_slice(headers, name);
    buf_append(headers, ": ", 2);
    buf_append_slice(headers, value);
    buf_append(headers, "\r\n", 2);
    return 0;
}

static bool method_is(slice method, const char *const *names)
{
    for (; *names != NULL; names++)
        if (slice_eq(method, slice_of(*names)))
            return true;
    return false;
}

static void write_length(buf *head, uint64_t n)
{
    buf_append_slice(head, SLICE("Content-Length: "));
    buf_uint(head, n);
    buf_append_slice(head, SLICE("\r\n"));
}

static void write_framing(buf *head, const client_call *call)
{
    static const char *const bodied[] = {"POST", "PUT", "PATCH", NULL};
    if (call->has_stream && call->stream == CLIENT_CHUNKED)
        buf_text(head, "Transfer-Encoding: chunked\r\n");
    else if (call->has_stream || call->body.n > 0 || method_is(call->method, bodied))
        write_length(head, call->has_stream ? (uint64_t)call->stream : call->body.n);
    if (call->upgrade)
        buf_text(head, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
}

void client_write_head(buf *head, const client_call *call)
{
    buf_append_slice(head, call->method);
    buf_byte(head, ' ');
    buf_append_slice(head, call->base);
    buf_append_slice(head, call->target);
    buf_append_slice(head, SLICE(" HTTP/1.1\r\n"));
    if (call->host_header.p != NULL) {
        buf_append_slice(head, SLICE("Host: "));
        buf_append_slice(head, call->host_header);
        buf_append_slice(head, SLICE("\r\n"));
    }
    buf_append(head, call->headers->data, call->headers->len);
    write_framing(head, call);
    buf_text(head, "\r\n");
    buf_append_slice(head, call->body);
}

bool client_idempotent(slice method)
{
    static const char *const names[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", NULL};
    return method_is(method, names);
}
