/* JSON (RFC 8259) without a tree: a reader that hands out one event after another, and the writing
 * of numbers and strings. It allocates nothing. */
#pragma once
#include "slice.h"
#include <stdint.h>

#define JSON_MAX_DEPTH 1024 /* the reader's own ceiling; its caller sets a lower one */

typedef enum {
    JSON_ERROR, /* json_describe says what is wrong */
    JSON_END,   /* the text was one value and is over */
    JSON_NULL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_INTEGER, /* .integer */
    JSON_FLOAT,   /* .number: has a fraction or an exponent, is -0, or does not fit int64 */
    JSON_STRING,  /* .text, .escaped */
    JSON_KEY,     /* .text, .escaped; its value is the next event */
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_OBJECT,
    JSON_OBJECT_END,
} json_event;

typedef struct {
    int64_t integer;
    double number;
    slice text;   /* between the quotes, as written: valid UTF-8, valid escapes */
    bool escaped; /* text holds escapes: json_unescape gives the value */

    /* private */
    const char *start, *at, *end;
    const char *expected, *problem; /* why it failed at `at`: one of the two */
    unsigned depth, max_depth;
    int state;
    uint64_t objects[JSON_MAX_DEPTH / 64]; /* a bit for each open level: it is an object */
} json_reader;

/* Reads `text`, which must stay as it is. Deeper nesting than max_depth is an error. */
void json_open(json_reader *r, slice text, unsigned max_depth);
/* The next event. After JSON_ERROR and JSON_END it stays there. */
json_event json_next(json_reader *r);
/* Turns the last event, a JSON_KEY or JSON_STRING, into an error: `problem` must be a constant. */
json_event json_refuse(json_reader *r, const char *problem);
/* "line 1 column 7: expected ',' or '}', got 'x'"; returns the offset in bytes (from 0). */
size_t json_describe(const json_reader *r, char *message, size_t size);
/* The value of a text with escapes: never longer than the text. Returns its length. */
size_t json_unescape(slice text, char *out);

/* Strings as JSON; numbers are number.h's. */
/* Bytes that json_put_string writes, quotes included; 0 when s is not UTF-8. */
size_t json_string_size(slice s);
/* Needs room for json_string_size bytes (6 for each byte and 2 is always enough). NULL: not UTF-8.
 */
char *json_put_string(char *out, slice s);
