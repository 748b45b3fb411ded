/* mkdir -p; several of us may do it at once. */
#include "folder.h"

#include "mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int folder_make(const char *path)
{
    char *copy = mem_dup(path, strlen(path));
    int rc = 0;
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0755); /* a failure shows at the last step */
        *slash = '/';
    }
    if (mkdir(copy, 0700) != 0 && errno != EEXIST)
        rc = -1;
    free(copy);
    return rc;
}
