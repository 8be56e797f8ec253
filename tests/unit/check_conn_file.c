/*
 * Replies that end in a file, through the real connection code in this process: what goes out and
 * in which order, who waits for whom, and that no descriptor stays behind however it ends.
 */
#include "common/clock.h"
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"
#include "workers/give.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIG  (3u << 20) /* more than sockets hold, and than goes in a turn */
#define HEAR (8u << 20)

static char root[32];
static char conf[512];
static struct seat seat;
static unsigned char *heard;
static size_t heard_length;
static bool ended;

/* Every place of it can be told from all others nearby. */
static unsigned char
big_byte(size_t at)
{
	return (unsigned char)(at * 2654435761u >> 24);
}

static void
open_seat(const char *more)
{
	char path[64];
	unsigned char *bytes = malloc(BIG);
	FILE *file;

	signal(SIGPIPE, SIG_IGN); /* as in every worker */
	snprintf(root, sizeof(root), "/tmp/check-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	for (size_t i = 0; i < BIG; i++)
		bytes[i] = big_byte(i);
	snprintf(path, sizeof(path), "%s/big", root);
	file = fopen(path, "we");
	ck_assert(fwrite(bytes, 1, BIG, file) == BIG && fclose(file) == 0);
	snprintf(path, sizeof(path), "%s/small", root);
	file = fopen(path, "we");
	ck_assert(fwrite("small", 1, 5, file) == 5 && fclose(file) == 0);
	free(bytes);
	heard = malloc(HEAR);
	snprintf(conf, sizeof(conf),
	    "[service a]\nlisten=127.0.0.1:1\nprotocol=http\nhandler=static\nroot=%s\n%s", root,
	    more);
	seat_open(&seat, conf, BACKEND_EPOLL, NULL);
}

static void
close_seat(void)
{
	char path[64];

	ck_assert_uint_eq(seat_worker(&seat)->files, 0);
	seat_close(&seat);
	free(heard);
	snprintf(path, sizeof(path), "%s/big", root);
	unlink(path);
	snprintf(path, sizeof(path), "%s/small", root);
	unlink(path);
	ck_assert_int_eq(rmdir(root), 0);
}

static int
ask(const char *text)
{
	int client;

	heard_length = 0;
	ended = false;
	(void)seat_connect(&seat, 0, &client);
	ck_assert_int_eq(send(client, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	seat_turn(&seat);
	return client;
}

/* At most `most` bytes. Returns how many came. */
static size_t
hear(int client, size_t most)
{
	ssize_t got = recv(client, heard + heard_length, most, MSG_DONTWAIT);

	ended |= got == 0 || (got < 0 && errno == ECONNRESET);
	heard_length += got > 0 ? (size_t)got : 0;
	return got > 0 ? (size_t)got : 0;
}

/* Turns and hears until nothing more comes. */
static void
hear_all(int client)
{
	for (int silent = 0; silent < 8 && !ended;) {
		silent = hear(client, 100000) > 0 ? 0 : silent + 1;
		seat_turn(&seat);
	}
}

/* The head at a place. Returns the place behind it. */
static size_t
expect_head(size_t at, const char *status, size_t length)
{
	const char *head = (const char *)heard + at;
	const char *end = memmem(head, heard_length - at, "\r\n\r\n", 4);
	char field[64];

	ck_assert_ptr_nonnull(end);
	ck_assert_msg(strncmp(head, status, strlen(status)) == 0, "%.100s", head);
	snprintf(field, sizeof(field), "\r\nContent-Length: %zu\r\n", length);
	ck_assert_msg(memmem(head, (size_t)(end + 2 - head), field, strlen(field)) != NULL, "%.*s",
	    (int)(end - head), head);
	return (size_t)(end + 4 - (const char *)heard);
}

static size_t
expect_big(size_t at, size_t from, size_t length)
{
	ck_assert_uint_ge(heard_length, at + length);
	for (size_t i = 0; i < length; i++)
		if (heard[at + i] != big_byte(from + i))
			ck_abort_msg("another byte at %zu", from + i);
	return at + length;
}

static size_t
expect_text(size_t at, const char *text)
{
	ck_assert(heard_length >= at + strlen(text) && memcmp(heard + at, text, strlen(text)) == 0);
	return at + strlen(text);
}

#define GET(path, fields) "GET " path " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

START_TEST(all_replies_come_whole_and_in_order)
{
	int client;
	size_t at;

	open_seat("");
	client = ask(GET("/big", "") GET("/small", "") "HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n" GET(
	    "/none", "") GET("/big", "Range: bytes=1000-1999999\r\n") GET("/small", ""));
	hear_all(client);
	at = expect_head(0, "HTTP/1.1 200", BIG);
	at = expect_big(at, 0, BIG);
	at = expect_text(expect_head(at, "HTTP/1.1 200", 5), "small");
	at = expect_head(at, "HTTP/1.1 200", BIG);
	at = expect_text(expect_head(at, "HTTP/1.1 404", 9), "Not Found");
	at = expect_big(expect_head(at, "HTTP/1.1 206", 1999000), 1000, 1999000);
	at = expect_text(expect_head(at, "HTTP/1.1 200", 5), "small");
	ck_assert_uint_eq(at, heard_length);
	ck_assert(!ended);
	ck_assert_ptr_null(seat_only(&seat, 0)->busy);
	close(client);
	seat_turn(&seat);
	close_seat();
}
END_TEST

START_TEST(the_end_waits_for_the_file)
{
	int client;

	open_seat("");
	client = ask(GET("/big", "Connection: close\r\n"));
	shutdown(client, SHUT_WR);
	hear_all(client);
	ck_assert(ended);
	ck_assert_uint_eq(expect_big(expect_head(0, "HTTP/1.1 200", BIG), 0, BIG), heard_length);
	close(client);
	close_seat();
}
END_TEST

/* Somebody waits to be told to go on, and is not told in the middle of a file. */
START_TEST(nothing_is_said_in_the_middle)
{
	int client;
	size_t at;

	open_seat("");
	client = ask(GET("/big", "") "PUT /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
				     "Content-Length: 3\r\n\r\n");
	hear_all(client);
	at = expect_big(expect_head(0, "HTTP/1.1 200", BIG), 0, BIG);
	at = expect_text(at, "HTTP/1.1 100 Continue\r\n\r\n");
	ck_assert_uint_eq(at, heard_length);
	ck_assert_int_eq(send(client, "abc", 3, MSG_NOSIGNAL), 3);
	hear_all(client);
	(void)expect_head(at, "HTTP/1.1 405", 18);
	close(client);
	seat_turn(&seat);
	close_seat();
}
END_TEST

START_TEST(who_leaves_takes_the_file_along)
{
	int client;

	open_seat("");
	client = ask(GET("/big", ""));
	ck_assert_uint_eq(seat_worker(&seat)->files, 1);
	(void)hear(client, 1000);
	close(client);
	seat_turn(&seat);
	seat_turn(&seat);
	ck_assert_ptr_null(seat_only(&seat, 0));
	close_seat();
}
END_TEST

/* What was promised cannot be kept: the client must see that. */
START_TEST(a_file_that_becomes_shorter_ends_the_connection)
{
	char path[64];
	int client;

	open_seat("");
	client = ask(GET("/big", ""));
	snprintf(path, sizeof(path), "%s/big", root);
	ck_assert_int_eq(truncate(path, 2 << 20), 0);
	hear_all(client);
	ck_assert(ended);
	ck_assert_uint_lt(heard_length, BIG);
	ck_assert_ptr_null(seat_only(&seat, 0));
	close(client);
	close_seat();
}
END_TEST

static void
turn_for(uint64_t time)
{
	for (uint64_t until = clock_now() + time; clock_now() < until;) {
		seat_turn(&seat);
		usleep(1000);
	}
}

START_TEST(who_does_not_read_is_cut_off)
{
	int client;

	open_seat("write_timeout=60ms\n");
	client = ask(GET("/big", ""));
	turn_for(30 * CLOCK_MS);
	ck_assert_ptr_nonnull(seat_only(&seat, 0));
	turn_for(60 * CLOCK_MS);
	ck_assert_ptr_null(seat_only(&seat, 0));
	close(client);
	close_seat();
}
END_TEST

/* Never so much that the socket takes more, but enough for one who lives. */
START_TEST(who_reads_slowly_is_not)
{
	int client, size = 200 << 10;
	struct conn *conn;

	open_seat("write_timeout=60ms\n");
	heard_length = 0;
	ended = false;
	conn = seat_connect(&seat, 0, &client);
	ck_assert_int_eq(setsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	ck_assert_int_eq(send(client, GET("/big", ""), strlen(GET("/big", "")), 0),
	    (ssize_t)strlen(GET("/big", "")));
	for (int i = 0; i < 5; i++) {
		turn_for(40 * CLOCK_MS);
		ck_assert_msg(seat_only(&seat, 0) != NULL, "after %d", i);
		(void)hear(client, 70000);
	}
	hear_all(client);
	(void)expect_big(expect_head(0, "HTTP/1.1 200", BIG), 0, BIG);
	close(client);
	seat_turn(&seat);
	close_seat();
}
END_TEST

START_TEST(it_moves_when_the_file_is_gone)
{
	struct seat taker;
	struct msg_given given = {0};
	int client;

	open_seat("");
	seat_open(&taker, conf, BACKEND_EPOLL, &seat);
	client = ask(GET("/big", "") GET("/small", ""));
	seat_move(&seat, &taker, MSG_GIVE_ALL);
	for (int i = 0; i < 5; i++) {
		seat_turn(&seat);
		seat_turn(&taker);
	}
	ck_assert(!seat_given(&seat, &given));
	hear_all(client);
	for (int i = 0; i < 10; i++) {
		seat_turn(&seat);
		seat_turn(&taker);
	}
	ck_assert(seat_given(&seat, &given));
	ck_assert_uint_eq(given.moved, 1);
	while (hear(client, 1000) > 0)
		;
	(void)expect_text(
	    expect_head(expect_big(expect_head(0, "HTTP/1.1 200", BIG), 0, BIG), "HTTP/1.1 200", 5),
	    "small");
	close(client);
	seat_turn(&taker);
	seat_close(&taker);
	close_seat();
}
END_TEST

START_TEST(descriptors_of_instances_are_not_taken)
{
	const char *big = GET("/big", "");
	int other, client;
	size_t at;

	open_seat("");
	seat_worker(&seat)->fd_limit = 3; /* for two connections and one file */
	other = ask(big);
	ck_assert_uint_eq(seat_worker(&seat)->files, 1);
	client = ask(GET("/big", "") GET("/small", ""));
	hear_all(client);
	at = expect_text(expect_head(0, "HTTP/1.1 503", 19), "Service Unavailable");
	(void)expect_text(expect_head(at, "HTTP/1.1 200", 5), "small");
	close(other);
	seat_turn(&seat);
	heard_length = 0;
	ck_assert_int_eq(send(client, big, strlen(big), MSG_NOSIGNAL), (ssize_t)strlen(big));
	hear_all(client);
	(void)expect_big(expect_head(0, "HTTP/1.1 200", BIG), 0, BIG);
	close(client);
	seat_turn(&seat);
	close_seat();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conn_file");
	TCase *tcase = tcase_create("conn_file");

	tcase_add_test(tcase, all_replies_come_whole_and_in_order);
	tcase_add_test(tcase, the_end_waits_for_the_file);
	tcase_add_test(tcase, nothing_is_said_in_the_middle);
	tcase_add_test(tcase, who_leaves_takes_the_file_along);
	tcase_add_test(tcase, a_file_that_becomes_shorter_ends_the_connection);
	tcase_add_test(tcase, who_does_not_read_is_cut_off);
	tcase_add_test(tcase, who_reads_slowly_is_not);
	tcase_add_test(tcase, it_moves_when_the_file_is_gone);
	tcase_add_test(tcase, descriptors_of_instances_are_not_taken);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
