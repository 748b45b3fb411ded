/* What is said of a request once it is over. The path is logged without its query, which may hold a
 * token. */
#include "access.h"

#include "log.h"
#include "metrics.h"
#include <stdatomic.h>

static _Atomic bool lines;

void access_configure(bool log)
{
    lines = log;
}

void access_on_done(exchange *x, int status, uint64_t us, uint64_t bytes, void *arg)
{
    (void)arg;
    slice route = exchange_route(x), method = exchange_method(x);
    metrics_request(route, method, status, us);
    if (lines)
        log_info("request", LOG_TEXT("kind", "api"), LOG_SLICE("request_id", exchange_id(x)),
                 LOG_SLICE("method", method), LOG_SLICE("path", exchange_path(x)),
                 LOG_SLICE("route", route), LOG_NUM("status", status), LOG_NUM("us", us),
                 LOG_NUM("bytes", bytes));
}
