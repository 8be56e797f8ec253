/*
 * HTTP through the real connection code, in this process: requests that are held back, who waits
 * for whom, and what holds behind a change of service.
 */
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"
#include "workers/handler.h"
#include "workers/req_web.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHARED "listen=127.0.0.1:1\nhandler=echo\n"
#define CONF                                                                                       \
	"[service plain]\n" SHARED "protocol=http\nmessage_timeout=50ms\nmax_message=1M\n"         \
	"high_water=1G\nrate=3\n"                                                                  \
	"[service web]\n" SHARED "protocol=http\npath=/web\n"                                      \
	"[service socket]\n" SHARED "protocol=websocket\npath=/ws\nwrite_timeout=50ms\n"
#define GET(path)     "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(fields)  "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define CONTINUE      "HTTP/1.1 100 Continue\r\n\r\n"
#define TEXT_OF(body) "\r\n\r\n" body
#define HANDSHAKE                                                                                  \
	"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"             \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

enum { PLAIN, WEB, SOCKET };

static struct seat seat;
static struct conn *conn;
static int client;
static char heard[4096];
static size_t length;
static bool ended;

/* Turns, and hears what there is to hear. */
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
	heard[length] = '\0';
}

static void
wait_and_hear(void)
{
	for (int i = 0; i < 20; i++) {
		usleep(5000);
		hear();
	}
}

static void
say(const char *text)
{
	ck_assert(send(client, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
	hear();
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

/* ---- who waits for whom ---- */

/* It is our word that is missing, however long the request in front takes. */
START_TEST(who_waits_for_a_word_is_not_late)
{
	const char *second;

	begin();
	seat_hold(&seat, PLAIN);
	say(GET("/?first") POST("Expect: 100-continue\r\nContent-Length: 6\r\n"));
	wait_and_hear();
	ck_assert_str_eq(heard, "");
	ck_assert(seat_answer());
	hear();
	second = strstr(heard, TEXT_OF("first"));
	ck_assert_msg(second != NULL, "%s", heard);
	ck_assert_str_eq(second + strlen(TEXT_OF("first")), CONTINUE);
	say("second");
	ck_assert(seat_answer());
	hear();
	ck_assert_msg(strstr(heard, TEXT_OF("second")) != NULL, "%s", heard);
	end();
}
END_TEST

static void
answer_web(struct req *req)
{
	req_web_reply(req, &(struct req_web_answer){.status = 204});
}

/* And it has its time from then on. */
START_TEST(who_was_told_to_go_on_has_its_time)
{
	begin();
	seat_hold(&seat, PLAIN);
	say(GET("/?first") POST("Expect: 100-continue\r\nContent-Length: 6\r\n"));
	ck_assert(seat_answer());
	wait_and_hear();
	ck_assert_msg(
	    strstr(heard, TEXT_OF("first") CONTINUE "HTTP/1.1 408 ") != NULL, "%s", heard);
	ck_assert(ended);
	end();
}
END_TEST

/* What it would send is not waited for at the end, and it is told so. */
START_TEST(nobody_is_told_to_go_on_at_the_end)
{
	begin();
	seat_hold(&seat, PLAIN);
	say(GET("/?first") POST("Expect: 100-continue\r\nContent-Length: 6\r\n"));
	conn_drain(conn, _i == 0);
	ck_assert(seat_answer());
	hear();
	hear();
	ck_assert_msg(strstr(heard, TEXT_OF("first") "HTTP/1.1 503 ") != NULL, "%s", heard);
	ck_assert_ptr_null(strstr(heard, CONTINUE));
	ck_assert(ended);
	end();
}
END_TEST

/* Of a few replies the last alone says that it is: no client looks behind that. */
START_TEST(the_last_of_them_says_so)
{
	static const struct handler web = {.handle = answer_web, .is_web = true};
	const char *closes, *third;

	begin();
	seat_hold(&seat, PLAIN);
	seat_service(&seat, WEB)->handler = &web;
	say(GET("/?first") GET("/?second") GET("/web"));
	conn_drain(conn, _i == 0);
	ck_assert(seat_answer());
	ck_assert(seat_answer());
	hear();
	third = strstr(heard, TEXT_OF("second") "HTTP/1.1 204 ");
	closes = strstr(heard, "Connection: close");
	ck_assert_msg(third != NULL && closes != NULL && closes > third, "%s", heard);
	ck_assert(ended);
	end();
}
END_TEST

/* It is taken up once, and so it counts once for what its address may. */
START_TEST(what_is_held_back_counts_once)
{
	static const struct handler web = {.handle = answer_web, .is_web = true};

	begin();
	seat_hold(&seat, PLAIN);
	seat_service(&seat, WEB)->handler = &web;
	conn->visitor = visitors_enter(&seat.stats[PLAIN]->visitors, seat.start.id, 7, 1);
	say(GET("/?first") GET("/web") GET("/web"));
	ck_assert(seat_answer());
	hear();
	ck_assert_msg(strstr(heard, TEXT_OF("first") "HTTP/1.1 204 ") != NULL, "%s", heard);
	ck_assert_ptr_null(strstr(heard, "HTTP/1.1 429 "));
	ck_assert(!ended);
	say(GET("/web"));
	ck_assert_ptr_nonnull(strstr(heard, "HTTP/1.1 429 "));
	end();
}
END_TEST

/* ---- another service ---- */

/* What is still to be written has its time behind a handshake too, that of the service now. */
START_TEST(who_does_not_read_a_handshake_is_cut)
{
	static char body[600000];
	size_t sent = 0;
	ssize_t n;

	begin();
	memset(body, 'x', sizeof(body));
	say(POST("Content-Length: 600000\r\n"));
	for (int i = 0; i < 1000 && sent < sizeof(body); i++) {
		n = send(client, body + sent, sizeof(body) - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		for (int j = 0; j < 4; j++)
			seat_turn(&seat);
	}
	ck_assert_uint_eq(sent, sizeof(body));
	ck_assert(send(client, HANDSHAKE, strlen(HANDSHAKE), MSG_NOSIGNAL) > 0);
	for (int i = 0; i < 4; i++)
		seat_turn(&seat);
	ck_assert_ptr_eq(seat_only(&seat, SOCKET), conn);
	ck_assert(conn->busy->write_pending);
	for (int i = 0; i < 20 && seat_only(&seat, SOCKET) != NULL; i++) {
		usleep(10000);
		seat_turn(&seat);
	}
	ck_assert_ptr_null(seat_only(&seat, SOCKET));
	ck_assert_uint_eq(stats_total(seat.stats[SOCKET], COUNTER_slow_cut), 1);
	end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_turn");
	TCase *tcase = tcase_create("http_turn");

	tcase_add_test(tcase, who_waits_for_a_word_is_not_late);
	tcase_add_test(tcase, who_was_told_to_go_on_has_its_time);
	tcase_add_loop_test(tcase, nobody_is_told_to_go_on_at_the_end, 0, 2);
	tcase_add_loop_test(tcase, the_last_of_them_says_so, 0, 2);
	tcase_add_test(tcase, what_is_held_back_counts_once);
	tcase_add_test(tcase, who_does_not_read_a_handshake_is_cut);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
