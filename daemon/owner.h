/* Who listens on a TCP port already? An answer for people, from /proc; often nobody can tell. */
#ifndef DAEMON_OWNER_H
#define DAEMON_OWNER_H

#include "common/addr.h"

#include <stdbool.h>
#include <stddef.h>

/* Writes "nginx (pid 123)"; false when the owner cannot be known. */
bool owner_find(const struct addr *addr, char *text, size_t size);

#endif
