/* The head of a request. llhttp has checked the grammar; here stands what it leaves to its host:
 * the exact request line, CRLF everywhere, no folding, one valid Host, one framing, counts and
 * sizes. The lines are split from one copy in the exchange's arena, which all slices point into.
 *
 * What must never happen: a request that two servers in a row could frame differently. */
#include "http_internal.h"

static const bool token_bytes[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1};

bool head_is_token(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!token_bytes[(unsigned char)text[i]])
            return false;
    return n > 0;
}

static int refuse(int status, const char *reason, const char **why)
{
    *why = reason;
    return status;
}

typedef struct {
    slice method, target;
    int minor;
} request_line;

static bool is_version(slice text)
{
    return text.n == 8 && memcmp(text.p, "HTTP/", 5) == 0 && text.p[5] >= '0' && text.p[5] <= '9' &&
           text.p[6] == '.' && text.p[7] >= '0' && text.p[7] <= '9';
}

/* METHOD SP target SP HTTP/1.x, with single spaces; `line` is without its LF. */
static int split_line(slice line, request_line *out, const char **why)
{
    static const char form[] = "the request line must be METHOD SP target SP HTTP/1.1 CRLF";
    const char *end = line.p + line.n;
    if (line.n == 0 || end[-1] != '\r')
        return refuse(400, "lines must end with CRLF", why);
    end--;
    const char *first = memchr(line.p, ' ', (size_t)(end - line.p));
    if (first == NULL || !head_is_token(line.p, (size_t)(first - line.p)))
        return refuse(400, form, why);
    const char *target = first + 1;
    const char *second = memchr(target, ' ', (size_t)(end - target));
    if (second == NULL || second == target)
        return refuse(400, form, why);
    slice version = {second + 1, (size_t)(end - second - 1)};
    if (!is_version(version))
        return refuse(400, form, why);
    if (version.p[5] != '1' || version.p[7] > '1')
        return refuse(505, "this server speaks HTTP/1.1 and HTTP/1.0", why);
    out->method = (slice){line.p, (size_t)(first - line.p)};
    out->target = (slice){target, (size_t)(second - target)};
    out->minor = version.p[7] - '0';
    return 0;
}

static int check_sizes(const http_limits *limits, size_t line_n, size_t block_n, const char **why)
{
    if (line_n > limits->request_line)
        return refuse(414, "the request line is too long", why);
    if (block_n > limits->header_block)
        return refuse(431, "the headers are too large", why);
    return 0;
}

int head_check_partial(const http_limits *limits, const char *head, size_t n, const char **why)
{
    const char *lf = memchr(head, '\n', n);
    if (lf == NULL)
        return check_sizes(limits, n, 0, why);
    request_line line;
    size_t line_n = (size_t)(lf - head);
    int status = check_sizes(limits, line_n, n - line_n, why);
    return status != 0 ? status : split_line((slice){head, line_n}, &line, why);
}

static slice trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (slice){p, (size_t)(end - p)};
}

static bool all_clean(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)p[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

/* No byte of the eight is below 0x20 or 0x7f; most values are told by this alone. */
static bool word_is_clean(const char *p)
{
    const uint64_t ones = ~(uint64_t)0 / 255, tops = ones << 7;
    uint64_t word;
    memcpy(&word, p, sizeof word);
    uint64_t del = word ^ (ones * 0x7f);
    return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops) == 0;
}

/* The last eight are looked at together, some of them for the second time. */
bool head_is_clean(slice value)
{
    size_t i = 0;
    while (value.n - i >= 8 && word_is_clean(value.p + i))
        i += 8;
    bool rest_too = value.n >= 8 && value.n - i < 8 && word_is_clean(value.p + value.n - 8);
    return rest_too || all_clean(value.p + i, value.n - i);
}

/* "a, b": is the word one of the list? */
bool head_list_has(slice value, slice word)
{
    const char *p = value.p, *end = value.p + value.n;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma != NULL ? comma : end;
        if (slice_ieq(trim(p, stop), word))
            return true;
        p = stop + 1;
    }
    return false;
}

/* One header line without its LF. */
static int split_header(slice line, http_header *out, const char **why)
{
    const char *end = line.p + line.n;
    if (line.n == 0 || end[-1] != '\r')
        return refuse(400, "lines must end with CRLF", why);
    end--;
    const char *colon = memchr(line.p, ':', (size_t)(end - line.p));
    if (colon == NULL || !head_is_token(line.p, (size_t)(colon - line.p)))
        return refuse(400, "a header must be NAME: VALUE on one line", why);
    out->name = (slice){line.p, (size_t)(colon - line.p)};
    out->value = trim(colon + 1, end);
    if (!head_is_clean(out->value))
        return refuse(400, "a header's value holds a control character", why);
    return 0;
}

static size_t count_lines(const char *p, const char *end)
{
    size_t n = 0;
    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        n++;
        p++;
    }
    return n;
}

/* `p` to `end`: the header lines and the empty one. */
int head_split(arena *memory, const char *p, const char *end, size_t limit, http_header **headers,
               size_t *header_count, const char **why)
{
    size_t count = count_lines(p, end) - 1;
    if (count > limit)
        return refuse(431, "there are too many headers", why);
    http_header *split = arena_alloc(memory, (count + 1) * sizeof *split);
    for (size_t i = 0; i < count; i++) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        int status = split_header((slice){p, (size_t)(lf - p)}, &split[i], why);
        if (status != 0)
            return status;
        p = lf + 1;
    }
    *headers = split;
    *header_count = count;
    if (end - p != 2 || *p != '\r')
        return refuse(400, "lines must end with CRLF", why);
    return 0;
}

static const bool host_bytes[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1, ['.'] = 1,
    ['_'] = 1,         ['~'] = 1,         ['!'] = 1,         ['$'] = 1, ['&'] = 1,
    ['\''] = 1,        ['('] = 1,         [')'] = 1,         ['*'] = 1, ['+'] = 1,
    [','] = 1,         [';'] = 1,         ['='] = 1,         ['%'] = 1};

static bool only_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p == end;
}

/* uri-host [":" port] */
bool head_is_host(slice host)
{
    const char *p = host.p, *end = host.p + host.n;
    if (host.n == 0 || host.n > 255)
        return false;
    if (p < end && *p == '[') {
        p++;
        while (p < end && *p != '\0' && strchr("0123456789abcdefABCDEF:.", *p) != NULL)
            p++;
        if (p == end || *p++ != ']')
            return false;
    } else {
        while (p < end && host_bytes[(unsigned char)*p])
            p++;
    }
    if (p == end)
        return true;
    return *p == ':' && p > host.p && end - p <= 6 && only_digits(p + 1, end);
}

typedef struct {
    int hosts, lengths, encodings;
    slice host, encoding, expect;
} framing;

static bool sane_id(slice id)
{
    if (id.n == 0 || id.n > 128)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* The few headers that the host itself needs, found by length first. */
static void note_header(exchange *x, const http_header *h, framing *f)
{
    switch (h->name.n) {
    case 4:
        if (slice_ieq(h->name, SLICE("host"))) {
            f->hosts++;
            f->host = h->value;
        }
        break;
    case 6:
        if (slice_ieq(h->name, SLICE("expect")))
            f->expect = h->value.n > 0 ? h->value : SLICE(" ");
        break;
    case 12:
        if (slice_ieq(h->name, SLICE("x-request-id")) && sane_id(h->value))
            x->id = h->value;
        break;
    case 14:
        f->lengths += slice_ieq(h->name, SLICE("content-length"));
        break;
    case 15:
        if (slice_ieq(h->name, SLICE("accept-encoding")))
            x->accept_encoding = h->value;
        break;
    case 17:
        if (slice_ieq(h->name, SLICE("transfer-encoding"))) {
            f->encodings++;
            f->encoding = h->value;
        }
        break;
    default:
        break;
    }
}

static int check_framing(exchange *x, const framing *f, const char **why)
{
    if (f->hosts > 1 || (f->hosts == 0 && x->minor == 1))
        return refuse(400, "a request needs exactly one Host header", why);
    if (f->hosts == 1 && !head_is_host(f->host))
        return refuse(400, "the Host header is not a host with an optional port", why);
    if (f->lengths > 1 || (f->lengths > 0 && f->encodings > 0))
        return refuse(400, "a request needs one Content-Length or one Transfer-Encoding", why);
    if (f->encodings > 0 && x->minor == 0)
        return refuse(400, "Transfer-Encoding needs HTTP/1.1", why);
    if (f->encodings > 1 || (f->encodings == 1 && f->encoding.n == 0))
        return refuse(400, "Transfer-Encoding must be given once", why);
    if (f->encodings == 1 && !slice_ieq(f->encoding, SLICE("chunked")))
        return refuse(501, "the only transfer coding here is chunked", why);
    if (f->expect.n > 0 && x->minor == 1) {
        if (!slice_ieq(f->expect, SLICE("100-continue")))
            return refuse(417, "the only expectation here is 100-continue", why);
        x->expect = true;
    }
    return 0;
}

int head_read(exchange *x, llhttp_t *parser, const char *head, size_t n, const char **why)
{
    const char *copy = arena_copy(&x->arena, head, n), *end = copy + n;
    const char *lf = memchr(copy, '\n', n);
    size_t line_n = (size_t)(lf - copy);
    request_line line;
    int status = check_sizes(x->handler->limits, line_n, n - line_n, why);
    if (status == 0)
        status = split_line((slice){copy, line_n}, &line, why);
    if (status != 0)
        return status;
    x->method = line.method;
    x->target = line.target;
    x->minor = (uint8_t)line.minor;
    x->is_head = parser->method == HTTP_HEAD;
    x->keep = llhttp_should_keep_alive(parser);
    if (parser->method == HTTP_CONNECT)
        return refuse(501, "this server is no tunnel: CONNECT is not implemented", why);
    status = head_split(&x->arena, lf + 1, end, x->handler->limits->headers, &x->headers,
                        &x->header_count, why);
    if (status != 0)
        return status;
    framing f = {0};
    for (size_t i = 0; i < x->header_count; i++)
        note_header(x, &x->headers[i], &f);
    status = check_framing(x, &f, why);
    return status != 0 ? status : target_read(x, why);
}
