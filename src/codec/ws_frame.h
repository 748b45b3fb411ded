/* WebSocket frames (RFC 6455), as a server reads and writes them, and the C client: no I/O. The
 * parser takes bytes in any split and gives whole messages and control frames; whatever a peer must
 * not send ends it with the close code that says so. */
#pragma once
#include "buf.h"
#include "frame.h"
#include "slice.h"
#include "utf8_stream.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
} ws_opcode;

enum {
    WS_CONTROL_MAX = 125,
    WS_FRAGMENTS_MAX = 1024,
    WS_HEADER_MAX = 10, /* of what a server sends: unmasked */
    WS_MASK_BYTES = 4,
    WS_ACCEPT_SIZE = 28,
};

/* Close codes that the server uses by itself. */
enum {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_NO_CODE = 1005,  /* a close frame without one; never sent */
    WS_ABNORMAL = 1006, /* no close frame at all; never sent */
    WS_BAD_DATA = 1007,
    WS_POLICY = 1008,
    WS_TOO_LARGE = 1009,
    WS_INTERNAL = 1011,
    WS_TRY_AGAIN = 1013,
};

typedef struct {
    /* Set once, before the first byte. */
    size_t max_message; /* bytes of a message, its fragments together */
    bool from_server;   /* frames must not be masked; else they must */
    bool deflate;       /* permessage-deflate was agreed on: RSV1 has a meaning */
    /* The frame at hand. */
    uint8_t header[14], have, need;
    uint8_t opcode, mask_at;
    bool fin, in_payload;
    uint64_t left;
    /* The data message, which control frames may interrupt. */
    uint8_t message_opcode; /* 0: none has begun */
    bool compressed, delivered;
    unsigned fragments;
    utf8_stream utf8;
    buf message;
    uint8_t control_len;
    char control[WS_CONTROL_MAX];
    /* After WS_BAD. */
    int code;
    const char *why;
} ws_parser;

typedef struct {
    ws_opcode opcode; /* WS_TEXT, WS_BINARY, WS_CLOSE, WS_PING or WS_PONG */
    bool compressed;
    slice data; /* until the next call; of a close: its reason */
    int code;   /* of a close: WS_NO_CODE when it has none */
} ws_message;

typedef enum {
    WS_MORE, /* all of the input is used */
    WS_READY,
    WS_BAD, /* for good: p->code and p->why say what the peer did */
} ws_result;

/* A zeroed struct with max_message set is a parser. */
ws_result ws_parse(ws_parser *p, slice *in, ws_message *out);
/* Frees the bytes; the struct is not usable any more. */
void ws_parser_free(ws_parser *p);

/* May a peer send this code in a close frame? */
bool ws_close_code_valid(int code);

/* Writing ----------------------------------------------------------------------------------- */
size_t ws_put_header(char out[WS_HEADER_MAX], ws_opcode opcode, bool compressed, uint64_t n);
/* A whole message as one frame. NULL: memory is out. */
frame *ws_frame_new(ws_opcode opcode, bool compressed, slice data);
/* What such a frame carries. */
slice ws_frame_data(const frame *f);
/* Appends a whole message as one frame, as a client sends it; the mask must be random. */
void ws_put_masked(buf *out, ws_opcode opcode, const uint8_t mask[WS_MASK_BYTES], slice data);
/* A close frame, its reason cut to what fits at the end of a character. WS_NO_CODE: an empty one.
 */
size_t ws_put_close(char out[WS_CONTROL_MAX + 2], int code, slice reason);

/* Opening ----------------------------------------------------------------------------------- */
/* 16 bytes in base64, as Sec-WebSocket-Key must be? */
bool ws_key_valid(slice key);
void ws_accept(slice key, char out[WS_ACCEPT_SIZE]);
