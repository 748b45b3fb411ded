/* host.zone: files of the system's time zone database, whole and undecoded. Scripts have no io, and
 * host.file stays in the application's folder; this module reads in one more place only. Rejected:
 * mktime and tzset, whose zone is one of the process, and a copy of the database in the binary,
 * which would grow old.
 *
 * A read blocks: files of some 3 KB, each at most once per VM (the caller keeps what it got).
 * What must never happen: a name that leaves the database's folder. */
#include "slice.h"
#include "vm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 64, FILE_MAX_BYTES = 256 << 10 };

static const char FOLDER[] = "/usr/share/zoneinfo/";
static const char HERE[] = "/etc/localtime";

/* Words of letters, digits, `_`, `+` and `-`, joined by single slashes: no dot, so no way out. */
static bool is_zone_name(slice name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
    if (name.n == 0 || name.n > NAME_MAX_BYTES || name.p[0] == '/' || name.p[name.n - 1] == '/')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '\0' || strchr(allowed, name.p[i]) == NULL)
            return false;
        if (name.p[i] == '/' && name.p[i - 1] == '/')
            return false;
    }
    return true;
}

/* Pushes the contents; false: not a readable file of a sane size. */
static bool push_file(lua_State *L, const char *path)
{
    luaL_Buffer b;
    char *data = luaL_buffinitsize(L, &b, FILE_MAX_BYTES);
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        struct stat s;
        if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode))
            got = read(fd, data, FILE_MAX_BYTES);
        close(fd);
    }
    luaL_pushresultsize(&b, got > 0 ? (size_t)got : 0);
    return got > 0;
}

/* read([name]): the TZif file of a zone, or of the system's own. */
static int l_read(lua_State *L)
{
    char path[sizeof FOLDER + NAME_MAX_BYTES];
    snprintf(path, sizeof path, "%s", HERE);
    if (!lua_isnoneornil(L, 1)) {
        slice name = vm_check_slice(L, 1);
        if (!is_zone_name(name))
            return vm_fail(L, "absent", "no time zone has such a name");
        snprintf(path, sizeof path, "%s%.*s", FOLDER, (int)name.n, name.p);
    }
    if (!push_file(L, path))
        return vm_fail(L, "absent", "no time zone file %s (Debian: apt-get install tzdata)", path);
    return 1;
}

int luaopen_host_zone(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", l_read}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
