/*
 * What is a request and what is none: each case whole, byte by byte, and in two pieces split at
 * every byte; the answer is always the same.
 */
#include "common/buf.h"
#include "tests/unit/run_help.h"
#include "workers/http.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 1000

static const struct http_limits limits = {.target = 100, .head = 2000, .body = BODY_MAX};

struct http_case {
	const char *text;
	unsigned status; /* 0: it is whole */
	const char *method, *path, *query, *host, *body;
};

#define GET(fields)        "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define POST(fields, body) "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body

static const struct http_case good[] = {
    {GET(""), 0, "GET", "/", "", "a", ""},
    {"GET /a/b?c=d&e HTTP/1.1\r\nhOsT:a:80\r\n\r\n", 0, "GET", "/a/b", "c=d&e", "a:80", ""},
    {"GET /? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, "GET", "/", "", "[::1]:80", ""},
    {"GET http://b:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n", 0, "GET", "/x", "y", "b:1", ""},
    {"GET https://b HTTP/1.1\r\nHost: a\r\n\r\n", 0, "GET", "", "", "b", ""},
    {"GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n", 0, "GET", "", "y", "b", ""},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, "OPTIONS", "*", "", "a", ""},
    {"GET / HTTP/1.0\r\n\r\n", 0, "GET", "/", "", "", ""},
    {GET("X:\r\n"), 0, "GET", "/", "", "a", ""},
    {GET("X:  \t \r\n"), 0, "GET", "/", "", "a", ""},
    {GET("X: a b\t c  \r\n"), 0, "GET", "/", "", "a", ""},
    {GET("X: \xc3\xa9\r\n"), 0, "GET", "/", "", "a", ""},
    {POST("Content-Length: 3\r\n", "abc"), 0, "POST", "/", "", "a", "abc"},
    {POST("Content-Length: 003\r\n", "abc"), 0, "POST", "/", "", "a", "abc"},
    {POST("Content-Length: 0\r\n", ""), 0, "POST", "/", "", "a", ""},
    {POST("", ""), 0, "POST", "/", "", "a", ""},
    {POST("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 0, "POST", "/", "", "a", ""},
    {POST("Transfer-Encoding: Chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), 0, "POST", "/", "",
	"a", "abcde"},
    {POST("Transfer-Encoding: chunked\r\n", "3;z\r\nabc\r\n0\r\nT: u\r\n\r\n"), 0, "POST", "/", "",
	"a", "abc"},
    {POST("Transfer-Encoding: chunked\r\n", "00A\r\n0123456789\r\n0\r\n\r\n"), 0, "POST", "/", "",
	"a", "0123456789"},
    {GET("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"), 0, "GET", "/", "", "a", ""},
};

static const struct {
	const char *text;
	unsigned status;
} bad[] = {
    /* the request line; empty lines in front of it are not given here */
    {"\r\n" GET(""), 400},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {"GET /\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    /* the host */
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {GET("Host: a\r\n"), 400},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    /* fields */
    {GET("X : b\r\n"), 400},
    {GET(": b\r\n"), 400},
    {GET("X\r\n"), 400},
    {GET("X: a\r\n b\r\n"), 400},
    {GET("X: a\r\n\tb\r\n"), 400},
    {GET("X: \r\n \r\n"), 400},
    {GET(" X: a\r\n"), 400},
    {GET("X: a\rb\r\n"), 400},
    {GET("X: a\nY: b\r\n"), 400},
    {GET("X: a\x01\r\n"), 400},
    {GET("X: a\x7f\r\n"), 400},
    {GET("X(y: a\r\n"), 400},
    {GET("X\xc3\xa9: a\r\n"), 400},
    /* how long the body is */
    {POST("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
    {POST("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
    {POST("Content-Length: 3, 3\r\n", "abc"), 400},
    {POST("Content-Length: +3\r\n", "abc"), 400},
    {POST("Content-Length: -3\r\n", "abc"), 400},
    {POST("Content-Length: 0x3\r\n", "abc"), 400},
    {POST("Content-Length: 3 4\r\n", "abc"), 400},
    {POST("Content-Length:\r\n", "abc"), 400},
    {POST("Content-Length: 18446744073709551616\r\n", "abc"), 400},
    {POST("Content-Length: 1001\r\n", ""), 413},
    {POST("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), 400},
    {POST("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
    {POST("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501},
    {POST("Transfer-Encoding: identity\r\n", ""), 501},
    {POST("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: \x0b"
	  "chunked\r\n",
	 "0\r\n\r\n"),
	400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    /* chunks */
    {POST("Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "+3\r\nabc\r\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", " 3\r\nabc\r\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "3 \r\nabc\r\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "3\nabc\r\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n"), 400},
    {POST("Transfer-Encoding: chunked\r\n", "3e9\r\n"), 413},
    {POST("Transfer-Encoding: chunked\r\n", "1\r\na\r\n3e8\r\n"), 413},
};

static struct http_request request;

static enum http_found
feed(const char *data, size_t length)
{
	enum http_found found = http_feed(&request, data, length);

	return found == HTTP_HAS_HEAD ? http_feed(&request, data, length) : found;
}

static bool
span_is(const char *data, struct http_span span, const char *text)
{
	return span.length == strlen(text) && memcmp(data + span.at, text, span.length) == 0;
}

static void
must_be(const struct http_case *c, const char *data, size_t length, enum http_found found)
{
	if (c->status != 0) {
		ck_assert_msg(found == HTTP_IS_BAD && request.status == c->status,
		    "%s: %d, status %u, not %u", c->text, found, request.status, c->status);
		return;
	}
	ck_assert_msg(found == HTTP_HAS_ALL, "%s: %d %u", c->text, found, request.status);
	ck_assert_uint_eq(request.used, length);
	if (c->method == NULL)
		return;
	ck_assert_str_eq(request.method, c->method);
	ck_assert_msg(span_is(data, request.path, c->path), "%s: path", c->text);
	ck_assert_msg(span_is(data, request.query, c->query), "%s: query", c->text);
	ck_assert_msg(span_is(data, request.host, c->host), "%s: host", c->text);
	if (request.is_chunked)
		ck_assert(buf_length(&request.chunks) == strlen(c->body) &&
			  (strlen(c->body) == 0 ||
			      memcmp(buf_bytes(&request.chunks), c->body, strlen(c->body)) == 0));
	else
		ck_assert_msg(span_is(data, request.body, c->body), "%s: body", c->text);
}

/* What comes is in another place each time, as it may be in a buffer that grows. */
static void
try_pieces(const struct http_case *c, size_t first, size_t step)
{
	size_t length = strlen(c->text), at = first;
	enum http_found found;
	char *data;

	http_open(&request, &limits);
	for (;;) {
		data = malloc(at + 1);
		memcpy(data, c->text, at);
		found = feed(data, at);
		if (found != HTTP_NEEDS_MORE || at == length)
			break;
		free(data);
		at = at + step < length ? at + step : length;
	}
	must_be(c, data, length, found);
	http_close(&request);
	free(data);
}

static void
try_case(const struct http_case *c)
{
	size_t length = strlen(c->text);

	try_pieces(c, length, length);
	try_pieces(c, 1, 1);
	for (size_t i = 1; i < length; i++)
		try_pieces(c, i, length);
}

START_TEST(good_ones)
{
	try_case(&good[_i]);
}
END_TEST

START_TEST(bad_ones)
{
	try_case(&(struct http_case){.text = bad[_i].text, .status = bad[_i].status});
}
END_TEST

/* ---- limits, one byte below and one above ---- */

static unsigned
status_of(const char *text, size_t length)
{
	enum http_found found;

	http_open(&request, &limits);
	found = feed(text, length);
	http_close(&request);
	ck_assert(found == HTTP_HAS_ALL || found == HTTP_IS_BAD);
	return found == HTTP_HAS_ALL ? 200 : request.status;
}

static unsigned
with_filler(const char *before, size_t filler, const char *after)
{
	size_t first = strlen(before), last = strlen(after);
	char *text = malloc(first + filler + last);
	unsigned status;

	memcpy(text, before, first);
	memset(text + first, 'x', filler);
	memcpy(text + first + filler, after, last);
	status = status_of(text, first + filler + last);
	free(text);
	return status;
}

START_TEST(limits_hold_to_the_byte)
{
	const char *rest = " HTTP/1.1\r\nHost: a\r\n\r\n";
	const char *head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
	char length[100];

	ck_assert_uint_eq(with_filler("GET /", 99, rest), 200);
	ck_assert_uint_eq(with_filler("GET /", 100, rest), 414);
	ck_assert_uint_eq(with_filler(head, 2000 - strlen(head) - 4, "\r\n\r\n"), 200);
	ck_assert_uint_eq(with_filler(head, 2000 - strlen(head) - 3, "\r\n\r\n"), 431);
	for (int i = 0; i < 2; i++) {
		snprintf(length, sizeof(length), POST("Content-Length: %d\r\n", ""), BODY_MAX + i);
		ck_assert_uint_eq(with_filler(length, BODY_MAX, ""), i == 0 ? 200 : 413);
	}
	ck_assert_uint_eq(
	    with_filler(POST("Transfer-Encoding: chunked\r\n", "3e8\r\n"), 1000, "\r\n0\r\n\r\n"),
	    200);
}
END_TEST

START_TEST(fields_are_counted)
{
	char text[8000];
	struct http_limits large = {.target = 100, .head = 8000, .body = BODY_MAX};

	for (unsigned more = 0; more < 2; more++) {
		int at = sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");

		for (unsigned i = 1; i < HTTP_HEADERS_MAX + more; i++)
			at += sprintf(text + at, "X%u: y\r\n", i);
		at += sprintf(text + at, "\r\n");
		http_open(&request, &large);
		ck_assert_int_eq(feed(text, (size_t)at), more ? HTTP_IS_BAD : HTTP_HAS_ALL);
		ck_assert_uint_eq(request.status, more ? 431 : 0);
		http_close(&request);
	}
}
END_TEST

START_TEST(extensions_and_trailers_are_bounded)
{
	const char *head = POST("Transfer-Encoding: chunked\r\n", "1;");

	ck_assert_uint_eq(with_filler(head, 4000, "\r\na\r\n0\r\n\r\n"), 200);
	ck_assert_uint_eq(with_filler(head, 4096, "\r\na\r\n0\r\n\r\n"), 400);
	head = POST("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\nT: ");
	ck_assert_uint_eq(with_filler(head, 8000, "\r\n\r\n"), 200);
	ck_assert_uint_eq(with_filler(head, 8192, "\r\n\r\n"), 431);
}
END_TEST

START_TEST(a_head_without_an_end_is_cut)
{
	char text[2001];

	memset(text, '\r', sizeof(text));
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	memset(text + 19, 'x', sizeof(text) - 19);
	http_open(&request, &limits);
	ck_assert_int_eq(feed(text, 2000), HTTP_NEEDS_MORE);
	ck_assert_int_eq(feed(text, 2001), HTTP_IS_BAD);
	ck_assert_uint_eq(request.status, 431);
	http_close(&request);
}
END_TEST

/* ---- what the client wants ---- */

static void
parse(const char *text)
{
	http_close(&request);
	http_open(&request, &limits);
	ck_assert_int_eq(feed(text, strlen(text)), HTTP_HAS_ALL);
}

START_TEST(wishes)
{
	parse(GET(""));
	ck_assert(request.keeps_alive && !request.expects && !request.upgrades);
	parse(GET("Connection: close\r\n"));
	ck_assert(!request.keeps_alive);
	parse(GET("Connection: x, ClosE ,y\r\n"));
	ck_assert(!request.keeps_alive);
	parse("GET / HTTP/1.0\r\n\r\n");
	ck_assert(!request.keeps_alive);
	parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	ck_assert(request.keeps_alive);
	parse(POST("Expect: 100-Continue\r\n", ""));
	ck_assert(request.expects && !request.expects_more);
	parse(POST("Expect: beer\r\n", ""));
	ck_assert(request.expects_more);
	parse(GET("Upgrade: x\r\nConnection: Upgrade\r\n"));
	ck_assert(request.upgrades);
	parse(GET("Upgrade: x\r\n"));
	ck_assert(!request.upgrades);
}
END_TEST

START_TEST(fields_are_found)
{
	const char *text = GET("A: 1\r\nB: 2\r\nb: 3\r\nC:\r\n");
	unsigned count;

	parse(text);
	ck_assert(span_is(text, http_find(&request, text, "a", &count)->value, "1"));
	ck_assert_ptr_null(http_find(&request, text, "b", &count));
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(http_find(&request, text, "c", &count)->value.length, 0);
	ck_assert_ptr_null(http_find(&request, text, "d", &count));
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(two_in_one)
{
	const char *text = GET("") POST("Content-Length: 1\r\n", "z");

	http_open(&request, &limits);
	ck_assert_int_eq(feed(text, strlen(text)), HTTP_HAS_ALL);
	ck_assert_uint_eq(request.used, strlen(GET("")));
	http_close(&request);
	parse(text + strlen(GET("")));
	ck_assert(request.is_post && request.body.length == 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http");
	TCase *tcase = tcase_create("http");

	tcase_add_loop_test(tcase, good_ones, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(tcase, bad_ones, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, limits_hold_to_the_byte);
	tcase_add_test(tcase, fields_are_counted);
	tcase_add_test(tcase, extensions_and_trailers_are_bounded);
	tcase_add_test(tcase, a_head_without_an_end_is_cut);
	tcase_add_test(tcase, wishes);
	tcase_add_test(tcase, fields_are_found);
	tcase_add_test(tcase, two_in_one);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
