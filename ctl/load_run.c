/*
 * The course of a run: who connects when, when requests may be made, when it is over. Owns the
 * event loop, the places and the big buffers.
 *
 *   opening -> (warming up ->) sending -> stopping (waits for replies) -> finishing (half-closed)
 * -> end
 *
 * A run always ends: every request is answered, overdue after `timeout`, or broken; a connection
 * that owes a reply for twice that time is given up; the peers' last bytes are awaited for a
 * second.
 */
#include "ctl/load_run.h"

#include "common/clock.h"
#include "common/mem.h"
#include "ctl/load_expect.h"
#include "ctl/load_limit.h"
#include "ctl/load_pace.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_RUN_OUTPUT  65536           /* bytes of one write, if a message is not longer */
#define LOAD_RUN_TICK    (50 * CLOCK_MS) /* at most */
#define LOAD_RUN_RELEASE 256             /* places that send their first requests at once */
#define LOAD_RUN_CLOSING CLOCK_SECOND    /* for the peers' last bytes */

static struct timeval
load_run_timeval(uint64_t nanoseconds)
{
	return (struct timeval){
	    .tv_sec = (time_t)(nanoseconds / CLOCK_SECOND),
	    .tv_usec = (suseconds_t)(nanoseconds % CLOCK_SECOND / 1000),
	};
}

/* User and system time of this process. */
static uint64_t
load_run_cpu(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
	return (uint64_t)spent.tv_sec * CLOCK_SECOND + (uint64_t)spent.tv_nsec;
}

/* No request is made any more. */
static void
load_run_stop(struct load_run *run, uint64_t now)
{
	if (run->stopping)
		return;
	run->stopping = true;
	run->stopped = now;
	load_rate_stop(run, now);
	load_pace_stop(run);
}

/* No reply is expected any more; what the peers still say is heard for a moment. */
static void
load_run_finish(struct load_run *run, uint64_t now)
{
	struct timeval moment = load_run_timeval(LOAD_RUN_CLOSING);

	if (run->finishing)
		return;
	run->finishing = true;
	load_run_stop(run, now);
	run->ended = now;
	run->cpu = load_run_cpu() - run->cpu;
	for (unsigned i = 0; i < run->options->connections; i++)
		load_conn_finish(&run->conns[i]);
	if (run->open > 0)
		event_add(run->closing, &moment);
	else
		event_base_loopbreak(run->base);
}

/* With --reconnect a server that stays away would never let the run end, or never begin. */
static bool
load_run_is_hopeless(const struct load_run *run, uint64_t now)
{
	const struct load_options *options = run->options;
	uint64_t patience = options->timeout > options->connect_timeout ? options->timeout
									: options->connect_timeout;

	if (options->duration > 0 && run->sending)
		return false;
	if (options->duration > 0)
		patience = options->duration;
	return run->open == 0 && now > run->last_open + patience;
}

/* Those made while warming up do not count. */
static bool
load_run_is_counted_out(const struct load_run *run)
{
	return run->options->count > 0 && run->measured > 0 &&
	       run->check.counts.requests - run->warming >= run->options->count;
}

/* Looks where the run stands. */
static void
load_run_look(struct load_run *run, uint64_t now)
{
	const struct load_options *options = run->options;

	if (run->finishing)
		return;
	if (load_run_is_counted_out(run))
		load_run_stop(run, now);
	if (run->open > 0)
		run->last_open = now;
	if (run->alive == 0 || load_run_is_hopeless(run, now))
		load_run_finish(run, now);
	else if (run->stopping && run->check.waiting == 0)
		load_run_finish(run, now);
	/* What waits now was never written: the peer does not read, and owes replies. */
	else if (run->stopping && now > run->stopped + options->timeout + LOAD_RUN_TICK * 2)
		load_run_finish(run, now);
}

bool
load_run_may_make(const struct load_run *run, const struct load_conn *conn)
{
	const struct load_options *options = run->options;

	return run->sending && !run->stopping && !load_run_is_counted_out(run) &&
	       !(options->per_request && conn->made > 0) &&
	       load_check_may_make(&run->check, conn->number);
}

/*
 * Thousands of connections send their first requests a part at a time, so that the first replies do
 * not wait for the last requests.
 */
static void
load_run_on_release(evutil_socket_t fd, short what, void *arg)
{
	struct load_run *run = arg;
	struct timeval at_once = {0};

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < LOAD_RUN_RELEASE; i++) {
		if (run->released == run->options->connections)
			return;
		load_conn_send(&run->conns[run->released++]);
	}
	event_add(run->release, &at_once);
}

/* From now on requests count in the figures. */
static void
load_run_measure(struct load_run *run, uint64_t now)
{
	struct timeval duration = load_run_timeval(run->options->duration);

	run->measured = run->last_reply = now;
	clock_gettime(CLOCK_REALTIME, &run->measured_at);
	run->check.since = run->options->warmup > 0 ? now : 0;
	run->warming = run->check.counts.requests;
	load_gap_begin(&run->gap, now);
	load_gap_begin(&run->gap_right, now);
	run->cpu = load_run_cpu();
	load_rate_restart(run);
	if (run->options->duration > 0)
		event_add(run->duration, &duration);
}

static void
load_run_on_warm(evutil_socket_t fd, short what, void *arg)
{
	struct load_run *run = arg;

	(void)fd;
	(void)what;
	if (!run->stopping)
		load_run_measure(run, clock_now());
}

/* The first request may be made. */
static void
load_run_begin(struct load_run *run, uint64_t now)
{
	struct timeval warmup = load_run_timeval(run->options->warmup);

	if (run->sending || run->stopping)
		return;
	run->sending = true;
	run->began = now;
	run->check.since = UINT64_MAX;
	if (run->options->warmup > 0)
		event_add(run->warmup, &warmup);
	else
		load_run_measure(run, now);
	load_progress_begin(run, now);
	load_rate_begin(run, now);
	load_run_on_release(-1, 0, run);
}

/* The first attempt of a place has ended. */
static void
load_run_on_tried(struct load_run *run, struct load_conn *conn, uint64_t now)
{
	if (conn->tried)
		return;
	conn->tried = true;
	if (++run->tried < run->options->connections)
		return;
	run->opened_all = now;
	if (run->options->hold && run->open > 0)
		load_run_begin(run, now);
}

void
load_run_on_open(struct load_run *run, struct load_conn *conn)
{
	uint64_t now = clock_now();

	run->opened++;
	if (conn->been_open && !run->options->per_request)
		run->reconnected++;
	conn->been_open = true;
	conn->since = 0;
	run->last_open = now;
	load_run_on_tried(run, conn, now);
	if (!run->options->hold || (run->tried == run->options->connections && !run->sending))
		load_run_begin(run, now);
	load_conn_send(conn);
	load_pace(run, now);
}

void
load_run_on_replies(struct load_run *run, bool right, uint64_t now)
{
	if (run->finishing)
		return;
	run->last_reply = now;
	load_gap_see(&run->gap, now);
	if (right)
		load_gap_see(&run->gap_right, now);
	if (run->check.waiting == 0)
		load_run_look(run, now);
}

/* With --per-request, a request whose connection could not be opened was made and not sent. */
static void
load_run_lose_request(struct load_run *run, const struct load_conn *conn, uint64_t now)
{
	if (!run->options->per_request || conn->made > 0 || run->stopping)
		return;
	if (!load_check_may_make(&run->check, conn->number))
		return;
	if (run->options->rate.count == 0)
		load_check_make(&run->check, conn->number, now, NULL);
	else if (load_rate_owed(run, now) > 0)
		load_check_make_due(&run->check, conn->number, now, load_rate_take(run, now), NULL);
	load_check_break(&run->check, conn->number);
}

void
load_run_on_end(struct load_run *run, struct load_conn *conn, enum load_conn_reason reason)
{
	uint64_t now = clock_now();
	bool again = run->options->reconnect || run->options->per_request;

	conn->since = 0;
	if (run->interrupted)
		return;
	run->ends[run->finishing ? LOAD_CONN_FINISHED : reason]++;
	load_run_on_tried(run, conn, now);
	load_run_lose_request(run, conn, now);
	if (again && !run->stopping)
		load_pace_again(run, conn, now);
	else
		run->alive--;
	if (run->finishing && run->open == 0)
		event_base_loopbreak(run->base);
	load_run_look(run, now);
	load_pace(run, now);
}

/* What is late on one place. */
static void
load_run_check_place(struct load_run *run, struct load_conn *conn, uint64_t now)
{
	const struct load_options *options = run->options;
	uint64_t age;

	if (conn->state == LOAD_CONN_CONNECTING || conn->state == LOAD_CONN_GREETING) {
		if (now > conn->since + options->connect_timeout)
			load_conn_end(conn, LOAD_CONN_TIMED_OUT);
		return;
	}
	if (conn->left > 0 && now > conn->left + options->connect_timeout)
		load_conn_end(conn, LOAD_CONN_DONE);
	if (conn->state != LOAD_CONN_OPEN)
		return;
	age = load_check_age(&run->check, conn->number, now);
	if (age / 2 > options->timeout && !run->stopping)
		load_conn_end(conn, LOAD_CONN_SILENT);
}

static void
load_run_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct load_run *run = arg;
	uint64_t now = clock_now();

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < run->options->connections; i++)
		load_run_check_place(run, &run->conns[i], now);
	load_pace(run, now);
	load_run_look(run, now);
}

static void
load_run_on_duration(evutil_socket_t fd, short what, void *arg)
{
	struct load_run *run = arg;
	uint64_t now = clock_now();

	(void)fd;
	(void)what;
	load_run_stop(run, now);
	load_run_look(run, now);
}

static void
load_run_on_closing(evutil_socket_t fd, short what, void *arg)
{
	struct load_run *run = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(run->base);
}

static void
load_run_on_signal(evutil_socket_t signal, short what, void *arg)
{
	struct load_run *run = arg;
	uint64_t now = clock_now();

	(void)signal;
	(void)what;
	run->interrupted = true;
	if (run->stopped == 0)
		run->stopped = now;
	if (run->ended == 0) {
		run->ended = now;
		run->cpu = load_run_cpu() - run->cpu;
	}
	event_base_loopbreak(run->base);
}

static int
load_run_open_events(struct load_run *run)
{
	const struct load_options *options = run->options;
	struct event_config *config = event_config_new();
	uint64_t shortest = options->timeout < options->connect_timeout ? options->timeout
									: options->connect_timeout;
	struct timeval tick = load_run_timeval(
	    shortest / 8 > LOAD_RUN_TICK ? LOAD_RUN_TICK : shortest / 8 + CLOCK_MS);

	if (config)
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	run->base = config ? event_base_new_with_config(config) : NULL;
	if (config)
		event_config_free(config);
	if (!run->base) {
		fprintf(stderr, "hostler-load run: cannot make an event loop\n");
		return -1;
	}
	run->tick = event_new(run->base, -1, EV_PERSIST, load_run_on_tick, run);
	run->release = event_new(run->base, -1, 0, load_run_on_release, run);
	run->duration = event_new(run->base, -1, 0, load_run_on_duration, run);
	run->warmup = event_new(run->base, -1, 0, load_run_on_warm, run);
	run->closing = event_new(run->base, -1, 0, load_run_on_closing, run);
	run->signals[0] = evsignal_new(run->base, SIGINT, load_run_on_signal, run);
	run->signals[1] = evsignal_new(run->base, SIGTERM, load_run_on_signal, run);
	if (!run->tick || !run->release || !run->duration || !run->warmup || !run->closing ||
	    !run->signals[0] || !run->signals[1] || event_add(run->tick, &tick) == -1 ||
	    event_add(run->signals[0], NULL) == -1 || event_add(run->signals[1], NULL) == -1 ||
	    load_rate_open(run) == -1 || load_progress_open(run) == -1) {
		fprintf(stderr, "hostler-load run: cannot make the events\n");
		return -1;
	}
	return 0;
}

static void
load_run_open_places(struct load_run *run)
{
	const struct load_options *options = run->options;

	load_wire_open(&run->wire, options, &run->check);
	run->output_size =
	    run->wire.request > LOAD_RUN_OUTPUT ? run->wire.request : LOAD_RUN_OUTPUT;
	run->output = mem_alloc(run->output_size, 1);
	run->input = mem_alloc(LOAD_CONN_REST + LOAD_CONN_READ, 1);
	run->conns = mem_alloc(options->connections, sizeof(*run->conns));
	run->alive = options->connections;
	TAILQ_INIT(&run->queue);
	TAILQ_INIT(&run->paused);
	for (unsigned i = 0; i < options->connections; i++) {
		run->conns[i] = (struct load_conn){.run = run, .number = i, .fd = -1};
		TAILQ_INSERT_TAIL(&run->queue, &run->conns[i], entry);
	}
}

/* What the loop left open. */
static void
load_run_close(struct load_run *run)
{
	run->pending = run->interrupted ? run->check.waiting : 0;
	for (unsigned i = 0; i < run->options->connections; i++) {
		if (run->conns[i].state != LOAD_CONN_CLOSED)
			load_conn_end(&run->conns[i], LOAD_CONN_FINISHED);
	}
	load_progress_end(run);
	if (run->measured > 0) {
		load_gap_see(&run->gap, run->ended);
		load_gap_see(&run->gap_right, run->ended);
	}
}

int
load_run(struct load_run *run, const struct load_options *options)
{
	memset(run, 0, sizeof(*run));
	run->options = options;
	run->gap.width = options->slice;
	run->rate.fd = -1;
	if (load_limit_raise(options->connections) == -1 || load_expect_open(run) == -1 ||
	    load_run_open_events(run) == -1)
		return -1;
	load_run_open_places(run);
	run->started = run->last_open = clock_now();
	load_pace(run, run->started);
	if (!run->finishing)
		event_base_dispatch(run->base);
	load_run_close(run);
	return 0;
}

double
load_run_seconds(const struct load_run *run)
{
	uint64_t end = run->last_reply > run->stopped ? run->last_reply : run->stopped;

	return run->measured == 0 ? 0 : (double)(end - run->measured) / (double)CLOCK_SECOND;
}

uint64_t
load_run_since(const struct load_run *run, uint64_t moment)
{
	return run->measured > 0 && moment > run->measured ? moment - run->measured : 0;
}

static void
load_run_free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void
load_run_free(struct load_run *run)
{
	load_run_free_event(run->tick);
	load_run_free_event(run->release);
	load_run_free_event(run->duration);
	load_run_free_event(run->warmup);
	load_rate_close(run);
	load_progress_close(run);
	load_run_free_event(run->closing);
	load_run_free_event(run->signals[0]);
	load_run_free_event(run->signals[1]);
	if (run->base)
		event_base_free(run->base);
	load_check_close(&run->check);
	load_wire_close(&run->wire);
	load_texts_free(&run->texts);
	load_gap_free(&run->gap);
	free(run->conns);
	free(run->input);
	free(run->output);
}
