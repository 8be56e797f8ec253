/*
 * Fuzzing of WebSocket through the real connection code: a stream of frames comes to a worker
 * whole, and once more in pieces, with replies that are late, and while the connection moves
 * between two workers. Each time what is answered must be what websocket_model.c says.
 *
 * The low three bits of the first byte say how many of the next are lengths of pieces, which are
 * used in turn; without any, bytes come one by one. Then 8: replies are late; 16: deflate was
 * agreed on; 32: the connection moves behind each of the first pieces; 64: the stream has its
 * handshake itself; then nothing is known but that it is the same both times, in so far as it is
 * HTTP.
 */
#include "tests/fuzz/websocket_model.h"
#include "tests/unit/exchanges.h"
#include "tests/unit/seat.h"
#include "tests/unit/websockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_STREAM_MAX  8192
#define FUZZ_MOVES_MAX   6
#define FUZZ_MESSAGE_MAX 1000

enum fuzz_service { FUZZ_PLAIN = 0, FUZZ_DEFLATE = 2 }; /* of WEBSOCKETS_CONF */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How a stream is to come. */
struct fuzz_way {
	const uint8_t *lengths;
	size_t length_count, whole; /* the length where there are none */
	bool late, moves;
	unsigned service;
};

static struct seat fuzz_seats[2];
static struct seat *fuzz_at; /* where the connection is */
static bool fuzz_ended;
static struct buf fuzz_heard;                /* all that the client got */
static const struct handler *fuzz_echoes[4]; /* borrows; what each service does by itself */
static struct buf fuzz_opening, fuzz_deflate_opening; /* handshakes */

/* ---- the client ---- */

static void
fuzz_hear(int client)
{
	char bytes[4096];
	ssize_t got;

	while (!fuzz_ended && (got = recv(client, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
		fuzz_ended = got == 0;
		buf_append(&fuzz_heard, bytes, (size_t)got);
	}
	seat_must(fuzz_ended || errno == EAGAIN, "the connection is not reset");
}

static void
fuzz_settle(int client)
{
	do {
		for (int i = 0; i < 2 || !TAILQ_EMPTY(&seat_worker(fuzz_at)->turn); i++) {
			seat_must(i < 1000, "it comes to rest");
			seat_turn(fuzz_at);
		}
		fuzz_hear(client);
	} while (seat_answer());
}

/* One that is about to end stays. */
static void
fuzz_move(const struct fuzz_way *way)
{
	struct seat *other = &fuzz_seats[fuzz_at == fuzz_seats];
	struct msg_given given;

	seat_move(fuzz_at, other, 1);
	for (int i = 0; !seat_given(fuzz_at, &given); i++) {
		seat_must(i < 100, "the move ends");
		seat_turn(fuzz_at);
		seat_turn(other);
	}
	if (seat_only(other, way->service) != NULL)
		fuzz_at = other;
}

static void
fuzz_say(int client, const uint8_t *stream, size_t length, const struct fuzz_way *way)
{
	for (size_t at = 0, piece = 0; at < length; piece++) {
		size_t most =
		    way->length_count > 0 ? way->lengths[piece % way->length_count] : way->whole;

		most = most == 0 ? 1 : most;
		most = most < length - at ? most : length - at;
		if (send(client, stream + at, most, MSG_NOSIGNAL) < 0)
			seat_must(errno == EPIPE, "it may be sent");
		at += most;
		if (way->late && piece % 2 == 0)
			seat_turn(fuzz_at);
		else
			fuzz_settle(client);
		if (way->moves && piece < FUZZ_MOVES_MAX && !way->late)
			fuzz_move(way);
	}
	fuzz_settle(client);
}

/* The handshake. What was heard is only what follows. */
static void
fuzz_shake_hands(int client, const struct buf *opening)
{
	const char *end;

	seat_must(send(client, buf_bytes(opening), buf_length(opening), MSG_NOSIGNAL) > 0, "asked");
	fuzz_settle(client);
	buf_append(&fuzz_heard, "", 1);
	end = strstr(buf_bytes(&fuzz_heard), "\r\n\r\n");
	seat_must(strncmp(buf_bytes(&fuzz_heard), "HTTP/1.1 101 ", 13) == 0 && end != NULL &&
		      end[4] == '\0',
	    "a handshake");
	buf_free(&fuzz_heard);
}

/* ---- what was said ---- */

/* Frames up to the end; `said` has them as a model would. Returns how they end. */
static int
fuzz_read_frames(struct model *said, const char *at, const char *end, bool may_deflate)
{
	struct websocket_heard frame;

	said->end = MODEL_GOES_ON;
	while (at < end) {
		size_t length = websockets_hear(&frame, at, (size_t)(end - at), may_deflate);

		seat_must(length > 0, "whole frames");
		seat_must(said->end == MODEL_GOES_ON, "nothing behind a close");
		seat_must(frame.kind != WEBSOCKET_PING, "nobody pings at once");
		at += length;
		if (frame.kind == WEBSOCKET_CLOSE)
			said->end = (int)websockets_code(&frame);
		else
			model_note(frame.kind == WEBSOCKET_PONG ? &said->pings : &said->messages,
			    frame.kind, buf_bytes(&frame.payload), buf_length(&frame.payload));
		buf_free(&frame.payload);
	}
	return said->end;
}

static bool
fuzz_same(const struct buf *a, const struct buf *b)
{
	return buf_length(a) == buf_length(b) &&
	       (buf_length(a) == 0 || memcmp(buf_bytes(a), buf_bytes(b), buf_length(a)) == 0);
}

static size_t
fuzz_note_length(const char *at)
{
	uint32_t size;

	memcpy(&size, at + 1, sizeof(size));
	return 1 + sizeof(size) + size;
}

/* Of several pings before one could be answered it is enough to answer the last (5.5.3). */
static void
fuzz_must_answer_pings(const struct buf *pings, const struct buf *pongs)
{
	size_t at = 0, from = 0, last = 0, said = 0;

	while (at < buf_length(pings)) {
		const char *ping = buf_bytes(pings) + at;
		size_t length = fuzz_note_length(ping);

		last = at;
		at += length;
		if (buf_length(pongs) - from >= length &&
		    memcmp(ping, buf_bytes(pongs) + from, length) == 0) {
			said = last;
			from += length;
		}
	}
	seat_must(from == buf_length(pongs), "a pong for each ping at most, in their order");
	seat_must(at == 0 ||
		      (from > 0 && at - last == fuzz_note_length(buf_bytes(pings) + said) &&
			  memcmp(buf_bytes(pings) + said, buf_bytes(pings) + last, at - last) == 0),
	    "the last ping is answered");
}

static void
fuzz_must_be(const struct model *model, const struct model *said)
{
	seat_must(fuzz_same(&model->messages, &said->messages), "all messages, and no other");
	fuzz_must_answer_pings(&model->pings, &said->pings);
	if (model->end == 0)
		seat_must(said->end == 0 || said->end == 1000, "a close for a close");
	else if (model->end == MODEL_EITHER)
		seat_must(said->end == 1007 || said->end == 1009, "it ends for one of them");
	else if (model->end != MODEL_GOES_ON)
		seat_must(said->end == model->end, "it ends as it must");
}

/* ---- one stream, one way ---- */

static void
fuzz_end(int client)
{
	shutdown(client, SHUT_WR);
	fuzz_settle(client);
	seat_must(fuzz_ended, "the end of the client is its own");
	close(client);
	seat_must(seat_worker(&fuzz_seats[0])->open == 0 && seat_worker(&fuzz_seats[1])->open == 0,
	    "nothing is left");
}

static void
fuzz_begin(const struct fuzz_way *way, int *client)
{
	fuzz_at = fuzz_seats;
	fuzz_ended = false;
	for (int i = 0; i < 2; i++)
		if (way->late)
			seat_hold(&fuzz_seats[i], way->service);
		else
			seat_service(&fuzz_seats[i], way->service)->handler =
			    fuzz_echoes[way->service];
	(void)seat_connect(fuzz_at, way->service, client);
}

static void
fuzz_try(
    const struct model *model, const uint8_t *stream, size_t length, const struct fuzz_way *way)
{
	bool deflates = way->service == FUZZ_DEFLATE;
	struct model said = {0};
	int client;

	fuzz_begin(way, &client);
	fuzz_shake_hands(client, deflates ? &fuzz_deflate_opening : &fuzz_opening);
	fuzz_say(client, stream, length, way);
	seat_must(fuzz_ended == (model->end != MODEL_GOES_ON), "it ends by itself where it must");
	fuzz_end(client);
	if (buf_length(&fuzz_heard) > 0)
		fuzz_read_frames(&said, buf_bytes(&fuzz_heard),
		    buf_bytes(&fuzz_heard) + buf_length(&fuzz_heard), deflates);
	else
		said.end = MODEL_GOES_ON;
	fuzz_must_be(model, &said);
	model_free(&said);
	buf_free(&fuzz_heard);
}

/* ---- a stream with its own handshake ---- */

/* A reply without what may differ. Returns the place behind it. */
static const char *
fuzz_read_reply(struct buf *story, const char *at, const char *end, bool *opened)
{
	const char *head = memmem(at, (size_t)(end - at), "\r\n\r\n", 4), *field;
	size_t length;
	char status[4] = {0};

	seat_must(head != NULL && strncmp(at, "HTTP/1.1 ", 9) == 0, "a reply");
	memcpy(status, at + 9, 3);
	*opened = strcmp(status, "101") == 0;
	field = memmem(at, (size_t)(head - at), "\r\nContent-Length: ", 18);
	length = field != NULL ? strtoul(field + 18, NULL, 10) : 0;
	seat_must((size_t)(end - head - 4) >= length, "a body");
	if (strcmp(status, "100") != 0)
		buf_append(story, status, 3);
	return head + 4 + length;
}

static void
fuzz_tell(struct buf *story)
{
	const char *at = buf_length(&fuzz_heard) > 0 ? buf_bytes(&fuzz_heard) : "";
	const char *end = at + buf_length(&fuzz_heard);
	struct model said = {.end = MODEL_GOES_ON};
	bool opened = false;

	while (at < end && !opened)
		at = fuzz_read_reply(story, at, end, &opened);
	if (opened)
		fuzz_read_frames(&said, at, end, true);
	if (buf_length(&said.messages) > 0)
		buf_append(story, buf_bytes(&said.messages), buf_length(&said.messages));
	buf_append(story, &said.end, sizeof(said.end));
	model_free(&said);
}

static void
fuzz_try_raw(struct buf *story, const uint8_t *stream, size_t length, const struct fuzz_way *way)
{
	int client;

	fuzz_begin(way, &client);
	fuzz_say(client, stream, length, way);
	fuzz_end(client);
	fuzz_tell(story);
	buf_free(&fuzz_heard);
}

/* ---- inputs ---- */

static void
fuzz_open(void)
{
	if (fuzz_at != NULL)
		return;
	seat_open(&fuzz_seats[0], WEBSOCKETS_CONF, BACKEND_EPOLL, NULL);
	seat_open(&fuzz_seats[1], WEBSOCKETS_CONF, BACKEND_EPOLL, &fuzz_seats[0]);
	for (unsigned i = 0; i < 4; i++)
		fuzz_echoes[i] = seat_service(&fuzz_seats[0], i)->handler;
	exchanges_expand(&fuzz_opening, "$W|");
	exchanges_expand(&fuzz_deflate_opening, "$W$E||");
}

static void
fuzz_both(const uint8_t *stream, size_t length, const struct fuzz_way *whole,
    const struct fuzz_way *pieces)
{
	struct model model;

	model_run(&model, stream, length, FUZZ_MESSAGE_MAX, whole->service == FUZZ_DEFLATE);
	fuzz_try(&model, stream, length, whole);
	fuzz_try(&model, stream, length, pieces);
	model_free(&model);
}

static void
fuzz_both_raw(const uint8_t *stream, size_t length, const struct fuzz_way *whole,
    const struct fuzz_way *pieces)
{
	struct buf first = {0}, second = {0};

	fuzz_try_raw(&first, stream, length, whole);
	fuzz_try_raw(&second, stream, length, pieces);
	seat_must(fuzz_same(&first, &second), "the same however it comes");
	buf_free(&first);
	buf_free(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_way way = {.whole = 1}, whole = {.whole = FUZZ_STREAM_MAX};
	size_t before;

	if (size < 1 || size - 1 < (data[0] & 7u) || size > FUZZ_STREAM_MAX)
		return 0;
	way.length_count = data[0] & 7;
	way.lengths = data + 1;
	way.late = (data[0] & 8) != 0;
	way.moves = (data[0] & 32) != 0;
	way.service = whole.service = (data[0] & 16) != 0 ? FUZZ_DEFLATE : FUZZ_PLAIN;
	before = 1 + way.length_count;
	fuzz_open();
	if ((data[0] & 64) != 0)
		fuzz_both_raw(data + before, size - before, &whole, &way);
	else
		fuzz_both(data + before, size - before, &whole, &way);
	return 0;
}
