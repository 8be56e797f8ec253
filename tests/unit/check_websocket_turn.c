/*
 * WebSocket through the real connection code, in this process: what tests/websockets.txt cannot
 * say, because it takes time or a client that does not read.
 */
#include "tests/unit/exchanges.h"
#include "tests/unit/run_help.h"
#include "tests/unit/ws_client.h"
#include "workers/handler.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection to the first service, behind its handshake; what was heard of that is forgotten. */
static void
shake_hands(void)
{
	struct websocket plain = {0};

	snprintf(ws_client.label, sizeof(ws_client.label), "by hand");
	exchanges_expand(&plain.opening, "$W|");
	(void)ws_client_begin(&plain);
	buf_free(&plain.opening);
	ws_client.length = 0;
}

static void
open_one(void)
{
	ws_client_open_seats();
	shake_hands();
}

/* The same with some options. */
static void
open_with(const char *options)
{
	char conf[400];

	snprintf(conf, sizeof(conf),
	    "[service a]\nlisten=127.0.0.1:1\nprotocol=websocket\nhandler=echo\n%s", options);
	for (int i = 0; i < 2; i++)
		seat_open(
		    &ws_client.seats[i], conf, BACKEND_EPOLL, i > 0 ? &ws_client.seats[0] : NULL);
	shake_hands();
}

static void
close_all(void)
{
	close(ws_client.fd);
	for (int i = 0; i < 100 && seat_worker(ws_client.seat)->open > 0; i++)
		seat_turn(ws_client.seat);
	ck_assert_uint_eq(seat_worker(ws_client.seat)->open, 0);
	ws_client_close_seats();
}

static void
say_frames(const char *const *frames)
{
	struct buf bytes = {0};

	for (; *frames != NULL; frames++)
		websockets_frame(&bytes, *frames);
	ws_client_say(buf_bytes(&bytes), buf_length(&bytes));
	ws_client_settle();
	buf_free(&bytes);
}

static void
must_have_heard(const char *const *frames)
{
	const char *at = ws_client.heard;

	for (; *frames != NULL; frames++) {
		struct websocket_answer answer;

		websockets_read_answer(&answer, *frames);
		at = ws_client_must_say(at, &answer);
		buf_free(&answer.text);
	}
	ws_client_must_end(at);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What the client asked for before it said goodbye, or broke the rules, is answered first. */
START_TEST(a_close_waits_its_turn)
{
	static const struct {
		const char *last, *answer;
	} ends[] = {
	    {"close=1001", "close=1001"},
	    {"close=", "close="},
	    {"text!=x", "close=1002"},
	    {"text=\\xff", "close=1007"},
	    {"text@1001=", "close=1009"},
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		open_one();

		seat_hold(ws_client.seat, 0);
		say_frames(LIST("text=1", "bin=2", ends[i].last, "text=3"));
		ck_assert_uint_eq(ws_client.length, 0);
		ck_assert(!ws_client.ended);
		ck_assert(seat_answer());
		ws_client_settle();
		must_have_heard(LIST("text=1"));
		ck_assert(!ws_client.ended);
		ck_assert(seat_answer());
		ws_client_settle();
		must_have_heard(LIST("text=1", "bin=2", ends[i].answer));
		ck_assert(ws_client.ended);
		ck_assert(!seat_answer());
		close(ws_client.fd);
		seat_turn(ws_client.seat);
		ws_client_close_seats();
	}
}
END_TEST

/* Who says no more is still answered, also when it is in the middle of a message. */
START_TEST(a_half_close_is_no_end)
{
	for (int unfinished = 0; unfinished < 2; unfinished++) {
		open_one();

		seat_hold(ws_client.seat, 0);
		if (unfinished)
			say_frames(LIST("text=1", "text=2", "text-=3"));
		else
			say_frames(LIST("text=1", "text=2"));
		shutdown(ws_client.fd, SHUT_WR);
		ws_client_settle();
		ck_assert(!ws_client.ended);
		ck_assert(seat_answer());
		ck_assert(seat_answer());
		ws_client_settle();
		ck_assert(ws_client.ended);
		ck_assert_msg(memcmp(ws_client.heard,
				  "\x81\x01"
				  "1\x81\x01"
				  "2",
				  6) == 0,
		    "both replies");
		close(ws_client.fd);
		ws_client_close_seats();
	}
}
END_TEST

/* Pings of a client that reads nothing do not pile up, nor do they hold others back. */
START_TEST(a_flood_of_pings_is_bounded)
{
	struct buf pings = {0};
	open_one();
	const struct conn *conn = seat_only(ws_client.seat, 0);
	size_t sent = 0;

	for (int i = 0; i < 400; i++)
		websockets_frame(&pings, "ping={x*125}");
	while (sent < 8 * 1024 * 1024) {
		ssize_t n = send(ws_client.fd, buf_bytes(&pings) + sent % buf_length(&pings),
		    buf_length(&pings) - sent % buf_length(&pings), MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			for (int i = 0; i < 20; i++)
				seat_turn(ws_client.seat);
			n = send(ws_client.fd, buf_bytes(&pings) + sent % buf_length(&pings),
			    buf_length(&pings) - sent % buf_length(&pings), MSG_NOSIGNAL);
			if (n < 0 && errno == EAGAIN)
				break; /* it reads no more either, which is as good */
		}
		ck_assert_int_gt(n, 0);
		sent += (size_t)n;
		seat_turn(ws_client.seat);
		if (conn->busy != NULL)
			ck_assert_uint_le(buf_length(&conn->busy->out), 256 * 1024 + 65536);
	}
	ck_assert_uint_gt(sent, 256 * 1024);
	close(ws_client.fd);
	for (int i = 0; i < 100 && seat_worker(ws_client.seat)->open > 0; i++)
		seat_turn(ws_client.seat);
	ck_assert_uint_eq(seat_worker(ws_client.seat)->open, 0);
	ws_client_close_seats();
	buf_free(&pings);
}
END_TEST

/* ---- what handlers do ---- */

static struct req *held[4];
static unsigned held_count;

static void
hold_handle(struct req *req)
{
	req_keep(req);
	held[held_count++] = req;
}

/* Every test here answers all that was asked before its client goes. */
static void
hold_cancel(struct req *req)
{
	(void)req;
	ck_abort_msg("nobody left");
}

static void
open_held(void)
{
	static const struct handler holds = {.handle = hold_handle, .cancel = hold_cancel};

	held_count = 0;
	open_one();
	seat_service(ws_client.seat, 0)->handler = &holds;
}

static const struct {
	enum outcome outcome;
	const char *close;
} refusals[] = {
    {OUTCOME_BUSY, "close=1013"},
    {OUTCOME_TIMEOUT, "close=1011"},
    {OUTCOME_FAILED, "close=1011"},
    {OUTCOME_TOO_LARGE, "close=1009"},
    {OUTCOME_BAD, "close=1007"},
};

/* It is told in its turn and is the last; what was asked behind it is done, and not told. */
START_TEST(a_refusal_closes)
{
	open_held();
	say_frames(LIST("text=1", "text=2", "text=3", "text=4"));
	ck_assert_uint_eq(held_count, 4);
	req_reply(held[3], "later", 5);
	req_fail(held[1], refusals[_i].outcome);
	ws_client_settle();
	ck_assert_uint_eq(ws_client.length, 0);
	req_reply(held[0], "one", 3);
	ws_client_settle();
	must_have_heard(LIST("text=one", refusals[_i].close));
	req_reply(held[2], "three", 5);
	ws_client_settle();
	must_have_heard(LIST("text=one", refusals[_i].close));
	ck_assert(ws_client.ended);
	close_all();
}
END_TEST

/* A text is answered with a text. */
START_TEST(a_reply_is_of_the_same_kind)
{
	open_held();
	say_frames(LIST("bin=1", "text=2", "text=3"));
	req_reply(held[0], "\xff", 1);
	req_reply(held[1], "\xce\xba", 2);
	req_reply(held[2], "\xce", 1);
	ws_client_settle();
	must_have_heard(LIST("bin=\\xff", "text=κ", "close=1011"));
	ck_assert(ws_client.ended);
	close_all();
}
END_TEST

/* ---- time ---- */

/* Until so much was heard, or the end. */
static void
wait_heard(size_t length)
{
	for (int i = 0; i < 2000 && ws_client.length < length && !ws_client.ended; i++) {
		usleep(1000);
		ws_client_settle();
	}
}

START_TEST(silence_is_asked_about)
{
	open_with("ping_interval=200ms\n");
	wait_heard(2);
	must_have_heard(LIST("ping="));
	say_frames(LIST("pong="));
	wait_heard(4);
	must_have_heard(LIST("ping=", "ping="));
	ck_assert(!ws_client.ended);
	wait_heard(8);
	must_have_heard(LIST("ping=", "ping=", "close=1001"));
	ck_assert(ws_client.ended);
	close_all();
}
END_TEST

/* Who was asked and then moves is asked no second time. */
START_TEST(silence_moves)
{
	open_with("ping_interval=200ms\n");
	wait_heard(2);
	ws_client_move();
	ck_assert_ptr_eq(ws_client.seat, &ws_client.seats[1]);
	wait_heard(6);
	must_have_heard(LIST("ping=", "close=1001"));
	ck_assert(ws_client.ended);
	close_all();
}
END_TEST

static const char *const slow[][2] = {
    {"text-=a", "close=1008"},
    {"text@10=a", "close=1008"},
    {"text<3=a", "close=1008"},
    {"text-^1=a", "close=1002"},
};

START_TEST(a_message_has_its_time)
{
	open_with("message_timeout=30ms\n");
	say_frames(LIST("text=1", slow[_i][0]));
	wait_heard(7);
	must_have_heard(LIST("text=1", slow[_i][1]));
	ck_assert(ws_client.ended);
	close_all();
}
END_TEST

/* Whoever is told that we go may still be sending, and says Close too. */
START_TEST(the_clients_close_is_waited_for)
{
	open_one();
	conn_drain(seat_only(ws_client.seat, 0), false);
	ws_client_settle();
	must_have_heard(LIST("close=1001"));
	ck_assert_uint_eq(seat_worker(ws_client.seat)->open, 1);
	say_frames(LIST("text=1", "close=1001"));
	ck_assert_uint_eq(seat_worker(ws_client.seat)->open, 1);
	close_all();
}
END_TEST

/* A connection over a unix socket has no address: here it is given one. */
START_TEST(who_sends_too_much_is_told)
{
	struct stats *stats;
	struct conn *conn;

	open_with("rate=2\n");
	stats = ws_client.seat->stats[0];
	conn = seat_only(ws_client.seat, 0);
	conn->visitor = visitors_enter(&stats->visitors, ws_client.seat->start.id, 7, 1);
	say_frames(LIST("text=1", "text=2", "text=3", "text=4"));
	must_have_heard(LIST("text=1", "text=2", "close=1008"));
	ck_assert_uint_eq(stats_total(stats, COUNTER_limited), 1);
	ck_assert_uint_eq(stats_total(stats, COUNTER_bad), 0);
	close_all();
}
END_TEST

START_TEST(an_idle_one_is_told_so)
{
	open_with("idle_timeout=30ms\n");
	wait_heard(4);
	must_have_heard(LIST("close=1001"));
	ck_assert(ws_client.ended);
	close_all();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("websocket_turn");
	TCase *tcase = tcase_create("websocket_turn");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, a_close_waits_its_turn);
	tcase_add_test(tcase, a_half_close_is_no_end);
	tcase_add_test(tcase, a_flood_of_pings_is_bounded);
	tcase_add_loop_test(
	    tcase, a_refusal_closes, 0, (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_test(tcase, a_reply_is_of_the_same_kind);
	tcase_add_test(tcase, silence_is_asked_about);
	tcase_add_test(tcase, silence_moves);
	tcase_add_loop_test(
	    tcase, a_message_has_its_time, 0, (int)(sizeof(slow) / sizeof(slow[0])));
	tcase_add_test(tcase, the_clients_close_is_waited_for);
	tcase_add_test(tcase, who_sends_too_much_is_told);
	tcase_add_test(tcase, an_idle_one_is_told_so);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
