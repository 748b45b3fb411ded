/* Histories of topics in Redis: a stream of messages per topic (XADD with the offset as its id),
 * and a hash with the epoch (e), the newest offset (o), the stream's bytes (b), the server's
 * replication id (id), and the ends of the epochs before (past, hub_past). One script does all
 * that belongs to a message, so that no node can see half of it, and no two messages one offset.
 *
 * Keys: PREFIX "position:" TOPIC, PREFIX "history:" TOPIC; the channel is PREFIX TOPIC. */
#pragma once
#include "hub.h"
#include "redis_link.h"

/* Once per process, before the others. */
void redis_history_init(void);
void redis_history_keep(redis_link *l, slice prefix, slice topic, slice data, const hub_rule *rule,
                        uint64_t epoch, hub_published done, void *ctx);
void redis_history_read(redis_link *l, slice prefix, slice topic, const hub_remote_query *query,
                        hub_history_done done, void *ctx);
/* What the script publishes: "2 EPOCH OFFSET TIME_MS\n" and the message. False: it is not that. */
bool redis_history_parse(slice payload, hub_position *position, int64_t *time_ms, slice *data);
