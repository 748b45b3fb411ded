/* How many patterns there are of each length is counted, so that a message costs one look-up per
 * length in use, and nothing when there is no pattern. Rejected: a tree of prefixes, for some
 * dozens of patterns. */
#include "hub_pattern.h"

#include <string.h>

void hub_pattern_count(hub *h, const topic_state *s, int by)
{
    if (!hub_is_pattern(s->node.key))
        return;
    size_t n = s->node.key.n - 1;
    h->pattern_lengths[n] = (uint32_t)((int)h->pattern_lengths[n] + by);
    h->pattern_count = (size_t)((int)h->pattern_count + by);
}

bool hub_pattern_room(hub *h, slice topic)
{
    if (!hub_is_pattern(topic))
        return true;
    pthread_mutex_lock(&h->lock);
    bool room = h->pattern_count < HUB_PATTERNS_MAX || hub_find_state(h, topic) != NULL;
    pthread_mutex_unlock(&h->lock);
    return room;
}

void hub_pattern_append(hub *h, slice name, frame *data, uint64_t version, hub_position position,
                        hub_port *from)
{
    char pattern[HUB_TOPIC_MAX + 1];
    size_t most = name.n < HUB_TOPIC_MAX ? name.n : HUB_TOPIC_MAX - 1;
    for (size_t n = 0; h->pattern_count > 0 && n <= most; n++) {
        if (h->pattern_lengths[n] == 0)
            continue;
        memcpy(pattern, name.p, n);
        pattern[n] = '*';
        topic_state *s = hub_find_state(h, (slice){pattern, n + 1});
        if (s != NULL)
            hub_log_append_named(s, name, data, version, position, from);
    }
}

void hub_receive_for(hub *h, slice pattern, slice topic, frame *data, hub_position position)
{
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, pattern);
    if (s != NULL)
        hub_log_append_named(s, topic, data, 0, position, NULL);
    pthread_mutex_unlock(&h->lock);
}
