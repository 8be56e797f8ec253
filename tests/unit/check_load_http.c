/*
 * Tests of the replies of an HTTP server: what is one, where it ends, and that a reply which is cut
 * short anywhere, or could be read in two ways, is never taken for a whole one.
 */
#include "ctl/load_http.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MAX 100 /* bytes of a body with its chunking */

static const struct {
	const char *text; /* a whole reply */
	unsigned status;
	const char *body;
	bool closes;
	bool lasts; /* until the end of the stream */
} good[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, false},
    {"HTTP/1.1 200\r\ncontent-LENGTH:5 \r\n\r\nhello", 200, "hello", false, false},
    {"HTTP/1.1 200 \r\nContent-Length: 005\r\n\r\nhello", 200, "hello", false, false},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "", false, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, false},
    {"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", 304, "", false, false},
    {"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", 204, "", false, false},
    {"HTTP/1.1 200 OK\r\nX: \t caf\xc3\xa9 \r\nContent-Length: 2\r\n\r\n\r\n", 200, "\r\n", false,
	false},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab", 200, "ab", true, false},
    {"HTTP/1.1 200 OK\r\nConnection: x, CLOSE ,y\r\nContent-Length: 2\r\n\r\nab", 200, "ab", true,
	false},
    {"HTTP/1.1 200 OK\r\nConnection: closed\r\nContent-Length: 2\r\n\r\nab", 200, "ab", false,
	false},
    {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", 200, "ab", false,
	false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", 200, "ab", true, false},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", 200, "ab", false,
	false},
    {"HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\n"
     "HTTP/1.1 103 Early\r\nConnection: close\r\n\r\n"
     "HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\nab",
	201, "ab", false, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", false, false},
    {"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
     "2\r\nab\r\n00a ; x=\"y\"\r\n0123456789\r\n1;z\r\n!\r\n000\r\nT: 1\r\nU:\r\n\r\n",
	200, "ab0123456789!", false, false},
    {"HTTP/1.1 503 Busy\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
     "4\r\n\r\n\r\n\r\n0\r\n\r\n",
	503, "\r\n\r\n", true, false},
    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", true, true},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", 200, "", true, true},
};

static const struct {
	const char *text, *why;
} bad[] = {
    {"\r\n", "no status line"},
    {"HTTP/2 200 OK\r\n", "no status line"},
    {"HTTP/1. 200 OK\r\n", "no status line"},
    {"HTTP/1.1 20 OK\r\n", "no status line"},
    {"HTTP/1.1 2000 OK\r\n", "no status line"},
    {"HTTP/1.1  200 OK\r\n", "no status line"},
    {"http/1.1 200 OK\r\n", "no status line"},
    {"HTTP/1.1 200 O\x01K\r\n", "no status line"},
    {"HTTP/1.1 099 OK\r\n", "a status that cannot be"},
    {"HTTP/1.1 600 OK\r\n", "a status that cannot be"},
    {"HTTP/1.1 101 Switching Protocols\r\n", "a status that cannot be"},
    {"HTTP/1.1 200 OK\n", "a line that does not end with CR LF"},
    {"\n", "a line that does not end with CR LF"},
    {"HTTP/1.1 200 OK\r\nX: y\n", "a line that does not end with CR LF"},
    {"HTTP/1.1 200 OK\r\n\n", "a line that does not end with CR LF"},
    {"HTTP/1.1 200 OK\r\nX: a\rb\r\n", "a damaged header field"},
    {"HTTP/1.1 200 OK\r\n X: y\r\n", "a damaged header field"},
    {"HTTP/1.1 200 OK\r\nX: y\r\n\tz\r\n", "a damaged header field"},
    {"HTTP/1.1 200 OK\r\nX : y\r\n", "a damaged header field"},
    {"HTTP/1.1 200 OK\r\n: y\r\n", "a damaged header field"},
    {"HTTP/1.1 200 OK\r\nXy\r\n", "a damaged header field"},
    {"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n", "a Content-Length that is no number"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n", "a Content-Length that is no number"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n", "a Content-Length that is no number"},
    {"HTTP/1.1 200 OK\r\nContent-Length:\r\n", "a Content-Length that is no number"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n",
	"a Content-Length that is no number"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", "two Content-Length"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", "a body larger than any can be"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n",
	"a body larger than any can be"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	"both Content-Length and Transfer-Encoding"},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "chunks in HTTP/1.0"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
	"a transfer coding that was not asked for"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
	"a transfer coding that was not asked for"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "a damaged chunk size"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a damaged chunk size"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "a damaged chunk size"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 1\r\n", "a damaged chunk size"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;\x01\r\n", "a damaged chunk size"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000001\r\n",
	"a chunk too large"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
	"a body larger than any can be"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n62\r\n",
	"a body larger than any can be"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
	"a chunk that does not end with CR LF"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\n0",
	"a chunk that does not end with CR LF"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nxy\r\n", "a damaged header field"},
};

/* What became of the first `length` bytes of a text that came `step` bytes at a time. */
static enum load_http_found
arrive(
    char *data, size_t length, size_t step, struct load_http *state, struct load_http_reply *reply)
{
	enum load_http_found found = LOAD_HTTP_MORE;

	memset(state, 0, sizeof(*state));
	for (size_t there = 0; found == LOAD_HTTP_MORE && there < length;) {
		there = there + step < length ? there + step : length;
		found = load_http_find(state, data, there, MAX, reply);
	}
	return found;
}

static char *
copy(const char *text, size_t length)
{
	/* Without a byte behind it, so that a sanitizer sees a read too far. */
	char *data = malloc(length > 0 ? length : 1);

	memcpy(data, text, length);
	return data;
}

static void
assert_good(unsigned row, size_t step, const char *behind)
{
	const char *text = good[row].text;
	size_t length = strlen(text);
	char whole[1024], *data;
	struct load_http state;
	struct load_http_reply reply;

	memcpy(whole, text, length);
	memcpy(whole + length, behind, strlen(behind));
	data = copy(whole, length + strlen(behind));
	if (good[row].lasts) {
		ck_assert_int_eq(arrive(data, length, step, &state, &reply), LOAD_HTTP_MORE);
		ck_assert_int_eq(load_http_end(&state, data, length, &reply), LOAD_HTTP_REPLY);
	} else {
		ck_assert_int_eq(
		    arrive(data, length + strlen(behind), step, &state, &reply), LOAD_HTTP_REPLY);
	}
	ck_assert_uint_eq(reply.status, good[row].status);
	ck_assert_uint_eq(reply.used, length);
	ck_assert_uint_eq(reply.length, strlen(good[row].body));
	ck_assert(memcmp(reply.body, good[row].body, reply.length) == 0);
	ck_assert_int_eq(reply.closes, good[row].closes);
	ck_assert(memcmp(data + length, behind, strlen(behind)) == 0 || good[row].lasts);
	ck_assert_int_eq(state.phase, LOAD_HTTP_STATUS);
	ck_assert_uint_eq(state.at, 0);
	free(data);
}

START_TEST(good_replies)
{
	for (size_t step = 1; step < 300; step += 1 + step / 2) {
		assert_good((unsigned)_i, step, "");
		if (!good[_i].lasts)
			assert_good((unsigned)_i, step, "HTTP/1.1 200 OK\r\n");
	}
}
END_TEST

/* Wherever a good reply is cut it is not one, unless only the end of the stream can end it. */
START_TEST(cut_replies)
{
	size_t length = strlen(good[_i].text);
	const char *empty = strstr(good[_i].text, "\r\n\r\n");
	struct load_http state;
	struct load_http_reply reply;

	for (size_t part = 0; part < length; part++) {
		char *data = copy(good[_i].text, part);
		enum load_http_found end;

		ck_assert_int_eq(arrive(data, part, length, &state, &reply), LOAD_HTTP_MORE);
		end = load_http_end(&state, data, part, &reply);
		if (good[_i].lasts && part >= (size_t)(empty - good[_i].text) + 4)
			ck_assert_int_eq(end, LOAD_HTTP_REPLY);
		else
			ck_assert_int_eq(end, part == 0 ? LOAD_HTTP_MORE : LOAD_HTTP_BAD);
		free(data);
	}
}
END_TEST

START_TEST(bad_replies)
{
	size_t length = strlen(bad[_i].text);

	for (size_t step = 1; step < 200; step += 1 + step / 2) {
		char *data = copy(bad[_i].text, length);
		struct load_http state;
		struct load_http_reply reply = {.why = "nothing"};

		ck_assert_int_eq(arrive(data, length, step, &state, &reply), LOAD_HTTP_BAD);
		ck_assert_str_eq(reply.why, bad[_i].why);
		ck_assert_int_eq(state.phase, LOAD_HTTP_STATUS);
		free(data);
	}
}
END_TEST

/* `head`, then `count` times `piece`, a kilobyte at a time: is it refused, after how many bytes? */
static size_t
flood(const char *head, const char *piece, size_t count, const char *why)
{
	size_t length = strlen(head), more = strlen(piece);
	char *data = malloc(length + count * more);
	enum load_http_found found = LOAD_HTTP_MORE;
	struct load_http state = {0};
	struct load_http_reply reply = {0};
	size_t there = 0;

	memcpy(data, head, length);
	for (size_t i = 0; i < count; i++, length += more)
		memcpy(data + length, piece, more);
	while (found == LOAD_HTTP_MORE && there < length) {
		there = there + 1024 < length ? there + 1024 : length;
		found = load_http_find(&state, data, there, MAX, &reply);
	}
	ck_assert_int_eq(found, LOAD_HTTP_BAD);
	ck_assert_str_eq(reply.why, why);
	free(data);
	return there;
}

START_TEST(everything_is_bounded)
{
	ck_assert_uint_le(flood("", "x", 100000, "a line too long"), LOAD_HTTP_LINE_MAX + 1024);
	ck_assert_uint_le(flood("HTTP/1.1 200 OK\r\nX:", "y", 100000, "a line too long"),
	    LOAD_HTTP_LINE_MAX + 1024);
	ck_assert_uint_le(flood("HTTP/1.1 200 OK\r\n", "X: y\r\n", 100000, "a head too long"),
	    LOAD_HTTP_HEAD_MAX + 1024);
	ck_assert_uint_le(flood("", "HTTP/1.1 100 Continue\r\n\r\n", 10000, "a head too long"),
	    LOAD_HTTP_HEAD_MAX + 1024);
	ck_assert_uint_le(
	    flood("HTTP/1.1 200 OK\r\n\r\n", "x", 10000, "a body larger than any can be"), 1024);
	ck_assert_uint_le(flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			      "1\r\nx\r\n", 1000, "a body larger than any can be"),
	    1024);
	ck_assert_uint_le(flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
			      "X: y\r\n", 1000, "a body larger than any can be"),
	    1024);
}
END_TEST

START_TEST(a_body_may_be_as_large_as_that)
{
	char text[1024];
	struct load_http state;
	struct load_http_reply reply;
	size_t head = strlen(strcpy(text, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"));

	memset(text + head, 'x', MAX);
	ck_assert_int_eq(arrive(text, head + MAX, 7, &state, &reply), LOAD_HTTP_REPLY);
	ck_assert_uint_eq(reply.length, MAX);
	head = strlen(strcpy(text, "HTTP/1.1 200 OK\r\n\r\n"));
	memset(text + head, 'x', MAX + 1);
	ck_assert_int_eq(arrive(text, head + MAX, 7, &state, &reply), LOAD_HTTP_MORE);
	ck_assert_int_eq(load_http_end(&state, text, head + MAX, &reply), LOAD_HTTP_REPLY);
	ck_assert_int_eq(arrive(text, head + MAX + 1, 7, &state, &reply), LOAD_HTTP_BAD);
}
END_TEST

START_TEST(replies_follow_one_another)
{
	char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
		      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"
		      "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
	struct load_http state = {0};
	struct load_http_reply reply;
	static const unsigned statuses[] = {200, 200, 500};
	size_t at = 0;

	for (unsigned i = 0; i < 3; i++, at += reply.used) {
		ck_assert_int_eq(load_http_find(&state, text + at, strlen(text) - at, MAX, &reply),
		    LOAD_HTTP_REPLY);
		ck_assert_uint_eq(reply.status, statuses[i]);
	}
	ck_assert_uint_eq(at, strlen(text));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_http");
	TCase *tests = tcase_create("replies");

	tcase_add_loop_test(tests, good_replies, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tests, cut_replies, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tests, bad_replies, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tests, everything_is_bounded);
	tcase_add_test(tests, a_body_may_be_as_large_as_that);
	tcase_add_test(tests, replies_follow_one_another);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
