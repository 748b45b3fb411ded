/* JSON as tokens and keys need it: a tree in an arena, read once, never written. Stricter than
 * JSON: duplicate members, numbers out of range of sense and bad UTF-8 are refused, and everything
 * is bounded. Claims that scripts see are decoded by host.json, after this has accepted them. */
#pragma once
#include "arena.h"
#include "buf.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    JOSE_DEPTH_MAX = 32,
    JOSE_MEMBERS_MAX = 256,  /* of one object */
    JOSE_VALUES_MAX = 16384, /* of one text */
};

typedef enum { JOSE_NULL, JOSE_BOOL, JOSE_NUMBER, JOSE_STRING, JOSE_ARRAY, JOSE_OBJECT } jose_type;

typedef struct jose_value {
    jose_type type;
    slice key;  /* inside an object: its name */
    slice text; /* of a string, without its escapes */
    double number;
    struct jose_value *first, *next;
    size_t count; /* members or elements */
} jose_value;

/* NULL: not JSON, or over a limit. Slices point into `text` or into the arena. */
const jose_value *jose_parse(slice text, arena *a);
/* NULL: no such member, or not an object. */
const jose_value *jose_get(const jose_value *object, const char *key);
/* The string member; false when it is absent or of another type. */
bool jose_get_string(const jose_value *object, const char *key, slice *out);
/* A NumericDate (RFC 7519) from 1970 to 9999, in milliseconds; false for everything else. */
bool jose_date(const jose_value *v, int64_t *ms);

/* Appends text as a JSON string, with its quotes. The text is UTF-8. */
void jose_put_string(buf *out, slice text);
/* Well-formed UTF-8: no surrogates, nothing overlong. */
bool jose_is_utf8(slice text);
