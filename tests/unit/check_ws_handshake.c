/* Which requests may become a WebSocket, and what is agreed on: every rule, and what it answers. */
#include "common/conf.h"
#include "tests/unit/run_help.h"
#include "workers/http.h"
#include "workers/ws_handshake.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define THIRTEEN "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define ALL      UPGRADE KEY THIRTEEN
#define GET      "GET /chat HTTP/1.1\r\nHost: example.org:8080\r\n"
#define ACCEPT   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define PACKED                                                                                     \
	"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "               \
	"client_no_context_takeover"
#define OFFER "Sec-WebSocket-Extensions: permessage-deflate"

static const struct http_limits limits = {.target = 100, .head = 2000, .body = 100};

/* Appends what is said beside the status, as a text. */
static unsigned
judge(const struct conf_service *conf, const char *text, struct buf *fields, unsigned *bits)
{
	struct http_request request;
	unsigned status;

	http_open(&request, &limits);
	ck_assert_int_eq(http_feed(&request, text, strlen(text)), HTTP_HAS_HEAD);
	ck_assert_int_eq(http_feed(&request, text, strlen(text)), HTTP_HAS_ALL);
	status = ws_handshake_read(conf, &request, text, fields, bits);
	buf_append(fields, "", 1);
	http_close(&request);
	return status;
}

static void
check_bits(const struct conf_service *conf, const char *text, unsigned status, const char *expected,
    unsigned expected_bits)
{
	struct buf fields = {0};
	unsigned bits;

	ck_assert_msg(judge(conf, text, &fields, &bits) == status, "%s", text);
	ck_assert_str_eq(buf_bytes(&fields), expected);
	ck_assert_uint_eq(bits, expected_bits);
	buf_free(&fields);
}

static void
check_judged(const struct conf_service *conf, const char *text, unsigned status, const char *fields)
{
	check_bits(conf, text, status, fields, 0);
}

START_TEST(the_example_of_the_standard)
{
	struct conf_service conf = {.subprotocols = (char *)"superchat"};

	/* RFC 6455, 1.2 */
	check_judged(&conf,
	    "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n" ALL
	    "Origin: http://server.example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n",
	    101, ACCEPT "Sec-WebSocket-Protocol: superchat\r\n");
}
END_TEST

static const struct {
	const char *text;
	unsigned status;
	const char *fields;
} rules[] = {
    {GET ALL "\r\n", 101, ACCEPT},
    {GET "UPGRADE: WebSocket\r\nCONNECTION: keep-alive, upgrade\r\n" KEY THIRTEEN "\r\n", 101,
	ACCEPT},
    {GET "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n" KEY THIRTEEN "\r\n", 101, ACCEPT},
    /* the method */
    {"POST / HTTP/1.1\r\nHost: a\r\n" ALL "\r\n", 405, "Allow: GET\r\n"},
    {"HEAD / HTTP/1.1\r\nHost: a\r\n" ALL "\r\n", 405, "Allow: GET\r\n"},
    {"OPTIONS / HTTP/1.1\r\nHost: a\r\n" ALL "\r\n", 405, "Allow: GET\r\n"},
    /* no wish for it */
    {GET "\r\n", 426, ""},
    {GET "Upgrade: websocket\r\n" KEY THIRTEEN "\r\n", 426, ""},
    {GET "Connection: Upgrade\r\n" KEY THIRTEEN "\r\n", 426, ""},
    {GET "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY THIRTEEN "\r\n", 426, ""},
    {GET "Upgrade: websocket\r\nConnection: close\r\n" KEY THIRTEEN "\r\n", 426, ""},
    {"GET / HTTP/1.0\r\nHost: a\r\n" ALL "\r\n", 426, ""},
    /* a body */
    {GET ALL "Content-Length: 1\r\n\r\nx", 400, ""},
    {GET ALL "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""},
    {GET ALL "Content-Length: 0\r\n\r\n", 101, ACCEPT},
    /* the version */
    {GET UPGRADE KEY "\r\n", 426, WS_HANDSHAKE_VERSIONS},
    {GET UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426, WS_HANDSHAKE_VERSIONS},
    {GET UPGRADE KEY "Sec-WebSocket-Version: 14\r\n\r\n", 426, WS_HANDSHAKE_VERSIONS},
    {GET UPGRADE KEY "Sec-WebSocket-Version: 013\r\n\r\n", 426, WS_HANDSHAKE_VERSIONS},
    {GET UPGRADE KEY "Sec-WebSocket-Version:\r\n\r\n", 426, WS_HANDSHAKE_VERSIONS},
    {GET UPGRADE KEY "Sec-WebSocket-Version: 8, 13\r\n\r\n", 426, WS_HANDSHAKE_VERSIONS},
    {GET ALL THIRTEEN "\r\n", 400, ""},
    /* the key */
    {GET UPGRADE THIRTEEN "\r\n", 400, ""},
    {GET ALL KEY "\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key:\r\n\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key: dGhlIHNhbXBs!SBub25jZQ==\r\n\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==AAAA\r\n\r\n", 400, ""},
    {GET UPGRADE THIRTEEN "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", 101,
	"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n"},
    /* lists */
    {GET ALL "Sec-WebSocket-Protocol: a, b\r\n\r\n", 101, ACCEPT},
    {GET ALL "Sec-WebSocket-Protocol: a b\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Protocol: a, \"b\"\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; y=z, w; v=\"u\"\r\n\r\n", 101, ACCEPT},
    {GET ALL "Sec-WebSocket-Extensions: x;\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; =y\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; y=\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; y=\"\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; y=\"a,b\"\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; y=\"a;b\"\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; y=\"a=b\"\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: x; y=\"a b\"\r\n\r\n", 400, ""},
    {GET ALL "Sec-WebSocket-Extensions: ,, x\r\n\r\n", 101, ACCEPT},
    {GET ALL "Sec-WebSocket-Extensions:\r\n\r\n", 101, ACCEPT},
    {GET ALL "Sec-WebSocket-Extensions: a b\r\n\r\n", 400, ""},
    /* The service does not want it. */
    {GET ALL OFFER "\r\n\r\n", 101, ACCEPT},
};

START_TEST(every_rule)
{
	struct conf_service conf = {0};

	check_judged(&conf, rules[_i].text, rules[_i].status, rules[_i].fields);
}
END_TEST

static const struct {
	const char *origins, *sent;
	bool is_welcome;
} origins[] = {
    {NULL, "", true},
    {NULL, "Origin: http://example.org:8080\r\n", true},
    {NULL, "Origin: https://EXAMPLE.org:8080\r\n", true},
    {NULL, "Origin: http://example.org\r\n", false},
    {NULL, "Origin: http://example.org:80\r\n", false},
    {NULL, "Origin: http://example.org:8080/\r\n", false},
    {NULL, "Origin: http://a.example.org:8080\r\n", false},
    {NULL, "Origin: http://xexample.org:8080\r\n", false},
    {NULL, "Origin: example.org:8080\r\n", false},
    {NULL, "Origin: null\r\n", false},
    {NULL, "Origin:\r\n", false},
    {NULL, "Origin: http://example.org:8080\r\nOrigin: http://example.org:8080\r\n", false},
    {"*", "Origin: http://evil.example\r\n", true},
    {"*", "Origin: null\r\n", true},
    {"*", "", true},
    {"http://a.example https://b.example:8443", "Origin: http://a.example\r\n", true},
    {"http://a.example https://b.example:8443", "Origin: HTTPS://B.example:8443\r\n", true},
    {"http://a.example,https://b.example:8443", "Origin: https://a.example\r\n", false},
    {"http://a.example https://b.example:8443", "Origin: https://b.example\r\n", false},
    {"http://a.example https://b.example:8443", "Origin: http://example.org:8080\r\n", false},
    {"http://a.example https://b.example:8443", "Origin: null\r\n", false},
    {"http://a.example https://b.example:8443", "", true},
};

START_TEST(every_origin)
{
	struct conf_service conf = {.origins = (char *)origins[_i].origins};
	char text[1000];

	snprintf(text, sizeof(text), GET ALL "%s\r\n", origins[_i].sent);
	check_judged(
	    &conf, text, origins[_i].is_welcome ? 101 : 403, origins[_i].is_welcome ? ACCEPT : "");
}
END_TEST

static const struct {
	const char *has, *sent, *chosen;
} subprotocols[] = {
    {NULL, "Sec-WebSocket-Protocol: a\r\n", NULL},
    {"a b", "", NULL},
    {"a b", "Sec-WebSocket-Protocol: c\r\n", NULL},
    {"a b", "Sec-WebSocket-Protocol: b, a\r\n", "b"},
    {"a, b", "Sec-WebSocket-Protocol: c\r\nSec-WebSocket-Protocol: a, b\r\n", "a"},
    {"a b", "Sec-WebSocket-Protocol: A\r\n", NULL},
    {"ab", "Sec-WebSocket-Protocol: a, b\r\n", NULL},
    {"chat.v2 x", "Sec-WebSocket-Protocol: chat, chat.v2, x\r\n", "chat.v2"},
};

START_TEST(every_subprotocol)
{
	struct conf_service conf = {.subprotocols = (char *)subprotocols[_i].has};
	char text[1000], fields[1000] = ACCEPT;

	snprintf(text, sizeof(text), GET ALL "%s\r\n", subprotocols[_i].sent);
	if (subprotocols[_i].chosen != NULL)
		snprintf(fields, sizeof(fields), ACCEPT "Sec-WebSocket-Protocol: %s\r\n",
		    subprotocols[_i].chosen);
	check_judged(&conf, text, 101, fields);
}
END_TEST

static const struct {
	const char *sent;
	unsigned bits;
	const char *more; /* of the answer */
} offers[] = {
    {"permessage-deflate", 15, ""},
    {"permessage-deflate; client_max_window_bits", 15, ""},
    {"permessage-deflate;client_max_window_bits=8", 15, ""},
    {"permessage-deflate; client_max_window_bits=\"15\"", 15, ""},
    {"permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15, ""},
    {"permessage-deflate; server_max_window_bits=15", 15, "; server_max_window_bits=15"},
    {"permessage-deflate; server_max_window_bits=10", 10, "; server_max_window_bits=10"},
    {"permessage-deflate; server_max_window_bits=\"9\"", 9, "; server_max_window_bits=9"},
    {"permessage-deflate; server_max_window_bits=\"1\\2\"", 12, "; server_max_window_bits=12"},
    /* The next offer is as good. */
    {"permessage-deflate; server_max_window_bits=8", 0, NULL},
    {"permessage-deflate; server_max_window_bits=8, permessage-deflate", 15, ""},
    {"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=11", 11,
	"; server_max_window_bits=11"},
    {"x-webkit-deflate-frame, permessage-deflate", 15, ""},
    {"permessage-deflate; server_max_window_bits=9, permessage-deflate", 9,
	"; server_max_window_bits=9"},
    /* none that can be taken */
    {"x-webkit-deflate-frame", 0, NULL},
    {"permessage-bzip2", 0, NULL},
    {"permessage-deflate; unknown", 0, NULL},
    {"permessage-deflate; server_max_window_bits", 0, NULL},
    {"permessage-deflate; server_max_window_bits=7", 0, NULL},
    {"permessage-deflate; server_max_window_bits=16", 0, NULL},
    {"permessage-deflate; server_max_window_bits=09", 0, NULL},
    {"permessage-deflate; server_max_window_bits=100", 0, NULL},
    {"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", 0, NULL},
    {"permessage-deflate; client_max_window_bits=7", 0, NULL},
    {"permessage-deflate; client_max_window_bits=16", 0, NULL},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits", 0, NULL},
    {"permessage-deflate; server_no_context_takeover=1", 0, NULL},
    {"permessage-deflate; client_no_context_takeover=true", 0, NULL},
    {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", 0, NULL},
};

START_TEST(every_offer)
{
	struct conf_service conf = {.deflate = 1};
	char text[1000], fields[1000] = ACCEPT;

	snprintf(
	    text, sizeof(text), GET ALL "Sec-WebSocket-Extensions: %s\r\n\r\n", offers[_i].sent);
	if (offers[_i].more != NULL)
		snprintf(fields, sizeof(fields), ACCEPT PACKED "%s\r\n", offers[_i].more);
	check_bits(&conf, text, 101, fields, offers[_i].bits);
}
END_TEST

/* Offers in two fields are one list. */
START_TEST(offers_in_two_fields)
{
	struct conf_service conf = {.deflate = 1};

	check_bits(&conf,
	    GET ALL "Sec-WebSocket-Extensions: x\r\n" OFFER "; server_max_window_bits=12\r\n\r\n",
	    101, ACCEPT PACKED "; server_max_window_bits=12\r\n", 12);
}
END_TEST

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

int
main(void)
{
	Suite *suite = suite_create("ws_handshake");
	TCase *tc = tcase_create("ws_handshake");

	tcase_add_test(tc, the_example_of_the_standard);
	tcase_add_loop_test(tc, every_rule, 0, COUNT(rules));
	tcase_add_loop_test(tc, every_origin, 0, COUNT(origins));
	tcase_add_loop_test(tc, every_subprotocol, 0, COUNT(subprotocols));
	tcase_add_loop_test(tc, every_offer, 0, COUNT(offers));
	tcase_add_test(tc, offers_in_two_fields);
	suite_add_tcase(suite, tc);
	return help_run(suite);
}
