/* Names of topics that belong to a session of a tenant: "pubsub:3:5:abcroom1news", where the
 * numbers are the lengths of tenant and session, so that no two of them share a name, whatever
 * their characters. What a client names is the last part; rules go by it. */
#pragma once
#include "buf.h"
#include "slice.h"

typedef struct {
    slice tenant, session, topic;
} hub_name;

void hub_name_write(buf *out, const hub_name *name);
/* What rules go by: the topic of such a name, and all of any other. */
slice hub_name_topic(slice text);
