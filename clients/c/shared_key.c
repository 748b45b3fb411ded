/* End to end: payloads sealed by codec/seal with a key that clients share, and the agreement on it.
 * Each sender picks a name when it begins, from which its own key follows, so that no two senders
 * use a nonce twice; the numbers of the others are remembered, so that nothing passes twice.
 *
 * A sender's cipher key is derived anew for each payload (two HMACs); keeping a thousand was
 * rejected: secrets that lie about. Owner: the program. What must never happen: a number used twice
 * in sealing; one counted as seen before its payload was opened. */
#include "client.h"

#include "base64url.h"
#include "digest.h"
#include "hkdf.h"
#include "mem.h"
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

enum { KEY_SIZE = 32, NAME_SIZE = 16, NAME_TEXT = 22, DIGITS_MAX = 10, SENDERS_MAX = 1000 };

/* One sender in one subscription and topic. */
typedef struct {
    unsigned char place[32]; /* hash of all that */
    uint64_t last;
} sender;

struct lunacast_key {
    unsigned char bytes[KEY_SIZE];
    buf text, name; /* name: of this sender, as it goes over the wire */
    seal_way way;
    buf out;
    sender *senders; /* those heard last are at the end */
    size_t heard, room;
};

static slice bytes_of(const buf *b)
{
    return (slice){b->data ? b->data : "", b->len};
}

static void init_way(const lunacast_key *k, seal_way *way, slice name)
{
    unsigned char seed[SEAL_SEED_SIZE];
    hkdf_sha256((slice){(const char *)k->bytes, KEY_SIZE}, name, SLICE("lunacast end to end 1"),
                seed, sizeof seed);
    seal_way_init(way, seed);
    OPENSSL_cleanse(seed, sizeof seed);
}

static lunacast_key *make(slice bytes)
{
    unsigned char name[NAME_SIZE];
    lunacast_key *k = mem_alloc(sizeof *k);
    memcpy(k->bytes, bytes.p, KEY_SIZE);
    base64url_encode(&k->text, bytes);
    buf_cstr(&k->text);
    RAND_bytes(name, sizeof name);
    base64url_encode(&k->name, (slice){(const char *)name, sizeof name});
    init_way(k, &k->way, (slice){(const char *)name, sizeof name});
    return k;
}

static void wipe(buf *b)
{
    if (b->data)
        OPENSSL_cleanse(b->data, b->len);
    buf_free(b);
}

int lunacast_key_new(lunacast_key **out, const char *text)
{
    unsigned char fresh[KEY_SIZE];
    buf given = {0};
    *out = NULL;
    if (!text && RAND_bytes(fresh, sizeof fresh) == 1)
        *out = make((slice){(const char *)fresh, sizeof fresh});
    else if (text && base64url_decode(&given, slice_of(text)) && given.len == KEY_SIZE)
        *out = make(bytes_of(&given));
    OPENSSL_cleanse(fresh, sizeof fresh);
    wipe(&given);
    return *out ? LUNACAST_OK : LUNACAST_BAD_KEY;
}

void lunacast_key_free(lunacast_key *k)
{
    if (!k)
        return;
    wipe(&k->text);
    wipe(&k->out);
    buf_free(&k->name);
    free(k->senders);
    OPENSSL_cleanse(k, sizeof *k);
    free(k);
}

const char *lunacast_key_text(const lunacast_key *k)
{
    return k->text.data;
}

/* Sealing ----------------------------------------------------------------------------------- */

int lunacast_key_seal(lunacast_key *k, const char *topic, const char *payload, size_t size,
                      lunacast_bytes *out)
{
    uint64_t number;
    buf sealed = {0};
    *out = (lunacast_bytes){0};
    wipe(&k->out);
    if (!message_valid((slice){payload, size}))
        return LUNACAST_BAD_JSON;
    if (!seal_close(&k->way, (slice){payload, size}, slice_of(topic), &number, &sealed))
        return LUNACAST_BAD_KEY;
    buf_text(&k->out, "{\"sealed\":\"");
    buf_append_slice(&k->out, bytes_of(&k->name));
    buf_byte(&k->out, '.');
    buf_uint(&k->out, number);
    buf_byte(&k->out, '.');
    base64url_encode(&k->out, bytes_of(&sealed));
    buf_text(&k->out, "\"}");
    buf_free(&sealed);
    *out = (lunacast_bytes){k->out.data, k->out.len};
    return LUNACAST_OK;
}

/* Opening ----------------------------------------------------------------------------------- */

static void put_part(buf *out, const char *text)
{
    buf_text(out, text ? text : "");
    buf_byte(out, '\0');
}

static void make_place(const lunacast_message *m, const char *name, unsigned char *place)
{
    const lunacast_subscription *s = m->subscription;
    buf all = {0};
    put_part(&all, name);
    put_part(&all, m->topic);
    put_part(&all, m->session);
    put_part(&all, s ? s->topic : NULL);
    put_part(&all, s ? s->session : NULL);
    digest_make(DIGEST_SHA256, bytes_of(&all), place, NULL);
    buf_free(&all);
}

/* The newest entries only: who is forgotten is taken for new. */
static sender *add(lunacast_key *k, const unsigned char *place)
{
    if (k->heard == SENDERS_MAX)
        memmove(k->senders, k->senders + 1, --k->heard * sizeof *k->senders);
    if (k->heard == k->room) {
        k->room = k->room ? 2 * k->room : 8;
        k->senders = mem_resize(k->senders, k->room * sizeof *k->senders);
    }
    sender *s = &k->senders[k->heard++];
    memcpy(s->place, place, sizeof s->place);
    return s;
}

/* The number before; forgets it. */
static uint64_t take_out(lunacast_key *k, const unsigned char *place)
{
    for (size_t i = 0; i < k->heard; i++) {
        sender *s = &k->senders[i];
        if (memcmp(s->place, place, sizeof s->place) != 0)
            continue;
        uint64_t last = s->last;
        memmove(s, s + 1, (--k->heard - i) * sizeof *s);
        return last;
    }
    return 0;
}

/* 0: that is none. A number has one spelling. */
static uint64_t number_of(const char *digits)
{
    size_t n = strspn(digits, "0123456789");
    bool good = n > 0 && n <= DIGITS_MAX && digits[n] == '\0' && digits[0] != '0';
    return good ? strtoull(digits, NULL, 10) : 0;
}

static int open_data(lunacast_key *k, const lunacast_message *m, const char *name_text,
                     uint64_t number, slice data)
{
    seal_way way;
    unsigned char place[32];
    buf name = {0};
    seal_result result = SEAL_BROKEN;
    uint64_t last = 0;
    make_place(m, name_text, place);
    if (base64url_decode(&name, slice_of(name_text)) && name.len == NAME_SIZE) {
        init_way(k, &way, bytes_of(&name));
        way.last = last = take_out(k, place);
        result = seal_open(&way, number, data, slice_of(m->topic), &k->out);
        OPENSSL_cleanse(&way, sizeof way);
    }
    if (result == SEAL_OK || last > 0)
        add(k, place)->last = result == SEAL_OK ? number : last;
    buf_free(&name);
    if (result == SEAL_REPLAY)
        return LUNACAST_REPLAY;
    return result == SEAL_OK && message_valid(bytes_of(&k->out)) ? LUNACAST_OK
                                                                 : LUNACAST_NOT_OPENED;
}

/* "SENDER.NUMBER.DATA" */
static int open_text(lunacast_key *k, const lunacast_message *m, char *text)
{
    buf data = {0};
    const char *name = strsep(&text, "."), *digits = text ? strsep(&text, ".") : "";
    uint64_t number = number_of(digits);
    int code = LUNACAST_NOT_OPENED;
    if (number > 0 && text && strlen(name) == NAME_TEXT && base64url_decode(&data, slice_of(text)))
        code = open_data(k, m, name, number, bytes_of(&data));
    buf_free(&data);
    return code;
}

int lunacast_key_open(lunacast_key *k, const lunacast_message *m, lunacast_bytes *out)
{
    message payload;
    *out = (lunacast_bytes){0};
    wipe(&k->out);
    bool read =
        m->payload.data && message_read(&payload, (slice){m->payload.data, m->payload.size});
    char *text = read ? message_string(payload.sealed) : NULL;
    int code = text ? open_text(k, m, text) : LUNACAST_NOT_SEALED;
    free(text);
    if (code == LUNACAST_OK)
        *out = (lunacast_bytes){k->out.data, k->out.len};
    return code;
}

/* Agreeing ---------------------------------------------------------------------------------- */

struct lunacast_pair {
    agree_pair *pair;
    buf raw, text;
};

lunacast_pair *lunacast_pair_new(lunacast_seal curve)
{
    lunacast_pair *p = mem_alloc(sizeof *p);
    p->pair = agree_pair_new(curve == LUNACAST_SEAL_X25519 ? AGREE_X25519 : AGREE_P256);
    agree_public_raw(p->pair, &p->raw);
    base64url_encode(&p->text, bytes_of(&p->raw));
    buf_cstr(&p->text);
    return p;
}

void lunacast_pair_free(lunacast_pair *p)
{
    if (!p)
        return;
    agree_pair_free(p->pair);
    buf_free(&p->raw);
    buf_free(&p->text);
    free(p);
}

const char *lunacast_pair_public(const lunacast_pair *p)
{
    return p->text.data;
}

/* The hash of both public keys, the lesser first: both sides come to the same. */
static void make_salt(slice a, slice b, unsigned char *salt)
{
    buf both = {0};
    bool first = memcmp(a.p, b.p, a.n) < 0; /* of one curve, they are of one size */
    buf_append_slice(&both, first ? a : b);
    buf_append_slice(&both, first ? b : a);
    digest_make(DIGEST_SHA256, bytes_of(&both), salt, NULL);
    buf_free(&both);
}

int lunacast_pair_agree(const lunacast_pair *p, const char *other, lunacast_key **out)
{
    unsigned char secret[AGREE_SECRET_SIZE], salt[32], key[KEY_SIZE];
    buf raw = {0};
    *out = NULL;
    if (base64url_decode(&raw, slice_of(other)) && agree_secret(p->pair, bytes_of(&raw), secret)) {
        make_salt(bytes_of(&p->raw), bytes_of(&raw), salt);
        hkdf_sha256((slice){(const char *)secret, sizeof secret},
                    (slice){(const char *)salt, sizeof salt}, SLICE("lunacast pair 1"), key,
                    sizeof key);
        *out = make((slice){(const char *)key, sizeof key});
    }
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(key, sizeof key);
    buf_free(&raw);
    return *out ? LUNACAST_OK : LUNACAST_BAD_KEY;
}
