/* Files below the application's folder, and no others. */
#pragma once
#include "slice.h"
#include <stddef.h>
#include <stdint.h>

/* Opens `path` (relative, "public/logo.png") below `folder` for reading. The kernel refuses what
 * leaves the folder: "..", absolute paths, symlinks that lead out. Names that begin with a dot are
 * refused too, and everything that is no regular file. The descriptor, the caller's; -1 with a
 * message. May block on the disk. */
int app_file_open(const char *folder, slice path, uint64_t *size, char *error, size_t error_size);
/* The same for a folder, to list its names; errno says why not. */
int app_folder_open(const char *folder, slice path, char *error, size_t error_size);
