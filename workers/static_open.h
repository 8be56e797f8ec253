/*
 * Files below a folder, and nothing else: whatever a client writes as a path, and whoever puts
 * symbolic links there. Pure, but for the file system.
 */
#ifndef WORKERS_STATIC_OPEN_H
#define WORKERS_STATIC_OPEN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a path may name something that is served: no NUL, nothing that begins with a dot. */
bool static_open_may(const char *path, size_t length);
/*
 * Opens for reading what has that path below the folder `root`; slashes in front do not count, an
 * empty one is the folder itself. A symbolic link that leads out counts as nothing there. -1 with
 * errno. Never waits for somebody to open the other end.
 */
int static_open(int root, const char *path);
/* The same for a kernel without openat2(2): no symbolic link is followed at all. */
int static_open_by_steps(int root, const char *path);
/* What a failure is called in HTTP. */
unsigned static_open_status(int error);

#endif
