/* From the settings to what workers share: limits, store, hub. */
#pragma once
#include "worker.h"

struct config;

/* A path from the settings: relative ones lie below the application's folder. The caller frees. */
char *setup_path(const worker_shared *s, const char *key);
int setup_workers(const struct config *config); /* how many */
void setup_limits(worker_shared *s, struct config *config, const char *folder);
/* As many descriptors as the connections need; says when the system allows fewer, and lowers the
 * connections to what is possible. -1 where not even the workers could start. */
int setup_raise_file_limit(worker_shared *s, char *error, size_t error_size);
/* Who may say from where a request comes. */
int setup_proxies(const struct config *config, char *error, size_t error_size);
/* Are the settings that have a form of their own (addresses) right? Opens nothing. */
int setup_check(const struct config *config, char *error, size_t size);
/* The files of log.folder, when it is set. */
int setup_log_files(const worker_shared *s, char *error, size_t error_size);
/* Opens the hub, and the store where it is wanted. -1 with a message: there is no store. */
int setup_open(worker_shared *s, bool with_store, char *error, size_t error_size);
/* After a reload: what C keeps of the settings that may change takes effect. */
void setup_adopt(worker_shared *s, struct config *config);
/* The store alone, after setup_open without it. */
int setup_open_store(worker_shared *s, char *error, size_t error_size);
void setup_close(worker_shared *s);
