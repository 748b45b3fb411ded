/* A list that is searched from its beginning: rules are few, and each topic that somebody listens
 * to remembers its own. Rejected: a tree of prefixes, for some dozens of entries. */
#include "hub_rules.h"

#include "hub_name.h"
#include "mem.h"
#include <stdlib.h>

struct hub_rule_entry {
    char *text;
    size_t n; /* without the star */
    bool prefix;
    hub_rule rule;
};

bool hub_rules_add(hub_rules *r, slice pattern, const hub_rule *rule)
{
    if (r->count >= HUB_RULES_MAX)
        return false;
    bool prefix = pattern.n > 0 && pattern.p[pattern.n - 1] == '*';
    r->entries = mem_resize(r->entries, (r->count + 1) * sizeof *r->entries);
    r->entries[r->count++] = (struct hub_rule_entry){.text = mem_dup(pattern.p, pattern.n),
                                                     .n = pattern.n - (prefix ? 1 : 0),
                                                     .prefix = prefix,
                                                     .rule = *rule};
    return true;
}

static bool fits(const struct hub_rule_entry *e, slice name)
{
    return (e->prefix ? name.n >= e->n : name.n == e->n) && memcmp(e->text, name.p, e->n) == 0;
}

static bool is_better(const struct hub_rule_entry *e, const struct hub_rule_entry *than)
{
    return than == NULL || (!e->prefix && than->prefix) ||
           (e->prefix == than->prefix && e->n >= than->n);
}

hub_rule hub_rules_find(const hub_rules *r, slice name)
{
    const struct hub_rule_entry *best = NULL;
    name = hub_name_topic(name);
    if (name.n > 0 && name.p[0] == '$') /* the server's own: no pattern means them */
        return (hub_rule){0};
    for (size_t i = 0; i < r->count; i++) {
        const struct hub_rule_entry *e = &r->entries[i];
        if (fits(e, name) && is_better(e, best))
            best = e;
    }
    return best != NULL ? best->rule : (hub_rule){0};
}

void hub_rules_free(hub_rules *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->entries[i].text);
    free(r->entries);
    *r = (hub_rules){0};
}
