/*
 * Requests as JSON, replies of programs checked, and the fields that wish for more: what goes in
 * and what comes out, as text. What is written is also read back by a parser of others.
 */
#include "common/base64.h"
#include "common/utf8.h"
#include "tests/unit/run_help.h"
#include "workers/http_fields.h"
#include "workers/http_json.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct http_limits limits = {.target = 65536, .head = 100000, .body = 100000};
static struct http_request request;

static void
read_request(const char *text, size_t length)
{
	enum http_found found;

	http_open(&request, &limits);
	found = http_feed(&request, text, length);
	if (found == HTTP_HAS_HEAD)
		found = http_feed(&request, text, length);
	ck_assert_msg(found == HTTP_HAS_ALL, "%s: %d %u", text, found, request.status);
}

/* ---- requests ---- */

static json_t *
to_json(const char *text, size_t length)
{
	struct buf made = {0};
	json_error_t error;
	json_t *object;

	read_request(text, length);
	http_json_write(&made, &request, text, "127.0.0.1:5", "the-id");
	ck_assert_ptr_null(memchr(buf_bytes(&made), '\n', buf_length(&made)));
	object = json_loadb(
	    buf_bytes(&made), buf_length(&made), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	ck_assert_msg(
	    object != NULL, "%s in %.*s", error.text, (int)buf_length(&made), buf_bytes(&made));
	buf_free(&made);
	http_close(&request);
	return object;
}

/* What of the object is worth a look: all but what is the same in each. */
static void
must_become(const char *text, size_t length, const char *expected)
{
	json_t *object = to_json(text, length);
	json_t *wanted = json_loads(expected, JSON_ALLOW_NUL, NULL);
	const char *key;
	json_t *value;

	ck_assert_msg(wanted != NULL, "%s", expected);
	json_object_foreach (wanted, key, value) {
		json_t *found = json_object_get(object, key);
		char *made = found != NULL ? json_dumps(found, JSON_ENCODE_ANY) : NULL;

		ck_assert_msg(json_equal(found, value) == 1, "%s: %s is %s", text, key, made);
		free(made);
	}
	json_decref(wanted);
	json_decref(object);
}

static const struct {
	const char *text, *expected;
} requests[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"{\"method\":\"GET\",\"target\":\"/\",\"path\":\"/\",\"query_string\":\"\",\"query\":{},"
	"\"headers\":{\"x-request-id\":\"the-id\",\"host\":\"a\"},\"body\":\"\","
	"\"peer\":\"127.0.0.1:5\"}"},
    {"DELETE /a%20b%2Fc%zz%4?x=%20+y HTTP/1.1\r\nHost: a\r\n\r\n",
	"{\"method\":\"DELETE\",\"target\":\"/a%20b%2Fc%zz%4?x=%20+y\",\"path\":\"/a b/c%zz%4\","
	"\"query_string\":\"x=%20+y\",\"query\":{\"x\":[\"  y\"]}}"},
    {"GET /a+b?b=2&a=1&&b=3&c&=d&b HTTP/1.1\r\nHost: a\r\n\r\n",
	"{\"path\":\"/a+b\",\"query\":{\"a\":[\"1\"],\"b\":[\"2\",\"3\",\"\"],\"c\":[\"\"],"
	"\"\":[\"d\"]}}"},
    {"GET /?a=b=c&%61=%3d%26 HTTP/1.1\r\nHost: a\r\n\r\n", "{\"query\":{\"a\":[\"b=c\",\"=&\"]}}"},
    {"GET /%22%5c%0a%00%1f%7f HTTP/1.1\r\nHost: a\r\n\r\n",
	"{\"path\":\"/\\\"\\\\\\n\\u0000\\u001f\\u007f\"}"},
    {"GET /%c3%a9%f0%9f%98%80%ff%c3%ed%a0%80?%fe=1&%ff=2 HTTP/1.1\r\nHost: a\r\n\r\n",
	"{\"path\":\"/\\u00e9\\ud83d\\ude00\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\","
	"\"query\":{\"\\ufffd\":[\"1\",\"2\"]}}"},
    {"GET http://b:1/x?y HTTP/1.1\r\nX-REQUEST-ID: mine\r\nHost: a\r\n\r\n",
	"{\"path\":\"/x\",\"headers\":{\"x-request-id\":\"the-id\",\"host\":\"b:1\"}}"},
    {"GET / HTTP/1.0\r\nCookie: a=1\r\nX-a: \"1\\\r\nx-B:\r\ncookie: b=2\r\nx-A: 2\r\n\r\n",
	"{\"headers\":{\"x-request-id\":\"the-id\",\"cookie\":\"a=1; b=2\",\"x-a\":\"\\\"1\\\\, "
	"2\","
	"\"x-b\":\"\"}}"},
    {"GET / HTTP/1.0\r\nX: \xc3\xa9\ty\r\nY: \xe9\xff\"\r\n\r\n",
	"{\"headers\":{\"x-request-id\":\"the-id\",\"x\":\"\\u00e9\\ty\",\"y\":\"\\u00e9\\u00ff"
	"\\\"\"}}"},
    {"POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\n{\"a\": 1}\n",
	"{\"body\":\"{\\\"a\\\": 1}\\n\"}"},
    {"POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\n\xff\xfe\x01z", "{\"body_base64\":\"//4Beg==\"}"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\xc3\r\n2\r\n\xa9z\r\n"
     "0\r\n\r\n",
	"{\"body\":\"a\\u00e9z\"}"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "{\"method\":\"OPTIONS\",\"path\":\"*\"}"},
    {"GET http://b HTTP/1.0\r\n\r\n", "{\"target\":\"http://b\",\"path\":\"\"}"},
};

START_TEST(requests_become_json)
{
	must_become(requests[_i].text, strlen(requests[_i].text), requests[_i].expected);
}
END_TEST

/* Of every byte there is a body, and it comes back as it was. */
START_TEST(every_body)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		char text[] = "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nxyz", found[8];
		char body[3] = {'a', (char)byte, 'b'};
		size_t length = 3;
		json_t *object, *value;

		memcpy(text + sizeof(text) - 4, body, 3);
		object = to_json(text, sizeof(text) - 1);
		value = json_object_get(object, byte < 0x80 ? "body" : "body_base64");
		ck_assert_ptr_nonnull(value);
		if (byte < 0x80) {
			length = json_string_length(value);
			memcpy(found, json_string_value(value), 3);
		} else {
			ck_assert(base64_decode(found, &length, json_string_value(value), 4));
		}
		ck_assert(length == 3 && memcmp(found, body, 3) == 0);
		json_decref(object);
	}
}
END_TEST

/* Tens of thousands of names: in no time, and none is lost. */
START_TEST(a_long_query)
{
	static char text[65600];
	size_t length = (size_t)sprintf(text, "GET /?");
	unsigned count = 0;
	json_t *object;

	while (length < 65000)
		length += (size_t)sprintf(text + length, "%x&", count++);
	length += (size_t)sprintf(text + length, " HTTP/1.0\r\n\r\n");
	object = to_json(text, length);
	ck_assert_uint_eq(json_object_size(json_object_get(object, "query")), count);
	json_decref(object);
}
END_TEST

/* ---- replies ---- */

static const struct {
	const char *text;
	unsigned status;
	const char *type, *fields, *body;
} good[] = {
    {"hello", 200, NULL, "", "hello"},
    {"", 200, NULL, "", ""},
    {"[1]", 200, NULL, "", "[1]"},
    {"{not json", 200, NULL, "", "{not json"},
    {"{} x", 200, NULL, "", "{} x"},
    {"{}", 200, NULL, "", ""},
    {" {\"status\": 404 }", 404, NULL, "", ""},
    {"{\"status\":599,\"body\":\"\\u00e9\"}", 599, NULL, "", "\xc3\xa9"},
    {"{\"status\":204,\"body\":\"x\"}", 204, NULL, "", ""},
    {"{\"body_base64\":\"//4Beg==\"}", 200, NULL, "", "\xff\xfe\x01z"},
    {"{\"headers\":{\"Content-Type\":\"text/html\",\"X-A\":[\"1\",\"2\"],\"Set-Cookie\":[]}}", 200,
	"text/html", "X-A: 1\r\nX-A: 2\r\n", ""},
    {"{\"headers\":{\"Access-Control-Allow-Origin\":\"*\"}}", 200, NULL,
	"Access-Control-Allow-Origin: *\r\n", ""},
};

START_TEST(good_replies)
{
	const char *text = good[_i].text, *fields;
	char why[HTTP_ANSWER_WHY_MAX];
	struct http_answer answer;

	ck_assert_msg(
	    http_answer_read(&answer, text, strlen(text), false, why), "%s: %s", text, why);
	fields = buf_length(&answer.fields) > 0 ? buf_bytes(&answer.fields) : "";
	ck_assert_uint_eq(answer.status, good[_i].status);
	ck_assert_pstr_eq(answer.type, good[_i].type);
	ck_assert_str_eq(fields, good[_i].fields);
	ck_assert_uint_eq(answer.length, strlen(good[_i].body));
	ck_assert_int_eq(memcmp(answer.body, good[_i].body, answer.length), 0);
	http_answer_free(&answer);
}
END_TEST

static const struct {
	const char *text, *why;
} bad[] = {
    {"{\"status\":100}", "status is not"},
    {"{\"status\":199}", "status is not"},
    {"{\"status\":600}", "status is not"},
    {"{\"status\":-200}", "status is not"},
    {"{\"status\":\"200\"}", "status is not"},
    {"{\"status\":200.0}", "status is not"},
    {"{\"status\":200,\"status\":201}", "there twice"},
    {"{\"statsu\":200}", "no statsu"},
    {"{\"body\":1}", "body is not text"},
    {"{\"body\":null}", "body is not text"},
    {"{\"body\":\"\",\"body_base64\":\"\"}", "both body and"},
    {"{\"body_base64\":\"a\"}", "not base64"},
    {"{\"body_base64\":\"//4Beh==\"}", "not base64"},
    {"{\"body_base64\":\"====\"}", "not base64"},
    {"{\"body_base64\":\"ab\\u0000=\"}", "not base64"},
    {"{\"headers\":[]}", "headers is not"},
    {"{\"headers\":{\"\":\"x\"}}", "a name that is none"},
    {"{\"headers\":{\"a b\":\"x\"}}", "a name that is none"},
    {"{\"headers\":{\"a:\":\"x\"}}", "a name that is none"},
    {"{\"headers\":{\"a\\r\\nb\":\"x\"}}", "a name that is none"},
    {"{\"headers\":{\"\\u00e9\":\"x\"}}", "a name that is none"},
    {"{\"headers\":{\"a\\u0000\":\"x\"}}", "has a NUL"},
    {"{\"headers\":{\"a\":1}}", "value of header a is"},
    {"{\"headers\":{\"a\":[[\"b\"]]}}", "value of header a is"},
    {"{\"headers\":{\"a\":\"b\\r\\nc: d\"}}", "value of header a has"},
    {"{\"headers\":{\"a\":\"b\\nc\"}}", "value of header a has"},
    {"{\"headers\":{\"a\":\"b\\rc\"}}", "value of header a has"},
    {"{\"headers\":{\"a\":\"b\\u0000\"}}", "value of header a has"},
    {"{\"headers\":{\"a\":[\"b\",\"\\u007f\"]}}", "value of header a has"},
    {"{\"headers\":{\"content-type\":\"a\\nb\"}}", "value of header content-type has"},
    {"{\"headers\":{\"content-type\":\"a\",\"Content-Type\":\"b\"}}", "more than one Content-Type"},
    {"{\"headers\":{\"Content-Length\":\"0\"}}", "Content-Length is not for"},
    {"{\"headers\":{\"transfer-ENCODING\":[]}}", "is not for a program"},
    {"{\"headers\":{\"Connection\":\"close\"}}", "is not for a program"},
    {"{\"headers\":{\"Date\":\"x\"}}", "is not for a program"},
    {"{\"headers\":{\"X-Request-Id\":\"x\"}}", "is not for a program"},
    {"{\"headers\":{\"access-control-allow-origin\":\"*\"}}", "is not for a program"},
};

START_TEST(bad_replies)
{
	char why[HTTP_ANSWER_WHY_MAX] = "";
	struct http_answer answer;

	ck_assert_msg(!http_answer_read(&answer, bad[_i].text, strlen(bad[_i].text), true, why),
	    "%s", bad[_i].text);
	ck_assert_msg(strstr(why, bad[_i].why) != NULL, "%s: %s", bad[_i].text, why);
	http_answer_free(&answer);
}
END_TEST

/* ---- wishes ---- */

static bool
wish(struct http_wish *made, const char *fields, char *text)
{
	size_t length = (size_t)sprintf(text, "OPTIONS / HTTP/1.0\r\n%s\r\n", fields);

	read_request(text, length);
	return http_wish_read(made, &request, text);
}

static const struct {
	const char *text;
	uint64_t time;
} times[] = {
    {"1", 1000000000},
    {"0.5", 500000000},
    {"12.000000001", 12000000001},
    {"007", 7000000000},
    {"99999999999999999999", UINT64_C(31536000) * 1000000000},
    {"0", 0},
    {"0.0", 0},
    {"0.0000000001", 0},
    {"", 0},
    {".5", 0},
    {"1.", 0},
    {"1s", 0},
    {"-1", 0},
    {"1e3", 0},
    {"1,5", 0},
    {"1 2", 0},
};

START_TEST(timeouts)
{
	char fields[64], text[256];
	struct http_wish made;

	sprintf(fields, "x-TIMEOUT: %s\r\n", times[_i].text);
	ck_assert(wish(&made, fields, text) == (times[_i].time != 0));
	ck_assert_uint_eq(made.time, times[_i].time);
	ck_assert(!wish(&made, "X-Timeout: 1\r\nX-Timeout: 1\r\n", text));
}
END_TEST

START_TEST(ids)
{
	char fields[200] = "X-Request-Id: ", text[300], other[HTTP_ID_MAX + 1];
	size_t start = strlen(fields);
	struct http_wish made;

	memset(fields + start, '~', HTTP_ID_MAX);
	memcpy(fields + start + HTTP_ID_MAX, "\r\n", 3);
	ck_assert(wish(&made, fields, text));
	ck_assert_uint_eq(strlen(made.id), HTTP_ID_MAX);
	memcpy(fields + start + HTTP_ID_MAX, "~\r\n", 4);
	ck_assert(wish(&made, fields, text));
	ck_assert_str_eq(made.id, "");
	ck_assert(wish(&made, "X-Request-Id: a b\r\n", text));
	ck_assert_str_eq(made.id, "");
	ck_assert(wish(&made, "X-Request-Id: \xc3\xa9\r\n", text));
	ck_assert_str_eq(made.id, "");
	http_make_id(made.id);
	http_make_id(other);
	ck_assert_uint_eq(strlen(other), 26);
	ck_assert_int_eq(memcmp(made.id, other, 16), 0);
	ck_assert_str_ne(made.id, other);
}
END_TEST

#define ASKS    "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a, x-b\r\n"
#define VARIES  "Vary: Origin\r\n"
#define VARIES3 "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"
#define ALLOWS  "Access-Control-Allow-Origin: "
#define SHOWS   "Access-Control-Expose-Headers: X-Request-Id\r\n"
#define ANSWERS                                                                                    \
	"Access-Control-Allow-Methods: PUT\r\nAccess-Control-Allow-Headers: x-a, x-b\r\n"          \
	"Access-Control-Max-Age: 600\r\n"

static const struct {
	const char *origins, *fields, *expected;
	bool preflight;
} origins[] = {
    {"*", "", "", false},
    {"*", "Origin: http://a\r\n", ALLOWS "*\r\n" SHOWS, false},
    {"*", "Origin: http://a\r\n" ASKS, VARIES3 ALLOWS "*\r\n" ANSWERS, true},
    {"http://a", "", VARIES, false},
    {"http://a", "Origin: http://ab\r\n", VARIES, false},
    {"http://ab", "Origin: http://a\r\n", VARIES, false},
    {"http://b, http://a", "Origin: http://A\r\n", VARIES ALLOWS "http://A\r\n" SHOWS, false},
    {"http://a http://b", "Origin: http://b\r\n" ASKS, VARIES3 ALLOWS "http://b\r\n" ANSWERS, true},
    {"http://a http://b", "Origin: http://c\r\n" ASKS, VARIES3, true},
    {"http://a", ASKS, VARIES, false},
};

START_TEST(other_pages)
{
	struct buf made = {0};
	struct http_wish wishes;
	char text[512];

	ck_assert(wish(&wishes, origins[_i].fields, text));
	ck_assert(http_is_preflight(&request, &wishes) == origins[_i].preflight);
	http_allow_origin(&made, origins[_i].origins, &wishes, text, origins[_i].preflight);
	buf_append(&made, "", 1);
	ck_assert_str_eq(buf_bytes(&made), origins[_i].expected);
	buf_free(&made);
}
END_TEST

/* ---- codes ---- */

START_TEST(what_is_utf8)
{
	ck_assert(utf8_is_valid("12345678\xc3\xa9", 10));
	ck_assert(utf8_is_valid("\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\xc2\x80", 12));
	ck_assert(!utf8_is_valid("12345678\xc3", 9));
	ck_assert(!utf8_is_valid("1234567\x80", 8));
	ck_assert(!utf8_is_valid("\xc0\x80", 2));
	ck_assert(!utf8_is_valid("\xc1\xbf", 2));
	ck_assert(!utf8_is_valid("\xe0\x9f\xbf", 3));
	ck_assert(!utf8_is_valid("\xed\xa0\x80", 3));
	ck_assert(!utf8_is_valid("\xf0\x8f\xbf\xbf", 4));
	ck_assert(!utf8_is_valid("\xf4\x90\x80\x80", 4));
	ck_assert(!utf8_is_valid("\xf5\x80\x80\x80", 4));
	ck_assert(!utf8_is_valid("\xc3(", 2));
}
END_TEST

START_TEST(base64_there_and_back)
{
	char data[300], text[BASE64_LENGTH(sizeof(data))], back[sizeof(text)];
	size_t made;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 167 + 3);
	for (size_t length = 0; length <= sizeof(data); length++) {
		base64_encode(text, data, length);
		ck_assert(base64_decode(back, &made, text, BASE64_LENGTH(length)));
		ck_assert(made == length && memcmp(back, data, length) == 0);
	}
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int
main(void)
{
	Suite *suite = suite_create("http_json");
	TCase *tcase = tcase_create("http_json");

	tcase_add_loop_test(tcase, requests_become_json, 0, COUNT(requests));
	tcase_add_test(tcase, every_body);
	tcase_add_test(tcase, a_long_query);
	tcase_add_loop_test(tcase, good_replies, 0, COUNT(good));
	tcase_add_loop_test(tcase, bad_replies, 0, COUNT(bad));
	tcase_add_loop_test(tcase, timeouts, 0, COUNT(times));
	tcase_add_test(tcase, ids);
	tcase_add_loop_test(tcase, other_pages, 0, COUNT(origins));
	tcase_add_test(tcase, what_is_utf8);
	tcase_add_test(tcase, base64_there_and_back);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
