/*
 * The pace of connecting (load_pace.h). Owns nothing: the two lists belong to the run. Without it
 * thousands of connects at once would overflow the server's backlog and wait a second for the next
 * try, which measures nothing but that.
 */
#include "ctl/load_pace.h"

#include "common/clock.h"
#include "ctl/load_conn.h"
#include "ctl/load_run.h"

#define LOAD_PACE_CONNECTING 256             /* connections under way */
#define LOAD_PACE_PAUSE      (50 * CLOCK_MS) /* after a failure */
#define LOAD_PACE_ROOM       (5 * CLOCK_MS)  /* until the system may have room again */

static void
load_pace_pause(struct load_run *run, struct load_conn *conn, uint64_t due)
{
	struct load_conn *before;

	conn->due = due;
	/* Pauses are of two lengths, so the right place is at the end or a few steps from it. */
	TAILQ_FOREACH_REVERSE(before, &run->paused, load_conn_list, entry)
	{
		if (before->due <= due) {
			TAILQ_INSERT_AFTER(&run->paused, before, conn, entry);
			return;
		}
	}
	TAILQ_INSERT_HEAD(&run->paused, conn, entry);
}

void
load_pace_again(struct load_run *run, struct load_conn *conn, uint64_t now)
{
	if (conn->replies > 0)
		TAILQ_INSERT_TAIL(&run->queue, conn, entry);
	else
		load_pace_pause(run, conn, now + LOAD_PACE_PAUSE);
}

void
load_pace(struct load_run *run, uint64_t now)
{
	struct load_conn *conn;

	if (run->pacing || run->stopping)
		return;
	run->pacing = true; /* a connection that fails at once comes back here */
	while ((conn = TAILQ_FIRST(&run->paused)) && conn->due <= now) {
		TAILQ_REMOVE(&run->paused, conn, entry);
		TAILQ_INSERT_TAIL(&run->queue, conn, entry);
	}
	while (run->connecting < LOAD_PACE_CONNECTING && (conn = TAILQ_FIRST(&run->queue))) {
		TAILQ_REMOVE(&run->queue, conn, entry);
		if (!load_conn_open(conn, now)) {
			load_pace_pause(run, conn, now + LOAD_PACE_ROOM);
			break;
		}
	}
	run->pacing = false;
}

static void
load_pace_drop(struct load_run *run, struct load_conn_list *list)
{
	struct load_conn *conn;

	while ((conn = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, conn, entry);
		run->alive--;
	}
}

void
load_pace_stop(struct load_run *run)
{
	load_pace_drop(run, &run->queue);
	load_pace_drop(run, &run->paused);
	for (unsigned i = 0; i < run->options->connections && run->connecting > 0; i++) {
		if (run->conns[i].state == LOAD_CONN_CONNECTING ||
		    run->conns[i].state == LOAD_CONN_GREETING)
			load_conn_end(&run->conns[i], LOAD_CONN_FINISHED);
	}
}
