/*
 * Freezes and thaws connections. Deadlines stay absolute and counts go on, so a connection cannot
 * tell that it has moved. Owns nothing.
 */
#include "workers/frozen.h"
#include "common/clock.h"
#include "common/log.h"
#include "workers/access.h"
#include "workers/conn.h"
#include "workers/listener.h"
#include "workers/proto.h"
#include "workers/route.h"
#include "workers/service.h"
#include "workers/visit.h"
#include "workers/worker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what it waits for ---- */

static enum move_wait
frozen_wait(const struct conn *conn)
{
	const struct service *service = conn->service;
	const struct deadline_line *line = conn->wait.line;

	return line == &service->idles      ? MOVE_WAIT_IDLE
	       : line == &service->silents  ? MOVE_WAIT_SILENT
	       : line == &service->messages ? MOVE_WAIT_MESSAGE
	       : line == &service->lingers  ? MOVE_WAIT_LINGER
					    : MOVE_WAIT_NOTHING;
}

static void
frozen_set_wait(struct conn *conn, const struct move_head *head)
{
	struct service *service = conn->service;

	switch (head->wait_for) {
	case MOVE_WAIT_IDLE:
		deadline_set(&service->idles, &conn->wait, head->wait);
		break;
	case MOVE_WAIT_SILENT:
		deadline_set(&service->silents, &conn->wait, head->wait);
		break;
	case MOVE_WAIT_MESSAGE:
		/* It passed meanwhile: what has come in time is read first, see conn_turn(). */
		if (head->wait > service->worker->now)
			deadline_set(&service->messages, &conn->wait, head->wait);
		else
			conn->readable = true;
		break;
	case MOVE_WAIT_LINGER:
		deadline_set(&service->lingers, &conn->wait, head->wait);
		break;
	default:
		break;
	}
}

/* ---- flags ---- */

static uint32_t
frozen_flags(const struct conn *conn)
{
	return (conn->state == CONN_LINGERING ? (unsigned)MOVE_LINGERING : 0) |
	       (conn->readable ? (unsigned)MOVE_READABLE : 0) |
	       (conn->closed_hint ? (unsigned)MOVE_CLOSED_HINT : 0) |
	       (conn->eof ? (unsigned)MOVE_EOF : 0) |
	       (conn->input_ended ? (unsigned)MOVE_INPUT_ENDED : 0) |
	       (conn->linger ? (unsigned)MOVE_LINGER : 0) |
	       (conn->was_asked ? (unsigned)MOVE_WAS_ASKED : 0) |
	       (conn->said_bye ? (unsigned)MOVE_SAID_BYE : 0) |
	       (conn->pinged ? (unsigned)MOVE_PINGED : 0);
}

static void
frozen_set_flags(struct conn *conn, uint32_t flags)
{
	conn->state = flags & MOVE_LINGERING ? CONN_LINGERING : CONN_OPEN;
	conn->readable = flags & MOVE_READABLE;
	conn->closed_hint = flags & MOVE_CLOSED_HINT;
	conn->eof = flags & MOVE_EOF;
	conn->input_ended = flags & MOVE_INPUT_ENDED;
	conn->linger = flags & MOVE_LINGER;
	conn->was_asked = flags & MOVE_WAS_ASKED;
	conn->said_bye = flags & MOVE_SAID_BYE;
	conn->pinged = flags & MOVE_PINGED;
}

/* ---- freezing ---- */

bool
frozen_may(const struct conn *conn)
{
	return (conn->state == CONN_OPEN || conn->state == CONN_LINGERING) &&
	       (conn->busy == NULL || conn->busy->under_way == 0) && !conn->last_look &&
	       !conn->drain_later && !conn->turned_away && conn->proto->freeze != NULL;
}

static void
frozen_describe_busy(const struct conn_busy *busy, struct move_head *head)
{
	head->message_since = busy->message_since;
	if (deadline_is_set(&busy->write)) {
		head->write = busy->write.when;
		head->write_left = busy->write_mark - busy->written;
	}
	head->in = buf_length(&busy->in);
	head->out = buf_length(&busy->out);
}

static void
frozen_describe(const struct conn *conn, struct move_head *head)
{
	const struct service *service = conn->service;

	memset(head, 0, sizeof(*head));
	head->type = MOVE_HEAD;
	head->version = MOVE_VERSION;
	head->listener = service->worker->listener_inodes[conn->listener];
	snprintf(head->service, sizeof(head->service), "%s", service->conf->name);
	snprintf(head->protocol, sizeof(head->protocol), "%s", conn->proto->name);
	head->protocol_version = conn->proto->version;
	head->flags = frozen_flags(conn);
	head->since = conn->since;
	head->requests = conn->requests;
	head->wait_for = frozen_wait(conn);
	head->wait = conn->wait.when;
	if (conn->busy != NULL)
		frozen_describe_busy(conn->busy, head);
}

void
frozen_make(struct conn *conn, struct move_head *head, struct buf *state)
{
	frozen_describe(conn, head);
	if (conn->busy != NULL)
		conn->proto->freeze(conn, state);
	head->state = buf_length(state);
	head->bytes = head->state + head->in + head->out;
	conn_stop(conn);
	/* Its address has one less for a moment: a move must not cost anybody a place. */
	visit_end(conn);
	TAILQ_REMOVE(&conn->service->conns, conn, in_service);
	conn->state = CONN_MOVING;
	conn->leaving = false;
}

void
frozen_let_go(struct conn *conn)
{
	struct service *service = conn->service;

	listener_departs(service);
	TAILQ_INSERT_TAIL(&service->conns, conn, in_service);
	conn_forget(conn);
}

/* ---- thawing ---- */

/* Whether there is more to it than waiting for an event or a deadline. */
static bool
frozen_has_work(const struct conn *conn)
{
	return !deadline_is_set(&conn->wait) || conn->readable || conn->input_ended ||
	       conn->busy != NULL;
}

/* From here on events reach it; all that it has is in place. */
static void
frozen_go_on(struct conn *conn, const struct move_head *head)
{
	struct service *service = conn->service;
	struct conn_busy *busy = conn->busy;

	frozen_set_flags(conn, head->flags);
	frozen_set_wait(conn, head);
	if (busy != NULL && head->write != 0) {
		busy->write_mark = busy->written + head->write_left;
		deadline_set(&service->writes, &busy->write, head->write);
	}
	if (busy != NULL)
		busy->held_back = buf_length(&busy->in) > 0;
	if (!conn_watch(conn))
		return;
	if (frozen_has_work(conn))
		conn_schedule(conn);
}

void
frozen_undo(struct conn *conn, const struct move_head *head)
{
	TAILQ_INSERT_TAIL(&conn->service->conns, conn, in_service);
	visit_begin(conn);
	frozen_go_on(conn, head);
}

/* In what it goes on as a connection of that service; NULL: it cannot. */
static const struct proto *
frozen_proto(const struct service *service, const struct move_head *head)
{
	const struct proto *proto = proto_named(service->conf, head->protocol);

	return proto != NULL && proto->thaw != NULL && proto->version == head->protocol_version
		   ? proto
		   : NULL;
}

/*
 * Between two HTTP requests it is nobody's but the front's, whoever that is by now; else it is the
 * named service's.
 */
static bool
frozen_fits_route(const struct route *route, const struct move_head *head, unsigned *service)
{
	const struct service *front = route->services[0];

	if (protocol_is_http(front->conf->protocol) &&
	    strcmp(front->proto->name, head->protocol) == 0) {
		*service = front->index;
		return frozen_proto(front, head) != NULL;
	}
	for (unsigned i = 0; i < route->count; i++) {
		if (strcmp(route->services[i]->conf->name, head->service) != 0)
			continue;
		*service = route->services[i]->index;
		return frozen_proto(route->services[i], head) != NULL;
	}
	return false;
}

bool
frozen_fits(const struct worker *worker, const struct move_head *head, unsigned *service)
{
	const struct worker_start *start = worker->start;

	if (head->version != MOVE_VERSION)
		return false;
	for (unsigned i = 0; i < start->listener_count; i++)
		if (worker->listener_inodes[i] == head->listener)
			return frozen_fits_route(&worker->routes[i], head, service);
	return false;
}

static uint16_t
frozen_listener(const struct worker *worker, const struct move_head *head)
{
	uint16_t i = 0;

	while (worker->listener_inodes[i] != head->listener)
		i++;
	return i;
}

/* Where nothing came there are no bytes to count from. */
static void
frozen_fill(struct buf *buf, const char *bytes, uint64_t from, uint64_t length)
{
	if (length > 0)
		buf_append(buf, bytes + from, length);
}

void
frozen_thaw(struct worker *worker, unsigned service, const struct move_head *head,
    const char *bytes, int fd)
{
	struct conn *conn =
	    conn_make(&worker->services[service], fd, frozen_listener(worker, head));
	bool is_good = true;

	conn->proto = frozen_proto(conn->service, head);
	conn->since = head->since;
	conn->requests = head->requests;
	if (head->state + head->in + head->out > 0 || head->message_since != 0) {
		struct conn_busy *busy = conn_get_busy(conn);

		busy->message_since = head->message_since;
		frozen_fill(&busy->in, bytes, head->state, head->in);
		frozen_fill(&busy->out, bytes, head->state + head->in, head->out);
		is_good = conn->proto->thaw(conn, bytes, head->state);
	}
	/* Who waits for the rest of a message is in the middle of one. */
	is_good = is_good && (head->wait_for != MOVE_WAIT_MESSAGE || conn_is_partial(conn));
	frozen_go_on(conn, head);
	if (!is_good)
		conn_close(conn, "its state makes no sense");
}
