/*
 * The pool's policy in one worker: which request is given to which instance. A request is granted
 * an instance, or waits in the one line of all workers; who holds a lease gives it the request and
 * passes it on when the reply is whole. link.c does the talking.
 */
#include "workers/program.h"
#include "common/clock.h"
#include "workers/conn.h"
#include "workers/service.h"

#include <stddef.h>

#define PROGRAM_LONG_WAIT (10 * CLOCK_MS)

static void program_granted(struct program *program, struct pool_grant *grant);

static struct link_list program_ended = TAILQ_HEAD_INITIALIZER(program_ended);
static TAILQ_HEAD(, program) program_lines = TAILQ_HEAD_INITIALIZER(program_lines);

/* ---- links ---- */

/* Nobody holds it any more. Freed at the end of the turn: somebody up the stack may look at it. */
static void
program_end_link(struct program *program, struct link *link)
{
	if (program->links[link->slot] == link) {
		program->links[link->slot] = NULL;
		program->instances--;
	}
	TAILQ_INSERT_TAIL(&program_ended, link, entry);
}

void
program_free_ended(void)
{
	struct link *link;

	while ((link = TAILQ_FIRST(&program_ended)) != NULL) {
		TAILQ_REMOVE(&program_ended, link, entry);
		link_free(link);
	}
}

/* The link of a granted incarnation; the master's message about it may still be in the channel. */
static struct link *
program_find_link(struct program *program, const struct pool_grant *grant)
{
	for (int tries = 0; tries < 2; tries++) {
		struct link *link = program->links[grant->slot];

		if (link != NULL && link->incarnation == grant->incarnation)
			return link;
		worker_read_channel(program->service->worker);
	}
	return NULL;
}

static void
program_lease_ends(struct program *program, struct link *link)
{
	link_rest(link);
	TAILQ_REMOVE(&program->held, link, entry);
	if (link->gone)
		program_end_link(program, link);
}

/* ---- the waiting line's local side ---- */

static void
program_wait(struct program *program, struct req *req)
{
	struct req *after = TAILQ_LAST(&program->waiting, req_list);

	req->lost = false;
	req_keep(req);
	if (program->waiting_count++ == 0)
		TAILQ_INSERT_TAIL(&program_lines, program, in_line);
	pool_stay_awake(program->pool);
	while (after != NULL && after->ticket.arrival > req->ticket.arrival)
		after = TAILQ_PREV(after, req_list, in_handler);
	if (after == NULL)
		TAILQ_INSERT_HEAD(&program->waiting, req, in_handler);
	else
		TAILQ_INSERT_AFTER(&program->waiting, after, req, in_handler);
	/* Who comes back to the line keeps the deadline that he had. */
	if (req->deadline.when == 0)
		req->deadline.when =
		    program->service->worker->now + program->service->conf->queue_timeout;
	deadline_set(&program->queue, &req->deadline, req->deadline.when);
}

void
program_stop_waiting(struct program *program, struct req *req)
{
	if (--program->waiting_count == 0)
		TAILQ_REMOVE(&program_lines, program, in_line);
	TAILQ_REMOVE(&program->waiting, req, in_handler);
	deadline_clear(&req->deadline);
}

/*
 * A reset that came together with the request was not noticed. One system call is nothing beside
 * a long wait, and work for nobody is dear.
 */
static void
program_look_at_client(struct program *program, struct req *req)
{
	if (req->conn != NULL && req->arrived + PROGRAM_LONG_WAIT < program->service->worker->now &&
	    conn_hung_up(req->conn))
		conn_close(req->conn, "the client left");
}

/* Grants come in the order of arrival, so this is nearly always the first. */
static struct req *
program_find_waiting(struct program *program, uint64_t arrival)
{
	struct req *req;

	TAILQ_FOREACH (req, &program->waiting, in_handler)
		if (req->ticket.arrival == arrival)
			return req;
	return NULL;
}

/* ---- giving messages ---- */

static void
program_give(struct program *program, struct link *link, struct req *req)
{
	bool more = program_may_send_ahead(program);

	req->ticket.arrival = link->grant.arrival;
	link_give(link, req, more);
	if (!more)
		return;
	program_send_ahead(program, link);
	link_flush(link);
}

/* A fresh lease for a request: of an instance that is fit, or the request goes back in line. */
static void
program_start(struct program *program, const struct pool_grant *grant, struct req *req)
{
	struct link *link = program_find_link(program, grant);
	enum pool_reason reason = POOL_REASON_UNKNOWN;
	struct pool_grant next;

	req->ticket.arrival = grant->arrival;
	if (link != NULL)
		reason = link_take(link, grant, false);
	if (reason == POOL_REASON_NONE) {
		TAILQ_INSERT_TAIL(&program->held, link, entry);
		program_give(program, link, req);
		return;
	}
	if (link != NULL)
		program_end_link(program, link);
	pool_give(program->pool, grant, program->service->worker->now, reason, &next);
	program_again(program, req);
}

void
program_again(struct program *program, struct req *req)
{
	struct pool_grant grant;

	req->link = NULL;
	req->pid = 0;
	req->granted = 0;
	if (req->conn == NULL) {
		req_drop(req);
		return;
	}
	stats_count(program->service->stats, COUNTER_retried);
	switch (pool_enter_again(program->pool, program->service->worker->now, req->ticket.arrival,
	    &req->ticket, &grant)) {
	case POOL_GRANTED:
		program_start(program, &grant, req);
		break;
	case POOL_WAITING:
		program_wait(program, req);
		break;
	case POOL_BUSY:
		req_fail(req, OUTCOME_BUSY);
		break;
	}
}

/* ---- grants ---- */

/* Takes up whatever this worker was granted and does not know of yet. */
static void
program_collect(struct program *program)
{
	struct pool_grant grant;

	while (pool_next_grant(program->pool, &grant))
		program_granted(program, &grant);
}

void
program_take_grants(void)
{
	struct program *program, *next;

	for (program = TAILQ_FIRST(&program_lines); program != NULL; program = next) {
		next = TAILQ_NEXT(program, in_line);
		pool_stay_awake(program->pool);
		if (pool_was_granted(program->pool))
			program_collect(program);
	}
}

bool
program_may_sleep(void)
{
	struct program *program, *next;
	bool may = true;

	for (program = TAILQ_FIRST(&program_lines); program != NULL; program = next) {
		next = TAILQ_NEXT(program, in_line);
		if (pool_may_sleep(program->pool))
			continue;
		/* That is told once: who only looked again would find nothing, and sleep on it. */
		program_collect(program);
		may = false;
	}
	return may;
}

static void
program_granted(struct program *program, struct pool_grant *grant)
{
	struct pool_grant next;

	for (;;) {
		struct req *req = program_find_waiting(program, grant->arrival);

		if (req != NULL) {
			program_look_at_client(program, req);
			program_stop_waiting(program, req);
		}
		if (req != NULL && req->conn != NULL) {
			program_start(program, grant, req);
			return;
		}
		if (req != NULL)
			req_drop(req);
		/* The client left meanwhile: straight on to the next. */
		if (!pool_give(program->pool, grant, program->service->worker->now,
			POOL_REASON_NONE, &next))
			return;
		*grant = next;
	}
}

/* ---- what links report ---- */

static void
program_on_replies(struct link *link, uint64_t least, uint64_t most, unsigned replies)
{
	pace_note(&link->program->pace, least, most, replies);
}

static void
program_on_reply(struct link *link, struct req *req, const char *data, size_t length)
{
	pool_count_served(link->program->pool, &link->grant);
	req_reply(req, data, length);
}

static void
program_on_part(struct link *link, struct req *req, const char *data, size_t length)
{
	(void)link;
	req_part(req, data, length);
}

/* The lease is passed on, perhaps to this worker's next request. */
static void
program_on_quiet(struct link *link)
{
	struct program *program = link->program;
	struct pool_grant next;

	while (pool_give(
	    program->pool, &link->grant, program->service->worker->now, POOL_REASON_NONE, &next)) {
		struct req *req = program_find_waiting(program, next.arrival);

		link->grant = next;
		if (req == NULL)
			continue;
		program_look_at_client(program, req);
		program_stop_waiting(program, req);
		if (req->conn == NULL) {
			req_drop(req);
			continue;
		}
		link_take(link, &next, true);
		program_give(program, link, req);
		program_collect(program);
		return;
	}
	program_lease_ends(program, link);
	program_collect(program);
	worker_check_drained(program->service->worker);
}

void
program_break(struct link *link, enum pool_reason reason)
{
	struct program *program = link->program;
	enum outcome outcome = reason == POOL_REASON_TIMEOUT ? OUTCOME_TIMEOUT : OUTCOME_FAILED;
	struct pool_grant grant = link->grant, next;
	struct req_list reqs = TAILQ_HEAD_INITIALIZER(reqs);
	struct req *req;

	TAILQ_CONCAT(&reqs, &link->reqs, in_handler);
	link->gone = true;
	program_lease_ends(program, link);
	pool_give(program->pool, &grant, program->service->worker->now, reason, &next);
	while ((req = TAILQ_FIRST(&reqs)) != NULL) {
		TAILQ_REMOVE(&reqs, req, in_handler);
		req->link = NULL;
		if (link_has_begun(link, req))
			req_fail(req, outcome);
		else
			program_again(program, req);
		outcome = OUTCOME_FAILED;
	}
	program_collect(program);
	worker_check_drained(program->service->worker);
}

static const struct link_hooks program_link_hooks = {
    .on_reply = program_on_reply,
    .on_part = program_on_part,
    .on_replies = program_on_replies,
    .on_quiet = program_on_quiet,
    .on_broken = program_break,
};

/* ---- requests come and go ---- */

void
program_enter(struct program *program, struct req *req)
{
	struct pool_grant grant;

	switch (pool_enter(program->pool, program->service->worker->now, &req->ticket, &grant)) {
	case POOL_GRANTED:
		program_start(program, &grant, req);
		break;
	case POOL_WAITING:
		program_wait(program, req);
		program_send_later(program);
		break;
	case POOL_BUSY:
		req_fail(req, OUTCOME_BUSY);
		break;
	}
	program_collect(program);
}

void
program_leave(struct program *program, struct req *req)
{
	if (!pool_leave(program->pool, &req->ticket))
		return; /* granted already: dropped when the grant is taken up */
	program_stop_waiting(program, req);
	req_drop(req);
}

void
program_on_queue_late(struct deadline *deadline)
{
	struct req *req = (struct req *)(void *)((char *)deadline - offsetof(struct req, deadline));
	struct program *program = req->service->program;

	uint64_t arrival = req->ticket.arrival;

	if (!pool_leave(program->pool, &req->ticket)) {
		/* Granted at the last moment, unless the granted instance is dead and replaced. */
		program_look(program);
		if (program_find_waiting(program, arrival) != req)
			return;
		/* It may have been granted, found unfit and put back just now. */
		(void)pool_leave(program->pool, &req->ticket);
	}
	program_stop_waiting(program, req);
	req_fail(req, OUTCOME_TIMEOUT);
}

/* ---- the master's news ---- */

void
program_on_instance(struct program *program, const struct msg_instance *instance, int in, int out)
{
	struct link *old = program->links[instance->slot];

	program->links[instance->slot] = link_new(program, &program_link_hooks, instance->slot,
	    instance->incarnation, instance->pid, in, out);
	if (old == NULL) {
		program->instances++;
		return;
	}
	old->gone = true;
	if (!old->held)
		program_end_link(program, old);
}

void
program_on_instance_gone(struct program *program, const struct msg_instance *instance)
{
	struct link *link = program->links[instance->slot];

	if (link == NULL || link->incarnation != instance->incarnation)
		return;
	link->gone = true;
	if (!link->held)
		program_end_link(program, link);
}

/* The instance is dead: whole replies that are still in the pipe count, the rest has failed. */
static void
program_finish_doomed(struct program *program)
{
	struct link *link = TAILQ_FIRST(&program->held);

	while (link != NULL) {
		if (pool_is_doomed(program->pool, &link->grant)) {
			link->gone = true;
			link_read_rest(link);
			if (link->held)
				program_break(link, POOL_REASON_CLOSED);
			link = TAILQ_FIRST(&program->held);
		} else {
			link = TAILQ_NEXT(link, entry);
		}
	}
}

void
program_look(struct program *program)
{
	pool_look(program->pool, program->service->worker->now);
	program_finish_doomed(program);
	program_collect(program);
}

void
program_wake(struct program *program)
{
	if (pool_has_changed(program->pool, program->service->worker->now))
		program_look(program);
}

bool
program_is_busy(const struct program *program)
{
	return !TAILQ_EMPTY(&program->held) || !TAILQ_EMPTY(&program->waiting);
}
