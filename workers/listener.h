/*
 * Accepting: in bounded batches, within max_connections of the service and of the daemon, and only
 * while enough descriptors are left for the instances' pipes. A pause ends by itself.
 *
 * A new connection wakes one worker that sleeps (see exclusive.h). A worker with clearly more than
 * its share takes one connection at a time and stands back for a millisecond after each; what
 * nobody else has taken by then it takes.
 */
#ifndef WORKERS_LISTENER_H
#define WORKERS_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

struct event;
struct service;
struct worker;

struct listener {
	struct service *service; /* borrows */
	int fd;                  /* borrows; shared with all workers */
	uint16_t index;          /* in the list of all of them */
	struct event *event;     /* owns */
	bool paused;
	uint64_t until; /* when it may be looked at again: of worker->now */
	bool yielded;   /* it stood back; the next batch is its own */
};

/* Makes the worker's listeners and starts to accept. */
void listener_start_all(struct worker *worker);
/*
 * A connection comes from another worker: it needs a place here before that one is told to give its
 * own back, so that it is counted twice for a moment, and never not at all.
 */
void listener_welcome(struct service *service);
/* Another worker has it now: before its place here is given back. */
void listener_departs(const struct service *service);
/* A connection leaves a service for another one; false when that has no place for it. */
bool listener_change(struct service *from, struct service *to);
/*
 * From time to time: takes what waits although somebody else was woken for it, who was killed, is
 * stopped, or has no descriptors left.
 */
void listener_tick(struct worker *worker);
/* Stops for good. */
void listener_stop_all(struct worker *worker);
/* A connection of the service was closed: there may be room again. */
void listener_released(struct service *service);

#endif
