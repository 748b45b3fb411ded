/* How audiences ask each other: by messages on two topics of the hub, which reach every worker of
 * this process, and over the bus those of other nodes.
 *
 *   audience_ask -> "$audience" -> each worker: act -> "$audience/NODE" -> the worker that asked
 *        \-- everybody known has answered, or the time for that is over --> done
 *
 * To this process a question goes directly, so that a revocation works here at once, also while the
 * bus is away; to the others by the bus, and the copy that comes back from there is left alone.
 * Rejected: the same from Lua, where a script that is busy would let a revoked stream live on.
 *
 * What must never happen: a question that is answered by nobody and never over. */
#include "audience_private.h"

#include "audience_wire.h"
#include "clock.h"
#include "http_slots.h"
#include "jose_json.h"
#include "log.h"
#include "mem.h"
#include "revocations.h"
#include <stdlib.h>

enum { ROW_TOPICS_MAX = 20, ANSWER_BYTES_MAX = 256 * 1024 };

static const slice everybody = SLICE_INIT("$audience");

typedef struct {
    char name[AUDIENCE_NODE_MAX];
    uint64_t answered, workers;
} node_answers;

typedef struct {
    list link;
    uint64_t number, due;
    bool patient;        /* our own workers have been given more time */
    bool all_nodes, one; /* one: a connection by its id, so that the first who has it is enough */
    void (*done)(const audience_answer *answer, void *arg);
    void *arg;
    uint64_t count;
    buf rows;
    node_answers nodes[AUDIENCE_NODES_MAX];
    unsigned node_count;
} question;

static _Atomic unsigned workers_here, known_nodes;
static _Atomic uint64_t last_question;

void audience_set_nodes(unsigned nodes)
{
    known_nodes = nodes;
}

unsigned audience_workers(void)
{
    return workers_here;
}

/* Sending ----------------------------------------------------------------------------------- */

static slice answers_topic(slice node, char out[64])
{
    int n = snprintf(out, 64, "%.*s/%.*s", (int)everybody.n, everybody.p, (int)node.n, node.p);
    return (slice){out, (size_t)n < 64 ? (size_t)n : 63};
}

static void publish(audience *a, slice topic, audience_message *m, bool by_bus)
{
    buf bytes = {0};
    m->by_bus = by_bus;
    audience_message_put(&bytes, m);
    frame *f = frame_new(bytes.data, bytes.len);
    buf_free(&bytes);
    if (f == NULL)
        return;
    if (by_bus)
        hub_publish(a->port, topic, f, (hub_meta){.log = true}, NULL, NULL);
    else
        hub_publish_local(a->port, topic, f, (hub_meta){.log = true});
    frame_drop(f);
}

/* Acting on members ------------------------------------------------------------------------- */

typedef struct {
    slice wanted;
    bool found;
} topic_search;

static void compare_topic(slice topic, void *arg)
{
    topic_search *s = arg;
    s->found = s->found || slice_eq(topic, s->wanted);
}

static bool has_topic(const audience_member *m, slice topic)
{
    topic_search s = {topic, false};
    m->ops->each_topic(m, compare_topic, &s);
    return s.found;
}

static bool matches(const audience_member *m, const audience_request *r)
{
    audience_identity who = audience_identity_of(m);
    if (m->ended || (r->id.n > 0 && !slice_eq(r->id, audience_id(m))))
        return false;
    if (r->verb == AUDIENCE_APPLY)
        return revocations_hit(&who);
    if (r->verb == AUDIENCE_REVOKE && r->who.jti.n == 0 && who.issued > r->who.issued)
        return false;
    return (r->who.user.n == 0 || slice_eq(r->who.user, who.user)) &&
           (r->who.tenant.n == 0 || slice_eq(r->who.tenant, who.tenant)) &&
           (r->verb == AUDIENCE_IDENTIFY || r->who.jti.n == 0 ||
            revocation_concerns(r->who.jti, who.jti)) &&
           (r->topic.n == 0 || has_topic(m, r->topic));
}

static void put_text(buf *out, const char *name, slice text)
{
    if (text.n == 0 || !jose_is_utf8(text))
        return;
    buf_format(out, ",\"%s\":", name);
    jose_put_string(out, text);
}

typedef struct {
    buf *out;
    unsigned n;
} topic_row;

static void put_topic(slice topic, void *arg)
{
    topic_row *row = arg;
    if (!jose_is_utf8(topic) || row->n >= ROW_TOPICS_MAX)
        return;
    buf_text(row->out, row->n++ > 0 ? "," : "");
    jose_put_string(row->out, topic);
}

static void put_row(audience *a, const audience_member *m, buf *out)
{
    audience_identity who = audience_identity_of(m);
    if (out->len > 0)
        buf_byte(out, ',');
    buf_format(out, "{\"id\":\"%s\",\"transport\":\"%s\",\"node\":\"%s\",\"worker\":%d", m->id,
               m->ops->transport, audience_node().p, a->worker);
    put_text(out, "user", who.user);
    put_text(out, "tenant", who.tenant);
    put_text(out, "jti", who.jti);
    put_text(out, "peer", slice_of(conn_peer(m->conn)));
    if (who.expires != 0)
        buf_format(out, ",\"exp\":%lld", (long long)who.expires);
    buf_format(out, ",\"opened\":%lld,\"queued\":%zu,\"delivered\":%llu,\"topics\":[",
               (long long)m->opened, conn_queued(m->conn), (unsigned long long)m->delivered);
    topic_row row = {out, 0};
    m->ops->each_topic(m, put_topic, &row);
    buf_text(out, "]}");
}

static void say(audience_member *m, slice text)
{
    if (m->ops->say != NULL)
        m->ops->say(m, text);
}

static void act_on(audience *a, audience_member *m, const audience_request *r, buf *rows)
{
    if (r->verb == AUDIENCE_LIST)
        put_row(a, m, rows);
    else if (r->verb == AUDIENCE_END)
        audience_end_member(m, &r->end);
    else if (r->verb == AUDIENCE_UNSUBSCRIBE)
        m->ops->unsubscribe(m, r->topic);
    else if (r->verb == AUDIENCE_IDENTIFY)
        audience_identify(m, &r->who);
    else if (r->verb == AUDIENCE_SAY)
        say(m, r->text);
    else
        audience_end_member(m, &audience_revoked);
}

static bool is_enough(const audience_request *r, uint64_t count, const buf *rows)
{
    return r->verb == AUDIENCE_LIST && (count >= r->limit || rows->len > ANSWER_BYTES_MAX);
}

static void enter(const audience_request *r)
{
    char out[REVOCATION_KEY_MAX];
    revocation revoked = {r->who.jti, r->who.user, r->who.tenant, r->who.issued, r->until};
    slice key = revocation_key(&revoked, out);
    if (key.n > 0 && !revocations_add(key, r->who.issued, r->until))
        log_error("the table of revocations is full (token.revocations); a token stays good",
                  LOG_SLICE("key", key));
}

static uint64_t act(audience *a, const audience_request *r, buf *rows)
{
    uint64_t count = 0;
    if (r->verb == AUDIENCE_ANNOUNCE) {
        audience_announce(a, true);
        return 0;
    }
    if (r->verb == AUDIENCE_REVOKE)
        enter(r);
    LIST_FOR_EACH_SAFE (it, &a->members) {
        audience_member *m = LIST_ENTRY(it, audience_member, link);
        if (is_enough(r, count, rows))
            break;
        if (!matches(m, r))
            continue;
        act_on(a, m, r, rows);
        count++;
    }
    return count;
}

static void answer(audience *a, const audience_message *m)
{
    char name[64];
    buf rows = {0};
    audience_message reply = {.answer = true, .node = audience_node(), .number = m->number};
    reply.count = act(a, &m->request, &rows);
    reply.workers = workers_here;
    reply.rows = (slice){rows.data, rows.len};
    publish(a, answers_topic(m->node, name), &reply, m->by_bus);
    buf_free(&rows);
}

/* Answers ----------------------------------------------------------------------------------- */

static void finish(audience *a, question *q, bool whole)
{
    audience_answer result = {q->count, {q->rows.data, q->rows.len}, q->node_count, whole};
    list_remove(&q->link);
    audience_plan(a);
    q->done(&result, q->arg);
    buf_free(&q->rows);
    free(q);
}

static node_answers *answers_of(question *q, slice node)
{
    for (unsigned i = 0; i < q->node_count; i++) {
        if (slice_eq(slice_of(q->nodes[i].name), node))
            return &q->nodes[i];
    }
    if (q->node_count == AUDIENCE_NODES_MAX || node.n >= sizeof q->nodes[0].name)
        return NULL;
    node_answers *n = &q->nodes[q->node_count++];
    memcpy(n->name, node.p, node.n);
    return n;
}

static bool node_is_whole(const node_answers *n)
{
    return n->answered >= n->workers;
}

static bool own_is_whole(const question *q)
{
    for (unsigned i = 0; i < q->node_count; i++) {
        if (slice_eq(slice_of(q->nodes[i].name), audience_node()))
            return node_is_whole(&q->nodes[i]);
    }
    return false;
}

static bool is_whole(const audience *a, const question *q)
{
    unsigned nodes = 0;
    if (!own_is_whole(q) || !q->all_nodes || !a->cluster)
        return own_is_whole(q);
    for (unsigned i = 0; i < q->node_count; i++)
        nodes += node_is_whole(&q->nodes[i]);
    return known_nodes > 0 && nodes >= known_nodes;
}

static question *find(audience *a, uint64_t number)
{
    LIST_FOR_EACH (it, &a->questions) {
        question *q = LIST_ENTRY(it, question, link);
        if (q->number == number)
            return q;
    }
    return NULL;
}

static void take_answer(audience *a, const audience_message *m)
{
    question *q = find(a, m->number);
    node_answers *n = q != NULL ? answers_of(q, m->node) : NULL;
    if (n == NULL)
        return;
    n->answered++;
    n->workers = m->workers;
    q->count += m->count;
    if (m->rows.n > 0 && q->rows.len > 0)
        buf_byte(&q->rows, ',');
    buf_append_slice(&q->rows, m->rows);
    if ((q->one && q->count > 0) || is_whole(a, q))
        finish(a, q, true);
}

/* The hub's side ---------------------------------------------------------------------------- */

static frame *keep(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic;
    (void)version;
    (void)position;
    return frame_new(data->data, data->len);
}

/* A node that nobody has told us of yet: until somebody counts them again (audience_set_nodes), it
 * is not known who has to answer. */
static void meet(audience *a, slice node)
{
    if (node.n >= AUDIENCE_NODE_MAX)
        return;
    for (unsigned i = 0; i < a->peer_count; i++) {
        if (slice_eq(slice_of(a->peers[i]), node))
            return;
    }
    if (a->peer_count == AUDIENCE_NODES_MAX)
        a->peer_count = 0; /* the dead among them are met no more */
    memset(a->peers[a->peer_count], 0, AUDIENCE_NODE_MAX);
    memcpy(a->peers[a->peer_count++], node.p, node.n);
    known_nodes = 0;
}

static void take(audience *a, slice bytes)
{
    audience_message m;
    if (!audience_message_get(bytes, &m)) {
        log_warn("a message between audiences has another format");
        return;
    }
    bool own = slice_eq(m.node, audience_node());
    if (own && m.by_bus)
        return; /* what we said ourselves: it has come on the short way */
    if (!own)
        meet(a, m.node);
    if (m.answer)
        take_answer(a, &m);
    else
        answer(a, &m);
}

static void take_all(audience *a, frame *const *encoded, size_t n)
{
    for (size_t i = 0; i < n; i++)
        take(a, (slice){encoded[i]->data, encoded[i]->len});
}

static size_t on_commands(hub_subscriber *s, frame *const *encoded, size_t n)
{
    take_all(LIST_ENTRY(s, audience, commands), encoded, n);
    return n;
}

static size_t on_answers(hub_subscriber *s, frame *const *encoded, size_t n)
{
    take_all(LIST_ENTRY(s, audience, answers), encoded, n);
    return n;
}

static void on_value(hub_subscriber *s, frame *encoded, uint64_t version)
{
    (void)s;
    (void)encoded;
    (void)version;
}

static void on_end(hub_subscriber *s, slice topic)
{
    (void)s;
    (void)topic;
}

/* A revocation may be among what was lost. */
static void on_commands_gap(hub_subscriber *s, uint64_t lost)
{
    (void)s;
    (void)lost;
    revocations_break();
}

static void on_answers_gap(hub_subscriber *s, uint64_t lost)
{
    (void)s;
    (void)lost;
}

static const hub_transport commands = {"audience", keep,        on_value,        on_end,
                                       SLOT_AS_IS, on_commands, on_commands_gap, NULL};
static const hub_transport answers = {"audience", keep,       on_value,       on_end,
                                      SLOT_AS_IS, on_answers, on_answers_gap, NULL};

void audience_bus_open(audience *a)
{
    char name[64];
    list_init(&a->questions);
    if (a->port == NULL)
        return;
    workers_here++;
    hub_subscribe_log(a->port, everybody, &a->commands, &commands, NULL);
    hub_subscribe_log(a->port, answers_topic(audience_node(), name), &a->answers, &answers, NULL);
}

void audience_bus_close(audience *a)
{
    while (!list_empty(&a->questions))
        finish(a, LIST_ENTRY(a->questions.next, question, link), false);
    if (a->port == NULL)
        return;
    workers_here--;
    hub_unsubscribe(&a->commands);
    hub_unsubscribe(&a->answers);
}

uint64_t audience_bus_due(const audience *a)
{
    uint64_t first = 0;
    LIST_FOR_EACH (it, &a->questions) {
        const question *q = LIST_ENTRY(it, question, link);
        if (first == 0 || q->due < first)
            first = q->due;
    }
    return first;
}

void audience_bus_tick(audience *a, uint64_t now)
{
    LIST_FOR_EACH_SAFE (it, &a->questions) {
        question *q = LIST_ENTRY(it, question, link);
        if (q->due > now)
            continue;
        if (q->patient || own_is_whole(q)) {
            finish(a, q, false);
            continue;
        }
        q->patient = true;
        q->due = now + AUDIENCE_PATIENCE_MS;
    }
}

void audience_ask(audience *a, const audience_request *r,
                  void (*done)(const audience_answer *answer, void *arg), void *arg)
{
    question *q = mem_alloc(sizeof *q);
    *q = (question){.number = ++last_question,
                    .due = clock_ms() + AUDIENCE_ANSWER_MS,
                    .all_nodes = r->all_nodes,
                    .one = r->id.n > 0,
                    .done = done,
                    .arg = arg};
    list_append(&a->questions, &q->link);
    audience_plan(a);
    audience_message m = {.node = audience_node(), .number = q->number, .request = *r};
    publish(a, everybody, &m, false);
    if (r->all_nodes && a->cluster)
        publish(a, everybody, &m, true);
}
