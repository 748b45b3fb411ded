/* REDIS_URL as Redis clients write it. The parts are cut first and decoded after, so that a
 * password may hold any byte. What must never happen: a password in a message. */
#include "redis_options.h"

#include "mem.h"
#include "slice.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

static bool cut_prefix(slice *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->n < n || strncasecmp(s->p, prefix, n) != 0)
        return false;
    *s = (slice){s->p + n, s->n - n};
    return true;
}

/* Cuts what lies before the first (or last) c off the front; false: there is no c. */
static bool cut_before(slice *s, char c, bool last, slice *front)
{
    const char *at = s->n == 0 ? NULL : last ? memrchr(s->p, c, s->n) : memchr(s->p, c, s->n);
    if (at == NULL)
        return false;
    *front = (slice){s->p, (size_t)(at - s->p)};
    *s = (slice){at + 1, s->n - front->n - 1};
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static char *decode(slice s)
{
    char *out = mem_dup(s.p, s.n), *to = out;
    for (size_t i = 0; i < s.n; i++) {
        bool escaped = s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0;
        *to++ = escaped ? (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])) : s.p[i];
        i += escaped ? 2 : 0;
    }
    *to = '\0';
    return out;
}

static bool parse_number(slice s, int most, int *value)
{
    *value = 0;
    if (s.n == 0 || s.n > 5)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *value = *value * 10 + (s.p[i] - '0');
    }
    return *value <= most;
}

static void set(char **field, char *value)
{
    free(*field);
    *field = value;
}

static const char *parse_database(redis_options *o, slice db)
{
    if (db.n > 0 && !parse_number(db, 65535, &o->db))
        return "the database after the address must be a number";
    return NULL;
}

static const char *parse_query(redis_options *o, slice query)
{
    slice pair, value;
    while (query.n > 0) {
        if (!cut_before(&query, '&', false, &pair)) {
            pair = query;
            query.n = 0;
        }
        value = pair;
        if (!cut_prefix(&value, "db="))
            return "only ?db=NUMBER is known after the ?";
        const char *problem = parse_database(o, value);
        if (problem != NULL)
            return problem;
    }
    return NULL;
}

static void parse_login(redis_options *o, slice login)
{
    slice user = {"", 0};
    cut_before(&login, ':', false, &user); /* without a colon it is a password */
    set(&o->user, decode(user));
    set(&o->password, decode(login));
}

static const char *parse_socket(redis_options *o, slice rest)
{
    slice path = rest;
    if (!cut_before(&rest, '?', false, &path))
        rest.n = 0;
    slice login, with_login = path;
    if (cut_before(&with_login, '@', true, &login) && with_login.n > 0 && with_login.p[0] == '/') {
        parse_login(o, login);
        path = with_login;
    }
    if (path.n == 0 || path.n >= sizeof((struct sockaddr_un *)0)->sun_path)
        return "the path of a unix socket has 1 to 107 bytes";
    o->path = decode(path);
    return parse_query(o, rest);
}

static const char *parse_host(redis_options *o, slice host)
{
    slice port = {"", 0}, front;
    if (host.n > 0 && host.p[0] == '[') {
        host = (slice){host.p + 1, host.n - 1};
        if (!cut_before(&host, ']', false, &front))
            return "the IPv6 address lacks its ]";
        port = host;
        host = front;
        if (port.n > 0 && port.p[0] != ':')
            return "only :PORT may follow the ] of an IPv6 address";
        port = port.n > 0 ? (slice){port.p + 1, port.n - 1} : port;
    } else if (cut_before(&host, ':', false, &front)) {
        port = host;
        host = front;
    }
    if (port.n > 0 && (!parse_number(port, 65535, &o->port) || o->port == 0))
        return "the port must be a number from 1 to 65535";
    o->host = host.n > 0 ? decode(host) : mem_dup("127.0.0.1", 9);
    return NULL;
}

static const char *parse_tcp(redis_options *o, slice rest)
{
    slice front;
    slice query = rest;
    if (cut_before(&query, '?', false, &front))
        rest = front;
    else
        query.n = 0;
    if (cut_before(&rest, '@', true, &front))
        parse_login(o, front);
    slice db = rest;
    if (cut_before(&db, '/', false, &front)) {
        const char *problem = parse_database(o, db);
        if (problem != NULL)
            return problem;
        rest = front;
    }
    const char *problem = parse_host(o, rest);
    return problem != NULL ? problem : parse_query(o, query);
}

static const char *parse(redis_options *o, slice url)
{
    if (cut_prefix(&url, "rediss://"))
        return "TLS to Redis (rediss://) is not supported: use redis:// on a private network, a "
               "unix socket, or a TLS tunnel";
    if (cut_prefix(&url, "unix://") || cut_prefix(&url, "redis+unix://") ||
        cut_prefix(&url, "redis-socket://") || cut_prefix(&url, "unix:"))
        return parse_socket(o, url);
    if (cut_prefix(&url, "redis://"))
        return parse_tcp(o, url);
    return "it begins with redis:// or unix:";
}

static char *describe(const redis_options *o)
{
    char text[512];
    int n;
    if (o->path != NULL)
        n = snprintf(text, sizeof text, "unix:%s", o->path);
    else if (strchr(o->host, ':') != NULL)
        n = snprintf(text, sizeof text, "[%s]:%d", o->host, o->port);
    else
        n = snprintf(text, sizeof text, "%s:%d", o->host, o->port);
    return mem_dup(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

redis_options *redis_options_parse(const char *url, const char *prefix, char *error,
                                   size_t error_size)
{
    redis_options *o = mem_alloc(sizeof *o);
    o->port = 6379;
    o->user = mem_dup("", 0);
    o->password = mem_dup("", 0);
    o->prefix = mem_dup(prefix, strlen(prefix));
    const char *problem = parse(o, slice_of(url));
    if (problem != NULL) {
        snprintf(error, error_size,
                 "the address of Redis is wrong: %s; for example "
                 "redis://user:password@localhost:6379/0 or unix:/run/redis/redis.sock",
                 problem);
        redis_options_free(o);
        return NULL;
    }
    o->name = describe(o);
    return o;
}

void redis_options_free(redis_options *o)
{
    free(o->host);
    free(o->path);
    free(o->user);
    free(o->password);
    free(o->prefix);
    free(o->name);
    free(o);
}
