/*
 * A unix socket in the file system: a stale one is replaced, a live one never, and what we made we
 * remove, but only as long as it is still ours.
 */
#ifndef DAEMON_SOCKPATH_H
#define DAEMON_SOCKPATH_H

#include "common/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Which file is ours. */
struct sockpath {
	dev_t device;
	ino_t inode; /* 0 when there is none */
};

/*
 * Binds `fd` to the unix address, with exactly that mode. False and a clause in `why` ("is in use
 * by a running program") when it cannot be had.
 */
bool sockpath_bind(struct sockpath *sockpath, int fd, const struct addr *addr, mode_t mode,
    char *why, size_t why_size);
void sockpath_remove(struct sockpath *sockpath, const char *path);

#endif
