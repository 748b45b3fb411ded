/* A sealed connection: the agreement on keys, and sealing and opening by codec/seal, the server's
 * own code. The client is OPEN only when the keys are there.
 *
 *   on_open --sealing_begin--> hello sent --sealing_agree--> sealed --sealing_end--> no keys
 *                                  |  no answer, or a bad one           |
 *                                  '--> give_up: closed with 4400 <-----' what can't be opened
 *
 * A connection whose keys do not fit never gets better: it is closed, and the next one has others.
 * Owner of pair, channel and id: the client, as long as the connection. What must never happen: a
 * command in the clear where the options say that it is sealed; a message opened twice. */
#include "client.h"

#include "base64url.h"
#include "digest.h"
#include "hkdf.h"
#include "jwt.h"
#include "mem.h"
#include <openssl/crypto.h>
#include <stdlib.h>

enum { KEYS_DO_NOT_FIT = 4400, SEALED_HEAD_MAX = 32 };

static const char LABEL[] = "lunacast sealed 1", AUDIENCE[] = "sealed";

static agree_curve curve_of(const lunacast *c)
{
    return c->options.seal == LUNACAST_SEAL_X25519 ? AGREE_X25519 : AGREE_P256;
}

const char *lunacast_sealed(const lunacast *c)
{
    return c->channel ? c->sealed_as : NULL;
}

size_t sealing_size(const lunacast *c, size_t plain)
{
    if (c->options.seal == LUNACAST_IN_THE_CLEAR)
        return plain;
    return (plain + SEAL_TAG_SIZE + 2) / 3 * 4 + SEALED_HEAD_MAX;
}

static void give_up(lunacast *c, const char *code, const char *text)
{
    if (c->wire)
        wire_close(c->wire, KEYS_DO_NOT_FIT);
    client_error(c, code, text);
}

/* The hello --------------------------------------------------------------------------------- */

static void on_no_answer(uv_timer_t *timer)
{
    give_up(timer->data, "timeout", "the server has not agreed on keys in time");
}

/* As it goes over the wire. */
static void put_public_key(const lunacast *c, buf *out)
{
    buf raw = {0};
    agree_public_raw(c->pair, &raw);
    base64url_encode(out, (slice){raw.data, raw.len});
    buf_cstr(out);
    buf_free(&raw);
}

void sealing_begin(lunacast *c)
{
    buf key = {0}, out = {0};
    c->pair = agree_pair_new(curve_of(c));
    put_public_key(c, &key);
    buf_text(&out, "hello-json:");
    message_put(&out, "key", key.data);
    message_put(&out, "curve", agree_curve_name(curve_of(c)));
    if (c->trusted) {
        message_name(&out, "prove");
        buf_text(&out, "true");
    }
    buf_byte(&out, '}');
    uv_timer_start(&c->wait, on_no_answer, c->options.connect_ms, 0);
    wire_send(c->wire, (slice){out.data, out.len});
    buf_free(&key);
    buf_free(&out);
}

/* Its answer -------------------------------------------------------------------------------- */

static void init_way(seal_way *way, const unsigned char *secret, const unsigned char *salt,
                     slice name)
{
    unsigned char seed[SEAL_SEED_SIZE];
    hkdf_sha256((slice){(const char *)secret, AGREE_SECRET_SIZE},
                (slice){(const char *)salt, digest_size(DIGEST_SHA256)}, name, seed, sizeof seed);
    seal_way_init(way, seed);
    OPENSSL_cleanse(seed, sizeof seed);
}

/* The hash of all that both sides have said. */
static void make_salt(const lunacast *c, const char *connection, slice server, unsigned char *salt)
{
    buf said = {0};
    const char *curve = agree_curve_name(curve_of(c));
    buf_append(&said, LABEL, sizeof LABEL); /* with its NUL, and so the others */
    buf_append(&said, curve, strlen(curve) + 1);
    buf_append(&said, connection, strlen(connection) + 1);
    agree_public_raw(c->pair, &said);
    buf_append_slice(&said, server);
    digest_make(DIGEST_SHA256, (slice){said.data, said.len}, salt, NULL);
    buf_free(&said);
}

static bool derive(lunacast *c, const char *connection, slice server)
{
    unsigned char secret[AGREE_SECRET_SIZE], salt[DIGEST_MAX];
    if (!agree_secret(c->pair, server, secret))
        return false;
    make_salt(c, connection, server, salt);
    c->channel = mem_alloc(sizeof *c->channel);
    init_way(&c->channel->out, secret, salt, SLICE("client"));
    init_way(&c->channel->in, secret, salt, SLICE("server"));
    OPENSSL_cleanse(secret, sizeof secret);
    return true;
}

static bool is_for_us(const jwt_claims *claims)
{
    for (size_t i = 0; i < claims->audience_n; i++) {
        if (slice_eq(claims->audience[i], slice_of(AUDIENCE)))
            return true;
    }
    return false;
}

/* One of the trusted keys has signed both keys and the connection. */
static bool is_proved(const lunacast *c, const message *answer)
{
    message said;
    jwt_claims claims;
    buf key = {0};
    jwt_reader *reader = jwt_reader_new();
    char *proof = message_string(answer->proof);
    put_public_key(c, &key);
    bool good = proof && jwt_open(reader, slice_of(proof), c->trusted, &claims) == JWT_OK &&
                is_for_us(&claims) && message_read(&said, claims.payload) &&
                message_string_is(said.client, key.data) && slice_eq(said.server, answer->key) &&
                slice_eq(said.connection, answer->connection);
    free(proof);
    buf_free(&key);
    jwt_reader_free(reader);
    return good;
}

static void take_answer(lunacast *c, const message *m)
{
    char *key = message_string(m->key);
    buf raw = {0};
    c->sealed_as = message_string(m->connection);
    bool read = key && c->sealed_as && base64url_decode(&raw, slice_of(key));
    if (!read || !derive(c, c->sealed_as, (slice){raw.data, raw.len}))
        give_up(c, "bad_key", "the server's answer holds no public key of this curve");
    free(key);
    buf_free(&raw);
}

static void take_refusal(lunacast *c, const message *m)
{
    char *code = message_string(m->code), *text = message_string(m->error);
    give_up(c, code ? code : "not_sealed", text ? text : "the server does not seal");
    free(code);
    free(text);
}

bool sealing_agree(lunacast *c, slice text)
{
    message m;
    uv_timer_stop(&c->wait);
    if (!message_read(&m, text))
        give_up(c, "bad_json", "the server has sent what is not a JSON object");
    else if (!message_string_is(m.type, "hello") || m.payload.n > 0)
        take_refusal(c, &m);
    else if (c->trusted && !is_proved(c, &m))
        give_up(c, "untrusted", "the server has not proved that it has one of the trusted keys");
    else
        take_answer(c, &m);
    return c->channel && !c->freed;
}

/* Messages ---------------------------------------------------------------------------------- */

void sealing_send(lunacast *c, slice text)
{
    buf out = {0};
    if (c->options.seal == LUNACAST_IN_THE_CLEAR)
        wire_send(c->wire, text);
    else if (c->channel && seal_text_close(&c->channel->out, text, &out))
        wire_send(c->wire, (slice){out.data, out.len});
    else
        give_up(c, "used_up", "this connection has no key, or one that has sealed enough");
    buf_free(&out);
}

static void not_opened(lunacast *c, seal_result why, slice text)
{
    const slice prefix = SLICE(SEAL_TEXT);
    if (text.n < prefix.n || !slice_eq((slice){text.p, prefix.n}, prefix))
        give_up(c, "not_sealed", "a message came in the clear");
    else if (why == SEAL_REPLAY)
        give_up(c, "replay", "a message came twice");
    else if (why == SEAL_MISSING)
        give_up(c, "out_of_order", "a message is missing");
    else
        give_up(c, "not_opened", "a message was sealed with another key, or was changed");
}

void sealing_open(lunacast *c, slice text)
{
    buf plain = {0};
    seal_result result = seal_text_open(&c->channel->in, text, &plain);
    if (result == SEAL_OK)
        inbox_take(c, (slice){plain.data ? plain.data : "", plain.len});
    else
        not_opened(c, result, text);
    buf_free(&plain);
}

/* Life -------------------------------------------------------------------------------------- */

void sealing_end(lunacast *c)
{
    agree_pair_free(c->pair);
    seal_channel_free(c->channel);
    free(c->sealed_as);
    c->pair = NULL;
    c->channel = NULL;
    c->sealed_as = NULL;
}

bool sealing_trust(lunacast *c, const char *keys)
{
    size_t skipped;
    const char *why;
    if (c->options.seal != LUNACAST_IN_THE_CLEAR)
        c->trusted = jwk_set_from_json(slice_of(keys), &skipped, &why);
    return c->trusted && jwk_set_count(c->trusted) > 0;
}

void sealing_free(lunacast *c)
{
    sealing_end(c);
    jwk_set_free(c->trusted);
}
