/* Topics on the wire of a WebSocket: as they are, or in envelopes that tell topic and position;
 * each plain or compressed. What a slow client gets is subscriptions.c's. */
#include "ws_private.h"

#include "envelope.h"
#include "http_slots.h"
#include "ws_pack.h"

static ws *of(subscriptions *all)
{
    return LIST_ENTRY(all, ws, topics);
}

/* What goes out ------------------------------------------------------------------------------ */

static ws_opcode opcode_of(slice data)
{
    return utf8_valid(data) ? WS_TEXT : WS_BINARY;
}

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic;
    (void)version;
    (void)position;
    slice bytes = {data->data, data->len};
    return ws_frame_new(opcode_of(bytes), false, bytes);
}

/* For those with permessage-deflate: once for all of them. */
static frame *encode_packed(slice topic, const frame *data, uint64_t version, hub_position position)
{
    slice bytes = {data->data, data->len};
    frame *packed = ws_pack(opcode_of(bytes), bytes);
    return packed != NULL ? packed : encode(topic, data, version, position);
}

/* Frees the envelope. */
static frame *envelope_frame(buf *envelope, bool pack)
{
    slice bytes = {envelope->data, envelope->len};
    frame *f = pack ? ws_pack(WS_TEXT, bytes) : NULL;
    if (f == NULL)
        f = ws_frame_new(WS_TEXT, false, bytes);
    buf_free(envelope);
    return f;
}

static frame *put_value(slice topic, const frame *data, uint64_t version, bool pack)
{
    buf envelope = {0};
    envelope_value(&envelope, topic, version, (slice){data->data, data->len});
    return envelope_frame(&envelope, pack);
}

static frame *put_message(slice topic, const frame *data, hub_position position, bool pack)
{
    char text[HUB_POSITION_TEXT];
    buf envelope = {0};
    envelope_write(&envelope, topic, (slice){text, hub_position_text(position, text)},
                   (slice){data->data, data->len});
    return envelope_frame(&envelope, pack);
}

static frame *encode_value(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)position;
    return put_value(topic, data, version, false);
}

static frame *encode_value_packed(slice topic, const frame *data, uint64_t version,
                                  hub_position position)
{
    (void)position;
    return put_value(topic, data, version, true);
}

static frame *encode_message(slice topic, const frame *data, uint64_t version,
                             hub_position position)
{
    (void)version;
    return put_message(topic, data, position, false);
}

static frame *encode_message_packed(slice topic, const frame *data, uint64_t version,
                                    hub_position position)
{
    (void)version;
    return put_message(topic, data, position, true);
}

#define TRANSPORT(encode, slot)                                                               \
    {                                                                                         \
        "ws", encode, subscriptions_deliver, subscriptions_end, slot, subscriptions_messages, \
            subscriptions_gap, subscriptions_begun                                            \
    }

/* [in an envelope][compressed][messages] */
static const hub_transport transports[2][2][2] = {
    {{TRANSPORT(encode, SLOT_WS), TRANSPORT(encode, SLOT_WS)},
     {TRANSPORT(encode_packed, SLOT_WS_PACKED), TRANSPORT(encode_packed, SLOT_WS_PACKED)}},
    {{TRANSPORT(encode_value, SLOT_WS_ENVELOPE), TRANSPORT(encode_message, SLOT_WS_ENVELOPE)},
     {TRANSPORT(encode_value_packed, SLOT_WS_ENVELOPE_PACKED),
      TRANSPORT(encode_message_packed, SLOT_WS_ENVELOPE_PACKED)}},
};

/* Subscriptions ------------------------------------------------------------------------------ */

static void write_frame(subscriptions *all, frame *f)
{
    ws_write_frame(of(all), f);
}

static bool has_room(subscriptions *all, slice topic, size_t n)
{
    return ws_has_room(of(all), topic, n);
}

static bool is_named(const hub_transport *transport)
{
    return transport->index == SLOT_WS_ENVELOPE || transport->index == SLOT_WS_ENVELOPE_PACKED;
}

static void gap(subscriptions *all, hub_subscriber *s, uint64_t lost)
{
    ws *w = of(all);
    buf text = {0};
    if (!is_named(s->transport)) {
        w->ops->on_gap(w, hub_topic_of(s), lost);
        return;
    }
    envelope_gap(&text, hub_topic_of(s), lost);
    ws_send(w, WS_TEXT, (slice){text.data, text.len});
    buf_free(&text);
}

/* Who hears of topics in envelopes hears of their ends, too. */
static void topic_ended(subscriptions *all, slice topic, const hub_transport *transport)
{
    buf text = {0};
    if (!is_named(transport))
        return;
    envelope_end(&text, topic);
    ws_send(of(all), WS_TEXT, (slice){text.data, text.len});
    buf_free(&text);
}

static const subscriptions_ops ops = {HUB_CLASS_WS, write_frame, has_room, gap, topic_ended};

void ws_topics_init(ws *w)
{
    w->topics = (subscriptions){
        .c = w->c, .port = w->port, .ops = &ops, .member = &w->member, .queue = w->limits->queue};
    subscriptions_init(&w->topics);
}

bool ws_subscribe(ws *w, slice topic, const ws_subscribing *how, subscribed *got)
{
    const hub_transport *transport = &transports[how->envelope][w->packs][how->how.log];
    return subscriptions_add(&w->topics, topic, transport, &how->how, got);
}

bool ws_unsubscribe(ws *w, slice topic)
{
    return subscriptions_remove(&w->topics, topic);
}
