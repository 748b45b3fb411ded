/* The table of settings: the one place where a key is named; main.c, config.lua, the environment,
 * `lunacast config` and README's table all read it. Rejected: a struct with one member per key,
 * which needs three places per key (member, parser, printer), and an X-macro, which hides the table
 * from readers and tools. */
#include "config.h"

#define KiB ((int64_t)1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)
#define SECOND ((int64_t)1000)
#define DAY (86400 * SECOND)
#define ANY NULL

const char *const config_sections[] = {"app", "plugins", "topics", "gateway", NULL};

/* clang-format off */
const config_key config_keys[] = {
    {"listen", CONFIG_LIST, "127.0.0.1:3000", 0, 0, ANY, false,
     "addresses to accept on: HOST:PORT, [IPv6]:PORT, :PORT (all), unix:PATH; port 0 picks a free one"},
    {"workers", CONFIG_INT, "0", 0, 256, ANY, false, "threads that serve; 0: one per core"},
    {"data", CONFIG_TEXT, "data", 0, 0, ANY, false,
     "folder of the embedded store, relative to the application's folder"},
    {"dev", CONFIG_BOOL, "false", 0, 0, ANY, false,
     "errors show file, line and source in the answer; not for production"},
    {"watch", CONFIG_BOOL, "true", 0, 0, ANY, false,
     "reload scripts and templates when a file of the application is saved"},
    {"demo", CONFIG_BOOL, "false", 0, 0, ANY, false,
     "a session that draws the server itself, updated every second"},
    {"drain", CONFIG_TIME, "30s", 0, 3600 * SECOND, ANY, true,
     "longest wait for running requests at shutdown"},
    {"max_fps", CONFIG_INT, "60", 0, 1000, ANY, true,
     "pictures a second and session that reach the wire; 0: no limit"},
    {"keepalive", CONFIG_TIME, "30s", SECOND, DAY, ANY, true,
     "a stream repeats the newest picture after this silence"},
    {"history.max_bytes", CONFIG_SIZE, "64M", 0, 1024 * GiB, ANY, false,
     "memory for the messages that topics keep; the topic used least recently loses its own first"},
    {"rerender", CONFIG_BOOL, "false", 0, 0, ANY, true,
     "after a reload of scripts, pictures that somebody watches are rendered anew and sent"},
    {"session.expire", CONFIG_TIME, "1d", SECOND, 3650 * DAY, ANY, true,
     "life of a session that names none"},

    {"store.max_bytes", CONFIG_SIZE, "1G", 0, 1024 * GiB, ANY, false,
     "memory for keys and values of the embedded store; 0: no limit"},
    {"store.durability", CONFIG_TEXT, "normal", 0, 0, "normal|full", false,
     "normal: writes survive kill -9; full: also a power cut"},
    {"redis.url", CONFIG_TEXT, "", 0, 0, ANY, false,
     "redis://[user:password@]host[:port][/db] or unix:PATH; set: sessions live in Redis"},
    {"redis.prefix", CONFIG_TEXT, "", 0, 0, ANY, false, "put before every key and channel in Redis"},

    {"tls.cert", CONFIG_TEXT, "", 0, 0, ANY, true, "PEM file with the certificate chain"},
    {"tls.key", CONFIG_TEXT, "", 0, 0, ANY, true, "PEM file with the private key"},

    {"log.level", CONFIG_TEXT, "info", 0, 0, "debug|info|warn|error|off", true,
     "the least level that is logged"},
    {"log.format", CONFIG_TEXT, "auto", 0, 0, "auto|json|text", false,
     "auto: text on a terminal, JSON elsewhere"},
    {"log.access", CONFIG_BOOL, "true", 0, 0, ANY, true, "one line per request"},
    {"metrics.series", CONFIG_INT, "10000", 100, 1000000, ANY, false,
     "labelled series held at most; further ones are dropped and counted"},

    {"token.issuer", CONFIG_TEXT, "realtime-svg", 0, 0, ANY, false, "the claim iss of tokens"},
    {"token.ttl", CONFIG_TIME, "1h", SECOND, 365 * DAY, ANY, true, "life of a token"},
    {"token.max_ttl", CONFIG_TIME, "30d", SECOND, 365 * DAY, ANY, true,
     "longest life that a client may ask for"},
    {"token.rotate", CONFIG_TIME, "90d", 0, 3650 * DAY, ANY, true,
     "age at which the signing key is replaced, 0: never; old ones stay until their last token has "
     "expired"},
    {"token.leeway", CONFIG_TIME, "5s", 0, 30 * SECOND, ANY, true,
     "clock difference allowed when a token is checked"},
    {"token.cache", CONFIG_INT, "10000", 0, 10000000, ANY, false,
     "verified tokens remembered per worker; 0: none"},
    {"pubsub.secret", CONFIG_TEXT, "", 0, 0, ANY, false,
     "also JWT_SECRET_KEY: signs the tokens of /auth/token (HS256), 32 bytes or more; empty: the RSA "
     "key of the other tokens does"},
    {"pubsub.ttl", CONFIG_TIME, "1h", SECOND, 365 * DAY, ANY, true,
     "also JWT_EXPIRATION_SECONDS: life of such a token"},
    {"pubsub.anonymous", CONFIG_BOOL, "true", 0, 0, ANY, true, "/ws is open to clients without a token"},
    {"password.ln", CONFIG_INT, "17", 10, 20, ANY, false, "scrypt: log2 of N"},
    {"password.r", CONFIG_INT, "8", 1, 32, ANY, false, "scrypt: block size r"},
    {"password.p", CONFIG_INT, "1", 1, 16, ANY, false, "scrypt: parallelism p"},
    {"password.queue", CONFIG_INT, "64", 1, 10000, ANY, false,
     "passwords waiting to be hashed; further ones are answered 503"},

    {"lua.memory", CONFIG_SIZE, "64M", 4 * MiB, 64 * GiB, ANY, false, "memory of one worker's Lua"},
    {"lua.time_ms", CONFIG_INT, "100", 1, 60000, ANY, false,
     "CPU milliseconds after which a script that does not wait is ended"},
    {"lua.warn_ms", CONFIG_INT, "10", 1, 60000, ANY, false,
     "CPU milliseconds after which such a script is logged"},

    {"cache.bytes", CONFIG_SIZE, "16M", 0, 64 * GiB, ANY, false,
     "answers that scripts keep in web.cache, per worker; counted in lua.memory too"},
    {"gzip.min", CONFIG_SIZE, "1024", 0, GiB, ANY, false,
     "textual answers from this size are compressed; 0: never"},
    {"limits.request_line", CONFIG_SIZE, "8K", 256, MiB, ANY, false, "longest request line (414)"},
    {"limits.header_block", CONFIG_SIZE, "16K", KiB, MiB, ANY, false, "all headers together (431)"},
    {"limits.headers", CONFIG_INT, "100", 8, 10000, ANY, false, "number of headers (431)"},
    {"limits.header_time", CONFIG_TIME, "10s", SECOND / 10, 3600 * SECOND, ANY, false,
     "for the whole head of a request (408)"},
    {"limits.template", CONFIG_SIZE, "256K", KiB, 8 * MiB, ANY, true,
     "largest template of a session (413)"},
    {"limits.session", CONFIG_SIZE, "4M", KiB, 8 * MiB, ANY, true,
     "template, arguments and picture of a session together (413)"},
    {"limits.body", CONFIG_SIZE, "1M", 0, 4 * GiB, ANY, false, "largest request body (413)"},
    {"limits.body_rate", CONFIG_INT, "240", 0, 1000000000, ANY, false,
     "bytes a second that a body must reach (408); 0: any"},
    {"limits.body_grace", CONFIG_TIME, "5s", 0, 3600 * SECOND, ANY, false,
     "before the rate of a body is judged"},
    {"limits.idle", CONFIG_TIME, "75s", SECOND / 10, DAY, ANY, false,
     "a connection without a request is closed"},
    {"limits.write_stall", CONFIG_TIME, "30s", SECOND / 10, DAY, ANY, false,
     "a peer that reads nothing for so long is cut off"},
    {"limits.connections", CONFIG_INT, "10000", 1, 10000000, ANY, false,
     "per worker; further ones are answered 503"},
    {"limits.ws_message", CONFIG_SIZE, "64K", 125, 64 * MiB, ANY, false,
     "largest message of a WebSocket client (1009)"},
    {"limits.ws_queue", CONFIG_SIZE, "1M", 4 * KiB, GiB, ANY, false,
     "bytes that may wait for a WebSocket client that reads slowly (1013)"},
    {"limits.ws_rate", CONFIG_INT, "1000", 0, 1000000, ANY, false,
     "messages of a WebSocket client per second (1008); 0: any"},
    {"ws.ping", CONFIG_TIME, "25s", SECOND / 10, DAY, ANY, false,
     "a WebSocket client is pinged after this time"},
    {"ws.pong", CONFIG_TIME, "10s", SECOND / 10, DAY, ANY, false,
     "a WebSocket client that sends nothing for so long after a ping is gone"},
    {"ws.origins", CONFIG_LIST, "", 0, 0, ANY, false,
     "web origins, besides the same host, whose pages may open WebSockets: https://a.example; *: any"},
    {NULL, CONFIG_TEXT, NULL, 0, 0, ANY, false, NULL},
};
/* clang-format on */
