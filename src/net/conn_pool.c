/* The connections of a worker: what they share (deadlines, buffers), how many there are, and their
 * end. A pool of outgoing ones keeps no loop alive by itself.
 *
 * Owner: the worker. What must never happen: the pool freed before its last connection's on_closed.
 */
#include "conn_internal.h"

#include "mem.h"
#include <stdlib.h>

conn_pool *conn_pool_new(uv_loop_t *loop, const conn_limits *limits)
{
    conn_pool *pool = mem_alloc(sizeof *pool);
    pool->loop = loop;
    pool->limits = *limits;
    list_init(&pool->conns);
    wheel_init(&pool->wheel, loop, conn_on_due);
    return pool;
}

void conn_pool_set_outgoing(conn_pool *pool)
{
    pool->outgoing = true;
    uv_unref((uv_handle_t *)&pool->wheel.timer);
}

void conn_pool_close(conn_pool *pool)
{
    if (pool->closing)
        return;
    pool->closing = true;
    LIST_FOR_EACH (it, &pool->conns)
        conn_destroy(LIST_ENTRY(it, conn, node), true);
    wheel_close(&pool->wheel, NULL);
}

void conn_pool_free(conn_pool *pool)
{
    if (pool->detach != NULL)
        pool->detach(pool->attached);
    map_free(&pool->clients);
    buf_free(&pool->batch);
    buf_free(&pool->spare);
    buf_free(&pool->plain);
    buf_free(&pool->cipher);
    free(pool);
}

size_t conn_pool_count(const conn_pool *pool)
{
    return pool->count;
}

void conn_pool_each(conn_pool *pool, void (*fn)(conn *c, void *arg), void *arg)
{
    LIST_FOR_EACH_SAFE (it, &pool->conns) {
        conn *c = LIST_ENTRY(it, conn, node);
        if (c->state != CONN_CLOSING)
            fn(c, arg);
    }
}

void conn_pool_attach(conn_pool *pool, void *data, void (*detach)(void *data))
{
    pool->attached = data;
    pool->detach = detach;
}

void *conn_pool_attached(const conn_pool *pool)
{
    return pool->attached;
}

const conn_limits *conn_pool_limits(const conn_pool *pool)
{
    return &pool->limits;
}

uv_loop_t *conn_pool_loop(const conn_pool *pool)
{
    return pool->loop;
}
