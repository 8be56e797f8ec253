/*
 * HTTP through the real connection code, in this process: every exchange of tests/exchanges.txt
 * whole, byte by byte, and in two pieces split at every byte of its first 2 KiB and at seeded
 * places beyond, each with one more request behind it, which is answered or is not, and some with
 * the end of the client's sending.
 */
#include "tests/unit/exchanges.h"
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPLITS_MAX    2048
#define SPLITS_BEYOND 64 /* seeded by the line, where there is more */
#define BEHIND        "GET /?behind HTTP/1.1\r\nHost: a\r\n\r\n"
#define CONF          "[service a]\nlisten=127.0.0.1:1\nhandler=echo\n" EXCHANGES_CONF

static struct exchange exchanges[EXCHANGES_MAX];
static struct seat seat;
static char heard[256 * 1024];
static size_t heard_length;
static bool ended;
static char label[80];

/* ---- talking ---- */

static void
hear(int client)
{
	ssize_t got;

	while (!ended && (got = recv(client, heard + heard_length, sizeof(heard) - heard_length - 1,
			      MSG_DONTWAIT)) >= 0) {
		heard_length += (size_t)got;
		ended = got == 0;
	}
	ck_assert_msg(ended || errno == EAGAIN, "%s: reset", label);
	heard[heard_length] = '\0';
}

/* What is said behind the end of a connection is lost, as it must be. */
static void
say(int client, const char *text, size_t length)
{
	ck_assert(send(client, text, length, MSG_NOSIGNAL) == (ssize_t)length || errno == EPIPE);
	seat_turn(&seat);
}

/* Pipelines are taken up a few at a time. */
static void
settle(int client)
{
	for (int i = 0; i < 4; i++) {
		seat_turn(&seat);
		hear(client);
	}
}

/* Pieces end at `first` and then at every `step` bytes. */
static int
talk(const char *text, size_t length, size_t first, size_t step)
{
	int client;

	heard_length = 0;
	ended = false;
	(void)seat_connect(&seat, 0, &client);
	for (size_t at = 0; at < length;) {
		size_t until = at == 0 ? first : at + step;

		until = until < length ? until : length;
		say(client, text + at, until - at);
		hear(client);
		at = until;
	}
	settle(client);
	return client;
}

static void
hang_up(int client)
{
	shutdown(client, SHUT_WR);
	settle(client);
	ck_assert_msg(ended, "%s: it goes on although the client has ended", label);
	close(client);
	ck_assert_msg(seat_only(&seat, 0) == NULL, "%s: the connection is still there", label);
}

/* ---- what is heard ---- */

static size_t
content_length(const char *head, const char *end)
{
	const char *field = strstr(head, "\r\nContent-Length: ");

	return field != NULL && field < end ? strtoul(field + 18, NULL, 10) : 0;
}

static bool
says(const char *head, const char *end, const char *field)
{
	const char *found = strstr(head, field);

	return found != NULL && found < end;
}

/* Returns the place behind the reply. */
static const char *
must_answer(const char *at, const struct exchange_answer *answer, bool last)
{
	const char *end = strstr(at, "\r\n\r\n");
	char start[32];
	size_t length;

	snprintf(start, sizeof(start), "HTTP/1.1 %u ", answer->status);
	ck_assert_msg(end != NULL && strncmp(at, start, strlen(start)) == 0, "%s: not %u: %.300s",
	    label, answer->status, at);
	end += 4;
	length = content_length(at, end);
	ck_assert_msg(says(at, end, "\r\nDate: "), "%s: no date", label);
	ck_assert_msg(says(at, end, "\r\nConnection: close\r\n") == last,
	    "%s: is it the last or not: %s", label, at);
	if (answer->kind == '~') {
		ck_assert_uint_eq(length, answer->length);
		return end;
	}
	ck_assert_msg(answer->kind != '=' ||
			  (length == buf_length(&answer->body) &&
			      (length == 0 || memcmp(end, buf_bytes(&answer->body), length) == 0)),
	    "%s: another body: %s", label, at);
	ck_assert_msg(answer->status == 204 || answer->kind == '=' || length > 0,
	    "%s: without an explanation", label);
	return end + length;
}

/* A word to go on is no answer. */
static const char *
skip_interim(const char *at)
{
	const char *interim = "HTTP/1.1 100 Continue\r\n\r\n";

	while (strncmp(at, interim, strlen(interim)) == 0)
		at += strlen(interim);
	return at;
}

static const char *
must_answer_all(const struct exchange *exchange)
{
	const char *at = heard;

	for (unsigned i = 0; i < exchange->answer_count; i++)
		at = must_answer(skip_interim(at), &exchange->answers[i],
		    i + 1 == exchange->answer_count && exchange->end == '.');
	return skip_interim(at);
}

static void
must_end(const char *at)
{
	ck_assert_msg(at == heard + heard_length, "%s: more was said: %.300s", label, at);
}

/* ---- ways to say it ---- */

/* What is not whole is refused when nothing more can come. */
static void
try_unfinished(const struct exchange *exchange, const char *text, size_t first, size_t step)
{
	int client = talk(text, buf_length(&exchange->bytes), first, step);
	const char *at = must_answer_all(exchange);

	must_end(at);
	ck_assert_msg(!ended, "%s: it ended", label);
	hang_up(client);
	must_end(must_answer(at, &(struct exchange_answer){.status = 400}, true));
}

static void
try_behind(const struct exchange *exchange, const char *text, size_t first, size_t step)
{
	struct exchange_answer behind = {.status = 200, .kind = '='};
	int client = talk(text, buf_length(&exchange->bytes) + strlen(BEHIND), first, step);
	const char *at = must_answer_all(exchange);

	if (exchange->end == '+') {
		buf_append(&behind.body, "behind", 6);
		at = must_answer(at, &behind, false);
		buf_free(&behind.body);
	}
	must_end(at);
	ck_assert_msg(
	    ended == (exchange->end == '.'), "%s: %s", label, ended ? "it ended" : "it goes on");
	hang_up(client);
	must_end(at);
}

static void
try_ending(const struct exchange *exchange, const char *text, size_t step)
{
	int client = talk(text, buf_length(&exchange->bytes), step, step);

	hang_up(client);
	must_end(must_answer_all(exchange));
}

static void
try_pieces(const struct exchange *exchange, const char *text, size_t first, size_t step)
{
	snprintf(label, sizeof(label), "exchanges.txt:%u, first %zu, then by %zu", exchange->line,
	    first, step);
	if (exchange->end == '?')
		try_unfinished(exchange, text, first, step);
	else
		try_behind(exchange, text, first, step);
}

START_TEST(exchanges_are_as_written)
{
	const struct exchange *exchange = &exchanges[_i];
	size_t length = buf_length(&exchange->bytes), whole = length + strlen(BEHIND);
	char *text = malloc(whole);

	memcpy(text, buf_bytes(&exchange->bytes), length);
	memcpy(text + length, BEHIND, strlen(BEHIND));
	seat_open(&seat, CONF, BACKEND_EPOLL, NULL);
	try_pieces(exchange, text, whole, whole);
	try_pieces(exchange, text, 1, 1);
	for (size_t split = 1; split <= length && split <= SPLITS_MAX; split++)
		try_pieces(exchange, text, split, whole);
	srand(exchange->line);
	for (int i = 0; i < SPLITS_BEYOND && length > SPLITS_MAX; i++)
		try_pieces(
		    exchange, text, SPLITS_MAX + 1 + (size_t)rand() % (length - SPLITS_MAX), whole);
	if (exchange->end != '?') {
		try_ending(exchange, text, whole);
		try_ending(exchange, text, 1);
	}
	seat_close(&seat);
	free(text);
}
END_TEST

/* ---- what the table cannot say ---- */

static void
must_have_said(const char *text)
{
	ck_assert_msg(strncmp(heard, text, strlen(text)) == 0, "%.300s", heard);
}

START_TEST(going_on_is_said_once_and_in_turn)
{
	const char *head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
			   "Content-Length: 3\r\n\r\n";
	const char *interim = "HTTP/1.1 100 Continue\r\n\r\n";
	int client;

	seat_open(&seat, CONF, BACKEND_EPOLL, NULL);
	client = talk(head, strlen(head), 1, 1);
	must_have_said(interim);
	must_end(heard + strlen(interim));
	say(client, "a", 1);
	settle(client);
	must_end(heard + strlen(interim));
	say(client, "bc", 2);
	settle(client);
	ck_assert_ptr_nonnull(strstr(heard, "\r\n\r\nabc"));
	hang_up(client);

	/* Behind another that is not answered yet it has to wait. */
	seat_hold(&seat, 0);
	client = talk(BEHIND, strlen(BEHIND), 1, 1);
	say(client, head, strlen(head));
	settle(client);
	ck_assert_uint_eq(heard_length, 0);
	ck_assert(seat_answer());
	settle(client);
	must_have_said("HTTP/1.1 200 ");
	ck_assert_ptr_nonnull(strstr(heard, "behindHTTP/1.1 100 Continue\r\n\r\n"));
	say(client, "abc", 3);
	settle(client);
	ck_assert(seat_answer());
	settle(client);
	ck_assert_ptr_nonnull(strstr(heard, "\r\n\r\nabc"));
	hang_up(client);
	seat_close(&seat);
}
END_TEST

/* Nothing is said where it would be a promise to take what is refused. */
START_TEST(going_on_is_not_said_in_vain)
{
	static const char *const heads[] = {
	    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n",
	    "DELETE / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
	    "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
	    "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
	};

	seat_open(&seat, CONF, BACKEND_EPOLL, NULL);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		int client = talk(heads[i], strlen(heads[i]), 1, 1);

		ck_assert_msg(strstr(heard, " 100 ") == NULL, "%s: %s", heads[i], heard);
		hang_up(client);
	}
	seat_close(&seat);
}
END_TEST

/* Replies leave in the order of the requests, and a refusal does not overtake them. */
START_TEST(a_refusal_waits_its_turn)
{
	const char *text = "GET /?1 HTTP/1.1\r\nHost: a\r\n\r\n"
			   "GET /?2 HTTP/1.1\r\nHost: a\r\n\r\n"
			   "GET / HTTP/1.1\r\n\r\n" BEHIND;
	const char *first, *second, *third;
	int client;

	seat_open(&seat, CONF, BACKEND_EPOLL, NULL);
	seat_hold(&seat, 0);
	client = talk(text, strlen(text), strlen(text), 1);
	ck_assert_uint_eq(heard_length, 0);
	ck_assert(seat_answer());
	ck_assert(seat_answer());
	ck_assert(!seat_answer());
	settle(client);
	first = strstr(heard, "\r\n\r\n1HTTP/1.1 200 ");
	ck_assert_ptr_nonnull(first);
	second = strstr(first, "\r\n\r\n2HTTP/1.1 400 ");
	ck_assert_ptr_nonnull(second);
	third = strstr(second + 4, "\r\n\r\n");
	ck_assert_ptr_nonnull(third);
	must_end(third + 4 + strlen("Bad Request"));
	hang_up(client);
	seat_close(&seat);
}
END_TEST

int
main(void)
{
	unsigned count = exchanges_load(exchanges);
	Suite *suite = suite_create("proto_http");
	TCase *tcase = tcase_create("proto_http");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, exchanges_are_as_written, 0, (int)count);
	tcase_add_test(tcase, going_on_is_said_once_and_in_turn);
	tcase_add_test(tcase, going_on_is_not_said_in_vain);
	tcase_add_test(tcase, a_refusal_waits_its_turn);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
