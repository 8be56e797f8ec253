/* Deadlines of one kind behind one timer. Owns the timers; knows nothing of what waits. */
#include "workers/deadline.h"
#include "common/clock.h"
#include "common/log.h"

#include <event2/event.h>

static void
deadline_arm(struct deadline_line *line, uint64_t now)
{
	const struct deadline *first = TAILQ_FIRST(&line->list);
	struct timeval after;
	uint64_t wait;

	if (first == NULL || (line->armed != 0 && line->armed <= first->when))
		return; /* a timer that fires too early only looks again */
	wait = first->when > now ? first->when - now : 0;
	after.tv_sec = (time_t)(wait / CLOCK_SECOND);
	after.tv_usec = (suseconds_t)(wait % CLOCK_SECOND / 1000 + 1);
	if (after.tv_usec >= 1000000) {
		after.tv_usec -= 1000000;
		after.tv_sec++;
	}
	line->armed = first->when;
	event_add(line->timer, &after);
}

static void
deadline_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct deadline_line *line = arg;
	uint64_t now = clock_now();
	struct deadline *first;

	(void)fd;
	(void)what;
	line->armed = 0;
	*line->now = now;
	while ((first = TAILQ_FIRST(&line->list)) != NULL && first->when <= now) {
		deadline_clear(first);
		line->on_due(first);
	}
	deadline_arm(line, now);
}

void
deadline_open(struct deadline_line *line, struct event_base *base, uint64_t *now,
    void (*on_due)(struct deadline *deadline))
{
	TAILQ_INIT(&line->list);
	line->on_due = on_due;
	line->now = now;
	line->armed = 0;
	line->near = NULL;
	line->timer = evtimer_new(base, deadline_on_timer, line);
	if (line->timer == NULL)
		fatalx("cannot make a timer");
}

/* The last one that is not due later; NULL when all are. */
static struct deadline *
deadline_find(struct deadline_line *line, uint64_t when)
{
	struct deadline *before = TAILQ_LAST(&line->list, deadline_list);
	struct deadline *next;

	if (before == NULL || before->when <= when)
		return before;
	if (line->near != NULL)
		before = line->near;
	while (before != NULL && before->when > when)
		before = TAILQ_PREV(before, deadline_list, entry);
	while (before != NULL && (next = TAILQ_NEXT(before, entry)) != NULL && next->when <= when)
		before = next;
	return before;
}

void
deadline_set(struct deadline_line *line, struct deadline *deadline, uint64_t when)
{
	struct deadline *before;

	deadline_clear(deadline);
	deadline->when = when;
	deadline->line = line;
	before = deadline_find(line, when);
	if (before != TAILQ_LAST(&line->list, deadline_list))
		line->near = deadline;
	if (before == NULL)
		TAILQ_INSERT_HEAD(&line->list, deadline, entry);
	else
		TAILQ_INSERT_AFTER(&line->list, before, deadline, entry);
	if (line->armed == 0 || line->armed > when)
		deadline_arm(line, clock_now());
}

void
deadline_clear(struct deadline *deadline)
{
	if (deadline->line == NULL)
		return;
	if (deadline->line->near == deadline)
		deadline->line->near = TAILQ_PREV(deadline, deadline_list, entry);
	TAILQ_REMOVE(&deadline->line->list, deadline, entry);
	deadline->line = NULL;
}
