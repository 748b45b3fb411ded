/* The framework's Lua files and templates as bytes in the binary; cmake/embed.lua writes them. */
#pragma once
#include <stddef.h>

struct embedded_file {
    const char *name; /* path in the source tree, "lua/web/router.lua"; sorted by bytes */
    const char *data;
    size_t len;
};

extern const struct embedded_file embedded_files[];
extern const size_t embedded_count;

/* NULL: there is no such file. */
const struct embedded_file *embedded_find(const char *name);
