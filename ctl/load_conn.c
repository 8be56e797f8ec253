/*
 * The sockets of a run. Owns a connection's descriptor, its unfinished reply and its unwritten
 * bytes; the big buffers belong to the run and are shared by all. One read and one write for each
 * wake-up; nothing is allocated for a request unless the socket takes or gives only part of it.
 * Never decides how often or when to connect: that is load_run.c.
 */
#include "ctl/load_conn.h"

#include "common/addr.h"
#include "common/clock.h"
#include "common/codec.h"
#include "ctl/load_report.h"
#include "ctl/load_run.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
	close(conn->fd);
	buf_free(&conn->in);
	buf_free(&conn->out);
	conn->state = LOAD_CONN_CLOSED;
	conn->fd = -1;
}

void
load_conn_end(struct load_conn *conn, enum load_conn_reason reason)
{
	struct load_run *run = conn->run;

	if (conn->state == LOAD_CONN_CONNECTING)
		run->connecting--;
	else if (conn->state != LOAD_CONN_CLOSED)
		run->open--;
	load_conn_close(conn);
	if (!run->interrupted)
		load_check_break(&run->check, conn->number);
	load_run_on_end(run, conn, reason);
}

/* Why the connection could not be opened: errno in words. */
static void
load_conn_fail(struct load_conn *conn, int error)
{
	conn->run->connect_errno = error;
	load_conn_end(conn, error == ECONNREFUSED ? LOAD_CONN_REFUSED : LOAD_CONN_FAILED);
}

/*
 * A socket that connects to a free local port may be given that very port and so meet itself: an
 * echo without a server.
 */
static bool
load_conn_met_itself(const struct load_conn *conn)
{
	struct addr local = {.length = sizeof(local.storage)};
	const struct addr *peer = &conn->run->options->address;

	if (addr_is_unix(peer) ||
	    getsockname(conn->fd, (struct sockaddr *)&local.storage, &local.length) == -1)
		return false;
	return addr_port(&local) == addr_port(peer) && addr_equal(&local, peer);
}

static void
load_conn_opened(struct load_conn *conn)
{
	struct load_run *run = conn->run;

	if (load_conn_met_itself(conn)) {
		load_conn_fail(conn, ECONNREFUSED);
		return;
	}
	if (conn->state == LOAD_CONN_CONNECTING)
		run->connecting--;
	conn->state = LOAD_CONN_OPEN;
	run->open++;
	event_add(&conn->read_event, NULL);
	load_run_on_open(run, conn);
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
	size_t wire = conn->run->wire_size;

	conn->written += length;
	load_check_sent(&conn->run->check, conn->number, (conn->written + wire - 1) / wire);
}

/* Returns how many bytes the socket took. An error is no end: the read side will tell. */
static size_t
load_conn_write(struct load_conn *conn, const char *data, size_t length)
{
	ssize_t written = send(conn->fd, data, length, MSG_NOSIGNAL);

	if (written == -1) {
		if (errno != EAGAIN && errno != EINTR)
			conn->mute = true;
		return 0;
	}
	load_conn_wrote(conn, (size_t)written);
	return (size_t)written;
}

/* One message with its framing. Returns its length. */
static size_t
load_conn_make(struct load_conn *conn, uint64_t now, char *to)
{
	struct load_run *run = conn->run;
	enum codec codec = run->options->protocol->codec;
	size_t size = run->options->size;
	size_t head = codec == CODEC_IDS ? CODEC_IDS_HEAD : codec_head(codec, size, to);
	size_t tail = codec_tail(codec, false, to + head + size);
	uint32_t id = load_check_make(&run->check, conn->number, now, to + head);

	if (codec == CODEC_IDS)
		codec_head_ids(id, size, to);
	conn->made++;
	return head + size + tail;
}

void
load_conn_send(struct load_conn *conn)
{
	struct load_run *run = conn->run;
	size_t length = 0, written;
	uint64_t now;

	if (conn->state != LOAD_CONN_OPEN || conn->mute || buf_length(&conn->out) > 0 ||
	    !load_run_may_make(run, conn))
		return;
	now = clock_now();
	while (length + run->wire_size <= run->output_size && load_run_may_make(run, conn))
		length += load_conn_make(conn, now, run->output + length);
	written = load_conn_write(conn, run->output, length);
	if (conn->mute)
		return;
	buf_append(&conn->out, run->output + written, length - written);
	if (written < length || load_run_may_make(run, conn))
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
		    load_conn_write(conn, buf_bytes(&conn->out), buf_length(&conn->out)));
	if (buf_length(&conn->out) > 0 && !conn->mute)
		event_add(&conn->write_event, NULL);
	else
		load_conn_send(conn);
}

/* One reply; `data` holds its status where there are ids. */
static enum load_found
load_conn_check_one(
    struct load_conn *conn, enum codec_found got, struct codec_message *reply, uint64_t now)
{
	struct load_run *run = conn->run;

	if (!run->options->ids || got != CODEC_MESSAGE)
		return load_check_reply(&run->check, conn->number, reply->data, reply->length, now);
	if (reply->length == 0)
		return load_check_reply_to(
		    &run->check, conn->number, reply->tag, UINT_MAX, NULL, 0, now);
	return load_check_reply_to(&run->check, conn->number, reply->tag,
	    (unsigned char)reply->data[0], reply->data + 1, reply->length - 1, now);
}

/* Checks every whole reply. Returns the bytes used, or -1 when no reply can be found any more. */
static ssize_t
load_conn_check(struct load_conn *conn, const char *data, size_t length, uint64_t now)
{
	struct load_run *run = conn->run;
	struct codec_message reply = {0};
	enum codec_found got;
	enum load_found found;
	size_t used = 0;

	for (; used < length; used += reply.used) {
		got = codec_find(run->options->protocol->codec, data + used, length - used,
		    run->largest_reply, &conn->scanned, &reply);
		if (got == CODEC_MORE)
			break;
		if (got == CODEC_TOO_LARGE)
			reply =
			    (struct codec_message){.data = data + used, .length = length - used};
		if (got == CODEC_BAD) {
			reply.data = data + used;
			reply.length = reply.used;
		}
		/* Nothing we send has a CR, so one in a reply belongs to what is checked. */
		if (run->options->protocol->codec == CODEC_LINE)
			reply.length += reply.tag;
		found = load_conn_check_one(conn, got, &reply, now);
		if (found >= LOAD_FOUND_WRONG)
			load_report_reply(run, conn->number, found, reply.data, reply.length);
		conn->replies++;
		if (got == CODEC_TOO_LARGE)
			return -1;
	}
	return (ssize_t)used;
}

/*
 * Reads once. `data` and `length` are then the unfinished reply with what was read behind it: in
 * the run's buffer, so that waiting connections hold little memory, unless it is so much already
 * that moving it each time would cost more.
 */
static ssize_t
load_conn_read(struct load_conn *conn, char **data, size_t *length)
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
	if (got > 0 && rest > 0) {
		memcpy(to, buf_bytes(&conn->in), rest);
		buf_free(&conn->in);
	}
	*data = to;
	*length = rest + (got > 0 ? (size_t)got : 0);
	return got;
}

/* Keeps what is left of what load_conn_read() gave. */
static void
load_conn_keep(struct load_conn *conn, const char *data, size_t length, size_t used)
{
	if (data == conn->run->input)
		buf_append(&conn->in, data + used, length - used);
	else
		buf_consume(&conn->in, used);
}

static void
load_conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct load_conn *conn = arg;
	struct load_run *run = conn->run;
	size_t length;
	char *data;
	ssize_t got = load_conn_read(conn, &data, &length), used;
	uint64_t now, before = conn->replies;

	(void)fd;
	(void)what;
	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		load_conn_end(conn, LOAD_CONN_PEER);
		return;
	}
	now = clock_now();
	used = load_conn_check(conn, data, length, now);
	if (used == -1) {
		load_conn_end(conn, LOAD_CONN_DAMAGED);
		return;
	}
	load_conn_keep(conn, data, length, (size_t)used);
	if (conn->replies != before)
		load_run_on_replies(run, now);
	if (run->options->per_request && conn->state == LOAD_CONN_OPEN && conn->made > 0 &&
	    load_check_answered(&run->check, conn->number))
		load_conn_end(conn, LOAD_CONN_DONE);
	else
		load_conn_send(conn);
}

static int
load_conn_socket(const struct addr *address)
{
	int one = 1;
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd != -1 && !addr_is_unix(address))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

bool
load_conn_open(struct load_conn *conn, uint64_t now)
{
	struct load_run *run = conn->run;
	const struct addr *address = &run->options->address;
	int fd;

	conn->mute = false;
	conn->written = conn->made = conn->replies = 0;
	conn->scanned = 0;
	if (conn->since == 0)
		conn->since = now;
	fd = load_conn_socket(address);
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
	    &conn->read_event, run->base, fd, EV_READ | EV_PERSIST, load_conn_on_read, conn);
	event_assign(&conn->write_event, run->base, fd, EV_WRITE, load_conn_on_write, conn);
	event_add(&conn->write_event, NULL);
	return true;
}

void
load_conn_finish(struct load_conn *conn)
{
	if (conn->state == LOAD_CONN_OPEN && buf_length(&conn->out) == 0 && !conn->mute &&
	    shutdown(conn->fd, SHUT_WR) == 0) {
		event_del(&conn->write_event);
		conn->state = LOAD_CONN_CLOSING;
	} else if (conn->state != LOAD_CONN_CLOSED && conn->state != LOAD_CONN_CLOSING) {
		load_conn_end(conn, LOAD_CONN_FINISHED);
	}
}
