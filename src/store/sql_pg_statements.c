/* What a connection has prepared, by text. Bounded: the one that was not used for longest goes, and
 * the connection tells the server. What must never happen: a name given twice. */
#include "mem.h"
#include "sql_pg.h"

#include <stdio.h>
#include <stdlib.h>

struct pg_statement {
    map_node node;
    list link;
    char name[24];
    char text[];
};

void pg_statements_init(pg_statements *all)
{
    list_init(&all->recent);
}

static void forget(pg_statements *all, pg_statement *s)
{
    map_remove(&all->by_text, &s->node);
    list_remove(&s->link);
    free(s);
}

static pg_statement *oldest(const pg_statements *all)
{
    return LIST_ENTRY(all->recent.next, pg_statement, link);
}

void pg_statements_free(pg_statements *all)
{
    while (!list_empty(&all->recent))
        forget(all, oldest(all));
    map_free(&all->by_text);
    free(all->preparing);
}

const char *pg_statements_find(pg_statements *all, slice text)
{
    map_node *found = map_find(&all->by_text, text);
    if (found == NULL)
        return NULL;
    pg_statement *s = MAP_ENTRY(found, pg_statement, node);
    list_remove(&s->link);
    list_append(&all->recent, &s->link);
    return s->name;
}

bool pg_statements_full(const pg_statements *all)
{
    return all->by_text.count >= PG_STATEMENTS_MAX;
}

const char *pg_statements_oldest(const pg_statements *all)
{
    return oldest(all)->name;
}

void pg_statements_forget_oldest(pg_statements *all)
{
    forget(all, oldest(all));
}

bool pg_statements_forget(pg_statements *all, slice text)
{
    map_node *found = map_find(&all->by_text, text);
    if (found != NULL)
        forget(all, MAP_ENTRY(found, pg_statement, node));
    return found != NULL;
}

const char *pg_statements_begin(pg_statements *all, slice text)
{
    pg_statement *s = mem_alloc(sizeof *s + text.n + 1);
    memcpy(s->text, text.p, text.n);
    s->node.key = (slice){s->text, text.n};
    list_init(&s->link);
    snprintf(s->name, sizeof s->name, "s%llu", (unsigned long long)++all->names);
    all->preparing = s;
    return s->name;
}

void pg_statements_end(pg_statements *all, bool worked)
{
    pg_statement *s = all->preparing;
    all->preparing = NULL;
    if (!worked) {
        free(s);
        return;
    }
    map_insert(&all->by_text, &s->node);
    list_append(&all->recent, &s->link);
}
