/*
 * The two ends of a WebSocket, and its pongs (load_session.h). Owns nothing: bytes go out through
 * load_conn_put(). An open connection has had its handshake, so that what is measured begins behind
 * it.
 */
#include "ctl/load_session.h"

#include "common/clock.h"
#include "ctl/load_conn.h"
#include "ctl/load_handshake.h"
#include "ctl/load_run.h"

#include <stdio.h>

#define LOAD_SESSION_CONTROL                                                                       \
	4096 /* bytes of pongs that wait for the socket; then none is added                        \
	      */

static void
load_session_put(struct load_conn *conn, struct buf *out)
{
	load_conn_put(conn, buf_bytes(out), buf_length(out));
	buf_free(out);
}

void
load_session_greet(struct load_conn *conn)
{
	const struct load_options *options = conn->run->options;
	struct buf out = {0};

	conn->state = LOAD_CONN_GREETING;
	load_handshake_make(&out, options->protocol->answer, &options->address, options->path,
	    conn->reading.accept);
	load_session_put(conn, &out);
}

/* `why` is NULL where the status says it. */
static void
load_session_refuse(struct load_conn *conn, unsigned status, const char *why)
{
	struct load_run *run = conn->run;

	if (why)
		snprintf(run->connect_why, sizeof(run->connect_why), "%s", why);
	else
		snprintf(run->connect_why, sizeof(run->connect_why),
		    "the handshake was answered with status %u", status);
	if (status > 0)
		run->statuses[status]++;
	load_conn_end(conn, LOAD_CONN_FAILED);
}

ssize_t
load_session_read(struct load_conn *conn, char *data, size_t length)
{
	struct load_wire_reply reply;

	switch (load_wire_find_handshake(&conn->reading, data, length, &reply)) {
	case LOAD_WIRE_MORE:
		return 0;
	case LOAD_WIRE_REPLY:
		if (reply.status == conn->run->options->expect_status) {
			conn->run->statuses[reply.status]++;
			return (ssize_t)reply.used;
		}
		load_session_refuse(conn, reply.status, NULL);
		return -1;
	default:
		load_session_refuse(conn, 0, reply.why);
		return -1;
	}
}

void
load_session_fail(struct load_conn *conn)
{
	unsigned status = conn->reading.http.status;

	/* The body of a refusal may last until the end. */
	if (conn->reading.http.body > 0)
		load_session_refuse(conn, status, NULL);
	else
		load_session_refuse(conn, 0, "it ended before the handshake was answered");
}

void
load_session_hear(struct load_conn *conn, const struct load_wire_reply *reply, uint64_t now)
{
	struct buf out = {0};

	if (reply->control == WEBSOCKET_PING && conn->control < LOAD_SESSION_CONTROL)
		load_handshake_frame(&out, WEBSOCKET_PONG, reply->data, reply->length);
	if (reply->control == WEBSOCKET_CLOSE) {
		conn->told = conn->closed = true;
		if (load_wire_book_close(&conn->run->check, conn->number, reply, now))
			conn->replies++;
		if (conn->state == LOAD_CONN_OPEN)
			load_handshake_close(&out, reply->code);
	}
	if (buf_length(&out) > 0)
		load_session_put(conn, &out);
}

bool
load_session_is_close(const struct load_conn *conn, char byte)
{
	return conn->run->options->protocol->websocket && buf_length(&conn->in) == 0 &&
	       (unsigned char)byte == (0x80 | WEBSOCKET_CLOSE);
}

bool
load_session_leave(struct load_conn *conn)
{
	struct buf out = {0};

	if (!conn->run->options->protocol->websocket || conn->told || conn->mute)
		return false;
	load_handshake_close(&out, WEBSOCKET_NORMAL);
	load_session_put(conn, &out);
	conn->state = LOAD_CONN_CLOSING;
	conn->left = clock_now();
	return true;
}
