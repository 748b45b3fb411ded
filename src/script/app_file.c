/* openat2 with RESOLVE_BENEATH (Linux 5.6): the check and the opening are one step, so a path that
 * is swapped in between finds nobody. Rejected: realpath and a comparison of prefixes. */
#include "app_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 1024 };

static int has_dot_name(const char *path)
{
    return path[0] == '.' || strstr(path, "/.") != NULL;
}

static int open_beneath(const char *folder, const char *path, uint64_t flags)
{
    int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    int saved = errno;
    close(root);
    errno = saved;
    return fd;
}

static int checked_open(const char *folder, slice path, uint64_t flags, char *error,
                        size_t error_size)
{
    char name[PATH_BYTES];
    if (path.n == 0 || path.n >= sizeof name || memchr(path.p, '\0', path.n) != NULL) {
        snprintf(error, error_size, "a file's path must be 1 to %d bytes without NUL",
                 PATH_BYTES - 1);
        errno = EINVAL;
        return -1;
    }
    memcpy(name, path.p, path.n);
    name[path.n] = '\0';
    if (has_dot_name(name)) {
        snprintf(error, error_size, "%s: names that begin with a dot are not served", name);
        errno = ENOENT;
        return -1;
    }
    int fd = open_beneath(folder, name, flags);
    if (fd < 0) {
        int saved = errno;
        bool outside = saved == EXDEV || saved == ELOOP;
        snprintf(error, error_size, "%s: %s", name,
                 outside ? "outside of the application's folder" : strerror(saved));
        errno = saved;
    }
    return fd;
}

int app_file_open(const char *folder, slice path, uint64_t *size, char *error, size_t error_size)
{
    struct stat info;
    int fd = checked_open(folder, path, 0, error, error_size);
    if (fd < 0)
        return -1;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        snprintf(error, error_size, "%.*s: not a regular file", (int)path.n, path.p);
        close(fd);
        return -1;
    }
    *size = (uint64_t)info.st_size;
    return fd;
}

int app_folder_open(const char *folder, slice path, char *error, size_t error_size)
{
    return checked_open(folder, path, O_DIRECTORY, error, error_size);
}
