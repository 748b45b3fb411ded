/* Rejected: reading all files before the first VM, which reads what nobody asks for, and needs the
 * rules of every reader (which links are followed, what is too large) a second time.
 *
 * Owner: references, of the host for the current reload and of each VM. Entries are never changed.
 * Bounded: over BYTES_MAX a file is read from the disk each time, as if there were no set. */
#include "file_set.h"

#include "map.h"
#include "mem.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 64 << 20, PATH_BYTES = 1100 };

typedef struct {
    map_node node;
    slice data;
    char bytes[]; /* the key, then the data */
} entry;

struct file_set {
    atomic_size_t refs;
    pthread_mutex_t lock;
    map entries;
    size_t size;
};

file_set *file_set_new(void)
{
    file_set *s = mem_alloc(sizeof *s);
    atomic_store(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

file_set *file_set_hold(file_set *s)
{
    if (s != NULL)
        atomic_fetch_add(&s->refs, 1);
    return s;
}

void file_set_drop(file_set *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    size_t slot = 0;
    map_node *node = map_next(&s->entries, &slot, NULL);
    while (node != NULL) {
        entry *e = MAP_ENTRY(node, entry, node);
        node = map_next(&s->entries, &slot, node);
        free(e);
    }
    map_free(&s->entries);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* One name space for both kinds; the buffer is the caller's. */
static slice key_of(file_kind kind, slice path, char *room)
{
    size_t n = path.n < PATH_BYTES - 1 ? path.n : PATH_BYTES - 1;
    room[0] = kind == FILE_NAMES ? 'n' : 'c';
    memcpy(room + 1, path.p, n);
    return (slice){room, n + 1};
}

bool file_set_find(file_set *s, file_kind kind, slice path, slice *data)
{
    char room[PATH_BYTES];
    if (s == NULL)
        return false;
    slice key = key_of(kind, path, room);
    pthread_mutex_lock(&s->lock);
    map_node *node = map_find(&s->entries, key);
    if (node != NULL)
        *data = MAP_ENTRY(node, entry, node)->data;
    pthread_mutex_unlock(&s->lock);
    return node != NULL;
}

static entry *new_entry(slice key, slice data)
{
    entry *e = mem_alloc(sizeof *e + key.n + data.n);
    memcpy(e->bytes, key.p, key.n);
    e->node.key = (slice){e->bytes, key.n};
    if (data.p != NULL)
        e->data = (slice){e->bytes + key.n, data.n};
    if (data.n > 0)
        memcpy(e->bytes + key.n, data.p, data.n);
    return e;
}

slice file_set_add(file_set *s, file_kind kind, slice path, slice data)
{
    char room[PATH_BYTES];
    if (s == NULL || path.n >= PATH_BYTES - 1)
        return data;
    slice key = key_of(kind, path, room);
    pthread_mutex_lock(&s->lock);
    map_node *node = map_find(&s->entries, key);
    if (node == NULL && s->size + data.n <= BYTES_MAX) {
        entry *e = new_entry(key, data);
        s->size += key.n + data.n;
        map_insert(&s->entries, &e->node);
        node = &e->node;
    }
    slice holds = node != NULL ? MAP_ENTRY(node, entry, node)->data : data;
    pthread_mutex_unlock(&s->lock);
    return holds;
}
