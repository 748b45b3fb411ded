/* A problem is logged when it is new, and again each minute while it lasts; its end is logged once.
 * Shared by all links of the process. */
#include "redis_said.h"

#include "clock.h"
#include "log.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { AGAIN_MS = 60000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char said[400];
static uint64_t said_at;

void redis_say_problem(const char *problem)
{
    pthread_mutex_lock(&lock);
    bool again = strncmp(said, problem, sizeof said - 1) == 0 && clock_ms() < said_at + AGAIN_MS;
    if (!again) {
        snprintf(said, sizeof said, "%s", problem);
        said_at = clock_ms();
    }
    pthread_mutex_unlock(&lock);
    if (!again)
        log_error("Redis does not serve; trying again", LOG_TEXT("problem", problem));
}

void redis_say_ready(const char *name)
{
    pthread_mutex_lock(&lock);
    bool was_away = said[0] != '\0';
    said[0] = '\0';
    pthread_mutex_unlock(&lock);
    if (was_away)
        log_info("Redis serves again", LOG_TEXT("address", name));
    else
        log_debug("linked to Redis", LOG_TEXT("address", name));
}
