/*
 * What a connection does in its turn: read, let the protocol take messages, write. However many
 * events and replies a turn brings, it reads at most a few times and takes so many messages at
 * most, so that a busy client does not starve others, and writes once. Decides nothing about who
 * lives.
 */
#include "common/clock.h"
#include "workers/conn.h"
#include "workers/give.h"
#include "workers/proto.h"
#include "workers/route.h"
#include "workers/service.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_READS      4           /* reads in one turn */
#define CONN_FILE_BYTES (512 << 10) /* of a file, sent in one turn */

/* ---- input ---- */

/* What is spoken may change on the way. Returns how many bytes were used. */
static size_t
conn_feed(struct conn *conn, const char *data, size_t length)
{
	const struct proto *proto;
	size_t used = 0;

	do {
		proto = conn->proto;
		used += proto->input(conn, data + used, length - used);
	} while (conn->proto != proto && used < length && conn->state != CONN_CLOSED);
	return used;
}

/* Lets the protocol take what waits in `in`. */
static void
conn_parse(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	unsigned before = busy->taken;
	size_t used;

	busy->holds = busy->held_back = false;
	used = conn_feed(conn, buf_bytes(&busy->in), buf_length(&busy->in));

	if (conn->state == CONN_CLOSED)
		return; /* it came out that the client has left: see program_look_at_client() */
	if (busy->taken != before || (used > 0 && !busy->partial))
		busy->message_since = 0;
	buf_consume(&busy->in, used);
}

/* New bytes in the worker's scratch: parsed there, only an unfinished rest is kept. */
static void
conn_take_bytes(struct conn *conn, const char *data, size_t length)
{
	struct conn_busy *busy = conn->busy;
	unsigned before = busy->taken;
	size_t used = 0;

	conn->pinged = false;
	if (buf_length(&busy->in) > 0) {
		buf_append(&busy->in, data, length);
		conn_parse(conn);
		return;
	}
	used = conn_feed(conn, data, length);
	if (conn->state == CONN_CLOSED)
		return;
	/* Each message has its own time: what began earlier goes on only where none ended. */
	if (busy->taken != before || !busy->partial)
		busy->message_since = 0;
	if (used < length)
		buf_append(&busy->in, data + used, length - used);
}

/* The client will send no more: a rest without an end may still be a message. */
static void
conn_take_end(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;

	if (conn->last_look && !conn->eof) {
		/* What is unfinished when we stop was never accepted. */
		conn_end_input(conn);
		conn->linger = busy->under_way > 0 || buf_length(&busy->out) > 0;
		return;
	}
	if (buf_length(&busy->in) > 0)
		conn->proto->end(conn, buf_bytes(&busy->in), buf_length(&busy->in));
	conn->input_ended = true;
}

/*
 * After a short read the socket is empty, and its end is announced by an event of its own: one more
 * read would only say EAGAIN. But a reset that came together with the bytes is not announced again.
 * It is noticed when a reply is written, or when a request that waited long is granted; only who
 * comes, asks and goes at once is worth that read, and who is to be killed for.
 */
static bool
conn_will_hear(const struct conn *conn)
{
	const struct conn_busy *busy = conn->busy;

	if (conn->closed_hint || conn->last_look || buf_length(&busy->in) > 0)
		return false;
	if (busy->under_way == 0)
		return buf_length(&busy->out) > 0;
	return conn->requests > busy->under_way && !route_of(conn)->kills;
}

/* One read. Returns false when there is nothing more to read now. */
static bool
conn_read(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	struct worker *worker = conn->service->worker;
	ssize_t n;

	if (conn->last_look && busy->last_bytes < 0) {
		conn_take_end(conn);
		conn->readable = false;
		return false;
	}
	n = recv(conn->fd, worker->scratch, WORKER_SCRATCH, 0);
	if (n > 0) {
		busy->last_bytes -= conn->last_look ? n : 0;
		conn_take_bytes(conn, worker->scratch, (size_t)n);
		if (n < WORKER_SCRATCH && conn_will_hear(conn))
			conn->readable = false;
		return conn->readable;
	}
	if (n == 0) {
		/* No event will tell later that the client is gone for good. */
		if (busy->under_way > 0 && conn_hung_up(conn))
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
	struct conn_busy *busy = conn->busy;

	if (busy->held_back && conn_may_take(conn))
		conn_parse(conn);
	for (int i = 0; i < CONN_READS && conn->readable && !conn->eof && conn_may_take(conn); i++)
		if (!conn_read(conn))
			break;
	if (conn->state != CONN_OPEN)
		return;
	busy->held_back = buf_length(&busy->in) > 0 && !conn_may_take(conn);
	if (conn->eof && conn_may_take(conn))
		conn_take_end(conn);
	if (conn->input_ended) {
		buf_free(&busy->in);
		busy->held_back = false;
	}
}

/* ---- output ---- */

static bool
conn_has_output(const struct conn *conn)
{
	return buf_length(&conn->busy->out) > 0 || conn_file_is_there(conn);
}

static void
conn_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	conn->busy->write_pending = false;
	conn_schedule(conn);
}

/* The clock runs for what waits now; it starts again only when all of that was taken. */
void
conn_set_write_deadline(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	struct service *service = conn->service;

	busy->write_mark = busy->written + buf_length(&busy->out);
	if (conn_file_is_there(conn))
		conn_file_mark(conn);
	deadline_set(
	    &service->writes, &busy->write, service->worker->now + service->conf->write_timeout);
}

static void
conn_wait_writable(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	struct worker *worker = conn->service->worker;

	event_assign(&busy->write_event, worker->base, conn->fd, worker->watch.write,
	    conn_on_writable, conn);
	if (event_add(&busy->write_event, NULL) != 0) {
		conn_close(conn, "cannot watch it");
		return;
	}
	busy->write_pending = true;
	if (!deadline_is_set(&busy->write))
		conn_set_write_deadline(conn);
}

/* Returns whether all of it went out. */
static bool
conn_write_bytes(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	/* The end goes out with the last reply: who reads the one has seen the other. */
	bool is_last = conn->input_ended && busy->under_way == 0;
	bool has_more = is_last || conn_file_is_there(conn);
	ssize_t n = send(conn->fd, buf_bytes(&busy->out), buf_length(&busy->out),
	    MSG_NOSIGNAL | (has_more ? MSG_MORE : 0));

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_close(conn, "the client left");
		return false;
	}
	if (n > 0) {
		buf_consume(&busy->out, (size_t)n);
		busy->written += (size_t)n;
	}
	return buf_length(&busy->out) == 0;
}

static void
conn_write(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	size_t most = CONN_FILE_BYTES;

	while (conn_has_output(conn) && !busy->write_pending && most > 0) {
		bool goes_on = buf_length(&busy->out) > 0 ? conn_write_bytes(conn)
							  : conn_file_write(conn, &most);

		if (conn->state != CONN_OPEN)
			return;
		if (busy->written >= busy->write_mark)
			deadline_clear(&busy->write);
		if (!goes_on)
			conn_wait_writable(conn);
	}
}

/* ---- the turn ---- */

/* What it has not read to the end stays `readable`: the next turn goes on, for no event tells it.
 */
static void
conn_linger(struct conn *conn)
{
	struct worker *worker = conn->service->worker;

	conn->readable = true;
	for (int i = 0; i < CONN_READS; i++) {
		ssize_t n = recv(conn->fd, worker->scratch, WORKER_SCRATCH, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			conn_close(conn, "done");
			return;
		}
		if (n < 0 && errno == EAGAIN) {
			conn->readable = false;
			/* It had said that nothing would follow, and nothing did. */
			if (i == 0 && !conn->linger)
				conn_close(conn, "done");
			return;
		}
	}
}

/* All is said: close, but not so that a reset destroys what the client has not read yet. */
static void
conn_finish(struct conn *conn)
{
	struct service *service = conn->service;

	if ((!conn->linger && !conn->readable) || conn->eof) {
		conn_close(conn, "done");
		return;
	}
	shutdown(conn->fd, SHUT_WR);
	conn->state = CONN_LINGERING;
	deadline_set(&service->lingers, &conn->wait, service->worker->now + CONN_LINGER_TIME);
	conn_linger(conn);
}

/* Where a ping comes first, whoever answers it is not idle. */
static void
conn_set_idle(struct conn *conn, uint64_t now)
{
	struct service *service = conn->service;
	uint64_t idle = service->conf->idle_timeout, ping = service->conf->ping_interval;

	if (conn->proto->ping != NULL && ping > 0 && ping < idle)
		deadline_set(&service->silents, &conn->wait, now + ping);
	else
		deadline_set(&service->idles, &conn->wait, now + idle);
}

/* What the connection waits for from here on, and until when. */
static void
conn_set_deadline(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	struct service *service = conn->service;
	uint64_t now = service->worker->now;

	if (conn->input_ended || !conn_may_take(conn)) {
		deadline_clear(&conn->wait); /* we are the ones who are late */
		/* A move is our affair too, but a short one: no message gets more time by it. */
		if (!conn->leaving)
			busy->message_since = 0;
	} else if (conn_is_partial(conn)) {
		if (busy->message_since == 0 || !deadline_is_set(&conn->wait)) {
			if (busy->message_since == 0)
				busy->message_since = now;
			deadline_set(&service->messages, &conn->wait,
			    busy->message_since + service->conf->message_timeout);
		}
	} else if (busy->under_way > 0 || buf_length(&busy->out) > 0) {
		deadline_clear(&conn->wait);
	} else if (!conn->drain_later) {
		conn_set_idle(conn, now);
	}
}

/* The last words of a protocol that has some. */
static void
conn_say_bye(struct conn *conn)
{
	if (conn->proto->bye == NULL || conn->said_bye || !conn->input_ended ||
	    conn->busy->under_way > 0 || conn->state != CONN_OPEN)
		return;
	conn->said_bye = true;
	conn->proto->bye(conn);
}

static void
conn_turn_open(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;

	conn_take_input(conn);
	if (conn->cut) {
		conn_write(conn);
		conn_close(conn, "a reply broke off");
		return;
	}
	if (conn->drain_later && conn->was_asked)
		conn_drain(conn, false);
	else if (conn->stays && !conn->drain_later && conn->service->worker->draining)
		conn_drain(conn, !conn->service->worker->hasty);
	conn_say_bye(conn);
	if (conn->state == CONN_OPEN)
		conn_write(conn);
	if (conn->state != CONN_OPEN)
		return;
	if (conn->input_ended && busy->under_way == 0 && buf_length(&busy->out) == 0) {
		conn_finish(conn);
		return;
	}
	conn_set_deadline(conn);
}

/* What is there was not read to its end: an event about it would come again and again. */
static bool
conn_stands_still(const struct conn *conn)
{
	return conn->state == CONN_CLOSED || (conn->state <= CONN_LINGERING && conn->readable);
}

/* Whole messages were held back, or bytes unread, or there is more of a file. */
static bool
conn_goes_on(const struct conn *conn)
{
	const struct conn_busy *busy = conn->busy;

	if (conn->state != CONN_OPEN)
		return false;
	if (conn_may_take(conn) && (conn->readable || busy->held_back))
		return true;
	return conn_file_is_there(conn) && !busy->write_pending;
}

void
conn_turn(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;

	busy->scheduled = false;
	busy->turning = true;
	if (conn->state == CONN_LINGERING)
		conn_linger(conn);
	else
		conn_turn_open(conn);
	busy->turning = false;
	busy->taken = 0;
	if (!conn_stands_still(conn) &&
	    !watch_again(&conn->service->worker->watch, &conn->read_event))
		conn_close(conn, "cannot watch it");
	if (conn->leaving && conn->state != CONN_CLOSED && busy->under_way == 0) {
		give_quiet(conn);
		return;
	}
	/* More to do that no event will announce. */
	if (conn_goes_on(conn))
		conn_schedule(conn);
	else if (conn->state == CONN_LINGERING && conn->readable)
		conn_schedule(conn);
	conn_rest(conn);
}
