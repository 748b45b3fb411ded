/* Messages of the server, as far as the client looks into them: the members of one object, each as
 * it was written. Commands of the client, member by member. Pure. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

/* Raw JSON each; n == 0: absent. Slices into the text that was read. */
typedef struct {
    slice text; /* all of it */
    slice type, topic, session_id, channel, position, recovered, presence, data, base64, payload;
    slice gap, lost, error, code, publisher_name, path, ended;
    slice token, expires_in, connection, key, proof, client, server, sealed;
} message;

/* False: not one JSON object. */
bool message_read(message *m, slice text);
/* The value of a string; NULL: absent, or no string. The caller frees. */
char *message_string(slice raw);
bool message_string_is(slice raw, const char *value);
bool message_true(slice raw);
/* A whole number; -1: absent, or none. */
int64_t message_number(slice raw);
/* Is it one JSON value? */
bool message_valid(slice json);

/* `{"name":` before the first, `,"name":` before each further one; the caller writes the '}'. */
void message_name(buf *out, const char *name);
/* Nothing is written for NULL. */
void message_put(buf *out, const char *name, const char *value);
