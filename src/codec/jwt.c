/* Verification in the order that gives an attacker least: size, three parts, strict base64url, a
 * small strict header, the key by its kid from the set that the caller trusts, the algorithm from
 * the key, the signature; only then is the payload parsed.
 *
 *   bytes --jwt_open--> claims that are really the issuer's --jwt_check--> claims that hold now
 *
 * Header members that would bring a key along (jwk, jku, x5c, x5u) and those that change the
 * meaning of the rest (crit, b64, cty, zip) are refused, not ignored: nobody we trust sends them.
 * An `iat` in the future is no fault: clocks of two nodes differ by more than nothing.
 *
 * Rejected: a list of allowed algorithms as an option; the key knows its own. What must never
 * happen: a signature checked with an algorithm that the token chose; a time converted to an
 * integer before its range was checked; anything fetched. */
#include "jwt.h"

#include "arena.h"
#include "base64url.h"
#include "jose_json.h"
#include "mem.h"
#include <openssl/crypto.h>
#include <stdlib.h>

struct jwt_reader {
    arena tree;
    buf header, payload, signature;
};

static const struct {
    const char *word, *text;
} codes[] = {
    {"ok", "the token is good"},
    {"malformed", "the token is not a signed JWT of a form that is accepted here"},
    {"unknown_key", "the token names a key that is not in the set"},
    {"signature", "the token's signature is not its key's"},
    {"expired", "the token has expired"},
    {"not_yet", "the token is not valid yet"},
    {"issuer", "the token is from another issuer"},
    {"audience", "the token is for another audience"},
};

const char *jwt_code_word(jwt_code code)
{
    return codes[code].word;
}

const char *jwt_code_text(jwt_code code)
{
    return codes[code].text;
}

jwt_reader *jwt_reader_new(void)
{
    jwt_reader *r = mem_alloc(sizeof *r);
    arena_init(&r->tree);
    return r;
}

void jwt_reader_free(jwt_reader *r)
{
    if (r == NULL)
        return;
    arena_free(&r->tree);
    buf_free(&r->header);
    buf_free(&r->payload);
    buf_free(&r->signature);
    free(r);
}

/* Opening ------------------------------------------------------------------------------------ */

typedef struct {
    slice header, payload, signature; /* base64url */
    slice text;                       /* what is signed */
} parts;

static bool split(slice token, parts *out)
{
    if (token.n == 0 || token.n > JWT_SIZE_MAX)
        return false;
    const char *end = token.p + token.n;
    const char *first = memchr(token.p, '.', token.n);
    if (first == NULL)
        return false;
    const char *second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL)
        return false;
    out->header = (slice){token.p, (size_t)(first - token.p)};
    out->payload = (slice){first + 1, (size_t)(second - first - 1)};
    out->signature = (slice){second + 1, (size_t)(end - second - 1)};
    out->text = (slice){token.p, (size_t)(second - token.p)};
    return true; /* a third dot is no base64url */
}

static bool decode(buf *to, slice text)
{
    to->len = 0;
    return base64url_decode(to, text);
}

static const jose_value *parse_object(arena *tree, const buf *json)
{
    const jose_value *v = jose_parse((slice){json->data, json->len}, tree);
    return v != NULL && v->type == JOSE_OBJECT ? v : NULL;
}

static bool is_refused_member(slice name)
{
    static const char *const refused[] = {"crit", "b64", "zip", "cty", "jwk",
                                          "jku",  "x5c", "x5u", "enc"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (slice_eq(name, slice_of(refused[i])))
            return true;
    return false;
}

typedef struct {
    jwk_alg alg;
    slice kid; /* p is NULL: absent */
} header_facts;

static bool read_header(const jose_value *header, header_facts *facts, jwt_claims *claims)
{
    *facts = (header_facts){.alg = JWK_ALGS};
    for (const jose_value *m = header->first; m != NULL; m = m->next) {
        if (slice_eq(m->key, SLICE("alg")))
            facts->alg = m->type == JOSE_STRING ? jwk_alg_find(m->text) : JWK_ALGS;
        else if (slice_eq(m->key, SLICE("kid")))
            facts->kid = m->text;
        else if (slice_eq(m->key, SLICE("typ")))
            claims->type = m->text;
        else if (is_refused_member(m->key))
            return false;
        else
            continue;
        if (m->type != JOSE_STRING)
            return false;
    }
    slice prefix = SLICE("application/");
    if (claims->type.n > prefix.n && slice_ieq((slice){claims->type.p, prefix.n}, prefix))
        claims->type = (slice){claims->type.p + prefix.n, claims->type.n - prefix.n};
    return facts->alg != JWK_ALGS && facts->kid.n <= JWK_KID_MAX;
}

static jwk *find_key(const jwk_set *keys, const header_facts *facts)
{
    if (facts->kid.p != NULL)
        return jwk_set_find(keys, facts->kid);
    return jwk_set_count(keys) == 1 ? jwk_set_at(keys, 0) : NULL;
}

static bool read_audience(const jose_value *aud, arena *tree, jwt_claims *claims)
{
    if (aud == NULL)
        return true;
    bool many = aud->type == JOSE_ARRAY;
    claims->audience_n = many ? aud->count : 1;
    claims->audience = arena_alloc(tree, (claims->audience_n + 1) * sizeof(slice));
    slice *to = claims->audience;
    for (const jose_value *v = many ? aud->first : aud; v != NULL; v = many ? v->next : NULL) {
        if (v->type != JOSE_STRING)
            return false;
        *to++ = v->text;
    }
    return claims->audience_n > 0;
}

static bool read_claims(const jose_value *payload, arena *tree, jwt_claims *claims)
{
    const jose_value *exp = jose_get(payload, "exp"), *nbf = jose_get(payload, "nbf");
    const jose_value *iat = jose_get(payload, "iat"), *iss = jose_get(payload, "iss");
    int64_t issued_ms;
    claims->has_expiry = exp != NULL;
    claims->has_issuer = iss != NULL;
    if (iss != NULL)
        claims->issuer = iss->text;
    return (exp == NULL || jose_date(exp, &claims->expires_ms)) &&
           (nbf == NULL || jose_date(nbf, &claims->not_before_ms)) &&
           (iat == NULL || jose_date(iat, &issued_ms)) &&
           (iss == NULL || iss->type == JOSE_STRING) &&
           read_audience(jose_get(payload, "aud"), tree, claims);
}

jwt_code jwt_open_signed(jwt_reader *r, slice token, const jwk_set *keys, jwt_claims *claims)
{
    parts p;
    header_facts facts;
    arena_reset(&r->tree);
    *claims = (jwt_claims){0};
    if (!split(token, &p) || !decode(&r->header, p.header) || !decode(&r->signature, p.signature) ||
        !decode(&r->payload, p.payload))
        return JWT_MALFORMED;
    const jose_value *header = parse_object(&r->tree, &r->header);
    if (header == NULL || !read_header(header, &facts, claims))
        return JWT_MALFORMED;
    jwk *key = find_key(keys, &facts);
    if (key == NULL)
        return JWT_UNKNOWN_KEY;
    if (jwk_alg_of(key) != facts.alg ||
        !jwk_verify(key, p.text, (slice){r->signature.data, r->signature.len}))
        return JWT_SIGNATURE;
    claims->header = (slice){r->header.data, r->header.len};
    claims->payload = (slice){r->payload.data, r->payload.len};
    return JWT_OK;
}

jwt_code jwt_open(jwt_reader *r, slice token, const jwk_set *keys, jwt_claims *claims)
{
    jwt_code code = jwt_open_signed(r, token, keys, claims);
    if (code != JWT_OK)
        return code;
    const jose_value *payload = parse_object(&r->tree, &r->payload);
    return payload != NULL && read_claims(payload, &r->tree, claims) ? JWT_OK : JWT_MALFORMED;
}

/* Checking ----------------------------------------------------------------------------------- */

static bool audience_fits(const jwt_claims *claims, const jwt_policy *policy)
{
    if (policy->audience_n == 0)
        return claims->audience_n == 0;
    for (size_t i = 0; i < claims->audience_n; i++)
        for (size_t j = 0; j < policy->audience_n; j++)
            if (slice_eq(claims->audience[i], policy->audience[j]))
                return true;
    return false;
}

static bool type_fits(const jwt_claims *claims, const jwt_policy *policy)
{
    if (policy->type.n > 0)
        return slice_ieq(claims->type, policy->type);
    return claims->type.n == 0 || slice_ieq(claims->type, SLICE("JWT"));
}

jwt_code jwt_check(const jwt_claims *claims, const jwt_policy *policy)
{
    if (!type_fits(claims, policy) || (!claims->has_expiry && !policy->expiry_optional))
        return JWT_MALFORMED;
    if (claims->has_expiry && policy->now_ms >= claims->expires_ms + policy->leeway_ms)
        return JWT_EXPIRED;
    if (policy->now_ms + policy->leeway_ms < claims->not_before_ms)
        return JWT_NOT_YET;
    if (policy->issuer.n > 0 && !(claims->has_issuer && slice_eq(claims->issuer, policy->issuer)))
        return JWT_ISSUER;
    return audience_fits(claims, policy) ? JWT_OK : JWT_AUDIENCE;
}

static slice move_text(char **to, slice text)
{
    slice moved = {*to, text.n};
    if (text.n > 0)
        memcpy(*to, text.p, text.n);
    *to += text.n;
    return moved;
}

jwt_claims *jwt_claims_copy(const jwt_claims *claims)
{
    size_t list = claims->audience_n * sizeof(slice);
    size_t size = sizeof *claims + list + claims->header.n + claims->payload.n + claims->type.n +
                  claims->issuer.n;
    for (size_t i = 0; i < claims->audience_n; i++)
        size += claims->audience[i].n;
    jwt_claims *copy = mem_alloc(size);
    *copy = *claims;
    copy->audience = (slice *)(copy + 1);
    char *to = (char *)(copy + 1) + list;
    copy->header = move_text(&to, claims->header);
    copy->payload = move_text(&to, claims->payload);
    copy->type = move_text(&to, claims->type);
    copy->issuer = move_text(&to, claims->issuer);
    for (size_t i = 0; i < claims->audience_n; i++)
        copy->audience[i] = move_text(&to, claims->audience[i]);
    return copy;
}

/* Signing ------------------------------------------------------------------------------------ */

static void put_header(const jwk *k, slice type, buf *out)
{
    buf json = {0};
    buf_format(&json, "{\"alg\":\"%s\",\"typ\":", jwk_alg_name(jwk_alg_of(k)));
    jose_put_string(&json, type.n > 0 ? type : SLICE("JWT"));
    buf_text(&json, ",\"kid\":");
    jose_put_string(&json, jwk_kid(k));
    buf_byte(&json, '}');
    base64url_encode(out, (slice){json.data, json.len});
    buf_free(&json);
}

int jwt_sign(const jwk *k, slice type, slice payload, buf *out)
{
    buf signature = {0};
    size_t start = out->len;
    put_header(k, type, out);
    buf_byte(out, '.');
    base64url_encode(out, payload);
    int status = jwk_sign(k, (slice){out->data + start, out->len - start}, &signature);
    if (status == 0) {
        buf_byte(out, '.');
        base64url_encode(out, (slice){signature.data, signature.len});
    } else {
        out->len = start;
    }
    buf_free(&signature);
    return status;
}

bool jwt_is_payload(slice payload)
{
    jwt_claims claims = {0};
    arena tree;
    arena_init(&tree);
    const jose_value *v = jose_parse(payload, &tree);
    bool good = v != NULL && v->type == JOSE_OBJECT && read_claims(v, &tree, &claims);
    arena_free(&tree);
    return good;
}
