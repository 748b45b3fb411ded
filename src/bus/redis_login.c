/* The login of a link: AUTH, SELECT, a name for CLIENT LIST, and a look at what kind of server it
 * is: at least 6.2, no read-only replica, done with loading. All in one round trip. A server that
 * denies us INFO or CLIENT by its access rules is taken as it is. */
#include "redis_login.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum { STEP_AUTH, STEP_SELECT, STEP_NAME, STEP_SERVER, STEP_ROLE, STEP_PING } step;

#define ARGS(...)                                               \
    (sizeof((slice[]){__VA_ARGS__}) / sizeof(slice)), (slice[]) \
    {                                                           \
        __VA_ARGS__                                             \
    }

static void add(redis_login *login, step s, redis_wire *w, size_t argc, const slice *argv)
{
    login->steps[login->count++] = (int)s;
    redis_wire_command(w, argc, argv);
}

void redis_login_start(redis_login *login, const redis_options *o, redis_wire *w)
{
    char db[12];
    *login = (redis_login){0};
    if (o->user[0] != '\0')
        add(login, STEP_AUTH, w, ARGS(SLICE("AUTH"), slice_of(o->user), slice_of(o->password)));
    else if (o->password[0] != '\0')
        add(login, STEP_AUTH, w, ARGS(SLICE("AUTH"), slice_of(o->password)));
    snprintf(db, sizeof db, "%d", o->db);
    if (o->db != 0)
        add(login, STEP_SELECT, w, ARGS(SLICE("SELECT"), slice_of(db)));
    add(login, STEP_NAME, w, ARGS(SLICE("CLIENT"), SLICE("SETNAME"), SLICE("lunacast")));
    add(login, STEP_SERVER, w, ARGS(SLICE("INFO"), SLICE("server")));
    add(login, STEP_ROLE, w, ARGS(SLICE("INFO"), SLICE("replication")));
    add(login, STEP_PING, w, ARGS(SLICE("PING")));
}

bool redis_login_done(const redis_login *login)
{
    return login->at == login->count;
}

static const char *find_line(const redisReply *info, const char *name)
{
    const char *at = info->type == REDIS_REPLY_STRING ? strstr(info->str, name) : NULL;
    return at != NULL ? at + strlen(name) : NULL;
}

static const char *check_version(redis_login *login, const redisReply *info)
{
    const char *version = find_line(info, "redis_version:");
    char *end;
    if (version == NULL)
        return NULL;
    long major = strtol(version, &end, 10);
    long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    if (major > 6 || (major == 6 && minor >= 2))
        return NULL;
    snprintf(login->problem, sizeof login->problem, "version %ld.%ld is too old: 6.2 is needed",
             major, minor);
    return login->problem;
}

static const char *check_role(const redisReply *info)
{
    const char *role = find_line(info, "role:");
    const char *read_only = find_line(info, "slave_read_only:");
    if (role == NULL || strncmp(role, "slave", 5) != 0 || read_only == NULL || *read_only != '1')
        return NULL;
    return "it is a read-only replica: set redis.url to the primary";
}

static const char *refused(redis_login *login, const char *what, const redisReply *reply)
{
    snprintf(login->problem, sizeof login->problem, "%s: %s", what, reply->str);
    return login->problem;
}

const char *redis_login_reply(redis_login *login, const redis_options *o, const redisReply *reply)
{
    bool error = reply->type == REDIS_REPLY_ERROR;
    switch (login->steps[login->at++]) {
    case STEP_AUTH:
        return error ? refused(login, "the login is refused; check user and password in redis.url",
                               reply)
                     : NULL;
    case STEP_SELECT:
        snprintf(login->problem, sizeof login->problem, "database %d is refused: %s", o->db,
                 error ? reply->str : "");
        return error ? login->problem : NULL;
    case STEP_SERVER:
        return check_version(login, reply);
    case STEP_ROLE:
        return check_role(reply);
    case STEP_PING:
        return error ? refused(login, "it does not serve", reply) : NULL;
    default:
        return NULL;
    }
}
