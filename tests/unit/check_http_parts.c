/*
 * HTTP replies that come in parts, through the real connection code, in this process: chunks in the
 * order of the requests, HTTP/1.0 without them, HEAD without a body, and what breaks off is cut.
 */
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"
#include "workers/proto.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONF "[service a]\nlisten=127.0.0.1:1\nhandler=echo\nprotocol=http\nrate=2\n"
#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static struct seat seat;
static int client, failure; /* why nothing more can be heard; -1: not so */
static char heard[4096];
static size_t length;

static void
hear(void)
{
	ssize_t got;

	for (int i = 0; i < 3; i++)
		seat_turn(&seat);
	while (failure < 0 && (got = recv(client, heard + length, sizeof(heard) - length - 1,
				   MSG_DONTWAIT)) != -1) {
		length += (size_t)got;
		if (got == 0)
			failure = 0;
	}
	if (failure < 0 && errno != EAGAIN)
		failure = errno;
	heard[length] = '\0';
}

static void
ask(const char *text)
{
	seat_open(&seat, CONF, BACKEND_EPOLL, NULL);
	seat_hold(&seat, 0);
	(void)seat_connect(&seat, 0, &client);
	length = 0;
	failure = -1;
	ck_assert(send(client, text, strlen(text), 0) == (ssize_t)strlen(text));
	hear();
}

static void
done(void)
{
	close(client);
	seat_turn(&seat);
	seat_turn(&seat);
	ck_assert_ptr_null(seat_only(&seat, 0));
	seat_close(&seat);
}

/* The head in front, which is taken away, has that field, and what follows it is that. */
static void
must_have(const char *field, const char *body)
{
	char *end = strstr(heard, "\r\n\r\n"), *found;

	ck_assert_msg(end != NULL && strncmp(heard, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s", heard);
	found = strstr(heard, field);
	ck_assert_msg(found != NULL && found < end, "%s: %s", field, heard);
	found = strstr(heard, "Content-Length");
	ck_assert_msg(found == NULL || found > end, "%s", heard);
	ck_assert_str_eq(end + 4, body);
	length = 0;
}

static uint64_t
counted(enum counter counter)
{
	return stats_total(seat.stats[0], counter);
}

START_TEST(each_part_goes_out_at_once)
{
	ask(GET);
	seat_part("a\n");
	hear();
	must_have("\r\nTransfer-Encoding: chunked\r\n", "2\r\na\n\r\n");
	seat_part("0123456789abcdef\n");
	hear();
	ck_assert_str_eq(heard, "11\r\n0123456789abcdef\n\r\n");
	length = 0;
	seat_whole();
	hear();
	ck_assert_str_eq(heard, "0\r\n\r\n");
	length = 0;
	ck_assert(send(client, GET, strlen(GET), 0) > 0);
	hear();
	seat_part("x");
	seat_whole();
	hear();
	must_have("\r\nTransfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n\r\n");
	ck_assert_uint_eq(counted(COUNTER_replies), 2);
	done();
}
END_TEST

START_TEST(without_a_part_it_is_a_reply_as_any_other)
{
	ask(GET);
	seat_whole();
	hear();
	ck_assert_ptr_nonnull(strstr(heard, "\r\nContent-Length: 0\r\n"));
	ck_assert_ptr_null(strstr(heard, "chunked"));
	done();
}
END_TEST

START_TEST(http_1_0_has_no_chunks)
{
	ask("GET / HTTP/1.0\r\n\r\n");
	seat_part("a\n");
	seat_part("b\n");
	seat_whole();
	hear();
	ck_assert_ptr_null(strstr(heard, "chunked"));
	must_have("\r\nConnection: close\r\n", "a\nb\n");
	ck_assert_int_eq(failure, 0);
	done();
}
END_TEST

START_TEST(head_has_no_body)
{
	ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
	seat_part("a\n");
	seat_part("b\n");
	seat_whole();
	hear();
	must_have("\r\nTransfer-Encoding: chunked\r\n", "");
	ck_assert_int_eq(failure, -1);
	done();
}
END_TEST

START_TEST(parts_wait_their_turn)
{
	struct conn *conn;
	struct req *second;

	ask(GET GET GET);
	conn = seat_only(&seat, 0);
	second = TAILQ_NEXT(TAILQ_FIRST(&conn->busy->reqs), in_conn);
	req_part(second, "b", 1);
	req_part(second, "c", 1);
	req_part(TAILQ_NEXT(second, in_conn), "d", 1);
	hear();
	ck_assert_uint_eq(length, 0);
	seat_part("a");
	hear();
	must_have("chunked", "1\r\na\r\n");
	seat_whole();
	hear();
	/* What had come of the next one goes along. */
	ck_assert(strncmp(heard, "0\r\n\r\n", 5) == 0);
	memmove(heard, heard + 5, length - 4);
	must_have("chunked", "2\r\nbc\r\n");
	seat_whole();
	hear();
	ck_assert(strncmp(heard, "0\r\n\r\n", 5) == 0);
	memmove(heard, heard + 5, length - 4);
	must_have("chunked", "1\r\nd\r\n");
	done();
	ck_assert_int_eq(failure, -1);
}
END_TEST

/* What follows it is never answered, and what came of it so far arrives. */
START_TEST(nobody_is_told_to_go_on_behind_it)
{
	ask(GET "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
		"Content-Length: 1\r\n\r\n");
	seat_part("a");
	seat_fail(OUTCOME_FAILED);
	hear();
	must_have("chunked", "1\r\na\r\n");
	ck_assert_int_ge(failure, 0);
	done();
}
END_TEST

START_TEST(what_breaks_off_is_cut)
{
	struct req *third;

	ask(GET GET GET);
	seat_part("a");
	third = seat_take_newest();
	req_reply(seat_take_newest(), "never", 5);
	seat_fail(OUTCOME_FAILED);
	req_reply(third, "never", 5);
	hear();
	must_have("chunked", "1\r\na\r\n");
	ck_assert_int_eq(failure, 0);
	ck_assert_uint_eq(counted(COUNTER_failed), 1);
	ck_assert_uint_eq(counted(COUNTER_withdrawn), 2);
	done();
}
END_TEST

START_TEST(http_1_0_is_cut_too)
{
	ask("GET / HTTP/1.0\r\n\r\n");
	seat_part("a");
	hear();
	seat_fail(OUTCOME_TIMEOUT);
	hear();
	must_have("\r\nConnection: close\r\n", "a");
	ck_assert_int_ge(failure, 0); /* a reset, where the socket knows such */
	ck_assert_uint_eq(counted(COUNTER_timeout), 1);
	done();
}
END_TEST

/* Nothing of it went out yet: it is refused in so many words. */
START_TEST(what_waited_is_refused)
{
	struct conn *conn;

	ask(GET GET);
	conn = seat_only(&seat, 0);
	req_part(TAILQ_NEXT(TAILQ_FIRST(&conn->busy->reqs), in_conn), "b", 1);
	req_fail(seat_take_newest(), OUTCOME_FAILED);
	seat_part("a");
	seat_whole();
	hear();
	ck_assert_ptr_nonnull(strstr(heard, "\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 502 "));
	ck_assert_int_eq(failure, -1);
	done();
}
END_TEST

START_TEST(for_who_has_left_it_is_nothing)
{
	ask(GET);
	seat_part("a");
	hear();
	close(client);
	client = -1;
	seat_part("b");
	for (int i = 0; i < 3 && seat_only(&seat, 0) != NULL; i++) {
		seat_part("b");
		seat_turn(&seat);
	}
	ck_assert_ptr_null(seat_only(&seat, 0));
	ck_assert_uint_eq(counted(COUNTER_withdrawn), 1);
	seat_close(&seat);
}
END_TEST

/* ---- too many ---- */

START_TEST(who_is_turned_away_is_told)
{
	struct conn *conn;

	ask("");
	conn = seat_only(&seat, 0);
	conn->proto->turn_away(conn);
	conn_end_input(conn);
	hear();
	ck_assert(strncmp(heard, "HTTP/1.1 429 Too Many Requests\r\n", 32) == 0);
	ck_assert_ptr_nonnull(strstr(heard, "\r\nRetry-After: 1\r\n"));
	ck_assert_ptr_nonnull(strstr(heard, "\r\nConnection: close\r\n"));
	ck_assert_ptr_nonnull(strstr(heard, "\r\n\r\nToo Many Requests"));
	ck_assert_int_eq(failure, 0);
	done();
}
END_TEST

/* The one that is too much waits its turn, and none behind it is taken. */
START_TEST(who_asks_too_often_is_told)
{
	struct conn *conn;

	ask("");
	conn = seat_only(&seat, 0);
	conn->visitor = visitors_enter(&seat.stats[0]->visitors, seat.start.id, 7, 1);
	ck_assert(send(client, GET GET GET GET, 4 * strlen(GET), 0) > 0);
	hear();
	ck_assert_uint_eq(length, 0);
	ck_assert_uint_eq(conn->busy->under_way, 3);
	seat_whole();
	seat_whole();
	hear();
	ck_assert_ptr_nonnull(strstr(heard, "Content-Length: 0\r\n\r\nHTTP/1.1 429 "));
	ck_assert_ptr_nonnull(strstr(heard, "\r\nRetry-After: 1\r\n"));
	ck_assert_int_eq(failure, 0);
	ck_assert_uint_eq(counted(COUNTER_limited), 1);
	ck_assert_uint_eq(counted(COUNTER_address_cut), 1);
	done();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_parts");
	TCase *tcase = tcase_create("http_parts");

	tcase_add_test(tcase, each_part_goes_out_at_once);
	tcase_add_test(tcase, without_a_part_it_is_a_reply_as_any_other);
	tcase_add_test(tcase, http_1_0_has_no_chunks);
	tcase_add_test(tcase, head_has_no_body);
	tcase_add_test(tcase, parts_wait_their_turn);
	tcase_add_test(tcase, nobody_is_told_to_go_on_behind_it);
	tcase_add_test(tcase, what_breaks_off_is_cut);
	tcase_add_test(tcase, http_1_0_is_cut_too);
	tcase_add_test(tcase, what_waited_is_refused);
	tcase_add_test(tcase, for_who_has_left_it_is_nothing);
	tcase_add_test(tcase, who_is_turned_away_is_told);
	tcase_add_test(tcase, who_asks_too_often_is_told);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
