/* The opening handshake of a WebSocket (RFC 6455, section 4) from the client's side: the request,
 * and the reading of its answer. Pure. */
#pragma once
#include "buf.h"
#include "slice.h"
#include "url.h"
#include "ws_frame.h"
#include <stdbool.h>

enum { OPENING_KEY_SIZE = 24, OPENING_HEAD_MAX = 16384, OPENING_BODY_MAX = 8192 };

/* Appends the request. key: 16 random bytes in base64. token: NULL for none. */
void opening_request(buf *out, const url_parts *url, slice key, const char *token, bool in_query);

typedef enum {
    OPENING_MORE,
    OPENING_DONE,    /* it is a WebSocket from `used` on */
    OPENING_REFUSED, /* the server has answered with another status; `body` says why */
    OPENING_BAD,     /* that is no answer to this request */
} opening_result;

typedef struct {
    int status;
    size_t used; /* bytes of the head */
    slice body;  /* of a refusal */
} opening_answer;

/* Looks at all that has come; `ended`: there will be no more. */
opening_result opening_read(slice all, bool ended, slice key, opening_answer *out);
