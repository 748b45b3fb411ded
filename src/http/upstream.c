/* Health of a peer: passive (what requests met), active (what checks found), and a breaker that
 * gives an ill peer rest and then one request at a time to prove itself.
 *
 *   UP --`fails` failures within fail_ms--> OUT --out_ms over, picked--> TRIAL --good--> UP
 *                                            ^--bad, out_ms doubled--------/
 *   any --upstream_check(false)--> DOWN --upstream_check(true)--> UP
 *
 * One mutex per set, held for a few instructions; rejected: a table per worker, where each of N
 * workers has to fail three times on its own, and no one can say what the state is.
 *
 * Owner: its references; the registry finds sets without holding them. What must never happen: two
 * trials of a peer at once; a pick without its upstream_done. */
#include "upstream.h"

#include "buf.h"
#include "clock.h"
#include "list.h"
#include "mem.h"
#include "metrics.h"
#include "url.h"
#include <pthread.h>
#include <stdlib.h>

enum { FAILS_MAX = 16, DOUBLINGS_MAX = 3 };

typedef struct {
    upstream_peer about;
    char *text;
    size_t running;
    uint64_t requests, failures;
    uint64_t failed_at[FAILS_MAX]; /* the newest `fails` of them, a ring */
    unsigned fail_index, doublings;
    uint64_t out_until;
    bool out, trial, down;
} peer;

struct upstream {
    list link;
    size_t refs; /* under registry_lock */
    char *name;
    upstream_rules rules;
    pthread_mutex_t lock;
    size_t count, turn;
    peer peers[];
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static list registry = {&registry, &registry};

/* Opening -------------------------------------------------------------------------------------- */

static const char *read_peer(peer *p, slice url)
{
    const char *why = NULL;
    url_parts parts;
    upstream_peer *about = &p->about;
    p->text = mem_dup(url.p, url.n);
    about->url = slice_of(p->text);
    if (url.n > 5 && memcmp(url.p, "unix:", 5) == 0) {
        about->path = slice_of(p->text + 5);
        about->authority = SLICE("localhost");
        about->base = SLICE("");
        return about->path.n < 108 ? NULL : "the path of a unix socket has at most 107 bytes";
    }
    if (!url_parse(about->url, &parts, &why))
        return why;
    if (memchr(parts.target.p, '?', parts.target.n) != NULL)
        return "an upstream's URL has no query";
    about->tls = parts.tls;
    about->host = parts.host;
    about->authority = parts.authority;
    about->port = parts.port;
    about->base = parts.target;
    while (about->base.n > 0 && about->base.p[about->base.n - 1] == '/')
        about->base.n--;
    return NULL;
}

static void free_set(upstream *u)
{
    for (size_t i = 0; i < u->count; i++) {
        if (u->peers[i].out || u->peers[i].down)
            metrics_add(METRIC_UPSTREAMS_OUT, -1);
        free(u->peers[i].text);
    }
    pthread_mutex_destroy(&u->lock);
    free(u->name);
    free(u);
}

static char *name_of(const slice *urls, size_t count, const upstream_rules *r)
{
    buf name = {0};
    for (size_t i = 0; i < count; i++) {
        buf_append_slice(&name, urls[i]);
        buf_byte(&name, ' ');
    }
    buf_format(&name, "(%s, %u in %llu ms: %llu ms)", r->least ? "least" : "turn", r->fails,
               (unsigned long long)r->fail_ms, (unsigned long long)r->out_ms);
    return buf_cstr(&name);
}

static upstream *find(const char *name)
{
    LIST_FOR_EACH (it, &registry) {
        upstream *u = LIST_ENTRY(it, upstream, link);
        if (strcmp(u->name, name) == 0)
            return u;
    }
    return NULL;
}

static upstream *make(const slice *urls, size_t count, const upstream_rules *rules,
                      const char **why)
{
    upstream *u = mem_alloc(sizeof *u + count * sizeof *u->peers);
    pthread_mutex_init(&u->lock, NULL);
    u->rules = *rules;
    if (u->rules.fails > FAILS_MAX)
        u->rules.fails = FAILS_MAX;
    for (*why = NULL; u->count < count && *why == NULL; u->count++)
        *why = read_peer(&u->peers[u->count], urls[u->count]);
    if (*why == NULL)
        return u;
    free_set(u);
    return NULL;
}

upstream *upstream_open(const slice *urls, size_t count, const upstream_rules *rules,
                        const char **why)
{
    *why = "an upstream has 1 to 32 servers";
    if (count == 0 || count > UPSTREAM_PEERS_MAX)
        return NULL;
    char *name = name_of(urls, count, rules);
    pthread_mutex_lock(&registry_lock);
    upstream *u = find(name);
    if (u == NULL && (u = make(urls, count, rules, why)) != NULL) {
        u->name = name;
        name = NULL;
        list_append(&registry, &u->link);
    }
    if (u != NULL)
        u->refs++;
    pthread_mutex_unlock(&registry_lock);
    free(name);
    return u;
}

void upstream_drop(upstream *u)
{
    pthread_mutex_lock(&registry_lock);
    bool last = --u->refs == 0;
    if (last)
        list_remove(&u->link);
    pthread_mutex_unlock(&registry_lock);
    if (last)
        free_set(u);
}

size_t upstream_count(const upstream *u)
{
    return u->count;
}

const upstream_peer *upstream_get(const upstream *u, size_t i)
{
    return &u->peers[i].about;
}

slice upstream_name(const upstream *u)
{
    return slice_of(u->name);
}

/* Choosing ------------------------------------------------------------------------------------- */

static bool usable(const peer *p, uint64_t now)
{
    return !p->down && (!p->out || (!p->trial && now >= p->out_until));
}

/* In turn, or the one with the fewest running requests, the turn deciding among equals. */
static int choose(const upstream *u, uint32_t tried, uint64_t now)
{
    int best = -1;
    for (size_t k = 0; k < u->count; k++) {
        size_t i = (u->turn + k) % u->count;
        if ((tried >> i & 1) != 0 || !usable(&u->peers[i], now))
            continue;
        if (!u->rules.least)
            return (int)i;
        if (best < 0 || u->peers[i].running < u->peers[best].running)
            best = (int)i;
    }
    return best;
}

static uint64_t soonest(const upstream *u, uint64_t now)
{
    uint64_t wait = u->rules.out_ms;
    for (size_t i = 0; i < u->count; i++) {
        const peer *p = &u->peers[i];
        if (p->out && !p->down && p->out_until > now && p->out_until - now < wait)
            wait = p->out_until - now;
    }
    return wait;
}

upstream_choice upstream_pick(upstream *u, uint32_t tried)
{
    uint64_t now = clock_ms();
    pthread_mutex_lock(&u->lock);
    upstream_choice choice = {.peer = choose(u, tried, now)};
    if (choice.peer >= 0) {
        peer *p = &u->peers[choice.peer];
        u->turn = (size_t)choice.peer + 1;
        p->running++;
        p->requests++;
        choice.trial = p->out;
        p->trial = p->trial || choice.trial;
    } else {
        choice.retry_ms = soonest(u, now);
    }
    pthread_mutex_unlock(&u->lock);
    return choice;
}

/* Health --------------------------------------------------------------------------------------- */

static void set_out(peer *p, bool out)
{
    if (p->out != out && !p->down)
        metrics_add(METRIC_UPSTREAMS_OUT, out ? 1 : -1);
    p->out = out;
}

static void put_out(upstream *u, peer *p, uint64_t now)
{
    if (p->out && p->doublings < DOUBLINGS_MAX)
        p->doublings++;
    set_out(p, true);
    p->out_until = now + (u->rules.out_ms << p->doublings);
}

static void note_failure(upstream *u, peer *p, bool trial, uint64_t now)
{
    const upstream_rules *r = &u->rules;
    p->failures++;
    metrics_add(METRIC_UPSTREAM_FAILURES, 1);
    if (r->fails == 0)
        return;
    p->failed_at[p->fail_index] = now;
    p->fail_index = (p->fail_index + 1) % r->fails;
    uint64_t oldest = p->failed_at[p->fail_index];
    if (trial || (!p->out && oldest != 0 && now - oldest <= r->fail_ms))
        put_out(u, p, now);
}

static void note_success(peer *p)
{
    set_out(p, false);
    p->doublings = 0;
    memset(p->failed_at, 0, sizeof p->failed_at);
}

void upstream_judge(upstream *u, upstream_choice *choice, upstream_verdict verdict)
{
    peer *p = &u->peers[choice->peer];
    pthread_mutex_lock(&u->lock);
    if (verdict == UPSTREAM_BAD)
        note_failure(u, p, choice->trial, clock_ms());
    else if (verdict == UPSTREAM_GOOD && choice->trial)
        note_success(p);
    if (choice->trial)
        p->trial = choice->trial = false;
    pthread_mutex_unlock(&u->lock);
}

void upstream_done(upstream *u, const upstream_choice *choice)
{
    pthread_mutex_lock(&u->lock);
    u->peers[choice->peer].running--;
    pthread_mutex_unlock(&u->lock);
}

void upstream_check(upstream *u, size_t i, bool good)
{
    peer *p = &u->peers[i];
    pthread_mutex_lock(&u->lock);
    bool was = p->down || p->out;
    p->down = !good;
    if (good) {
        p->out = false;
        p->doublings = 0;
    }
    if (was != !good)
        metrics_add(METRIC_UPSTREAMS_OUT, good ? -1 : 1);
    pthread_mutex_unlock(&u->lock);
}

void upstream_uncheck(upstream *u)
{
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->count; i++) {
        peer *p = &u->peers[i];
        if (p->down && !p->out)
            metrics_add(METRIC_UPSTREAMS_OUT, -1);
        p->down = false;
    }
    pthread_mutex_unlock(&u->lock);
}

/* Looking -------------------------------------------------------------------------------------- */

void upstream_look(upstream *u, size_t i, upstream_status *status)
{
    uint64_t now = clock_ms();
    const peer *p = &u->peers[i];
    pthread_mutex_lock(&u->lock);
    *status = (upstream_status){.url = p->about.url,
                                .running = p->running,
                                .requests = p->requests,
                                .failures = p->failures,
                                .state = "up"};
    if (p->down)
        status->state = "down";
    else if (p->trial)
        status->state = "trial";
    else if (p->out)
        status->state = "out";
    if (p->out && p->out_until > now)
        status->out_ms = p->out_until - now;
    pthread_mutex_unlock(&u->lock);
}

void upstream_each(void (*fn)(upstream *u, void *arg), void *arg)
{
    pthread_mutex_lock(&registry_lock);
    LIST_FOR_EACH (it, &registry)
        fn(LIST_ENTRY(it, upstream, link), arg);
    pthread_mutex_unlock(&registry_lock);
}
