/* Tells when files of the application change: lua/, templates/, plugins/ and config.lua. */
#pragma once
#include <stdbool.h>
#include <uv.h>

typedef struct watch watch;

/* Watches on the loop of the calling worker, with page_files public/ too; on_change(arg) is called
 * about 30 ms after the last change of a burst. What can't be watched (limits of the system) is
 * logged, and a signal still reloads. */
watch *watch_new(uv_loop_t *loop, const char *folder, bool page_files, void (*on_change)(void *arg),
                 void *arg);
void watch_close(watch *w); /* freed when its handles are closed */
