/* Where Redis is and how to log in: REDIS_URL, parsed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct redis_options {
    char *host; /* NULL: a unix socket */
    int port;
    char *path;            /* of the unix socket */
    char *user, *password; /* "": none */
    int db;
    char *prefix; /* put before every key and channel; "" */
    char *name;   /* for messages: the address without user and password */
} redis_options;

/* redis://[user:password@]host[:port][/db], unix:PATH[?db=N], unix://, redis+unix://. Everything
 * after the scheme may be percent-encoded. NULL with a message that says what is wrong with it;
 * the password is never in the message. */
redis_options *redis_options_parse(const char *url, const char *prefix, char *error,
                                   size_t error_size);
void redis_options_free(redis_options *o); /* after everything that uses it is closed */
