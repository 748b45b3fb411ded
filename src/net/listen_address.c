/* Addresses from the config, and sockets that listen on them.
 *
 * Every worker opens a TCP socket of its own with SO_REUSEPORT. That option would also let a second
 * server of the same user join the port unnoticed, and take half of the connections; so the first
 * socket of an address probes the port without it, and listen_address.opened remembers that.
 *
 * What must never happen: a live unix socket replaced, a message that leaves the user guessing. */
#include "listener.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, MAX_PATH = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };

static int parse_unix(const char *path, listen_address *address, char *error, size_t error_size)
{
    if (*path == '\0' || strlen(path) > MAX_PATH) {
        snprintf(error, error_size,
                 "unix:%s: the path of a unix socket has 1 to %d bytes, as in "
                 "unix:/run/lunacast.sock",
                 path, MAX_PATH);
        return -1;
    }
    address->is_unix = true;
    strcpy(address->host, path);
    return 0;
}

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != '\0' || value > 65535)
        return false;
    *port = (uint16_t)value;
    return true;
}

/* "[::1]" and "::1" lose their brackets; "*" and "" mean all addresses and become "". */
static bool copy_host(slice host, listen_address *address)
{
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (slice){host.p + 1, host.n - 2};
    else if (memchr(host.p, ':', host.n) != NULL)
        return false;
    if (host.n >= sizeof address->host)
        return false;
    if (slice_eq(host, SLICE("*")))
        host.n = 0;
    memcpy(address->host, host.p, host.n);
    address->host[host.n] = '\0';
    return true;
}

int listen_parse(const char *text, listen_address *address, char *error, size_t error_size)
{
    *address = (listen_address){0};
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, address, error, error_size);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !parse_port(colon + 1, &address->port) ||
        !copy_host((slice){text, (size_t)(colon - text)}, address)) {
        snprintf(error, error_size,
                 "%s is not an address to listen on: write HOST:PORT (127.0.0.1:3000, [::1]:3000, "
                 "*:3000) with a port of 0 to 65535, or unix:/path",
                 text);
        return -1;
    }
    return 0;
}

static void explain(const listen_address *address, int code, char *error, size_t error_size)
{
    const char *host = address->host[0] != '\0' ? address->host : "*";
    if (code == EADDRINUSE)
        snprintf(error, error_size, "port %u is taken; see who holds it: ss -ltnp 'sport = :%u'",
                 address->port, address->port);
    else if (code == EACCES)
        snprintf(error, error_size,
                 "port %u needs more rights (ports below 1024 do): take a higher one, or give the "
                 "binary cap_net_bind_service",
                 address->port);
    else if (code == EADDRNOTAVAIL)
        snprintf(error, error_size, "%s is no address of this machine; see them: ip address", host);
    else
        snprintf(error, error_size, "cannot listen on %s port %u: %s", host, address->port,
                 strerror(code));
}

/* A bound socket, or -1 with errno. */
static int bound(const struct addrinfo *info, bool shared)
{
    int on = 1, off = 0;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0)
        return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

/* Two sockets may be bound to one port as long as none listens; so the probe listens too. */
static int probe(const struct addrinfo *info)
{
    int fd = bound(info, false);
    if (fd < 0)
        return -1;
    int result = listen(fd, 1);
    int code = errno;
    close(fd);
    errno = code;
    return result;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static int open_tcp(const struct addrinfo *info, listen_address *address)
{
    if (!address->opened && address->port != 0 && probe(info) != 0)
        return -1;
    int fd = bound(info, true);
    if (fd >= 0 && listen(fd, BACKLOG) != 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    if (fd >= 0) {
        address->picked = address->picked || address->port == 0;
        address->port = port_of(fd);
    }
    return fd;
}

static struct addrinfo *resolve(const char *host, uint16_t port, int family, int *code)
{
    char service[8];
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof service, "%u", port);
    *code = getaddrinfo(host, service, &hints, &found);
    return *code == 0 ? found : NULL;
}

/* "*" is [::], which takes IPv4 too; where the machine has no IPv6, 0.0.0.0. */
static int open_any(listen_address *address)
{
    static const struct {
        const char *host;
        int family;
    } ways[] = {{"::", AF_INET6}, {"0.0.0.0", AF_INET}};
    int fd = -1;
    for (size_t i = 0; i < 2 && fd < 0; i++) {
        int code;
        struct addrinfo *info = resolve(ways[i].host, address->port, ways[i].family, &code);
        if (info == NULL)
            continue;
        fd = open_tcp(info, address);
        code = errno;
        freeaddrinfo(info);
        errno = code;
        if (code == EADDRINUSE)
            break;
    }
    return fd;
}

static int open_host(listen_address *address, char *error, size_t error_size)
{
    int code;
    struct addrinfo *found = resolve(address->host, address->port, AF_UNSPEC, &code);
    if (found == NULL) {
        snprintf(error, error_size, "cannot resolve %s: %s", address->host, gai_strerror(code));
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *it = found; it != NULL && fd < 0; it = it->ai_next) {
        fd = open_tcp(it, address);
        if (fd < 0 && errno == EADDRINUSE)
            break;
    }
    code = errno;
    freeaddrinfo(found);
    if (fd < 0)
        explain(address, code, error, error_size);
    return fd;
}

static bool answers(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    bool alive = connect(fd, (const struct sockaddr *)name, sizeof *name) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

static int open_unix(const listen_address *address, char *error, size_t error_size)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat info;
    strcpy(name.sun_path, address->host);
    if (lstat(address->host, &info) == 0) {
        if (!S_ISSOCK(info.st_mode)) {
            snprintf(error, error_size, "unix:%s: there is a file that is no socket",
                     address->host);
            return -1;
        }
        if (answers(&name)) {
            snprintf(error, error_size, "unix:%s is taken; see who holds it: ss -lxp 'src %s'",
                     address->host, address->host);
            return -1;
        }
        unlink(address->host);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Linux gives the name the mode that the socket has. */
    if (fd >= 0 && (address->mode == 0 || fchmod(fd, address->mode) == 0) &&
        bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    snprintf(error, error_size, "cannot listen on unix:%s: %s", address->host, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int listen_open(listen_address *address, char *error, size_t error_size)
{
    int fd;
    if (address->is_unix) {
        fd = open_unix(address, error, error_size);
    } else if (address->host[0] == '\0') {
        fd = open_any(address);
        if (fd < 0)
            explain(address, errno, error, error_size);
    } else {
        fd = open_host(address, error, error_size);
    }
    if (fd >= 0)
        address->opened = true;
    return fd;
}
