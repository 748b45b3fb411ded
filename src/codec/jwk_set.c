/* A set of keys, small (100 at most), looked through in order: a comparison of a few kids is
 * cheaper than a hash. The kid is a plain string, never a path, a query or an address.
 *
 * Owner: a Lua box. The stamp is made of the keys, so that reading them again (as every worker does
 * now and then) forgets no verified token, and a changed set remembers none. What must never
 * happen: two keys of one kid; a private member in jwk_set_public_json. */
#include "digest.h"
#include "jwk_private.h"
#include "mem.h"
#include <stdlib.h>

struct jwk_set {
    jwk *keys[JWK_SET_MAX];
    size_t count;
    unsigned char stamp[32];
};

static void change_stamp(jwk_set *s)
{
    buf names = {0};
    for (size_t i = 0; i < s->count; i++) {
        const jwk *k = s->keys[i];
        buf_append(&names, k->print, sizeof k->print);
        buf_format(&names, "%s %zu ", jwk_alg_name(k->alg), k->kid_n);
        buf_append(&names, k->kid, k->kid_n);
    }
    digest_make(DIGEST_SHA256, (slice){names.data, names.len}, s->stamp, NULL);
    buf_free(&names);
}

jwk_set *jwk_set_new(void)
{
    jwk_set *s = mem_alloc(sizeof *s);
    change_stamp(s);
    return s;
}

void jwk_set_free(jwk_set *s)
{
    for (size_t i = 0; s != NULL && i < s->count; i++)
        jwk_drop(s->keys[i]);
    free(s);
}

jwk *jwk_set_find(const jwk_set *s, slice kid)
{
    for (size_t i = 0; i < s->count; i++)
        if (slice_eq(jwk_kid(s->keys[i]), kid))
            return s->keys[i];
    return NULL;
}

bool jwk_set_add(jwk_set *s, jwk *k)
{
    if (s->count == JWK_SET_MAX || jwk_set_find(s, jwk_kid(k)) != NULL)
        return false;
    s->keys[s->count++] = jwk_hold(k);
    change_stamp(s);
    return true;
}

bool jwk_set_remove(jwk_set *s, slice kid)
{
    size_t i = 0;
    while (i < s->count && !slice_eq(jwk_kid(s->keys[i]), kid))
        i++;
    if (i == s->count)
        return false;
    jwk_drop(s->keys[i]);
    s->count--;
    memmove(s->keys + i, s->keys + i + 1, (s->count - i) * sizeof *s->keys);
    change_stamp(s);
    return true;
}

jwk *jwk_set_at(const jwk_set *s, size_t i)
{
    return s->keys[i];
}

size_t jwk_set_count(const jwk_set *s)
{
    return s->count;
}

slice jwk_set_stamp(const jwk_set *s)
{
    return (slice){(const char *)s->stamp, sizeof s->stamp};
}

static bool add_foreign(jwk_set *s, const jose_value *v)
{
    const char *reason;
    jwk *k = jwk_from_value(v, (jwk_wish){.alg = JWK_ALGS}, true, &reason);
    bool added = k != NULL && jwk_set_add(s, k);
    jwk_drop(k);
    return added;
}

jwk_set *jwk_set_from_json(slice json, size_t *skipped, const char **reason)
{
    *skipped = 0;
    *reason = "it is longer than 256 KiB";
    if (json.n > JWK_SET_TEXT_MAX)
        return NULL;
    arena a;
    arena_init(&a);
    const jose_value *keys = jose_get(jose_parse(json, &a), "keys");
    jwk_set *s = NULL;
    *reason = "it is not a JSON object with an array of keys";
    if (keys != NULL && keys->type == JOSE_ARRAY) {
        s = jwk_set_new();
        for (const jose_value *v = keys->first; v != NULL; v = v->next)
            *skipped += !add_foreign(s, v);
    }
    arena_free(&a);
    return s;
}

bool jwk_is_set(slice json)
{
    arena a;
    arena_init(&a);
    bool is = json.n <= JWK_SET_TEXT_MAX && jose_get(jose_parse(json, &a), "keys") != NULL;
    arena_free(&a);
    return is;
}

void jwk_set_public_json(const jwk_set *s, buf *out)
{
    buf_text(out, "{\"keys\":[");
    size_t shown = out->len;
    for (size_t i = 0; i < s->count; i++) {
        if (s->keys[i]->key == NULL)
            continue;
        if (out->len > shown)
            buf_byte(out, ',');
        jwk_public_json(s->keys[i], out);
    }
    buf_text(out, "]}");
}
