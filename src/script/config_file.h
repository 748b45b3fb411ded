/* config.lua: a file that returns a table of settings. For main, before any VM exists. */
#pragma once
#include <stddef.h>

struct config;

/* Reads `folder`/config.lua into c; an absent file is no error. -1 with a message that names file
 * and line. */
int config_file_load(struct config *c, const char *folder, char *error, size_t error_size);
