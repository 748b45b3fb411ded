/* One HTTP/1.1 request with a JSON body, over a transport of its own, which ends with the answer.
 */
#pragma once
#include "slice.h"
#include "tls.h"
#include "url.h"
#include <uv.h>

enum { FETCH_MAX = 65536 }; /* bytes of an answer, its head among them */

typedef struct fetch fetch;

typedef struct {
    int status;       /* of HTTP; 0: there was no answer */
    const char *word; /* then why: "connect", "tls", "lost", "timeout", "bad_answer" */
    slice body;       /* of the answer, or our words */
} fetch_answer;

/* POSTs `body` to `target` of the URL's server. on_answer comes once, from the loop, and not after
 * fetch_abandon; then the request frees itself. Nothing is kept of the parameters but owner; the
 * context is held; NULL: in the clear. */
fetch *fetch_post(uv_loop_t *loop, const url_parts *url, tls_context *tls, const char *target,
                  slice body, unsigned ms,
                  void (*on_answer)(void *owner, const fetch_answer *answer), void *owner);
/* Nobody wants the answer any more. Not after on_answer. */
void fetch_abandon(fetch *f);
