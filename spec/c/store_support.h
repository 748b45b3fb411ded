/* Makes the store's calls synchronous for specs: runs the loop until the answer is there. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "mem.h"
#include "store.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    store *store;
    store_port *port;
    uv_loop_t loop;
    uv_timer_t alive; /* a worker has handles of its own that keep its loop running */
} desk;

enum { ANSWER_KEYS = 2000 };

typedef struct {
    int calls;
    store_status status;
    bool unsure;
    char message[300];
    char *value;
    size_t value_n;
    char version[STORE_VERSION_MAX + 1];
    int64_t number;
    char *keys[ANSWER_KEYS];
    size_t key_count;
    char cursor[STORE_KEY_MAX + 1];
} answer;

static void answer_clear(answer *a)
{
    free(a->value);
    for (size_t i = 0; i < a->key_count; i++)
        free(a->keys[i]);
    memset(a, 0, sizeof *a);
}

static void on_answer(const store_result *r, void *arg)
{
    answer *a = arg;
    answer_clear(a);
    a->calls = 1;
    a->status = r->status;
    a->unsure = r->unsure;
    snprintf(a->message, sizeof a->message, "%s", r->message != NULL ? r->message : "");
    a->value = r->value.p != NULL ? mem_dup(r->value.p, r->value.n) : NULL;
    a->value_n = r->value.n;
    snprintf(a->version, sizeof a->version, "%.*s", (int)r->version.n,
             r->version.n > 0 ? r->version.p : "");
    a->number = r->number;
    assert_true(r->key_count <= ANSWER_KEYS);
    for (size_t i = 0; i < r->key_count; i++)
        a->keys[i] = mem_dup(r->keys[i].p, r->keys[i].n);
    a->key_count = r->key_count;
    snprintf(a->cursor, sizeof a->cursor, "%.*s", (int)r->cursor.n,
             r->cursor.n > 0 ? r->cursor.p : "");
}

static void wait_for(desk *d, answer *a)
{
    assert_int_equal(a->calls, 0); /* never before the call returns */
    while (a->calls == 0)
        assert_true(uv_run(&d->loop, UV_RUN_ONCE) != 0 || a->calls != 0);
}

/* The last answer; overwritten by the next call. */
static answer last;

#define CALL(d, call)        \
    do {                     \
        answer_clear(&last); \
        call;                \
        wait_for(d, &last);  \
    } while (0)

static inline answer *get(desk *d, const char *key)
{
    CALL(d, store_get(d->port, slice_of(key), on_answer, &last));
    return &last;
}

static inline answer *set(desk *d, const char *key, const char *value, int64_t ttl)
{
    CALL(d, store_set(d->port, slice_of(key), slice_of(value), ttl, on_answer, &last));
    return &last;
}

static inline answer *add(desk *d, const char *key, const char *value, int64_t ttl)
{
    CALL(d, store_add(d->port, slice_of(key), slice_of(value), ttl, NULL, on_answer, &last));
    return &last;
}

static inline answer *cas(desk *d, const char *key, const char *value, const char *version,
                          int64_t ttl)
{
    char copy[2048]; /* version may be the last answer's */
    snprintf(copy, sizeof copy, "%s", version);
    CALL(d, store_cas(d->port, slice_of(key), slice_of(value), slice_of(copy), ttl, NULL, on_answer,
                      &last));
    return &last;
}

static inline answer *del(desk *d, const char *key, const char *version)
{
    char copy[2048];
    snprintf(copy, sizeof copy, "%s", version);
    CALL(d, store_delete(d->port, slice_of(key), slice_of(copy), NULL, on_answer, &last));
    return &last;
}

static inline answer *incr(desk *d, const char *key, int64_t by, int64_t ttl)
{
    CALL(d, store_incr(d->port, slice_of(key), by, ttl, on_answer, &last));
    return &last;
}

static inline answer *ttl(desk *d, const char *key)
{
    CALL(d, store_ttl(d->port, slice_of(key), on_answer, &last));
    return &last;
}

static inline answer *list_page(desk *d, const char *prefix, const char *cursor, unsigned limit)
{
    CALL(d, store_list(d->port, slice_of(prefix), slice_of(cursor), limit, on_answer, &last));
    return &last;
}

static inline answer *ping(desk *d)
{
    CALL(d, store_ping(d->port, on_answer, &last));
    return &last;
}

static inline void assert_value(desk *d, const char *key, const char *value)
{
    answer *a = get(d, key);
    assert_int_equal(a->status, STORE_OK);
    assert_int_equal(a->value_n, strlen(value));
    assert_memory_equal(a->value, value, a->value_n);
}

static inline void on_alive(uv_timer_t *timer)
{
    (void)timer;
}

static inline void desk_open(desk *d, store *s)
{
    d->store = s;
    uv_loop_init(&d->loop);
    uv_timer_init(&d->loop, &d->alive);
    uv_timer_start(&d->alive, on_alive, 1000, 1000);
    d->port = store_port_new(s, &d->loop);
}

/* Every handle must be gone after the port's close: the loop says so. */
static inline void desk_close_port(desk *d)
{
    uv_close((uv_handle_t *)&d->alive, NULL);
    store_port_close(d->port);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&d->loop), 0);
}

static inline void desk_close(desk *d)
{
    answer_clear(&last);
    desk_close_port(d);
    store_close(d->store);
}

static inline void remove_folder(const char *folder)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static inline char *new_folder(char path[64])
{
    snprintf(path, 64, "/tmp/lunacast-spec-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline store *open_folder(const char *folder)
{
    char error[512] = "";
    store_embedded_options options = {.folder = folder};
    store *s = store_embedded_open(&options, error, sizeof error);
    if (s == NULL)
        fail_msg("%s", error);
    return s;
}
