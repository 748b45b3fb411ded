/* What no single setting can say by itself: settings that need each other, and the strength of
 * secrets. */
#include "config.h"

#include <stdio.h>

enum { SECRET_MIN = 32 };

static int check_secret(const config *c, const char *key, const char *variable, char *error,
                        size_t error_size)
{
    size_t n = strlen(config_text(c, key));
    if (n == 0 || n >= SECRET_MIN)
        return 0;
    snprintf(error, error_size,
             "%s (%s) has %zu bytes; a secret that signs tokens needs at least %d, for example of "
             "`openssl rand -base64 48`",
             key, variable, n, SECRET_MIN);
    return -1;
}

int config_check(const config *c, char *error, size_t error_size)
{
    const char *cert = config_text(c, "tls.cert"), *key = config_text(c, "tls.key");
    if ((*cert == '\0') != (*key == '\0')) {
        snprintf(error, error_size, "tls.cert and tls.key belong together: \"%s\" is not set",
                 *cert == '\0' ? "tls.cert" : "tls.key");
        return -1;
    }
    size_t server_key = strlen(config_text(c, "server.key"));
    if (server_key > 0 && server_key < SECRET_MIN) {
        snprintf(
            error, error_size,
            "server.key has %zu bytes; a key that opens the whole server needs %d or more, such "
            "as `openssl rand -base64 32` makes",
            server_key, SECRET_MIN);
        return -1;
    }
    if (check_secret(c, "pubsub.secret", "JWT_SECRET_KEY", error, error_size) != 0 ||
        check_secret(c, "identity.secret", "JWT_SECRET", error, error_size) != 0)
        return -1;
    if (config_ms(c, "token.ttl") > config_ms(c, "token.max_ttl")) {
        snprintf(error, error_size, "token.ttl is longer than token.max_ttl");
        return -1;
    }
    if (config_count(c, "listen") == 0) {
        snprintf(error, error_size, "listen names no address, for example \"127.0.0.1:3000\"");
        return -1;
    }
    if (config_count(c, "listen") > CONFIG_ADDRESSES_MAX) {
        snprintf(error, error_size, "listen names %zu addresses; %d are the most",
                 config_count(c, "listen"), CONFIG_ADDRESSES_MAX);
        return -1;
    }
    return 0;
}
