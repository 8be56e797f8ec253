/*
 * How connections are watched, so that conn.c is the same on every back end: an event comes once,
 * and no more comes until everything that was there has been read.
 *
 * Epoll does that by itself (edge-triggered) and tells of a client that left at any time. On poll
 * and select, which tell again and again, the event for reading goes away when it comes, and
 * watch_again() puts it back. Meanwhile nothing is told of a client that leaves.
 */
#ifndef WORKERS_WATCH_H
#define WORKERS_WATCH_H

#include "common/backend.h"

#include <event2/event.h>
#include <stdbool.h>

struct watch {
	short read, write; /* what event_assign(3) is to be told */
	bool once;         /* the event for reading goes away when it comes */
};

static inline void
watch_open(struct watch *watch, enum backend backend)
{
	bool edges = backend == BACKEND_EPOLL;

	watch->read = EV_READ | (edges ? EV_CLOSED | EV_ET | EV_PERSIST : 0);
	watch->write = EV_WRITE | (edges ? EV_ET : 0);
	watch->once = !edges;
}

/* Everything that was there has been read: the next event may come. False when it cannot. */
static inline bool
watch_again(const struct watch *watch, struct event *event)
{
	return !watch->once || event_add(event, NULL) == 0;
}

#endif
