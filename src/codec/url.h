/* An absolute http or https URL in its parts, strictly: no user information, no characters that
 * could mean two things to two readers. Pure. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool tls;
    slice host;      /* without the brackets of an IPv6 address */
    slice authority; /* as a Host header wants it: host and port as they were written */
    uint16_t port;
    slice target; /* path and query; may be empty, or begin with '?'; the fragment is dropped */
} url_parts;

/* False with words for people. The slices point into `text`. */
bool url_parse(slice text, url_parts *url, const char **why);
/* A path and query that can stand in a request line: begins with '/', printable ASCII, no '#'. */
bool url_valid_target(slice target);
