/*
 * Deadlines of one kind: a list in order of time with a single timer, because all connections of a
 * service have the same timeout and so come due nearly in the order in which they were set. Setting
 * one costs two list operations and hardly ever touches the event loop. Those of connections that
 * come from another worker lie anywhere between, but come in order of time themselves: each is
 * looked for from the place of the one before.
 */
#ifndef WORKERS_DEADLINE_H
#define WORKERS_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct event;
struct event_base;
struct deadline_line;

/* Part of the object that waits. Zeroed memory is a deadline that is not set. */
struct deadline {
	TAILQ_ENTRY(deadline) entry;
	uint64_t when;              /* absolute, ns */
	struct deadline_line *line; /* borrows; NULL when it is not set */
};

TAILQ_HEAD(deadline_list, deadline);

struct deadline_line {
	struct deadline_list list;
	struct event *timer;   /* owns */
	uint64_t *now;         /* borrows; the owner's clock */
	uint64_t armed;        /* when the timer fires; 0 when it is not armed */
	struct deadline *near; /* borrows; the last that was put between others; NULL for none */
	void (*on_due)(struct deadline *deadline);
};

/*
 * `on_due` is called for each deadline that has passed, after it was taken out of the line. `now`
 * is the owner's clock; it is set before. The line lives as long as the process.
 */
void deadline_open(struct deadline_line *line, struct event_base *base, uint64_t *now,
    void (*on_due)(struct deadline *deadline));

/* Sets (or moves) the deadline to an absolute time. */
void deadline_set(struct deadline_line *line, struct deadline *deadline, uint64_t when);
void deadline_clear(struct deadline *deadline);

static inline bool
deadline_is_set(const struct deadline *deadline)
{
	return deadline->line != NULL;
}

#endif
