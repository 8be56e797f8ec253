/* The client of a test of WebSocket. Owns its workers and its connection; knows no test. */
#include "tests/unit/ws_client.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct ws_client ws_client;

void
ws_client_open_seats(void)
{
	seat_open(&ws_client.seats[0], WEBSOCKETS_CONF, BACKEND_EPOLL, NULL);
	seat_open(&ws_client.seats[1], WEBSOCKETS_CONF, BACKEND_EPOLL, &ws_client.seats[0]);
}

void
ws_client_close_seats(void)
{
	seat_close(&ws_client.seats[0]);
	seat_close(&ws_client.seats[1]);
}

/* ---- talking ---- */

void
ws_client_hear(void)
{
	ssize_t got;

	while (!ws_client.ended &&
	       (got = recv(ws_client.fd, ws_client.heard + ws_client.length,
		    sizeof(ws_client.heard) - ws_client.length - 1, MSG_DONTWAIT)) >= 0) {
		ws_client.length += (size_t)got;
		ws_client.ended = got == 0;
	}
	ck_assert_msg(ws_client.ended || errno == EAGAIN, "%s: reset", ws_client.label);
	ws_client.heard[ws_client.length] = '\0';
}

void
ws_client_say(const char *text, size_t length)
{
	ck_assert(
	    send(ws_client.fd, text, length, MSG_NOSIGNAL) == (ssize_t)length || errno == EPIPE);
	seat_turn(ws_client.seat);
}

/* Pipelines are taken up a few at a time. */
void
ws_client_settle(void)
{
	for (int i = 0; i < 4; i++) {
		seat_turn(ws_client.seat);
		ws_client_hear();
	}
}

void
ws_client_move(void)
{
	struct seat *other = &ws_client.seats[ws_client.seat == ws_client.seats];
	struct msg_given given;

	seat_move(ws_client.seat, other, 1);
	for (int i = 0; !seat_given(ws_client.seat, &given); i++) {
		ck_assert_msg(i < 100, "%s: the move does not end", ws_client.label);
		seat_turn(ws_client.seat);
		seat_turn(other);
	}
	if (seat_only(other, ws_client.service) != NULL)
		ws_client.seat = other;
}

/* ---- what is heard ---- */

static bool
ws_client_has_field(const char *head, const char *end, const char *field, size_t length)
{
	for (const char *line = strstr(head, "\r\n"); line != NULL && line + 2 < end;
	     line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, field, length) == 0)
			return true;
	return false;
}

static size_t
ws_client_content_length(const char *head, const char *end)
{
	const char *field = strstr(head, "\r\nContent-Length: ");

	return field != NULL && field < end ? strtoul(field + 18, NULL, 10) : 0;
}

/* Lines that the head must have; behind a minus names of those that it must not have. */
static void
ws_client_must_have_fields(const struct websocket_answer *answer, const char *head, const char *end)
{
	char *lines, *rest;

	if (buf_length(&answer->text) == 0)
		return;
	lines = strndup(buf_bytes(&answer->text), buf_length(&answer->text));
	for (char *line = strtok_r(lines, "\r\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\r\n", &rest)) {
		char whole[300];
		const char *found;

		if (strncmp(lines, "-", 1) == 0) {
			line += *line == '-';
			ck_assert_msg(!ws_client_has_field(head, end, line, strlen(line)),
			    "%s: it has %s: %s", ws_client.label, line, head);
			continue;
		}
		snprintf(whole, sizeof(whole), "\r\n%s\r\n", line);
		found = strstr(head, whole);
		ck_assert_msg(found != NULL && found < end, "%s: it has no %s: %s", ws_client.label,
		    line, head);
	}
	free(lines);
}

static void
ws_client_must_open(const char *head, const char *end)
{
	const char *extensions = strstr(head, "\r\nSec-WebSocket-Extensions: permessage-deflate");

	ck_assert_msg(ws_client_has_field(head, end, "Upgrade: websocket\r\n", 20) &&
			  ws_client_has_field(head, end, "Connection: Upgrade\r\n", 21) &&
			  ws_client_has_field(head, end, "Sec-WebSocket-Accept: ", 22),
	    "%s: no handshake: %s", ws_client.label, head);
	ws_client.opened = true;
	ws_client.may_deflate = extensions != NULL && extensions < end;
}

const char *
ws_client_must_reply(const char *at, const struct websocket_answer *answer, bool last)
{
	const char *end = strstr(at, "\r\n\r\n");
	char start[32];

	snprintf(start, sizeof(start), "HTTP/1.1 %u ", answer->status);
	ck_assert_msg(end != NULL && strncmp(at, start, strlen(start)) == 0, "%s: not %u: %.300s",
	    ws_client.label, answer->status, at);
	end += 4;
	ws_client_must_have_fields(answer, at, end);
	if (answer->status == 101) {
		ws_client_must_open(at, end);
		return end;
	}
	ck_assert_msg(ws_client_has_field(at, end, "Connection: close\r\n", 19) == last,
	    "%s: is it the last or not: %s", ws_client.label, at);
	return end + ws_client_content_length(at, end);
}

static bool
ws_client_is_answer(const struct websocket_heard *frame, const struct websocket_answer *answer)
{
	size_t length = buf_length(&answer->text);
	unsigned code = websockets_code(frame);

	if (frame->kind != answer->kind || (answer->is_deflated && !frame->is_deflated))
		return false;
	if (frame->kind == WEBSOCKET_CLOSE)
		return code == answer->code || (answer->code == 0 && code == 1000);
	return buf_length(&frame->payload) == length &&
	       (length == 0 ||
		   memcmp(buf_bytes(&frame->payload), buf_bytes(&answer->text), length) == 0);
}

const char *
ws_client_must_say(const char *at, const struct websocket_answer *answer)
{
	struct websocket_heard frame;
	size_t length = websockets_hear(
	    &frame, at, (size_t)(ws_client.heard + ws_client.length - at), ws_client.may_deflate);
	bool is_it = length > 0 && ws_client_is_answer(&frame, answer);

	ck_assert_msg(is_it || answer->may_miss,
	    "%s: not %u of %zu bytes, code %u, but %u of %zu bytes, code %u: %.100s",
	    ws_client.label, answer->kind, buf_length(&answer->text), answer->code, frame.kind,
	    buf_length(&frame.payload), websockets_code(&frame),
	    length > 0 && buf_length(&frame.payload) > 2 ? buf_bytes(&frame.payload) : "");
	buf_free(&frame.payload);
	return is_it ? at + length : at;
}

void
ws_client_must_end(const char *at)
{
	ck_assert_msg(at == ws_client.heard + ws_client.length,
	    "%s: %zu bytes more were said: %.300s", ws_client.label,
	    (size_t)(ws_client.heard + ws_client.length - at), at);
}

/* ---- beginning and ending ---- */

const char *
ws_client_begin(const struct websocket *websocket)
{
	struct websocket_answer open = {.status = 101};

	ws_client.seat = ws_client.seats;
	ws_client.service = websocket->service;
	ws_client.length = 0;
	ws_client.ended = ws_client.opened = ws_client.may_deflate = false;
	(void)seat_connect(ws_client.seat, websocket->service, &ws_client.fd);
	if (buf_length(&websocket->opening) == 0)
		return ws_client.heard;
	ws_client_say(buf_bytes(&websocket->opening), buf_length(&websocket->opening));
	ws_client_settle();
	return ws_client_must_reply(ws_client.heard, &open, false);
}

void
ws_client_hang_up(const char *at, bool refused)
{
	bool said_it = ws_client.ended;

	shutdown(ws_client.fd, SHUT_WR);
	ws_client_settle();
	ck_assert_msg(
	    ws_client.ended, "%s: it goes on although the client has ended", ws_client.label);
	if (refused)
		at = ws_client_must_reply(at, &(struct websocket_answer){.status = 400}, true);
	else if (!said_it && ws_client.opened && at < ws_client.heard + ws_client.length) {
		struct websocket_heard frame;

		at += websockets_hear(
		    &frame, at, (size_t)(ws_client.heard + ws_client.length - at), false);
		ck_assert_msg(frame.kind == WEBSOCKET_CLOSE, "%s: a last word", ws_client.label);
		buf_free(&frame.payload);
	}
	ws_client_must_end(at);
	close(ws_client.fd);
	ck_assert_msg(seat_worker(ws_client.seat)->open == 0, "%s: the connection is still there",
	    ws_client.label);
}
