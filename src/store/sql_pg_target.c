/* From a URL to connections. libpq would look names up by itself and block the loop, so they are
 * resolved on the thread pool, anew for each connection (a failover may move a name), and handed to
 * libpq as hostaddr beside host, which TLS checks. Several hosts, and several addresses of one, are
 * tried in order by libpq.
 *
 * A look-up that can't be cancelled any more outlives its owner: it belongs to itself then. */
#include "sql_pg.h"

#include "buf.h"
#include "mem.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

enum { ADDRESSES_MAX = 16 };

struct pg_look_up {
    uv_getaddrinfo_t request;
    uv_loop_t *loop;
    void (*on_found)(void *arg, const char *problem); /* NULL: not wanted any more */
    void *arg;
    char *hosts, *ports; /* what is left to resolve, separated by commas */
    char host[256], port[16];
    buf host_list, address_list, port_list;
    size_t count;
    bool running;
    char problem[PG_PROBLEM_MAX];
};

static const char *value_of(const PQconninfoOption *target, const char *keyword)
{
    for (; target->keyword != NULL; target++) {
        if (strcmp(target->keyword, keyword) == 0)
            return target->val != NULL && target->val[0] != '\0' ? target->val : NULL;
    }
    return NULL;
}

PQconninfoOption *pg_target_parse(const char *url, char *error, size_t error_size)
{
    char *problem = NULL;
    bool known = strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0;
    PQconninfoOption *target = known ? PQconninfoParse(url, &problem) : NULL;
    if (target == NULL)
        snprintf(error, error_size, "sql.url: %s",
                 problem != NULL ? problem
                                 : "it must begin with postgres://, or be empty for SQLite");
    PQfreemem(problem);
    return target;
}

static void free_look_up(pg_look_up *up)
{
    buf_free(&up->host_list);
    buf_free(&up->address_list);
    buf_free(&up->port_list);
    free(up->hosts);
    free(up->ports);
    free(up);
}

void pg_look_up_free(pg_look_up *up)
{
    up->on_found = NULL;
    if (up->running)
        uv_cancel((uv_req_t *)&up->request);
    else
        free_look_up(up);
}

static void add(pg_look_up *up, const char *host, const char *address, const char *port)
{
    if (up->count == ADDRESSES_MAX)
        return;
    const char *comma = up->count++ > 0 ? "," : "";
    buf_format(&up->host_list, "%s%s", comma, host);
    buf_format(&up->address_list, "%s%s", comma, address);
    buf_format(&up->port_list, "%s%s", comma, port);
}

/* Cuts the first item off a list; the last one stays for those that are missing. */
static void take_item(char *from, char *to, size_t size, bool keep_last)
{
    size_t n = strcspn(from, ",");
    snprintf(to, size, "%.*s", (int)n, from);
    if (from[n] == ',')
        memmove(from, from + n + 1, strlen(from + n + 1) + 1);
    else if (!keep_last)
        from[0] = '\0';
}

static void look_up_next(pg_look_up *up);

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    pg_look_up *up = request->data;
    char address[INET6_ADDRSTRLEN];
    up->running = false;
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof address, NULL, 0,
                        NI_NUMERICHOST) == 0)
            add(up, up->host, address, up->port);
    }
    uv_freeaddrinfo(found);
    if (up->on_found == NULL) {
        free_look_up(up);
        return;
    }
    if (status != 0)
        snprintf(up->problem, sizeof up->problem, "the host name %s can't be looked up: %s",
                 up->host, uv_strerror(status));
    look_up_next(up);
}

static bool is_literal(const char *host)
{
    struct in6_addr any;
    return host[0] == '/' || host[0] == '@' || host[0] == '\0' ||
           inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

static void resolve(pg_look_up *up)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    up->request.data = up;
    up->running = true;
    int rc = uv_getaddrinfo(up->loop, &up->request, on_resolved, up->host, NULL, &hints);
    if (rc == 0)
        return;
    up->running = false;
    snprintf(up->problem, sizeof up->problem, "%s: %s", up->host, uv_strerror(rc));
    look_up_next(up);
}

/* A host that is an address needs no hostaddr; an empty item means so to libpq. */
static void look_up_next(pg_look_up *up)
{
    while (up->hosts[0] != '\0') {
        take_item(up->hosts, up->host, sizeof up->host, false);
        take_item(up->ports, up->port, sizeof up->port, true);
        if (!is_literal(up->host)) {
            resolve(up);
            return;
        }
        add(up, up->host, "", up->port);
    }
    up->on_found(up->arg, up->count > 0 || up->problem[0] == '\0' ? NULL : up->problem);
}

pg_look_up *pg_look_up_start(uv_loop_t *loop, const PQconninfoOption *target,
                             void (*on_found)(void *arg, const char *problem), void *arg)
{
    const char *hosts = value_of(target, "host"), *ports = value_of(target, "port");
    pg_look_up *up = mem_alloc(sizeof *up);
    up->loop = loop;
    up->on_found = on_found;
    up->arg = arg;
    if (hosts == NULL)
        hosts = getenv("PGHOST");
    if (hosts == NULL || value_of(target, "hostaddr") != NULL)
        hosts = ""; /* a unix socket, or nothing to look up */
    up->hosts = mem_dup(hosts, strlen(hosts));
    up->ports = mem_dup(ports != NULL ? ports : "", ports != NULL ? strlen(ports) : 0);
    return up;
}

void pg_look_up_run(pg_look_up *up)
{
    look_up_next(up);
}

/* What we need of a session; the URL's own options come first, so ours win. */
static char *session_options(const PQconninfoOption *target, uint64_t timeout_ms)
{
    const char *given = value_of(target, "options");
    buf b = {0};
    buf_format(&b,
               "%s -c statement_timeout=%llu -c timezone=UTC -c datestyle=ISO "
               "-c bytea_output=hex -c extra_float_digits=1",
               given != NULL ? given : "", (unsigned long long)timeout_ms);
    return buf_cstr(&b);
}

PGconn *pg_look_up_connect(pg_look_up *up, const char *url, const PQconninfoOption *target,
                           uint64_t timeout_ms)
{
    const char *keywords[10] = {"dbname", "options", "client_encoding", "fallback_application_name",
                                "gssencmode"};
    const char *gss = value_of(target, "gssencmode");
    char *options = session_options(target, timeout_ms);
    const char *values[10] = {url, options, "UTF8", "lunacast",
                              gss != NULL ? gss : "disable"}; /* its look-ups would block */
    if (up->count > 0) {
        keywords[5] = "host";
        keywords[6] = "hostaddr";
        keywords[7] = "port";
        values[5] = buf_cstr(&up->host_list);
        values[6] = buf_cstr(&up->address_list);
        values[7] = buf_cstr(&up->port_list);
    }
    PGconn *c = PQconnectStartParams(keywords, values, 1);
    free(options);
    return c;
}
