/*
 * What comes in on a connection of a run: replies, cut out of the stream, checked and booked, and
 * its end. Owns nothing: an unfinished reply is kept in the connection, and read into the run's
 * buffer. One read for each wake-up.
 */
#include "ctl/load_input.h"

#include "common/clock.h"
#include "ctl/load_conn.h"
#include "ctl/load_report.h"
#include "ctl/load_run.h"
#include "ctl/load_session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Books what was found. */
static enum load_found
load_input_book(
    struct load_conn *conn, enum load_wire_found what, struct load_wire_reply *reply, uint64_t now)
{
	struct load_run *run = conn->run;
	enum load_found found =
	    load_wire_book(&run->wire, &run->check, conn->number, what, reply, now);

	if (found >= LOAD_FOUND_WRONG)
		load_report_reply(run, conn->number, found, reply);
	if (what == LOAD_WIRE_REPLY && run->options->protocol->http)
		run->statuses[reply->status]++;
	conn->replies++;
	conn->told = conn->told || reply->closes;
	return found;
}

/*
 * Checks every whole reply behind the first `*used` bytes; `*used` becomes where they end, or -1
 * when no reply can be found any more. Returns whether one of them was right.
 */
static bool
load_input_check(struct load_conn *conn, char *data, size_t length, uint64_t now, ssize_t *used)
{
	struct load_wire_reply reply;
	struct load_run *run = conn->run;
	enum load_wire_found what;
	enum load_found found;
	bool right = false;

	for (; (size_t)*used < length && !conn->closed; *used += (ssize_t)reply.used) {
		what = load_wire_find(&run->wire, &run->check, conn->number, &conn->reading,
		    data + *used, length - (size_t)*used, &reply);
		if (what == LOAD_WIRE_MORE)
			break;
		if (what == LOAD_WIRE_CONTROL) {
			load_session_hear(conn, &reply, now);
			continue;
		}
		found = load_input_book(conn, what, &reply, now);
		right = right || found == LOAD_FOUND_RIGHT;
		if (what == LOAD_WIRE_DAMAGED ||
		    (found >= LOAD_FOUND_WRONG && run->options->protocol->stream)) {
			*used = -1;
			break;
		}
	}
	return right;
}

/*
 * Reads once. `data` and `length` are then the unfinished reply with what was read behind it: in
 * the run's buffer, so that waiting connections hold little memory, unless it is so much already
 * that moving it each time would cost more.
 */
static ssize_t
load_input_read(struct load_conn *conn, char **data, size_t *length)
{
	size_t rest = buf_length(&conn->in);
	char *to = conn->run->input;
	ssize_t got;

	if (rest > LOAD_CONN_REST) {
		got = read(conn->fd, buf_reserve(&conn->in, LOAD_CONN_READ), LOAD_CONN_READ);
		if (got > 0)
			buf_added(&conn->in, (size_t)got);
		*data = buf_bytes(&conn->in);
		*length = buf_length(&conn->in);
		return got;
	}
	got = read(conn->fd, to + rest, LOAD_CONN_READ);
	if (got >= 0 && rest > 0) {
		memcpy(to, buf_bytes(&conn->in), rest);
		buf_free(&conn->in);
	}
	*data = to;
	*length = rest + (got > 0 ? (size_t)got : 0);
	return got;
}

/* Keeps what is left of what load_input_read() gave. */
static void
load_input_keep(struct load_conn *conn, const char *data, size_t length, size_t used)
{
	if (data == conn->run->input)
		buf_append(&conn->in, data + used, length - used);
	else
		buf_consume(&conn->in, used);
}

/* Every request has its reply: why the connection ends now, if it does. */
static bool
load_input_end_answered(struct load_conn *conn, bool closed)
{
	struct load_run *run = conn->run;

	if (conn->state == LOAD_CONN_CLOSED) /* with the run, after its last reply */
		return true;
	if (!load_check_answered(&run->check, conn->number))
		return false;
	if (run->options->per_request && conn->state == LOAD_CONN_OPEN && conn->made > 0 &&
	    !closed && load_session_leave(conn))
		return true;
	if (run->options->per_request && conn->made > 0 &&
	    (conn->state == LOAD_CONN_OPEN || conn->told || closed))
		load_conn_end(conn, LOAD_CONN_DONE);
	else if (conn->told || closed)
		load_conn_end(conn, LOAD_CONN_IDLE);
	else
		return false;
	return true;
}

/*
 * The peer closed. What it left unfinished may be whole by that, or belongs to a request that is
 * broken now; else nobody asked for it.
 */
static void
load_input_on_closed(struct load_conn *conn, char *data, size_t length)
{
	struct load_run *run = conn->run;
	struct load_wire_reply reply;
	uint64_t now = clock_now();
	enum load_wire_found found =
	    load_wire_end(&run->wire, &conn->reading, data, length, &reply);

	if (found == LOAD_WIRE_REPLY ||
	    (found == LOAD_WIRE_DAMAGED && load_check_answered(&run->check, conn->number)))
		load_run_on_replies(
		    run, load_input_book(conn, found, &reply, now) == LOAD_FOUND_RIGHT, now);
	if (!load_input_end_answered(conn, true))
		load_conn_end(conn, LOAD_CONN_PEER);
}

/* Replies, or parts of them, behind the first `used` bytes. */
static void
load_input_on_data(struct load_conn *conn, char *data, size_t length, ssize_t used)
{
	uint64_t now = clock_now(), before = conn->replies;
	bool right = load_input_check(conn, data, length, now, &used);

	if (used == -1) {
		load_conn_end(conn, LOAD_CONN_DAMAGED);
		return;
	}
	load_input_keep(conn, data, length, (size_t)used);
	if (conn->replies != before)
		load_run_on_replies(conn->run, right, now);
	if ((conn->replies != before || conn->closed) && load_input_end_answered(conn, false))
		return;
	if (conn->closed)
		load_conn_end(conn, LOAD_CONN_PEER);
	else
		load_conn_send(conn);
}

/* The answer to the handshake, or a part of it. */
static void
load_input_on_greeting(struct load_conn *conn, char *data, size_t length)
{
	ssize_t used = load_session_read(conn, data, length);

	if (used == -1)
		return;
	if (used > 0)
		load_conn_ready(conn);
	if (used > 0 && (size_t)used < length && conn->state == LOAD_CONN_OPEN)
		load_input_on_data(conn, data, length, used);
	else if (conn->state != LOAD_CONN_CLOSED)
		load_input_keep(conn, data, length, (size_t)used);
}

void
load_input_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct load_conn *conn = arg;
	size_t length;
	char *data;
	ssize_t got = load_input_read(conn, &data, &length);

	(void)fd;
	(void)what;
	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 && conn->state == LOAD_CONN_GREETING)
		load_session_fail(conn);
	else if (got == -1)
		load_conn_end(conn, conn->left > 0 ? LOAD_CONN_DONE : LOAD_CONN_PEER);
	else if (got == 0)
		load_input_on_closed(conn, data, length);
	else if (conn->state == LOAD_CONN_GREETING)
		load_input_on_greeting(conn, data, length);
	else
		load_input_on_data(conn, data, length, 0);
}
