/* Folders on the disk. */
#pragma once

/* Makes the folder, private to its owner, and those above it that are missing. 0, or -1 with errno.
 */
int folder_make(const char *path);
