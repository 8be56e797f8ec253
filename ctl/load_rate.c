/*
 * The rate of load_rate.h. Owns the timer and the list of connections with room; never looks at
 * what a request is. The schedule is arithmetic on the request's number, so that no error adds up.
 */
#include "ctl/load_rate.h"

#include "common/clock.h"
#include "ctl/load_run.h"

#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* When request number `index` is due, never before its time: rounded up. */
static uint64_t
load_rate_due(const struct load_run *run, uint64_t index)
{
	uint64_t count = run->options->rate.count, per = run->options->rate.per;

	return run->rate.origin + index / count * per + (index % count * per + count - 1) / count;
}

uint64_t
load_rate_owed(const struct load_run *run, uint64_t now)
{
	uint64_t count = run->options->rate.count, per = run->options->rate.per, elapsed, due;

	if (run->rate.origin == 0 || now < run->rate.origin)
		return 0;
	elapsed = now - run->rate.origin;
	due = elapsed / per * count + elapsed % per * count / per + 1;
	return due > run->rate.made ? due - run->rate.made : 0;
}

uint64_t
load_rate_take(struct load_run *run, uint64_t now)
{
	struct load_rate *rate = &run->rate;
	uint64_t due;

	if (run->options->rate.count == 0)
		return now;
	due = load_rate_due(run, rate->made++);
	if (now > due && now - due > rate->behind)
		rate->behind = now - due;
	return due < now ? due : now;
}

static void
load_rate_insert(struct load_rate *rate, struct load_conn *conn)
{
	TAILQ_INSERT_TAIL(&rate->room, conn, entry);
	conn->listed = true;
	rate->rooms++;
}

void
load_rate_withdraw(struct load_run *run, struct load_conn *conn)
{
	if (!conn->listed)
		return;
	TAILQ_REMOVE(&run->rate.room, conn, entry);
	conn->listed = false;
	run->rate.rooms--;
}

/* Without a connection that has room nothing can be sent on time, so there is nothing to wake for.
 */
static void
load_rate_arm(struct load_run *run)
{
	struct load_rate *rate = &run->rate;
	uint64_t when = run->stopping || rate->rooms == 0 ? 0 : load_rate_due(run, rate->made);
	struct itimerspec timer = {
	    .it_value = {.tv_sec = (time_t)(when / CLOCK_SECOND),
		.tv_nsec = (long)(when % CLOCK_SECOND)},
	};

	if (when == rate->armed)
		return;
	rate->armed = when;
	timerfd_settime(rate->fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

/* Sends what is due, shared among those that have room. */
static void
load_rate_send(struct load_run *run, uint64_t now)
{
	struct load_rate *rate = &run->rate;
	struct load_conn *conn;
	uint64_t owed;

	if (rate->sending || rate->origin == 0)
		return;
	rate->sending = true; /* a connection that turns out to be over may come back here */
	while (!run->stopping && (owed = load_rate_owed(run, now)) > 0 &&
	       (conn = TAILQ_FIRST(&rate->room))) {
		uint64_t share = (owed + rate->rooms - 1) / rate->rooms;

		load_rate_withdraw(run, conn);
		if (!load_conn_has_room(conn))
			continue;
		load_conn_write_requests(
		    conn, now, share < UINT32_MAX ? (unsigned)share : UINT32_MAX);
		if (load_conn_has_room(conn))
			load_rate_insert(rate, conn);
	}
	load_rate_arm(run);
	rate->sending = false;
}

static void
load_rate_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct load_run *run = arg;
	struct load_rate *rate = &run->rate;
	uint64_t now = clock_now();

	(void)fd; /* setting it anew takes the event away */
	(void)what;
	if (rate->armed > 0 && now > rate->armed && now - rate->armed > rate->own)
		rate->own = now - rate->armed;
	rate->armed = UINT64_MAX;
	load_rate_send(run, now);
}

int
load_rate_open(struct load_run *run)
{
	struct load_rate *rate = &run->rate;

	TAILQ_INIT(&rate->room);
	if (run->options->rate.count == 0)
		return 0;
	prctl(PR_SET_TIMERSLACK, 1); /* nanosecond: the default of 50 us would be our lateness */
	rate->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (rate->fd == -1)
		return -1;
	rate->timer = event_new(run->base, rate->fd, EV_READ | EV_PERSIST, load_rate_on_timer, run);
	return rate->timer ? event_add(rate->timer, NULL) : -1;
}

void
load_rate_close(struct load_run *run)
{
	if (run->rate.timer)
		event_free(run->rate.timer);
	if (run->rate.fd != -1)
		close(run->rate.fd);
	run->rate.timer = NULL;
	run->rate.fd = -1;
}

void
load_rate_begin(struct load_run *run, uint64_t now)
{
	if (run->options->rate.count == 0)
		return;
	run->rate.origin = now;
	load_rate_send(run, now);
}

void
load_rate_restart(struct load_run *run)
{
	run->rate.behind = run->rate.own = 0;
}

void
load_rate_stop(struct load_run *run, uint64_t now)
{
	if (run->options->rate.count == 0)
		return;
	if (run->options->count == 0)
		run->rate.missed = load_rate_owed(run, now);
	load_rate_arm(run);
}

void
load_rate_offer(struct load_run *run, struct load_conn *conn)
{
	if (!conn->listed)
		load_rate_insert(&run->rate, conn);
	load_rate_send(run, clock_now());
}
