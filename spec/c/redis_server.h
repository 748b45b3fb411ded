/* A Redis of one's own for specs: on a free port, in a folder that is removed, gone with the spec.
 */
#pragma once
#include "store_support.h"

#include "redis_options.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

typedef struct {
    int port;
    pid_t pid; /* 0: stopped */
    char folder[64];
    const char *extra[8]; /* arguments, ended by NULL */
} redis_server;

/* Below those that the kernel gives away, so that it stays free while the server is stopped. */
static inline int free_port(void)
{
    static int tried;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int port, status;
    do {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        port = 15000 + (getpid() * 7 + tried++) % 15000;
        a.sin_port = htons((uint16_t)port);
        status = bind(fd, (struct sockaddr *)&a, sizeof a);
        close(fd);
    } while (status != 0);
    return port;
}

static inline bool port_answers(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool answers = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return answers;
}

static inline void run_redis(const redis_server *r)
{
    char port[12], socket_path[100];
    const char *argv[32] = {"redis-server", "--port",        port,        "--bind",
                            "127.0.0.1",    "--unixsocket",  socket_path, "--dir",
                            r->folder,      "--save",        "",          "--appendonly",
                            "yes",          "--appendfsync", "no"};
    size_t argc = 15;
    snprintf(port, sizeof port, "%d", r->port);
    snprintf(socket_path, sizeof socket_path, "%s/socket", r->folder);
    for (size_t i = 0; i < 8 && r->extra[i] != NULL; i++)
        argv[argc++] = r->extra[i];
    int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp("redis-server", (char *const *)(uintptr_t)argv);
    _exit(127);
}

static inline void redis_start(redis_server *r)
{
    if (r->port == 0)
        r->port = free_port();
    if (r->folder[0] == '\0')
        new_folder(r->folder);
    r->pid = fork();
    if (r->pid == 0)
        run_redis(r);
    for (int i = 0; i < 3000 && !port_answers(r->port); i++)
        usleep(10000);
    assert_true(port_answers(r->port));
}

static inline void redis_stop(redis_server *r, int sig)
{
    if (r->pid == 0)
        return;
    kill(r->pid, sig);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

static inline void redis_end(redis_server *r)
{
    redis_stop(r, SIGKILL);
    remove_folder(r->folder);
    memset(r, 0, sizeof *r);
}

static inline redis_options *redis_at(const redis_server *r, const char *login, const char *tail)
{
    char url[200], error[300] = "";
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%d%s", login, r->port, tail);
    redis_options *o = redis_options_parse(url, "", error, sizeof error);
    if (o == NULL)
        fail_msg("%s", error);
    return o;
}

/* Runs a command through redis-cli; its first line of output. */
static inline const char *redis_cli(const redis_server *r, const char *command)
{
    static char line[1000];
    char shell[600];
    snprintf(shell, sizeof shell, "redis-cli -p %d %s", r->port, command);
    FILE *f = popen(shell, "r");
    line[0] = '\0';
    if (fgets(line, sizeof line, f) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    pclose(f);
    return line;
}
