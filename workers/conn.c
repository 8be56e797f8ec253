/*
 * Connections: how they begin, rest, drain and end, by one door. An event comes once (watch.h), so
 * that an idle connection costs nothing; on epoll a FIN and a later reset are both told. What one
 * does in its turn is in conn_turn.c.
 */
#include "workers/conn.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/access.h"
#include "workers/give.h"
#include "workers/listener.h"
#include "workers/proto.h"
#include "workers/route.h"
#include "workers/service.h"
#include "workers/visit.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_TAKES     1024 /* messages in one turn */
#define CONN_SPARE_MAX 256  /* a burst of busy ones leaves no more than these behind */

/* ---- busy or idle ---- */

static struct conn_busy_list conn_spare = TAILQ_HEAD_INITIALIZER(conn_spare);
static unsigned conn_spares;

/* The newest of the free list comes first: it is still in the processor's cache. */
struct conn_busy *
conn_get_busy(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;

	if (busy != NULL)
		return busy;
	busy = TAILQ_FIRST(&conn_spare);
	if (busy != NULL) {
		TAILQ_REMOVE(&conn_spare, busy, in_turn);
		conn_spares--;
		mem_zero(busy, sizeof(*busy));
	} else {
		busy = mem_alloc(1, sizeof(*busy));
	}
	busy->conn = conn;
	TAILQ_INIT(&busy->reqs);
	conn->busy = busy;
	return busy;
}

static void
conn_free_busy(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;

	if (busy == NULL)
		return;
	/* A request that was refused half-way may have left its state. */
	if (busy->state != NULL)
		conn->proto->drop(conn);
	conn->busy = NULL;
	if (conn_spares >= CONN_SPARE_MAX) {
		free(busy);
		return;
	}
	TAILQ_INSERT_HEAD(&conn_spare, busy, in_turn);
	conn_spares++;
}

bool
conn_is_partial(const struct conn *conn)
{
	return conn->busy != NULL && (buf_length(&conn->busy->in) > 0 || conn->busy->partial);
}

void
conn_rest(struct conn *conn)
{
	const struct conn_busy *busy = conn->busy;

	if (conn->state < CONN_MOVING && !busy->scheduled && busy->under_way == 0 &&
	    !conn_is_partial(conn) && buf_length(&busy->out) == 0 && !busy->write_pending &&
	    !deadline_is_set(&busy->write))
		conn_free_busy(conn);
}

/* ---- life ---- */

bool
conn_hung_up(const struct conn *conn)
{
	struct pollfd p = {.fd = conn->fd};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

static void
conn_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	struct worker *worker = conn->service->worker;

	(void)fd;
	/* There may be thousands of them at once, and hardly any has to know the time. */
	if (worker->now == worker->turned)
		worker->now = clock_now();
	conn->readable = true;
	if ((what & EV_CLOSED) != 0)
		conn->closed_hint = true;
	/* Nobody will read soon, so a reset would go unnoticed: look for it. */
	if (conn->state == CONN_OPEN && (conn->eof || !conn_may_take(conn)) && conn_hung_up(conn)) {
		conn_close(conn, "the client left");
		return;
	}
	conn_schedule(conn);
}

struct conn *
conn_make(struct service *service, int fd, uint16_t listener)
{
	struct conn *conn = mem_alloc(1, sizeof(*conn));
	struct worker *worker = service->worker;

	conn->service = service;
	conn->proto = service->proto;
	conn->fd = fd;
	conn->listener = listener;
	conn->since = (uint32_t)(worker->now / CLOCK_SECOND);
	TAILQ_INSERT_TAIL(&service->conns, conn, in_service);
	visit_begin(conn);
	if (route_of(conn)->has_log)
		conn->client = access_client(fd);
	event_assign(
	    &conn->read_event, worker->base, fd, worker->watch.read, conn_on_readable, conn);
	worker->open++;
	return conn;
}

bool
conn_watch(struct conn *conn)
{
	if (event_add(&conn->read_event, NULL) == 0)
		return true;
	conn_close(conn, "cannot watch it");
	return false;
}

struct conn *
conn_new(struct service *service, int fd, uint16_t listener)
{
	struct conn *conn = conn_make(service, fd, listener);

	stats_count(service->stats, COUNTER_accepted);
	deadline_set(
	    &service->idles, &conn->wait, service->worker->now + service->conf->idle_timeout);
	if (conn_watch(conn))
		visit_welcome(conn);
	return conn;
}

void
conn_stop(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;

	event_del(&conn->read_event);
	deadline_clear(&conn->wait);
	if (busy == NULL)
		return;
	if (busy->write_pending)
		event_del(&busy->write_event);
	busy->write_pending = false;
	deadline_clear(&busy->write);
	if (busy->scheduled)
		TAILQ_REMOVE(&conn->service->worker->turn, busy, in_turn);
	busy->scheduled = false;
}

/* The memory stays until the end of the turn: callers up the stack look. */
void
conn_forget(struct conn *conn)
{
	struct service *service = conn->service;
	struct worker *worker = service->worker;

	conn->state = CONN_CLOSED;
	if (conn->busy != NULL) {
		buf_free(&conn->busy->in);
		buf_free(&conn->busy->out);
		conn_file_drop(conn);
	}
	free(conn->client);
	conn->client = NULL;
	visit_end(conn);
	close(conn->fd);
	TAILQ_REMOVE(&service->conns, conn, in_service);
	TAILQ_INSERT_TAIL(&worker->closed, conn, in_service);
	worker->open--;
	listener_released(service);
	worker_check_drained(worker);
}

void
conn_close(struct conn *conn, const char *why)
{
	struct service *service = conn->service;

	if (conn->state == CONN_CLOSED)
		return;
	log_debug("service %s: connection %d closed: %s", service->conf->name, conn->fd, why);
	conn->state = CONN_CLOSED;
	if (conn->busy != NULL)
		req_cancel_all(conn);
	conn_stop(conn);
	if (conn->leaving)
		give_left(conn);
	stats_count(service->stats, COUNTER_closed);
	conn_forget(conn);
}

void
conn_schedule(struct conn *conn)
{
	struct worker *worker = conn->service->worker;
	struct conn_busy *busy;

	if (conn->state >= CONN_MOVING)
		return;
	busy = conn_get_busy(conn);
	if (busy->scheduled || busy->turning)
		return;
	busy->scheduled = true;
	busy->round = worker->round;
	TAILQ_INSERT_TAIL(&worker->turn, busy, in_turn);
}

void
conn_free_closed(struct worker *worker)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&worker->closed)) != NULL) {
		TAILQ_REMOVE(&worker->closed, conn, in_service);
		conn_free_busy(conn);
		free(conn);
	}
}

bool
conn_may_take(const struct conn *conn)
{
	const struct conf_service *conf = conn->service->conf;

	const struct conn_busy *busy = conn->busy;

	if (conn->input_ended || conn->leaving || conn->state != CONN_OPEN)
		return false;
	return busy == NULL ||
	       (busy->under_way < conf->pipeline && (!busy->holds || busy->under_way == 0) &&
		   buf_length(&busy->out) <= conf->high_water && busy->taken < CONN_TAKES);
}

void
conn_hold(struct conn *conn)
{
	conn->busy->holds = true;
}

void
conn_end_input(struct conn *conn)
{
	conn->input_ended = true;
	conn->linger = !conn->eof;
	conn_schedule(conn);
}

bool
conn_switch(struct conn *conn, struct service *service, const struct proto *proto)
{
	struct service *before = conn->service;

	if (before != service) {
		if (!listener_change(before, service))
			return false;
		stats_count(before->stats, COUNTER_closed);
		stats_count(service->stats, COUNTER_accepted);
		TAILQ_REMOVE(&before->conns, conn, in_service);
		TAILQ_INSERT_TAIL(&service->conns, conn, in_service);
		visit_end(conn);
		conn->service = service;
		visit_begin(conn);
	}
	/* Deadlines are the service's. The end of the turn sets this one; what the client was
	 * slow to take already it may have to take in another's time. */
	deadline_clear(&conn->wait);
	if (deadline_is_set(&conn->busy->write))
		conn_set_write_deadline(conn);
	conn->busy->message_since = 0;
	conn->was_asked = true; /* for this */
	conn->proto = proto;
	return true;
}

/* When it is closed the client is told at once, and the kernel keeps nothing for it. */
static void
conn_end_with_reset(struct conn *conn)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void
conn_cut(struct conn *conn, bool reset)
{
	if (reset)
		conn_end_with_reset(conn);
	conn->cut = true;
	conn->input_ended = true;
	conn_schedule(conn);
}

/* Its client is owed one more message: the first, or the rest of one. */
static bool
conn_may_finish(struct conn *conn)
{
	struct service *service = conn->service;

	if (conn->input_ended || conn->eof || (conn->busy != NULL && conn->busy->held_back))
		return false;
	if (conn_is_partial(conn)) {
		conn->was_asked = false; /* until that message is whole */
		return true;
	}
	if (conn->was_asked)
		return false;
	deadline_set(&service->lingers, &conn->wait, service->worker->now + CONN_LINGER_TIME);
	return true;
}

void
conn_drain(struct conn *conn, bool patiently)
{
	int unread = 0;

	if (conn->state != CONN_OPEN || conn->last_look)
		return;
	if (patiently && conn_may_finish(conn)) {
		conn->drain_later = true;
		return;
	}
	conn->drain_later = false;
	/* Who sends faster than we read would never let the last look end. */
	(void)ioctl(conn->fd, FIONREAD, &unread);
	conn_get_busy(conn)->last_bytes = unread;
	conn->last_look = true;
	conn->readable = true;
	conn_schedule(conn);
}

/* ---- deadlines ---- */

struct conn *
conn_of_wait(struct deadline *deadline)
{
	return (struct conn *)(void *)((char *)deadline - offsetof(struct conn, wait));
}

/* Nothing is under way; a protocol that has last words says them first. */
static void
conn_cut_idle(struct conn *conn, const char *why)
{
	stats_count(conn->service->stats, COUNTER_idle_cut);
	if (conn->proto->bye != NULL)
		conn_end_input(conn);
	else
		conn_close(conn, why);
}

void
conn_on_idle(struct deadline *deadline)
{
	struct conn *conn = conn_of_wait(deadline);

	/* What came in time will be read in this turn, however late we are. */
	if (!conn->readable)
		conn_cut_idle(conn, "idle_timeout");
}

void
conn_on_silent(struct deadline *deadline)
{
	struct conn *conn = conn_of_wait(deadline);

	if (conn->readable)
		return;
	if (conn->pinged) {
		conn_cut_idle(conn, "it does not answer");
		return;
	}
	conn->pinged = true;
	conn_schedule(conn);
	conn->proto->ping(conn);
}

void
conn_on_message_late(struct deadline *deadline)
{
	struct conn *conn = conn_of_wait(deadline);

	stats_count(conn->service->stats, COUNTER_slow_cut);
	proto_refuse_rest(conn, OUTCOME_TIMEOUT);
	conn_end_input(conn);
}

void
conn_on_write_late(struct deadline *deadline)
{
	struct conn *conn =
	    ((struct conn_busy *)(void *)((char *)deadline - offsetof(struct conn_busy, write)))
		->conn;

	if (conn_file_is_taken(conn)) {
		conn_set_write_deadline(conn);
		return;
	}
	/* What it was sent is not whole anyway; else the kernel would keep it for long. */
	conn_end_with_reset(conn);
	stats_count(conn->service->stats, COUNTER_slow_cut);
	conn_close(conn, "write_timeout");
}

void
conn_on_lingered(struct deadline *deadline)
{
	conn_close(conn_of_wait(deadline), "done");
}
