/*
 * Connections: one turn reads, parses, writes; one door out. Edge-triggered, so that a FIN and a
 * later reset are both reported once and an idle connection costs nothing.
 */
#include "workers/conn.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/access.h"
#include "workers/listener.h"
#include "workers/proto.h"
#include "workers/service.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_READS       4 /* reads in one turn, so that a busy client does not starve others */
#define CONN_LINGER_TIME (2 * CLOCK_SECOND)

#define CONN_OF(member, pointer)                                                                   \
	((struct conn *)(void *)((char *)(pointer)-offsetof(struct conn, member)))

/* ---- life ---- */

/* Whether the client is gone for good, as opposed to having shut its sending side. */
static bool
conn_hung_up(const struct conn *conn)
{
	struct pollfd p = {.fd = conn->fd};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

static void
conn_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	conn->service->worker->now = clock_now();
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

static void
conn_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	conn->write_pending = false;
	conn_schedule(conn);
}

struct conn *
conn_new(struct service *service, int fd)
{
	struct conn *conn = mem_alloc(1, sizeof(*conn));
	struct worker *worker = service->worker;

	conn->service = service;
	conn->fd = fd;
	conn->since = (uint32_t)((worker->now - worker->started) / CLOCK_SECOND);
	TAILQ_INIT(&conn->reqs);
	TAILQ_INSERT_TAIL(&service->conns, conn, in_service);
	if (service->access != NULL)
		conn->client = access_client(fd);
	event_assign(&conn->read_event, worker->base, fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST,
	    conn_on_readable, conn);
	worker->open++;
	stats_count(service->stats, COUNTER_accepted);
	deadline_set(&service->idles, &conn->wait, worker->now + service->conf->idle_timeout);
	if (event_add(&conn->read_event, NULL) != 0)
		conn_close(conn, "cannot watch it");
	return conn;
}

void
conn_close(struct conn *conn, const char *why)
{
	struct service *service = conn->service;
	struct worker *worker = service->worker;

	if (conn->state == CONN_CLOSED)
		return;
	log_debug("service %s: connection %d closed: %s", service->conf->name, conn->fd, why);
	conn->state = CONN_CLOSED;
	req_cancel_all(conn);
	event_del(&conn->read_event);
	if (conn->write_event != NULL)
		event_free(conn->write_event);
	deadline_clear(&conn->wait);
	deadline_clear(&conn->write);
	buf_free(&conn->in);
	buf_free(&conn->out);
	free(conn->client);
	conn->client = NULL;
	close(conn->fd);
	if (conn->scheduled)
		TAILQ_REMOVE(&worker->turn, conn, in_turn);
	TAILQ_REMOVE(&service->conns, conn, in_service);
	TAILQ_INSERT_TAIL(&worker->closed, conn, in_service);
	worker->open--;
	stats_count(service->stats, COUNTER_closed);
	listener_released(service);
	worker_check_drained(worker);
}

void
conn_schedule(struct conn *conn)
{
	if (conn->scheduled || conn->turning || conn->state == CONN_CLOSED)
		return;
	conn->scheduled = true;
	conn->round = conn->service->worker->round;
	TAILQ_INSERT_TAIL(&conn->service->worker->turn, conn, in_turn);
}

bool
conn_may_take(const struct conn *conn)
{
	const struct conf_service *conf = conn->service->conf;

	return !conn->input_ended && conn->state == CONN_OPEN && conn->under_way < conf->pipeline &&
	       buf_length(&conn->out) <= conf->high_water;
}

void
conn_end_input(struct conn *conn)
{
	conn->input_ended = true;
	conn->linger = !conn->eof;
	conn_schedule(conn);
}

/* Its client is owed one more message: the first, or the rest of one. */
static bool
conn_may_finish(struct conn *conn)
{
	struct service *service = conn->service;

	if (conn->input_ended || conn->eof || conn->held_back)
		return false;
	if (buf_length(&conn->in) > 0) {
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
	conn->last_bytes = unread;
	conn->last_look = true;
	conn->readable = true;
	conn_schedule(conn);
}

/* ---- input ---- */

/* Lets the protocol take what waits in `in`. */
static void
conn_parse(struct conn *conn)
{
	unsigned before = conn->under_way;
	size_t used =
	    conn->service->proto->input(conn, buf_bytes(&conn->in), buf_length(&conn->in));

	if (used > 0 || conn->under_way != before)
		conn->message_since = 0;
	buf_consume(&conn->in, used);
}

/* New bytes in the worker's scratch: parsed there, only an unfinished rest is kept. */
static void
conn_take_bytes(struct conn *conn, const char *data, size_t length)
{
	size_t used = 0;

	if (buf_length(&conn->in) > 0) {
		buf_append(&conn->in, data, length);
		conn_parse(conn);
		return;
	}
	used = conn->service->proto->input(conn, data, length);
	if (used < length) {
		conn->message_since = 0;
		buf_append(&conn->in, data + used, length - used);
	}
}

/* The client will send no more: a rest without an end may still be a message. */
static void
conn_take_end(struct conn *conn)
{
	if (conn->last_look && !conn->eof) {
		/* What is unfinished when we stop was never accepted. */
		conn_end_input(conn);
		conn->linger = conn->under_way > 0 || buf_length(&conn->out) > 0;
		return;
	}
	if (buf_length(&conn->in) > 0)
		conn->service->proto->end(conn, buf_bytes(&conn->in), buf_length(&conn->in));
	conn->input_ended = true;
}

/*
 * After a short read the socket is empty, and its end is announced by an event of its own: one more
 * read would only say EAGAIN. But a reset that came together with the bytes is not announced again;
 * it goes unnoticed unless a reply is about to be written.
 */
static bool
conn_will_hear(const struct conn *conn)
{
	return !conn->closed_hint && !conn->last_look && buf_length(&conn->out) > 0 &&
	       buf_length(&conn->in) == 0 && conn->under_way == 0;
}

/* One read. Returns false when there is nothing more to read now. */
static bool
conn_read(struct conn *conn)
{
	struct worker *worker = conn->service->worker;
	ssize_t n;

	if (conn->last_look && conn->last_bytes < 0) {
		conn_take_end(conn);
		conn->readable = false;
		return false;
	}
	n = read(conn->fd, worker->scratch, WORKER_SCRATCH);
	if (n > 0) {
		conn->last_bytes -= conn->last_look ? n : 0;
		conn_take_bytes(conn, worker->scratch, (size_t)n);
		if (n < WORKER_SCRATCH && conn_will_hear(conn))
			conn->readable = false;
		return conn->readable;
	}
	if (n == 0) {
		/* No event will tell later that the client is gone for good. */
		if (conn_hung_up(conn))
			conn_close(conn, "the client left");
		conn->eof = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		conn_close(conn, "the client left");
	} else if (errno == EAGAIN && conn->last_look && conn_may_take(conn)) {
		conn_take_end(conn);
	}
	conn->readable = n < 0 && errno == EINTR;
	return conn->readable;
}

static void
conn_take_input(struct conn *conn)
{
	if (conn->held_back && conn_may_take(conn))
		conn_parse(conn);
	for (int i = 0; i < CONN_READS && conn->readable && !conn->eof && conn_may_take(conn); i++)
		if (!conn_read(conn))
			break;
	if (conn->state != CONN_OPEN)
		return;
	conn->held_back = !conn_may_take(conn) && buf_length(&conn->in) > 0;
	if (conn->eof && conn_may_take(conn))
		conn_take_end(conn);
	if (conn->input_ended) {
		buf_free(&conn->in);
		conn->held_back = false;
	}
}

/* ---- output ---- */

static void
conn_wait_writable(struct conn *conn)
{
	struct service *service = conn->service;

	if (conn->write_event == NULL)
		conn->write_event = event_new(
		    service->worker->base, conn->fd, EV_WRITE | EV_ET, conn_on_writable, conn);
	if (conn->write_event == NULL || event_add(conn->write_event, NULL) != 0) {
		conn_close(conn, "cannot watch it");
		return;
	}
	conn->write_pending = true;
	/* The clock runs for what waits now; it starts again only when all of that was taken. */
	if (!deadline_is_set(&conn->write)) {
		conn->write_mark = conn->written + buf_length(&conn->out);
		deadline_set(&service->writes, &conn->write,
		    service->worker->now + service->conf->write_timeout);
	}
}

static void
conn_write(struct conn *conn)
{
	/* The end goes out with the last reply: who reads the one has seen the other. */
	bool is_last = conn->input_ended && conn->under_way == 0;
	ssize_t n;

	if (buf_length(&conn->out) == 0 || conn->write_pending)
		return;
	n = send(conn->fd, buf_bytes(&conn->out), buf_length(&conn->out),
	    MSG_NOSIGNAL | (is_last ? MSG_MORE : 0));
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_close(conn, "the client left");
		return;
	}
	if (n > 0) {
		buf_consume(&conn->out, (size_t)n);
		conn->written += (size_t)n;
		if (conn->written >= conn->write_mark)
			deadline_clear(&conn->write);
	}
	if (buf_length(&conn->out) > 0)
		conn_wait_writable(conn);
}

/* ---- the turn ---- */

static void
conn_linger(struct conn *conn)
{
	struct worker *worker = conn->service->worker;

	for (int i = 0; i < CONN_READS; i++) {
		ssize_t n = read(conn->fd, worker->scratch, WORKER_SCRATCH);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			conn_close(conn, "done");
			return;
		}
		if (n < 0)
			return;
	}
	conn_schedule(conn);
}

/* All is said: close, but not so that a reset destroys what the client has not read yet. */
static void
conn_finish(struct conn *conn)
{
	struct service *service = conn->service;

	if (!conn->linger || conn->eof) {
		conn_close(conn, "done");
		return;
	}
	shutdown(conn->fd, SHUT_WR);
	conn->state = CONN_LINGERING;
	deadline_set(&service->lingers, &conn->wait, service->worker->now + CONN_LINGER_TIME);
	conn_linger(conn);
}

/* What the connection waits for from here on, and until when. */
static void
conn_set_deadline(struct conn *conn)
{
	struct service *service = conn->service;
	uint64_t now = service->worker->now;

	if (conn->input_ended || !conn_may_take(conn)) {
		deadline_clear(&conn->wait); /* we are the ones who are late */
	} else if (buf_length(&conn->in) > 0) {
		if (conn->message_since == 0 || !deadline_is_set(&conn->wait)) {
			conn->message_since = now;
			deadline_set(
			    &service->messages, &conn->wait, now + service->conf->message_timeout);
		}
	} else if (conn->under_way > 0 || buf_length(&conn->out) > 0) {
		deadline_clear(&conn->wait);
	} else if (!conn->drain_later) {
		deadline_set(&service->idles, &conn->wait, now + service->conf->idle_timeout);
	}
}

static void
conn_turn_open(struct conn *conn)
{
	conn_take_input(conn);
	if (conn->drain_later && conn->was_asked)
		conn_drain(conn, false);
	if (conn->state == CONN_OPEN)
		conn_write(conn);
	if (conn->state != CONN_OPEN)
		return;
	if (conn->input_ended && conn->under_way == 0 && buf_length(&conn->out) == 0) {
		conn_finish(conn);
		return;
	}
	conn_set_deadline(conn);
}

void
conn_turn(struct conn *conn)
{
	conn->turning = true;
	if (conn->state == CONN_LINGERING)
		conn_linger(conn);
	else
		conn_turn_open(conn);
	conn->turning = false;
	/* More to do that no event will announce: whole messages held back, or bytes unread. */
	if (conn->state == CONN_OPEN && conn_may_take(conn) && (conn->readable || conn->held_back))
		conn_schedule(conn);
}

/* ---- deadlines ---- */

void
conn_on_idle(struct deadline *deadline)
{
	struct conn *conn = CONN_OF(wait, deadline);

	stats_count(conn->service->stats, COUNTER_idle_cut);
	conn_close(conn, "idle_timeout");
}

void
conn_on_message_late(struct deadline *deadline)
{
	struct conn *conn = CONN_OF(wait, deadline);

	stats_count(conn->service->stats, COUNTER_slow_cut);
	proto_refuse_rest(conn, OUTCOME_TIMEOUT);
	conn_end_input(conn);
}

void
conn_on_write_late(struct deadline *deadline)
{
	struct conn *conn = CONN_OF(write, deadline);

	stats_count(conn->service->stats, COUNTER_slow_cut);
	conn_close(conn, "write_timeout");
}

void
conn_on_lingered(struct deadline *deadline)
{
	conn_close(CONN_OF(wait, deadline), "done");
}
