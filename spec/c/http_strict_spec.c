/* Requests that must be refused, and a few odd ones that must not: each is sent whole, byte by byte
 * and in random splits, and must get the same answer. */
#include "http_internal.h"
#include "http_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct {
    const char *name;
    const char *data;
    size_t n;
    int status; /* 0: closed without a word */
    bool closed;
    const char *path; /* what the handler sees; NULL: it is not asked */
} row;

#define ROW(name, data, status, closed, path)              \
    {                                                      \
        name, data, sizeof(data) - 1, status, closed, path \
    }
#define BAD(name, data) ROW(name, data, 400, true, NULL)
#define GET(head) "GET / HTTP/1.1\r\nHost: a\r\n" head "\r\n"
#define POST(head, body) "POST /echo HTTP/1.1\r\nHost: a\r\n" head "\r\n" body
#define CHUNKED(body) POST("Transfer-Encoding: chunked\r\n", body)

static const row rows[] = {
    ROW("a plain GET", GET(""), 200, false, "/"),
    ROW("empty lines first", "\r\n\r\n" GET(""), 200, false, "/"),
    ROW("connection: close", GET("Connection: close\r\n"), 200, true, "/"),
    ROW("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 200, true, "/"),
    ROW("HTTP/1.0 kept alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, false, "/"),
    /* H01, H02, H03 */
    BAD("length and coding",
        POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    BAD("coding and length",
        POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    BAD("two lengths", POST("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")),
    BAD("the same length twice", POST("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
    BAD("a list of lengths", POST("Content-Length: 0, 5\r\n", "hello")),
    BAD("length +5", POST("Content-Length: +5\r\n", "hello")),
    BAD("length -1", POST("Content-Length: -1\r\n", "hello")),
    BAD("length 0x5", POST("Content-Length: 0x5\r\n", "hello")),
    BAD("length 1_0", POST("Content-Length: 1_0\r\n", "hellohello")),
    BAD("an empty length", POST("Content-Length: \r\n", "hello")),
    BAD("length 2^64 + 5", POST("Content-Length: 18446744073709551621\r\n", "hello")),
    /* H04, H05 */
    ROW("gzip, chunked", POST("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501, true,
        NULL),
    ROW("gzip", POST("Transfer-Encoding: gzip\r\n", "0\r\n\r\n"), 501, true, NULL),
    ROW("xchunked", POST("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501, true, NULL),
    BAD("chunked, gzip", POST("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
    BAD("chunked twice",
        POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    BAD("an empty coding and a length",
        POST("Transfer-Encoding: \r\nContent-Length: 5\r\n", "hello")),
    BAD("an empty coding", POST("Transfer-Encoding: \r\n", "")),
    BAD("a coding in HTTP/1.0",
        "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    /* H06, H07, H08, H09 */
    ROW("a chunked body", CHUNKED("5\r\nhello\r\n0\r\n\r\n"), 200, false, "/echo"),
    BAD("chunk size 0x5", CHUNKED("0x5\r\nhello\r\n0\r\n\r\n")),
    BAD("a space before the size", CHUNKED(" 5\r\nhello\r\n0\r\n\r\n")),
    BAD("a space behind the size", CHUNKED("5 \r\nhello\r\n0\r\n\r\n")),
    BAD("an empty size", CHUNKED("\r\nhello\r\n0\r\n\r\n")),
    BAD("17 digits", CHUNKED("00000000000000005\r\nhello\r\n0\r\n\r\n")),
    BAD("a size that wraps", CHUNKED("ffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
    BAD("a chunk without CRLF", CHUNKED("5\r\nhello0\r\n\r\n")),
    BAD("LF behind the size", CHUNKED("5\nhello\r\n0\r\n\r\n")),
    BAD("LF behind the data", CHUNKED("5\r\nhello\n0\r\n\r\n")),
    BAD("CR X behind the data", CHUNKED("5\r\nhello\rX0\r\n\r\n")),
    BAD("LF behind the last size", CHUNKED("5\r\nhello\r\n0\n\r\n")),
    BAD("LF at the very end", CHUNKED("5\r\nhello\r\n0\r\nX: y\r\n\n")),
    BAD("CR in an extension", CHUNKED("5;a\rb\r\nhello\r\n0\r\n\r\n")),
    BAD("LF in an extension", CHUNKED("5;a\nb\r\nhello\r\n0\r\n\r\n")),
    BAD("NUL in an extension", CHUNKED("5;a\0b\r\nhello\r\n0\r\n\r\n")),
    BAD("NUL in a trailer", CHUNKED("5\r\nhello\r\n0\r\na: \0b\r\n\r\n")),
    BAD("a trailer without a colon", CHUNKED("5\r\nhello\r\n0\r\nXY\r\n\r\n")),
    BAD("a trailer without a name", CHUNKED("5\r\nhello\r\n0\r\n: a\r\n\r\n")),
    BAD("a space in a trailer's name", CHUNKED("5\r\nhello\r\n0\r\nX : a\r\n\r\n")),
    BAD("a folded trailer", CHUNKED("5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n")),
    ROW("trailers that name framing",
        CHUNKED("5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: b\r\n\r\n"), 200, false, "/echo"),
    /* H10 */
    BAD("no Host", "GET / HTTP/1.1\r\n\r\n"),
    BAD("two Hosts", GET("Host: a\r\n")),
    BAD("an empty Host", "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    BAD("a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BAD("a Host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    BAD("a Host with a bad port", "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n"),
    BAD("a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BAD("a Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ROW("a Host with brackets and a port", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200, false,
        "/"),
    /* H11, H12, H13 */
    BAD("a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    BAD("a tab before the colon", GET("X\t: a\r\n")),
    BAD("a folded header", GET("X: a\r\n b\r\n")),
    BAD("a folded first header", "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n"),
    BAD("no colon", GET("X\r\n")),
    BAD("an empty name", GET(": a\r\n")),
    BAD("NUL in a value", GET("X: a\0b\r\n")),
    BAD("CR in a value", GET("X: a\rb\r\n")),
    BAD("a control byte in a value", GET("X: a\001b\r\n")),
    BAD("DEL in a value", GET("X: a\177b\r\n")),
    BAD("NUL in a name", GET("X\0Y: a\r\n")),
    BAD("a high byte in a name", GET("X\200: a\r\n")),
    ROW("high bytes in a value", GET("X: \303\244\r\n"), 200, false, "/"),
    BAD("LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    BAD("LF behind a header", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    BAD("LF at the end of the head", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ROW("CR only", "GET / HTTP/1.1\rHost: a\r\r", 505, true, NULL),
    BAD("LF first", "\n" GET("")),
    /* H14 */
    BAD("HTTP/0.9", "GET /\r\n"),
    ROW("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, true, NULL),
    ROW("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, true, NULL),
    ROW("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, true, NULL),
    BAD("another protocol", "GET / ICE/1.0\r\nHost: a\r\n\r\n"),
    BAD("RTSP", "OPTIONS / RTSP/1.0\r\nHost: a\r\n\r\n"),
    BAD("an unknown method", "FOO / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a small method", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a TLS hello", "\026\003\001\002\000\001\000\001\374\003\003"),
    BAD("binary", "\377\376\375\000\001\002\003"),
    BAD("two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 505, true, NULL),
    ROW("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501, true, NULL),
    /* H15 */
    BAD("a fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("dots", "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("dots at the end", "GET /a/.. HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("one dot", "GET /a/./b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("encoded dots", "GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("an encoded slash", "GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("an encoded backslash", "GET /a%5cb HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("an encoded NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("an encoded CR LF", "GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("overlong UTF-8", "GET /%c0%af HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a surrogate", "GET /%ed%a0%80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("half a character", "GET /%c3 HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("raw high bytes", "GET /\303\244 HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a broken escape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("an escape of no hex", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a user in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("decoded once", "GET /%2541%c3%a4 HTTP/1.1\r\nHost: a\r\n\r\n", 200, false, "/%41\303\244"),
    ROW("slashes are merged", "GET //a///b/ HTTP/1.1\r\nHost: a\r\n\r\n", 200, false, "/a/b/"),
    ROW("dots inside a name", "GET /a..b/.c/... HTTP/1.1\r\nHost: a\r\n\r\n", 200, false,
        "/a..b/.c/..."),
    ROW("an absolute target", "GET http://A:80/c?d HTTP/1.1\r\nHost: a:80\r\n\r\n", 200, false,
        "/c"),
    ROW("an absolute target without a path", "GET http://a?d HTTP/1.1\r\nHost: a\r\n\r\n", 200,
        false, "/"),
    ROW("an absolute target without Host", "GET http://a/c HTTP/1.0\r\n\r\n", 200, true, "/c"),
    BAD("an absolute target without a valid host", "GET http://a[b/c HTTP/1.0\r\n\r\n"),
    BAD("another host in the target", "GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("another port in the target", "GET http://a:81/c HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("an absolute target without a host", "GET http:///c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204, false, NULL),
    /* H17 */
    ROW("GET with a body", GET("Content-Length: 5\r\n") "hello", 200, false, "/"),
    ROW("HEAD with a body", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200,
        false, "/"),
    ROW("another expectation", GET("Expect: tea\r\n"), 417, true, NULL),
    ROW("an empty expectation", GET("Expect:\r\n"), 417, true, NULL),
    ROW("an expectation that nobody meets", GET("Expect: 100-continue\r\nContent-Length: 5\r\n"),
        200, true, "/"),
    /* H19 */
    ROW("a request after close", GET("Connection: close\r\n") GET(""), 200, true, "/"),
    ROW("a body read away", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n", 200,
        true, "/"),
};

static rig r;

static int failures;

static rig_answer ask(const row *it, size_t step)
{
    rig_answer a = {0};
    int fd = rig_connect(&r);
    *r.last_path = '\0';
    r.requests = 0;
    rig_send(&r, fd, &a, it->data, it->n, step);
    rig_pump(&r, fd, &a, 4);
    close(fd);
    uv_run(&r.loop, UV_RUN_NOWAIT);
    return a;
}

/* A body may turn out bad after the handler was asked; it must have seen that. */
static bool asked_rightly(const row *it)
{
    if (it->path != NULL)
        return r.requests == 1 && strcmp(r.last_path, it->path) == 0;
    return r.requests == 0 || (r.requests == 1 && r.last_body == BODY_ABORTED);
}

static void check(const row *it, size_t step)
{
    r.last_body = BODY_WHOLE;
    rig_answer a = ask(it, step);
    bool json = it->status < 400 || strstr(a.data, "\r\n\r\n{\"error\":\"") != NULL;
    if (rig_status(&a) != it->status || a.closed != it->closed || !asked_rightly(it) || !json ||
        rig_count(&a, "\r\nDate: ") != 1) {
        failures++;
        print_error("%s, in steps of %zu: status %d, closed %d, %zu requests, path %s: %s\n",
                    it->name, step, rig_status(&a), a.closed, r.requests, r.last_path, a.data);
    }
    free(a.data);
}

static void each_request_gets_its_answer_in_any_split(void **state)
{
    (void)state;
    srand(1);
    rig_start(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check(&rows[i], rows[i].n);
        check(&rows[i], 1);
        for (int k = 0; k < 5; k++)
            check(&rows[i], 0);
    }
    assert_int_equal(failures, 0);
    assert_int_equal(rig_stop(&r), 0);
}

static void a_good_request_before_a_bad_one_is_answered(void **state)
{
    (void)state;
    static const char good[] = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
    rig_start(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].status != 400)
            continue;
        char text[1024];
        memcpy(text, good, sizeof good - 1);
        memcpy(text + sizeof good - 1, rows[i].data, rows[i].n);
        rig_answer a = {0};
        int fd = rig_connect(&r);
        rig_send(&r, fd, &a, text, sizeof good - 1 + rows[i].n, sizeof text);
        assert_true(rig_wait(&r, fd, &a, "{\"error\""));
        assert_int_equal(rig_status(&a), 200);
        assert_int_equal(rig_count(&a, "\r\nDate: "), 2);
        assert_int_equal(rig_count(&a, "HTTP/1.1 400"), 1);
        rig_pump(&r, fd, &a, 4);
        assert_true(a.closed);
        close(fd);
        free(a.data);
    }
    assert_int_equal(rig_stop(&r), 0);
}

static void a_control_byte_is_found_wherever_it_stands(void **state)
{
    (void)state;
    char value[] = "text, 20 bytes\tof it";
    const size_t n = sizeof value - 1;
    for (size_t at = 0; at < n; at++) {
        char kept = value[at];
        for (int byte = 0; byte < 256; byte++) {
            value[at] = (char)byte;
            bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
            assert_int_equal(head_is_clean((slice){value, n}), !control);
        }
        value[at] = kept;
    }
    assert_true(head_is_clean((slice){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_control_byte_is_found_wherever_it_stands),
        cmocka_unit_test(each_request_gets_its_answer_in_any_split),
        cmocka_unit_test(a_good_request_before_a_bad_one_is_answered),
    };
    return cmocka_run_group_tests_name("strict HTTP", tests, NULL, NULL);
}
