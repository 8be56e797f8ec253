/*
 * The connection of load_ask.h. Owns its socket and what was read from it. Never repeats anything:
 * whether to is load_call.c's to decide, by what is told of each attempt.
 */
#include "ctl/load_ask.h"

#include "common/clock.h"
#include "common/codec.h"
#include "common/utf8.h"
#include "ctl/load_check.h"
#include "ctl/load_handshake.h"
#include "ctl/load_http.h"
#include "ctl/load_socket.h"
#include "ctl/load_websocket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOAD_ASK_READ    65536
#define LOAD_ASK_LARGEST (64u << 20) /* bytes of a reply */

/* How far what is awaited was read. */
struct load_ask_reading {
	uint64_t deadline;
	bool is_http; /* a reply of HTTP, to a request or to the handshake of a WebSocket */
	size_t scanned;
	struct load_http http;
	struct load_websocket websocket;
};

void
load_ask_open(struct load_ask *ask, const struct load_call_options *options)
{
	*ask = (struct load_ask){.options = options, .fd = -1};
}

static void
load_ask_hang_up(struct load_ask *ask)
{
	if (ask->fd != -1)
		close(ask->fd);
	ask->fd = -1;
}

/* Says Close first, where that is known; nobody waits for the answer. */
void
load_ask_close(struct load_ask *ask)
{
	struct buf out = {0};

	if (ask->fd != -1 && ask->options->protocol->websocket) {
		load_handshake_close(&out, WEBSOCKET_NORMAL);
		if (send(ask->fd, buf_bytes(&out), buf_length(&out), MSG_NOSIGNAL) > 0)
			shutdown(ask->fd, SHUT_WR);
	}
	buf_free(&out);
	load_ask_hang_up(ask);
	buf_free(&ask->in);
}

/* Says why, and ends the connection: what could still come on it would belong to nothing. */
static enum load_asked
load_ask_fail(struct load_ask *ask, enum load_asked how, const char *why)
{
	snprintf(ask->why, sizeof(ask->why), "%s", why);
	ask->reply = NULL;
	load_ask_hang_up(ask);
	return how;
}

/* Waits for the socket; false at the deadline. */
static bool
load_ask_wait(const struct load_ask *ask, short events, uint64_t deadline)
{
	struct pollfd fd = {.fd = ask->fd, .events = events};
	uint64_t now;

	while ((now = clock_now()) < deadline) {
		uint64_t left = (deadline - now) / CLOCK_MS + 1;

		if (poll(&fd, 1, left < INT32_MAX ? (int)left : INT32_MAX) > 0)
			return true;
	}
	return false;
}

/* A connect that is under way. Returns errno, ETIMEDOUT at the deadline. */
static int
load_ask_finish_connect(const struct load_ask *ask, uint64_t deadline)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (!load_ask_wait(ask, POLLOUT, deadline))
		return ETIMEDOUT;
	if (getsockopt(ask->fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
		return errno;
	return error;
}

/* Either a text is what is got, or it goes there as a body. */
static void
load_ask_make_http(
    const struct load_call_options *options, const char *text, size_t length, struct buf *out)
{
	char host[ADDR_TEXT_MAX] = "localhost", count[64] = "";
	const char *path = options->path;

	if (!addr_is_unix(&options->address))
		addr_format(&options->address, host);
	if (path)
		snprintf(count, sizeof(count), "\r\nContent-Length: %zu", length);
	buf_append(out, path ? "POST " : "GET ", path ? 5 : 4);
	buf_append(out, path ? path : text, path ? strlen(path) : length);
	buf_append(out, " HTTP/1.1\r\nHost: ", 17);
	buf_append(out, host, strlen(host));
	buf_append(out, count, strlen(count));
	buf_append(out, "\r\n\r\n", 4);
	if (path)
		buf_append(out, text, length);
}

/* The request as bytes; the caller frees `out`. */
static void
load_ask_make(struct load_ask *ask, const char *text, size_t length, struct buf *out)
{
	const struct load_call_options *options = ask->options;
	char head[CODEC_IDS_HEAD], tail[CODEC_TAIL_MAX];
	enum codec codec = options->protocol->codec;

	if (options->protocol->http) {
		load_ask_make_http(options, text, length, out);
		return;
	}
	if (options->protocol->websocket) {
		load_handshake_frame(out,
		    utf8_is_valid(text, length) ? WEBSOCKET_TEXT : WEBSOCKET_BINARY, text, length);
		return;
	}
	if (options->ids) {
		codec_head_ids(ask->id, length, head);
		buf_append(out, head, CODEC_IDS_HEAD);
	} else {
		buf_append(out, head, codec_head(codec, length, head));
	}
	buf_append(out, text, length);
	buf_append(out, tail, codec_tail(codec, false, tail));
}

static enum load_asked
load_ask_send(struct load_ask *ask, struct buf *out, uint64_t deadline)
{
	bool begun = false;
	ssize_t sent;

	while (buf_length(out) > 0) {
		sent = send(ask->fd, buf_bytes(out), buf_length(out), MSG_NOSIGNAL);
		if (sent > 0) {
			buf_consume(out, (size_t)sent);
			begun = true;
		} else if (errno != EAGAIN && errno != EINTR) {
			/* The server may have said why before it closed; the read side tells. */
			if (begun)
				return LOAD_ASKED_REPLY;
			return load_ask_fail(ask, LOAD_ASKED_UNSENT, strerror(errno));
		} else if (!load_ask_wait(ask, POLLOUT, deadline)) {
			return load_ask_fail(ask, begun ? LOAD_ASKED_LOST : LOAD_ASKED_UNSENT,
			    "the server does not read");
		}
	}
	return LOAD_ASKED_REPLY;
}

/* An error by its name, as behind ERR. */
static enum load_asked
load_ask_error(struct load_ask *ask, const char *name, size_t length)
{
	const char *busy = load_check_error_text(LOAD_ERROR_BUSY);

	snprintf(ask->why, sizeof(ask->why), "ERR %.*s", (int)(length < 100 ? length : 100), name);
	return length == strlen(busy) && memcmp(name, busy, length) == 0 ? LOAD_ASKED_BUSY
									 : LOAD_ASKED_ERROR;
}

/* With ids the reply begins with a status, and its id says whether it is the right one at all. */
static enum load_asked
load_ask_judge_id(struct load_ask *ask, uint32_t id)
{
	unsigned status;
	const char *name;

	if (ask->length == 0 || id != ask->id)
		return load_ask_fail(ask, LOAD_ASKED_LOST, "a reply to another request");
	status = (unsigned char)*ask->reply++;
	ask->length--;
	ask->id++;
	if (status == 0)
		return LOAD_ASKED_REPLY;
	name = load_check_error_text(
	    status <= LOAD_ERROR_OTHER ? (enum load_error)(status - 1) : LOAD_ERROR_OTHER);
	ask->reply = NULL;
	return load_ask_error(ask, name, strlen(name));
}

/* The server answers no more: does it say why? */
static enum load_asked
load_ask_judge_close(struct load_ask *ask, const struct load_websocket_part *part)
{
	enum load_error error;
	const char *name;
	char why[64];

	if (load_handshake_error(part->code, part->data, part->length, &error)) {
		load_ask_hang_up(ask);
		name = load_check_error_text(error);
		return load_ask_error(ask, name, strlen(name));
	}
	snprintf(why, sizeof(why), "the server closed the connection with code %u", part->code);
	return load_ask_fail(ask, LOAD_ASKED_LOST, why);
}

/* A control frame. Returns whether the call ends with it. */
static bool
load_ask_hear(struct load_ask *ask, const struct load_websocket_part *part, uint64_t deadline,
    enum load_asked *how)
{
	struct buf out = {0};

	*how = LOAD_ASKED_REPLY;
	if (part->opcode == WEBSOCKET_PING) {
		load_handshake_frame(&out, WEBSOCKET_PONG, part->data, part->length);
		*how = load_ask_send(ask, &out, deadline);
		buf_free(&out);
	}
	if (part->opcode == WEBSOCKET_CLOSE)
		*how = load_ask_judge_close(ask, part);
	else if (*how == LOAD_ASKED_REPLY)
		buf_consume(&ask->in, part->used);
	return *how != LOAD_ASKED_REPLY;
}

/* Looks for a whole message. */
static bool
load_ask_find_websocket(
    struct load_ask *ask, struct load_ask_reading *reading, enum load_asked *how)
{
	struct load_websocket_part part = {0};
	enum load_websocket_found found;

	do {
		if (buf_length(&ask->in) == 0)
			return false;
		found = load_websocket_find(&reading->websocket, buf_bytes(&ask->in),
		    buf_length(&ask->in), LOAD_ASK_LARGEST, &part);
		if (found == LOAD_WEBSOCKET_MORE)
			return false;
		if (found == LOAD_WEBSOCKET_CONTROL &&
		    load_ask_hear(ask, &part, reading->deadline, how))
			return true;
	} while (found == LOAD_WEBSOCKET_CONTROL);
	*how = LOAD_ASKED_REPLY;
	if (found == LOAD_WEBSOCKET_BAD)
		*how = load_ask_fail(ask, LOAD_ASKED_LOST, part.why);
	else if (part.opcode == WEBSOCKET_TEXT && !utf8_is_valid(part.data, part.length))
		*how = load_ask_fail(ask, LOAD_ASKED_LOST, "text that is no UTF-8");
	if (*how != LOAD_ASKED_REPLY)
		return true;
	ask->reply = part.data;
	ask->length = part.length;
	ask->used = part.used;
	return true;
}

/* Looks for a whole reply. False: more has to come. */
static bool
load_ask_find(struct load_ask *ask, size_t *scanned, enum load_asked *how)
{
	struct codec_message message = {0};

	switch (codec_find(ask->options->protocol->codec, buf_bytes(&ask->in), buf_length(&ask->in),
	    LOAD_ASK_LARGEST, scanned, &message)) {
	case CODEC_MORE:
		return false;
	case CODEC_MESSAGE:
		break;
	default:
		*how = load_ask_fail(ask, LOAD_ASKED_LOST, "what came is no reply");
		return true;
	}
	ask->reply = message.data;
	ask->length = message.length;
	ask->used = message.used;
	if (ask->options->ids)
		*how = load_ask_judge_id(ask, message.tag);
	else if (message.length >= 4 && memcmp(message.data, "ERR ", 4) == 0)
		*how = load_ask_error(ask, message.data + 4, message.length - 4);
	else
		*how = LOAD_ASKED_REPLY;
	return true;
}

/* The same for HTTP; `end`: nothing more will come. */
static bool
load_ask_find_http(struct load_ask *ask, struct load_http *state, bool end, enum load_asked *how)
{
	struct load_http_reply reply = {0};
	char *data = buf_bytes(&ask->in);
	size_t length = buf_length(&ask->in);
	enum load_http_found found =
	    end ? load_http_end(state, data, length, &reply)
		: load_http_find(state, data, length, LOAD_ASK_LARGEST, &reply);

	if (found == LOAD_HTTP_MORE)
		return false;
	if (found == LOAD_HTTP_BAD) {
		*how = load_ask_fail(ask, LOAD_ASKED_LOST, reply.why ? reply.why : "no reply");
		return true;
	}
	ask->reply = reply.body;
	ask->length = reply.length;
	ask->used = reply.used;
	ask->status = reply.status;
	if (reply.closes || end)
		load_ask_hang_up(ask);
	snprintf(ask->why, sizeof(ask->why), "status %u", reply.status);
	*how = LOAD_ASKED_REPLY;
	if (reply.status >= 300)
		*how = reply.status == 503 ? LOAD_ASKED_BUSY : LOAD_ASKED_ERROR;
	return true;
}

/* Looks for what is awaited; `end`: nothing more will come. */
static bool
load_ask_look(
    struct load_ask *ask, struct load_ask_reading *reading, bool end, enum load_asked *how)
{
	if (reading->is_http)
		return load_ask_find_http(ask, &reading->http, end, how);
	if (end)
		return false;
	if (ask->options->protocol->websocket)
		return load_ask_find_websocket(ask, reading, how);
	return load_ask_find(ask, &reading->scanned, how);
}

static enum load_asked
load_ask_receive(struct load_ask *ask, struct load_ask_reading *reading)
{
	enum load_asked how = LOAD_ASKED_LOST;
	ssize_t got;

	for (;;) {
		got = recv(ask->fd, buf_reserve(&ask->in, LOAD_ASK_READ), LOAD_ASK_READ, 0);
		if (got > 0)
			buf_added(&ask->in, (size_t)got);
		if (got == -1 && errno != EAGAIN && errno != EINTR)
			return load_ask_fail(ask, LOAD_ASKED_LOST, strerror(errno));
		if (got == -1 && !load_ask_wait(ask, POLLIN, reading->deadline))
			return load_ask_fail(ask, LOAD_ASKED_LOST, "no reply in time");
		if (got == -1)
			continue;
		if (load_ask_look(ask, reading, got == 0, &how))
			return how;
		if (got == 0)
			return load_ask_fail(
			    ask, LOAD_ASKED_LOST, "the server closed the connection");
	}
}

/* Asks for a WebSocket on a connection that is open. */
static enum load_asked
load_ask_greet(struct load_ask *ask, uint64_t deadline)
{
	struct load_ask_reading reading = {.deadline = deadline, .is_http = true};
	const char *path = ask->options->path ? ask->options->path : "/";
	char accept[WEBSOCKET_ACCEPT], why[sizeof(ask->why)];
	struct buf out = {0};
	enum load_asked how;

	load_handshake_make(
	    &out, ask->options->protocol->answer, &ask->options->address, path, accept);
	reading.http.accept = accept;
	how = load_ask_send(ask, &out, deadline);
	buf_free(&out);
	if (how == LOAD_ASKED_REPLY)
		how = load_ask_receive(ask, &reading);
	if (how == LOAD_ASKED_REPLY && ask->status == 101) {
		buf_consume(&ask->in, ask->used);
		ask->used = 0;
		ask->reply = NULL;
		return how;
	}
	snprintf(why, sizeof(why), "the handshake: %.100s", ask->why);
	return load_ask_fail(ask, LOAD_ASKED_UNREACHABLE, why);
}

static enum load_asked
load_ask_connect(struct load_ask *ask)
{
	const struct addr *address = &ask->options->address;
	uint64_t deadline = clock_now() + ask->options->connect_timeout;
	char where[ADDR_TEXT_MAX], why[sizeof(ask->why)];
	int error = 0;

	buf_free(&ask->in);
	ask->fd = load_socket(address);
	if (ask->fd == -1)
		return load_ask_fail(ask, LOAD_ASKED_UNREACHABLE, strerror(errno));
	if (connect(ask->fd, (const struct sockaddr *)&address->storage, address->length) == -1)
		error = errno == EINPROGRESS ? load_ask_finish_connect(ask, deadline) : errno;
	if (error == 0 && load_socket_met_itself(ask->fd, address))
		error = ECONNREFUSED;
	if (error == 0 && ask->options->protocol->websocket)
		return load_ask_greet(ask, deadline);
	if (error == 0)
		return LOAD_ASKED_REPLY;
	snprintf(why, sizeof(why), "no connection to %s: %s", addr_format(address, where),
	    error == ETIMEDOUT ? "not open in time" : strerror(error));
	return load_ask_fail(ask, LOAD_ASKED_UNREACHABLE, why);
}

/* What a WebSocket said since the request before: a ping is answered, all else ends it. */
static void
load_ask_hear_idle(struct load_ask *ask)
{
	struct load_ask_reading reading = {.deadline = clock_now() + ask->options->timeout};
	ssize_t got = recv(ask->fd, buf_reserve(&ask->in, LOAD_ASK_READ), LOAD_ASK_READ, 0);
	enum load_asked how;

	buf_added(&ask->in, got > 0 ? (size_t)got : 0);
	buf_consume(&ask->in, 0);
	if (got == 0 || load_ask_find_websocket(ask, &reading, &how))
		load_ask_hang_up(ask);
	ask->reply = NULL;
	ask->used = 0;
}

/*
 * A connection that is kept from the request before may be over by now, and nothing was asked on it
 * since: then a new one is made. Bytes that nobody asked for make it useless, too.
 */
static enum load_asked
load_ask_renew(struct load_ask *ask)
{
	char byte;

	if (ask->fd != -1 && ask->options->protocol->websocket)
		load_ask_hear_idle(ask);
	if (ask->fd != -1 &&
	    (buf_length(&ask->in) > 0 || recv(ask->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != -1 ||
		(errno != EAGAIN && errno != EINTR)))
		load_ask_hang_up(ask);
	return ask->fd == -1 ? load_ask_connect(ask) : LOAD_ASKED_REPLY;
}

enum load_asked
load_ask(struct load_ask *ask, const char *text, size_t length)
{
	struct load_ask_reading reading = {.is_http = ask->options->protocol->http};
	struct buf out = {0};
	enum load_asked how;

	buf_consume(&ask->in, ask->used);
	ask->reply = NULL;
	ask->used = 0;
	how = load_ask_renew(ask);
	if (how != LOAD_ASKED_REPLY)
		return how;
	reading.deadline = clock_now() + ask->options->timeout;
	load_ask_make(ask, text, length, &out);
	how = load_ask_send(ask, &out, reading.deadline);
	buf_free(&out);
	return how == LOAD_ASKED_REPLY ? load_ask_receive(ask, &reading) : how;
}
