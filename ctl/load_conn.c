/*
 * The sockets of a run: how they open and end, and what is written. Owns a connection's descriptor,
 * its unfinished reply and its unwritten bytes; the big buffers belong to the run and are shared by
 * all. One read and one write for each wake-up; nothing is allocated for a request unless the
 * socket takes or gives only part of it. What is read is load_input.c's. Never decides how often or
 * when to connect: that is load_run.c.
 */
#include "ctl/load_conn.h"

#include "common/addr.h"
#include "common/clock.h"
#include "ctl/load_input.h"
#include "ctl/load_rate.h"
#include "ctl/load_run.h"
#include "ctl/load_session.h"
#include "ctl/load_socket.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
load_conn_close(struct load_conn *conn)
{
	if (conn->state == LOAD_CONN_CLOSED)
		return;
	event_del(&conn->read_event);
	event_del(&conn->write_event);
	load_rate_withdraw(conn->run, conn);
	close(conn->fd);
	buf_free(&conn->in);
	buf_free(&conn->out);
	conn->control = 0;
	conn->state = LOAD_CONN_CLOSED;
	conn->fd = -1;
}

void
load_conn_end(struct load_conn *conn, enum load_conn_reason reason)
{
	struct load_run *run = conn->run;

	if (conn->state == LOAD_CONN_CONNECTING || conn->state == LOAD_CONN_GREETING)
		run->connecting--;
	else if (conn->state != LOAD_CONN_CLOSED)
		run->open--;
	load_conn_close(conn);
	if (!run->interrupted)
		load_check_break(&run->check, conn->number);
	load_run_on_end(run, conn, reason);
}

void
load_conn_fail(struct load_conn *conn, int error)
{
	struct load_run *run = conn->run;

	snprintf(run->connect_why, sizeof(run->connect_why), "%s", strerror(error));
	load_conn_end(conn, error == ECONNREFUSED ? LOAD_CONN_REFUSED : LOAD_CONN_FAILED);
}

void
load_conn_ready(struct load_conn *conn)
{
	conn->run->connecting--;
	conn->state = LOAD_CONN_OPEN;
	conn->run->open++;
	load_run_on_open(conn->run, conn);
}

static void
load_conn_opened(struct load_conn *conn)
{
	if (load_socket_met_itself(conn->fd, &conn->run->options->address)) {
		load_conn_fail(conn, ECONNREFUSED);
		return;
	}
	event_add(&conn->read_event, NULL);
	if (conn->run->options->protocol->websocket)
		load_session_greet(conn);
	else
		load_conn_ready(conn);
}

static void
load_conn_on_connected(struct load_conn *conn)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
		error = errno;
	if (error == 0)
		load_conn_opened(conn);
	else
		load_conn_fail(conn, error);
}

/* Tells the check how many requests have begun to leave. */
static void
load_conn_wrote(struct load_conn *conn, size_t length)
{
	struct load_run *run = conn->run;

	conn->written += length;
	if (conn->written == conn->made_end) { /* nearly always: everything was taken */
		conn->begun_end = conn->written;
		conn->begun = conn->made;
	}
	while (conn->begun_end < conn->written)
		conn->begun_end +=
		    load_wire_length(&run->wire, &run->check, conn->number, conn->begun++);
	load_check_sent(&run->check, conn->number, conn->begun);
}

/* Returns how many bytes the socket took. An error is no end: the read side will tell. */
static size_t
load_conn_write(struct load_conn *conn, const char *data, size_t length)
{
	ssize_t written = send(conn->fd, data, length, MSG_NOSIGNAL);

	if (written >= 0)
		return (size_t)written;
	if (errno != EAGAIN && errno != EINTR)
		conn->mute = true;
	return 0;
}

/* The same for requests, or for what of them is left in `out`. */
static size_t
load_conn_write_own(struct load_conn *conn, const char *data, size_t length)
{
	size_t written = load_conn_write(conn, data, length), own = length - conn->control;

	if (written > own)
		conn->control -= written - own;
	if (written > 0 && own > 0)
		load_conn_wrote(conn, written < own ? written : own);
	return written;
}

void
load_conn_put(struct load_conn *conn, const char *data, size_t length)
{
	size_t written = 0;

	if (buf_length(&conn->out) == 0)
		written = load_conn_write(conn, data, length);
	if (conn->mute || written == length)
		return;
	buf_append(&conn->out, data + written, length - written);
	conn->control += length - written;
	event_add(&conn->write_event, NULL);
}

/*
 * Whether the peer has closed a connection that owes no reply. A client that connects again would
 * see it before it sends, so this one looks, rather than send into a connection that is known to be
 * over. True when the connection was ended.
 */
static bool
load_conn_is_over(struct load_conn *conn)
{
	char byte;
	ssize_t got;

	if (!conn->run->options->reconnect || conn->replies == 0 ||
	    !load_check_answered(&conn->run->check, conn->number))
		return false;
	got = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (got == 1 && load_session_is_close(conn, byte))
		got = 0;
	if (got == 1 || (got == -1 && (errno == EAGAIN || errno == EINTR)))
		return false;
	load_conn_end(conn, got == 0 ? LOAD_CONN_IDLE : LOAD_CONN_PEER);
	return true;
}

bool
load_conn_has_room(struct load_conn *conn)
{
	return conn->state == LOAD_CONN_OPEN && !conn->mute && !conn->told &&
	       buf_length(&conn->out) == 0 && load_run_may_make(conn->run, conn) &&
	       !load_conn_is_over(conn);
}

unsigned
load_conn_write_requests(struct load_conn *conn, uint64_t now, unsigned most)
{
	struct load_run *run = conn->run;
	size_t length = 0, written;
	unsigned count = 0;

	do {
		length += load_wire_make(&run->wire, &run->check, conn->number, conn->made, now,
		    load_rate_take(run, now), run->output + length);
		conn->made++;
		count++;
	} while (count < most && length + run->wire.request <= run->output_size &&
		 load_run_may_make(run, conn));
	conn->made_end += length;
	written = load_conn_write_own(conn, run->output, length);
	if (conn->mute)
		return count;
	if (written < length) {
		buf_append(&conn->out, run->output + written, length - written);
		event_add(&conn->write_event, NULL);
	}
	return count;
}

void
load_conn_send(struct load_conn *conn)
{
	struct load_run *run = conn->run;

	if (!load_conn_has_room(conn))
		return;
	if (run->options->rate.count > 0) {
		load_rate_offer(run, conn);
		return;
	}
	load_conn_write_requests(conn, clock_now(), UINT_MAX);
	if (buf_length(&conn->out) == 0 && load_run_may_make(run, conn))
		event_add(&conn->write_event, NULL);
}

static void
load_conn_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct load_conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->state == LOAD_CONN_CONNECTING) {
		load_conn_on_connected(conn);
		return;
	}
	if (buf_length(&conn->out) > 0)
		buf_consume(&conn->out,
		    load_conn_write_own(conn, buf_bytes(&conn->out), buf_length(&conn->out)));
	if (buf_length(&conn->out) > 0 && !conn->mute)
		event_add(&conn->write_event, NULL);
	else
		load_conn_send(conn);
}

bool
load_conn_open(struct load_conn *conn, uint64_t now)
{
	struct load_run *run = conn->run;
	const struct addr *address = &run->options->address;
	int fd;

	conn->mute = conn->told = conn->closed = false;
	conn->left = conn->written = conn->begun = conn->begun_end = conn->made = conn->made_end =
	    0;
	conn->replies = 0;
	conn->reading = (struct load_wire_state){0};
	if (conn->since == 0)
		conn->since = now;
	fd = load_socket(address);
	if (fd == -1) {
		load_conn_fail(conn, errno);
		return true;
	}
	if (connect(fd, (const struct sockaddr *)&address->storage, address->length) == -1 &&
	    errno != EINPROGRESS) {
		int error = errno;

		close(fd);
		/* A full backlog of a unix socket, no free local port: neither is a refusal. */
		if ((error == EAGAIN || error == EADDRNOTAVAIL) &&
		    now < conn->since + run->options->connect_timeout)
			return false;
		load_conn_fail(conn, error);
		return true;
	}
	conn->fd = fd;
	conn->state = LOAD_CONN_CONNECTING;
	run->connecting++;
	event_assign(
	    &conn->read_event, run->base, fd, EV_READ | EV_PERSIST, load_input_on_read, conn);
	event_assign(&conn->write_event, run->base, fd, EV_WRITE, load_conn_on_write, conn);
	event_add(&conn->write_event, NULL);
	return true;
}

void
load_conn_finish(struct load_conn *conn)
{
	if (conn->state == LOAD_CONN_OPEN && buf_length(&conn->out) == 0 &&
	    load_session_leave(conn))
		return;
	if (conn->state == LOAD_CONN_OPEN && buf_length(&conn->out) == 0 && !conn->mute &&
	    shutdown(conn->fd, SHUT_WR) == 0) {
		event_del(&conn->write_event);
		conn->state = LOAD_CONN_CLOSING;
	} else if (conn->state != LOAD_CONN_CLOSED && conn->state != LOAD_CONN_CLOSING) {
		load_conn_end(conn, LOAD_CONN_FINISHED);
	}
}
