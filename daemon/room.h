/*
 * What the descriptors of a process have room for: the limit of them (ulimit -n), and the back end
 * of the workers' loops, since select(2) carries only so many.
 */
#ifndef DAEMON_ROOM_H
#define DAEMON_ROOM_H

#include "common/conf.h"

#include <stdbool.h>
#include <stddef.h>

struct generation;
struct master;
struct service;

/* Whether the instances of all services fit; tells what does not in `errors`. */
bool room_check(const struct generation *generation, struct conf_errors *errors);
/* The same with so many instances of one service; `why` is a sentence. */
bool room_for_instances(const struct master *master, const struct service *service,
    unsigned instances, char *why, size_t why_size);
/*
 * [hostler] max_connections, or what the workers' back end can carry, where that is less; says so
 * in the log.
 */
unsigned room_connections(const struct generation *generation);

#endif
