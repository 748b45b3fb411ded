/* Intrusive doubly-linked list: a node lies inside its object, so linking allocates nothing and
 * unlinking is O(1). An unlinked node points to itself, so unlinking twice is harmless.
 * While walking, only LIST_FOR_EACH_SAFE's current node may be unlinked; a walk whose callbacks may
 * unlink others moves the list away first (list_move) and pops from the front. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct list {
    struct list *next, *prev;
} list;

static inline void list_init(list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const list *l)
{
    return l->next == l;
}

static inline void list_append(list *head, list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Out of the list that it is in, if any, and to the end of this one. */
static inline void list_put(list *head, list *node)
{
    list_remove(node);
    list_append(head, node);
}

/* All of `from` becomes the content of `to`, which is overwritten; `from` is empty after. */
static inline void list_move(list *from, list *to)
{
    if (list_empty(from)) {
        list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* All of `from` goes to the end of `to`; `from` is empty after. */
static inline void list_append_all(list *to, list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define LIST_FOR_EACH(it, head) for (list *it = (head)->next; it != (head); it = it->next)
#define LIST_FOR_EACH_SAFE(it, head)                                   \
    for (list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)
