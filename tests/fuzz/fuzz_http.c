/*
 * Fuzzing of HTTP through the real connection code: a stream of requests comes to a worker whole,
 * and once more in pieces, with replies that are late and out of order, and while the connection
 * moves between two workers. Each time the answers must be well formed, each 200 that of its
 * request, a refusal the last word; and they must be the same.
 *
 * The low three bits of the first byte say how many of the next are lengths of pieces, which are
 * used in turn; without any, bytes come one by one. Then 8: replies are late; 16: the newest is
 * answered first; 32: the connection moves behind each of the first pieces.
 */
#include "common/clock.h"
#include "common/mem.h"
#include "tests/unit/exchanges.h"
#include "tests/unit/seat.h"
#include "workers/handler.h"
#include "workers/http_reply.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_STREAM_MAX 8192
#define FUZZ_MOVES_MAX  6
#define FUZZ_CONF       "[service a]\nlisten=127.0.0.1:1\nhandler=echo\n" EXCHANGES_CONF

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How a stream is to come. */
struct fuzz_way {
	const uint8_t *lengths;
	size_t length_count, whole; /* the length where there are none */
	bool late, newest_first, moves;
};

/* What a request was to its handler. */
struct fuzz_seen {
	bool no_body;
	size_t at, length; /* in fuzz_messages */
};

static struct seat fuzz_seats[2];
static struct seat *fuzz_at; /* where the connection is */
static bool fuzz_late, fuzz_ended;
static struct req_list fuzz_held = TAILQ_HEAD_INITIALIZER(fuzz_held);
static struct fuzz_seen fuzz_seen[FUZZ_STREAM_MAX];
static size_t fuzz_seen_count;
static struct buf fuzz_messages; /* of all requests */
static struct buf fuzz_heard;    /* all that the client got */

/* ---- the handler ---- */

static void
fuzz_handle(struct req *req)
{
	seat_must(fuzz_seen_count < FUZZ_STREAM_MAX, "no more requests than bytes");
	fuzz_seen[fuzz_seen_count++] = (struct fuzz_seen){
	    .no_body = (req->tag & HTTP_REPLY_NO_BODY) != 0,
	    .at = buf_length(&fuzz_messages),
	    .length = req->length,
	};
	buf_append(&fuzz_messages, req->data, req->length);
	if (!fuzz_late) {
		req_reply(req, req->data, req->length);
		return;
	}
	req_keep(req);
	TAILQ_INSERT_TAIL(&fuzz_held, req, in_handler);
}

static void
fuzz_cancel(struct req *req)
{
	TAILQ_REMOVE(&fuzz_held, req, in_handler);
	req_drop(req);
}

static bool
fuzz_answer(bool newest_first)
{
	struct req *req = newest_first ? TAILQ_LAST(&fuzz_held, req_list) : TAILQ_FIRST(&fuzz_held);

	if (req == NULL)
		return false;
	TAILQ_REMOVE(&fuzz_held, req, in_handler);
	req_reply(req, req->data, req->length);
	return true;
}

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
fuzz_settle(int client, const struct fuzz_way *way)
{
	do {
		for (int i = 0; i < 2 || !TAILQ_EMPTY(&seat_worker(fuzz_at)->turn); i++) {
			seat_must(i < 1000, "it comes to rest");
			seat_turn(fuzz_at);
		}
		fuzz_hear(client);
	} while (fuzz_answer(way->newest_first));
}

/* One that is about to end stays. */
static void
fuzz_move(void)
{
	struct seat *other = &fuzz_seats[fuzz_at == fuzz_seats];
	struct msg_given given;

	seat_move(fuzz_at, other, 1);
	for (int i = 0; !seat_given(fuzz_at, &given); i++) {
		seat_must(i < 100, "the move ends");
		seat_turn(fuzz_at);
		seat_turn(other);
	}
	if (seat_only(other, 0) != NULL)
		fuzz_at = other;
}

static void
fuzz_say(int client, const char *stream, size_t length, const struct fuzz_way *way)
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
			fuzz_settle(client, way);
		if (way->moves && piece < FUZZ_MOVES_MAX && TAILQ_EMPTY(&fuzz_held))
			fuzz_move();
	}
	fuzz_settle(client, way);
}

/* ---- what was said ---- */

static bool
fuzz_skip(const char **at, const char *end, const char *text)
{
	size_t length = strlen(text);

	if ((size_t)(end - *at) < length || memcmp(*at, text, length) != 0)
		return false;
	*at += length;
	return true;
}

/* A line of a head: printable, and its end is CR LF. Returns the place behind it. */
static const char *
fuzz_line(const char *at, const char *end)
{
	for (; at < end && *at != '\r'; at++)
		seat_must(*at >= ' ' && *at < 0x7f, "a head is printable");
	seat_must(end - at >= 2 && at[1] == '\n', "a line ends");
	return at + 2;
}

struct fuzz_head {
	unsigned status, dates;
	size_t length;
	bool has_length, closes;
};

static const char *
fuzz_read_head(struct fuzz_head *head, const char *at, const char *end)
{
	seat_must(fuzz_skip(&at, end, "HTTP/1.1 "), "a reply begins as one");
	*head = (struct fuzz_head){.status = (unsigned)strtoul(at, NULL, 10)};
	seat_must(head->status >= 200 && head->status <= 599 && at[3] == ' ', "a status");
	at = fuzz_line(at, end);
	while (!fuzz_skip(&at, end, "\r\n")) {
		const char *line = at;

		at = fuzz_line(at, end);
		seat_must(memchr(line, ':', (size_t)(at - line)) != NULL, "a field");
		if (fuzz_skip(&line, at, "Date: "))
			head->dates++;
		else if (fuzz_skip(&line, at, "Connection: close\r\n"))
			head->closes = true;
		else if (fuzz_skip(&line, at, "Content-Length: ")) {
			seat_must(!head->has_length, "one length");
			head->has_length = true;
			head->length = strtoul(line, NULL, 10);
		}
	}
	seat_must(head->dates == 1, "one date");
	seat_must(head->has_length == (head->status != 204), "its length is known");
	return at;
}

/* The reply to the oldest request that had none yet. */
static const char *
fuzz_read_body(
    const struct fuzz_seen *seen, const struct fuzz_head *head, const char *at, const char *end)
{
	seat_must(head->length == seen->length, "as long as what was asked");
	if (seen->no_body || seen->length == 0)
		return at;
	seat_must((size_t)(end - at) >= head->length &&
		      memcmp(at, buf_bytes(&fuzz_messages) + seen->at, seen->length) == 0,
	    "what was asked comes back");
	return at + head->length;
}

static void
fuzz_note(struct buf *story, const struct fuzz_head *head, const char *body, size_t length)
{
	buf_append(story, &head->status, sizeof(head->status));
	buf_append(story, &head->closes, sizeof(head->closes));
	buf_append(story, &head->length, sizeof(head->length));
	if (length > 0)
		buf_append(story, body, length);
}

/* All that was heard, without what may differ: dates, and whether there was a word to go on. */
static void
fuzz_tell(struct buf *story)
{
	size_t length = buf_length(&fuzz_heard), seen = 0;
	const char *at = length > 0 ? buf_bytes(&fuzz_heard) : "", *end = at + length;
	bool over = false;

	while (at < end) {
		const char *body;
		struct fuzz_head head;

		if (fuzz_skip(&at, end, HTTP_CONTINUE))
			continue;
		seat_must(!over, "nothing behind the last word");
		body = at = fuzz_read_head(&head, at, end);
		over = head.closes;
		if (head.status == 200) {
			seat_must(seen < fuzz_seen_count, "somebody asked");
			at = fuzz_read_body(&fuzz_seen[seen++], &head, at, end);
		} else if (head.status != 204) {
			seat_must(head.closes, "a refusal is the last word");
			seat_must(at == end || (size_t)(end - at) == head.length, "a body or none");
			at = end;
		}
		fuzz_note(story, &head, body, (size_t)(at - body));
	}
	seat_must(seen == fuzz_seen_count, "all are answered");
}

/* ---- one stream, one way ---- */

static void
fuzz_try(struct buf *story, const char *stream, size_t length, const struct fuzz_way *way)
{
	int client;

	fuzz_at = fuzz_seats;
	fuzz_late = way->late;
	fuzz_ended = false;
	fuzz_seen_count = 0;
	(void)seat_connect(fuzz_at, 0, &client);
	fuzz_say(client, stream, length, way);
	if (fuzz_ended)
		seat_must(buf_length(&fuzz_heard) > 0, "it does not end without a word");
	shutdown(client, SHUT_WR);
	fuzz_settle(client, way);
	seat_must(fuzz_ended, "the end of the client is its own");
	close(client);
	seat_must(seat_worker(fuzz_at)->open == 0 && TAILQ_EMPTY(&fuzz_held), "nothing is left");
	fuzz_tell(story);
	buf_free(&fuzz_heard);
	buf_free(&fuzz_messages);
}

static void
fuzz_open(void)
{
	static const struct handler handler = {.handle = fuzz_handle, .cancel = fuzz_cancel};

	if (fuzz_at != NULL)
		return;
	seat_open(&fuzz_seats[0], FUZZ_CONF, BACKEND_EPOLL, NULL);
	seat_open(&fuzz_seats[1], FUZZ_CONF, BACKEND_EPOLL, &fuzz_seats[0]);
	for (int i = 0; i < 2; i++)
		seat_service(&fuzz_seats[i], 0)->handler = &handler;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = {0}, pieces = {0};
	struct fuzz_way way = {.whole = 1};
	const char *stream;
	size_t length;

	if (size < 1 || size - 1 < (data[0] & 7u) || size > FUZZ_STREAM_MAX)
		return 0;
	way.length_count = data[0] & 7;
	way.lengths = data + 1;
	way.late = (data[0] & 8) != 0;
	way.newest_first = (data[0] & 16) != 0;
	way.moves = (data[0] & 32) != 0;
	stream = (const char *)data + 1 + way.length_count;
	length = size - 1 - way.length_count;
	fuzz_open();
	fuzz_try(&whole, stream, length, &(struct fuzz_way){.whole = FUZZ_STREAM_MAX});
	fuzz_try(&pieces, stream, length, &way);
	seat_must(buf_length(&whole) == buf_length(&pieces) &&
		      (buf_length(&whole) == 0 ||
			  memcmp(buf_bytes(&whole), buf_bytes(&pieces), buf_length(&whole)) == 0),
	    "the same however it comes");
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
