/*
 * What clients of HTTP are told for which request, outcome and reply, through the real connection
 * code, in this process: services that share an address, replies in JSON, refusals of every kind,
 * handlers of HTTP alone, and what becomes a WebSocket.
 */
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"
#include "workers/handler.h"
#include "workers/proto.h"
#include "workers/req_web.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHARED "listen=127.0.0.1:1\nhandler=echo\n"
#define CONF                                                                                       \
	"[service plain]\n" SHARED "protocol=http\npath=/plain\nmax_message=10B\n"                 \
	"cors_origins=https://a\n"                                                                 \
	"[service json]\n" SHARED "protocol=http\npath=/json\nmessage=json\n"                      \
	"[service web]\n" SHARED "protocol=http\npath=/web\n"                                      \
	"[service socket]\n" SHARED "protocol=websocket\npath=/ws\n"
#define REQUEST(line, fields) line " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define HANDSHAKE                                                                                  \
	"Upgrade: websocket\r\nConnection: Upgrade\r\n"                                            \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

enum { PLAIN, JSON, WEB, SOCKET };

static struct seat seat;
static struct conn *conn;
static int client;
static char heard[65536];
static size_t length;
static bool ended;

static void
hear(void)
{
	ssize_t got;

	for (int i = 0; i < 4; i++)
		seat_turn(&seat);
	while (!ended && (got = recv(client, heard + length, sizeof(heard) - length - 1,
			      MSG_DONTWAIT)) >= 0) {
		length += (size_t)got;
		ended = got == 0;
	}
	ck_assert(ended || errno == EAGAIN);
	heard[length] = '\0';
}

static void
begin(void)
{
	seat_open(&seat, CONF, BACKEND_EPOLL, NULL);
	conn = seat_connect(&seat, PLAIN, &client);
	length = 0;
	ended = false;
}

static void
end(void)
{
	close(client);
	seat_close(&seat);
}

static void
say(const char *text)
{
	length = 0;
	ck_assert(send(client, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
	hear();
}

static void
must_hear(const char *text)
{
	ck_assert_msg(strstr(heard, text) != NULL, "no '%s' in: %s", text, heard);
}

static void
must_be(unsigned status, bool goes_on)
{
	char text[32];

	snprintf(text, sizeof(text), "HTTP/1.1 %u ", status);
	ck_assert_msg(strncmp(heard, text, strlen(text)) == 0, "not %u: %s", status, heard);
	ck_assert_msg(
	    (strstr(heard, "\r\nConnection: close\r\n") == NULL) == goes_on && ended != goes_on,
	    "%s", heard);
}

static struct conf_service *
conf_of(unsigned service)
{
	union {
		const struct conf *borrowed;
		struct conf *conf;
	} conf = {.borrowed = seat.start.conf};

	return &conf.conf->services[service];
}

/* What the configuration could not say without a pool of instances. */
static void
make_program(unsigned service)
{
	conf_of(service)->handler = HANDLER_PROGRAM;
	seat_hold(&seat, service);
}

/* ---- requests ---- */

static const struct {
	const char *text;
	unsigned status;
	bool goes_on;
	const char *has;
} requests[] = {
    {REQUEST("GET /plain?x", ""), 200, true, "\r\n\r\nx"},
    {REQUEST("GET /plain?x", "X-Request-Id: me\r\n"), 200, true, "\r\nX-Request-Id: me\r\n"},
    {REQUEST("GET /plain?x", "Origin: https://a\r\n"), 200, true,
	"\r\nAccess-Control-Allow-Origin: https://a\r\n"},
    {REQUEST("OPTIONS /plain", "Origin: https://a\r\nAccess-Control-Request-Method: PUT\r\n"), 204,
	true, "\r\nAccess-Control-Allow-Methods: PUT\r\n"},
    {REQUEST("GET /plain", "X-Timeout: 0\r\n"), 400, true, "\r\nVary: Origin\r\n"},
    {REQUEST("GET /plain", "X-Timeout: 5\r\n"), 200, true, ""},
    {REQUEST("DELETE /plain", "Accept: application/json\r\n"), 405, false,
	"{\"status\":405,\"error\":\"Method Not Allowed\"}"},
    {REQUEST("POST /plain", "Content-Length: 11\r\n"), 413, false, "\r\n\r\nContent Too Large"},
    {REQUEST("GET /", ""), 404, true, "\r\n\r\nNot Found"},
    {REQUEST("POST /", "Content-Length: 1\r\n"), 404, false, "\r\n\r\nNot Found"},
    {REQUEST("DELETE /json/a", ""), 200, true, "\r\nContent-Type: application/json\r\n"},
    {REQUEST("DELETE /json/a", ""), 200, true, "\"target\":\"/json/a\""},
    {REQUEST("GET /json/%ff", ""), 200, true, "\"path\":\"/json/\xef\xbf\xbd\""},
    {REQUEST("OPTIONS /json", ""), 200, true, "\"method\":\"OPTIONS\""},
};

START_TEST(requests_are_answered)
{
	say(requests[_i].text);
	must_be(requests[_i].status, requests[_i].goes_on);
	must_hear(requests[_i].has);
}
END_TEST

START_TEST(the_last_reply_says_so)
{
	conn->drain_later = true;
	say(REQUEST("GET /plain", ""));
	must_be(200, false);
}
END_TEST

/* The end of the connection might have to be that of the reply. */
START_TEST(http_1_0_ends_where_replies_come_in_parts)
{
	conf_of(PLAIN)->stream = 1;
	say("GET /plain HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	must_be(200, false);
}
END_TEST

START_TEST(who_is_slow_is_told)
{
	say("GET /plain HT");
	ck_assert_uint_eq(length, 0);
	conn_on_message_late(&conn->wait);
	hear();
	must_be(408, false);
}
END_TEST

/* ---- replies ---- */

static const struct {
	const char *text;
	unsigned status;
	const char *has;
} replies[] = {
    {"hello", 200, "\r\n\r\nhello"},
    {"{\"status\":201,\"body\":\"x\"}", 201, "\r\n\r\nx"},
    {"{\"headers\":{\"Content-Type\":\"a/b\"}}", 200, "\r\nContent-Type: a/b\r\n"},
    {"{\"headers\":{\"Server\":\"me\"}}", 200, "\r\nServer: me\r\n"},
    {"{\"headers\":{\"X\":[\"1\",\"2\"]}}", 200, "\r\nX: 1\r\nX: 2\r\n"},
    {"{\"status\":204,\"body\":\"x\"}", 204, "\r\nDate: "},
    {"{\"status\":99}", 502, "\r\n\r\nBad Gateway"},
    {"{\"headers\":{\"X\":\"a\\r\\nY: b\"}}", 502, "\r\n\r\nBad Gateway"},
};

START_TEST(a_program_replies_in_json)
{
	make_program(JSON);
	say(REQUEST("GET /json", ""));
	ck_assert_uint_eq(length, 0);
	req_reply(seat_take_newest(), replies[_i].text, strlen(replies[_i].text));
	hear();
	must_be(replies[_i].status, true);
	must_hear(replies[_i].has);
	must_hear("\r\nX-Request-Id: ");
}
END_TEST

static const struct {
	enum outcome outcome;
	bool was_granted;
	unsigned status;
	const char *has;
} outcomes[] = {
    {OUTCOME_BUSY, false, 503, "\r\nRetry-After: 1\r\n"},
    {OUTCOME_TIMEOUT, false, 504, "Gateway Timeout"},
    {OUTCOME_FAILED, true, 502, "Bad Gateway"},
    {OUTCOME_TOO_LARGE, false, 413, "Content Too Large"},
    {OUTCOME_BAD, false, 400, "Bad Request"},
    {OUTCOME_BAD, true, 502, "Bad Gateway"},
};

START_TEST(there_is_no_reply)
{
	struct req *req;

	seat_hold(&seat, PLAIN);
	say(REQUEST("GET /plain", "X-Timeout: 5\r\n"));
	req = seat_take_newest();
	ck_assert(deadline_is_set(&req->limit));
	req->granted = outcomes[_i].was_granted;
	req_fail(req, outcomes[_i].outcome);
	hear();
	must_be(outcomes[_i].status, true);
	must_hear(outcomes[_i].has);
}
END_TEST

/* ---- handlers of HTTP alone ---- */

static struct req_web_answer answer;
static char path[REQ_WEB_PATH_MAX + 1];

static void
web_handle(struct req *req)
{
	snprintf(path, sizeof(path), "%s", req->web->path);
	if (answer.explains)
		req_web_refuse(req, answer.status, answer.fields);
	else
		req_web_reply(req, &answer);
}

static void
hold_web(void)
{
	static const struct handler handler = {.handle = web_handle, .is_web = true};

	seat_service(&seat, WEB)->handler = &handler;
}

START_TEST(a_web_handler_replies)
{
	hold_web();
	answer = (struct req_web_answer){
	    .status = 202, .type = "a/b", .fields = "X: y\r\n", .body = "z", .length = 1};
	say(REQUEST("GET /web/%41?q", ""));
	must_be(202, true);
	must_hear("\r\nContent-Type: a/b\r\n");
	must_hear("\r\nX: y\r\n");
	must_hear("\r\n\r\nz");
	ck_assert_str_eq(path, "/A");
	say(REQUEST("POST /web", "Transfer-Encoding: chunked\r\n") "1\r\nx\r\n0\r\n\r\n");
	must_be(202, true);
	ck_assert_str_eq(path, "");
	say(REQUEST("HEAD /web", ""));
	must_be(202, true);
	ck_assert_ptr_null(strstr(heard, "\r\n\r\nz"));
}
END_TEST

START_TEST(a_web_handler_refuses)
{
	hold_web();
	answer = (struct req_web_answer){.status = 403, .fields = "X: y\r\n", .explains = true};
	say(REQUEST("GET /web", "Accept: application/json\r\n"));
	must_be(403, true);
	must_hear("\r\nX: y\r\n");
	must_hear("{\"status\":403,\"error\":\"Forbidden\"}");
}
END_TEST

START_TEST(a_web_handler_sends_a_file)
{
	int ends[2];

	hold_web();
	/* Of HEAD nothing is sent, but the file is closed. */
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe(ends), 0);
	answer =
	    (struct req_web_answer){.status = 200, .length = 5, .has_file = true, .file = ends[0]};
	say(REQUEST("HEAD /web", ""));
	must_be(200, true);
	must_hear("\r\nContent-Length: 5\r\n");
	ck_assert_int_eq(write(ends[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(ends[1]);
}
END_TEST

START_TEST(a_path_may_be_too_long)
{
	char text[5000];

	hold_web();
	snprintf(text, sizeof(text), "GET /web/%04200d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
	say(text);
	must_be(414, true);
}
END_TEST

/* What a web handler does it does in its turn. */
START_TEST(a_web_handler_is_asked_in_turn)
{
	hold_web();
	seat_hold(&seat, PLAIN);
	answer = (struct req_web_answer){.status = 200, .body = "second", .length = 6};
	path[0] = '\0';
	say(REQUEST("GET /plain", "") REQUEST("GET /web/x", ""));
	ck_assert_str_eq(path, "");
	req_reply(seat_take_newest(), "first", 5);
	hear();
	must_hear("\r\n\r\nfirstHTTP/1.1 200 OK\r\n");
	must_hear("\r\n\r\nsecond");
	ck_assert_str_eq(path, "/x");
}
END_TEST

/* ---- becoming a WebSocket ---- */

START_TEST(a_connection_becomes_a_websocket)
{
	say(REQUEST("GET /plain?x", "") REQUEST("GET /ws", HANDSHAKE));
	must_hear("\r\n\r\nxHTTP/1.1 101 Switching Protocols\r\n");
	must_hear("\r\nSec-WebSocket-Accept: ");
	ck_assert_ptr_eq(conn->service, seat_service(&seat, SOCKET));
	ck_assert_ptr_eq(seat_only(&seat, SOCKET), conn);
}
END_TEST

static const struct {
	const char *text;
	unsigned status;
	bool goes_on;
	const char *has;
} shakes[] = {
    {REQUEST("GET /ws", ""), 426, true, "\r\nUpgrade: websocket\r\n"},
    {REQUEST("GET /ws", HANDSHAKE "Connection: close\r\n"), 400, false, "Bad Request"},
    {REQUEST("GET /ws", "Upgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			"Sec-WebSocket-Version: 12\r\n"),
	426, true, "\r\nSec-WebSocket-Version: 13\r\n"},
};

START_TEST(a_handshake_is_refused)
{
	say(shakes[_i].text);
	must_be(shakes[_i].status, shakes[_i].goes_on);
	must_hear(shakes[_i].has);
}
END_TEST

START_TEST(there_is_no_room_for_a_websocket)
{
	struct stats_row *row = seat_service(&seat, SOCKET)->stats;

	conf_of(SOCKET)->max_connections = 1;
	ck_assert(stats_enter(seat.stats[SOCKET], row, 1));
	say(REQUEST("GET /ws", HANDSHAKE));
	must_be(503, true);
	must_hear("\r\nRetry-After: 1\r\n");
	stats_leave(seat.stats[SOCKET], row);
	say(REQUEST("GET /ws", HANDSHAKE));
	must_hear("HTTP/1.1 101 ");
}
END_TEST

START_TEST(no_websocket_begins_at_the_end)
{
	conn->drain_later = true;
	say(REQUEST("GET /ws", HANDSHAKE));
	must_be(503, false);
}
END_TEST

/* ---- moving ---- */

START_TEST(what_was_said_moves_along)
{
	struct buf state = {0};

	ck_assert(!conn->proto->thaw(conn, "", 0));
	(void)conn_get_busy(conn);
	ck_assert(conn->proto->thaw(conn, "\1", 1));
	say(REQUEST("POST /plain", "Expect: 100-continue\r\nContent-Length: 1\r\n"));
	ck_assert_uint_eq(length, 0);
	conn->proto->freeze(conn, &state);
	ck_assert(buf_length(&state) == 1 && *buf_bytes(&state) == 1);
	buf_free(&state);
	say("x");
	must_be(200, true);
}
END_TEST

#define LOOP(test, table)                                                                          \
	tcase_add_loop_test(tcase, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

int
main(void)
{
	Suite *suite = suite_create("http_say");
	TCase *tcase = tcase_create("http_say");

	tcase_add_checked_fixture(tcase, begin, end);
	LOOP(requests_are_answered, requests);
	tcase_add_test(tcase, the_last_reply_says_so);
	tcase_add_test(tcase, http_1_0_ends_where_replies_come_in_parts);
	tcase_add_test(tcase, who_is_slow_is_told);
	LOOP(a_program_replies_in_json, replies);
	LOOP(there_is_no_reply, outcomes);
	tcase_add_test(tcase, a_web_handler_replies);
	tcase_add_test(tcase, a_web_handler_refuses);
	tcase_add_test(tcase, a_web_handler_sends_a_file);
	tcase_add_test(tcase, a_path_may_be_too_long);
	tcase_add_test(tcase, a_web_handler_is_asked_in_turn);
	tcase_add_test(tcase, a_connection_becomes_a_websocket);
	LOOP(a_handshake_is_refused, shakes);
	tcase_add_test(tcase, there_is_no_room_for_a_websocket);
	tcase_add_test(tcase, no_websocket_begins_at_the_end);
	tcase_add_test(tcase, what_was_said_moves_along);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
