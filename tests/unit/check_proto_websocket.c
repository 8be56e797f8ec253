/*
 * WebSocket through the real connection code, in this process: every exchange of
 * tests/websockets.txt whole, byte by byte, in two pieces split at every byte of its first 2 KiB
 * and at seeded places beyond, and with a move to another worker between two pieces; each with one
 * more message behind it, which is answered or is not, and with the end of the client's sending.
 */
#include "tests/unit/exchanges.h"
#include "tests/unit/run_help.h"
#include "tests/unit/ws_client.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SPLITS_MAX    2048
#define SPLITS_BEYOND 64 /* seeded by the line, where there is more */
#define MOVES_MAX     24 /* of an exchange; beyond, at seeded places */
#define HANDFUL       8  /* exchanges in a test */

static struct websocket websockets[WEBSOCKETS_MAX];
static unsigned websocket_count;

static const char *
must_answer(const char *at, const struct websocket_answer *answer, bool last)
{
	return answer->status != 0 ? ws_client_must_reply(at, answer, last)
				   : ws_client_must_say(at, answer);
}

static const char *
must_answer_all(const char *at, const struct websocket *websocket)
{
	for (unsigned i = 0; i < websocket->answer_count; i++)
		at = must_answer(at, &websocket->answers[i],
		    i + 1 == websocket->answer_count && websocket->end == '.');
	return at;
}

/* What there is from `at` on goes in pieces, which end at `first` and then at every `step`. */
static void
talk(const char *text, size_t length, size_t first, size_t step)
{
	for (size_t at = 0; at < length;) {
		size_t until = at == 0 ? first : at + step;

		until = until < length ? until : length;
		ws_client_say(text + at, until - at);
		ws_client_hear();
		at = until;
	}
	ws_client_settle();
}

/* ---- ways to say it ---- */

/* One more message, or one more handshake. */
static void
add_behind(const struct websocket *websocket, struct buf *to)
{
	bool opens = buf_length(&websocket->opening) > 0;

	for (unsigned i = 0; i < websocket->answer_count; i++)
		opens = opens || websocket->answers[i].status == 101;
	if (opens)
		websockets_frame(to, "text=behind");
	else
		exchanges_expand(to, "$W|");
}

static const char *
must_answer_behind(const char *at)
{
	struct websocket_answer open = {.status = 101};
	struct websocket_answer behind = {.kind = WEBSOCKET_TEXT};

	if (!ws_client.opened)
		return ws_client_must_reply(at, &open, false);
	buf_append(&behind.text, "behind", 6);
	at = ws_client_must_say(at, &behind);
	buf_free(&behind.text);
	return at;
}

static void
check_all(const struct websocket *websocket, const char *at, bool behind)
{
	const struct conn *conn;

	at = must_answer_all(at, websocket);
	if (behind && websocket->end == '+')
		at = must_answer_behind(at);
	ws_client_must_end(at);
	ck_assert_msg(ws_client.ended == (websocket->end == '.'), "%s: %s", ws_client.label,
	    ws_client.ended ? "it ended" : "it goes on");
	conn = seat_only(ws_client.seat, websocket->service);
	if (websocket->end == '+')
		ck_assert_msg(conn != NULL && conn->busy == NULL,
		    "%s: an idle connection keeps memory", ws_client.label);
	ws_client_hang_up(at, websocket->end == '?' && !ws_client.opened);
}

static void
try_pieces(const struct websocket *websocket, const struct buf *all, size_t first, size_t step)
{
	bool behind = websocket->end != '?';
	const char *at;

	snprintf(ws_client.label, sizeof(ws_client.label),
	    "websockets.txt:%u, first %zu, then by %zu", websocket->line, first, step);
	at = ws_client_begin(websocket);
	talk(buf_bytes(all), buf_length(behind ? all : &websocket->bytes), first, step);
	check_all(websocket, at, behind);
}

/* Who waits for an answer says nothing behind. */
static void
try_alone(const struct websocket *websocket, size_t step)
{
	const char *at;

	snprintf(ws_client.label, sizeof(ws_client.label),
	    "websockets.txt:%u, by %zu, nothing behind", websocket->line, step);
	at = ws_client_begin(websocket);
	talk(buf_bytes(&websocket->bytes), buf_length(&websocket->bytes), step, step);
	check_all(websocket, at, false);
}

/* The handshake and what follows it at once, which no client may do, and no proxy undoes. */
static void
try_at_once(const struct websocket *websocket, const struct buf *all)
{
	struct websocket_answer open = {.status = 101};
	struct buf once = {0};
	struct websocket plain = *websocket;
	bool behind = websocket->end != '?';

	snprintf(ws_client.label, sizeof(ws_client.label), "websockets.txt:%u, at once",
	    websocket->line);
	plain.opening = (struct buf){0};
	(void)ws_client_begin(&plain);
	buf_append(&once, buf_bytes(&websocket->opening), buf_length(&websocket->opening));
	if (buf_length(behind ? all : &websocket->bytes) > 0)
		buf_append(&once, buf_bytes(all), buf_length(behind ? all : &websocket->bytes));
	talk(buf_bytes(&once), buf_length(&once), buf_length(&once), 1);
	check_all(websocket, ws_client_must_reply(ws_client.heard, &open, false), behind);
	buf_free(&once);
}

/* Between the two pieces the connection goes to another worker. */
static void
try_moved(const struct websocket *websocket, const struct buf *all, size_t split)
{
	size_t length = buf_length(websocket->end == '?' ? &websocket->bytes : all);
	const char *at;

	snprintf(ws_client.label, sizeof(ws_client.label), "websockets.txt:%u, moved at %zu",
	    websocket->line, split);
	at = ws_client_begin(websocket);
	talk(buf_bytes(all), split, split, 1);
	ws_client_move();
	talk(buf_bytes(all) + split, length - split, length - split, 1);
	check_all(websocket, at, websocket->end != '?');
}

/* All that is sent, with one more behind it. */
static struct buf
with_behind(const struct websocket *websocket)
{
	struct buf all = {0};

	if (buf_length(&websocket->bytes) > 0)
		buf_append(&all, buf_bytes(&websocket->bytes), buf_length(&websocket->bytes));
	add_behind(websocket, &all);
	return all;
}

static void
try_written(const struct websocket *websocket)
{
	size_t length = buf_length(&websocket->bytes), whole;
	struct buf all = with_behind(websocket);

	whole = buf_length(&all);
	try_pieces(websocket, &all, whole, whole);
	try_pieces(websocket, &all, 1, 1);
	for (size_t split = 1; split <= length && split <= SPLITS_MAX; split++)
		try_pieces(websocket, &all, split, whole);
	srand(websocket->line);
	for (int i = 0; i < SPLITS_BEYOND && length > SPLITS_MAX; i++)
		try_pieces(websocket, &all, SPLITS_MAX + 1 + (size_t)rand() % (length - SPLITS_MAX),
		    whole);
	if (websocket->end != '?') {
		try_alone(websocket, whole);
		try_alone(websocket, 1);
	}
	if (buf_length(&websocket->opening) > 0)
		try_at_once(websocket, &all);
	buf_free(&all);
}

static void
try_moves(const struct websocket *websocket)
{
	size_t length = buf_length(&websocket->bytes);
	struct buf all = with_behind(websocket);

	srand(websocket->line);
	for (size_t i = 0; i <= length && i <= MOVES_MAX; i++)
		try_moved(websocket, &all, length <= MOVES_MAX ? i : (size_t)rand() % (length + 1));
	buf_free(&all);
}

/* A test is a handful of them: to start a process for each costs more than all that it tries. */
static void
try_handful(int number, void (*try)(const struct websocket *))
{
	unsigned from = (unsigned)number * HANDFUL;

	ws_client_open_seats();
	for (unsigned i = from; i < from + HANDFUL && i < websocket_count; i++)
		try(&websockets[i]);
	ws_client_close_seats();
}

START_TEST(exchanges_are_as_written)
{
	try_handful(_i, try_written);
}
END_TEST

START_TEST(exchanges_move)
{
	try_handful(_i, try_moves);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("proto_websocket");
	TCase *tcase = tcase_create("proto_websocket");
	int handfuls;

	websocket_count = websockets_load(websockets);
	handfuls = (int)((websocket_count + HANDFUL - 1) / HANDFUL);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, exchanges_are_as_written, 0, handfuls);
	tcase_add_loop_test(tcase, exchanges_move, 0, handfuls);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
