/* Looks names up in the sorted table of files that travel in the binary. The table is written at
 * build time and never changes, so any thread may read it. */
#include "embedded.h"

#include <string.h>

const struct embedded_file *embedded_find(const char *name)
{
    size_t low = 0, high = embedded_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(name, embedded_files[mid].name);
        if (order == 0)
            return &embedded_files[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}
