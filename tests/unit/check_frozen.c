/*
 * Freezing and thawing: whatever a connection is in the middle of, it goes on in the other worker
 * as if nothing had been, with the same deadlines, on every back end.
 */
#include "common/clock.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"
#include "workers/frozen.h"
#include "workers/listener.h"

#include <check.h>
#include <sys/socket.h>

#define SERVICE(name, port, protocol)                                                              \
	"[service " name "]\nlisten=127.0.0.1:" port "\nhandler=echo\nprotocol=" protocol "\n"
#define FOUR                                                                                       \
	SERVICE("line", "1", "line")                                                               \
	"pipeline=4\n" SERVICE("frame", "2", "frame")                                              \
	    SERVICE("ids", "3", "frame") "ids=yes\n" SERVICE("stream", "4", "stream")

static const enum backend backends[] = {BACKEND_EPOLL, BACKEND_POLL, BACKEND_SELECT};
static struct seat from, to;
static int client;

static void
open_both_with(const char *giver, const char *taker, enum backend backend)
{
	seat_open(&from, giver, backend, NULL);
	seat_open(&to, taker, backend, &from);
}

static void
close_both(void)
{
	while (seat_answer())
		continue;
	close(client);
	seat_close(&to);
	seat_close(&from);
}

static void
turn_both(int times)
{
	for (int i = 0; i < times; i++) {
		seat_turn(&from);
		seat_turn(&to);
	}
}

static void
say(const char *bytes, size_t length)
{
	ck_assert_int_eq(write(client, bytes, length), (ssize_t)length);
}

/* All that has come is this. */
static void
expect(const char *bytes, size_t length)
{
	char got[1024];
	ssize_t n = read(client, got, sizeof(got));

	if (n < 0)
		n = errno == EAGAIN ? 0 : n;
	ck_assert_int_eq(n, (ssize_t)length);
	ck_assert_int_eq(memcmp(got, bytes, length), 0);
}

/* The state, input and output, one behind the other; the caller frees it. */
static char *
bytes_of(const struct conn *conn, const struct buf *state)
{
	struct buf all = {0};
	char *bytes;

	buf_append(&all, buf_bytes(state), buf_length(state));
	if (conn->busy != NULL) {
		buf_append(&all, buf_bytes(&conn->busy->in), buf_length(&conn->busy->in));
		buf_append(&all, buf_bytes(&conn->busy->out), buf_length(&conn->busy->out));
	}
	bytes = calloc(buf_length(&all) + 1, 1);
	if (buf_length(&all) > 0)
		memcpy(bytes, buf_bytes(&all), buf_length(&all));
	buf_free(&all);
	return bytes;
}

/* Without a channel: the head as it was. */
static struct move_head
carry(struct conn *conn)
{
	struct buf state = {0};
	struct move_head head;
	unsigned service;
	char *bytes;
	int fd;

	ck_assert(frozen_may(conn));
	frozen_make(conn, &head, &state);
	ck_assert_int_eq(conn->state, CONN_MOVING);
	ck_assert(move_valid((const union move_packet *)&head, sizeof(head), true, true));
	ck_assert(frozen_fits(seat_worker(&to), &head, &service));
	fd = fcntl(conn->fd, F_DUPFD_CLOEXEC, 0);
	bytes = bytes_of(conn, &state);
	seat_worker(&to)->now = clock_now();
	listener_welcome(seat_service(&to, service));
	frozen_thaw(seat_worker(&to), service, &head, bytes, fd);
	frozen_let_go(conn);
	buf_free(&state);
	free(bytes);
	return head;
}

/* ---- in the middle of messages ---- */

struct talk {
	unsigned service;
	const char *says, *hears;
	size_t says_length, hears_length;
};

#define TALK(service, says, hears)                                                                 \
	{                                                                                          \
		service, says, hears, sizeof(says) - 1, sizeof(hears) - 1                          \
	}
static const struct talk talks[] = {
    TALK(0, "one\r\ntwo\n\nfour\n", "one\r\ntwo\n\nfour\n"),
    TALK(1, "\0\0\0\3one\0\0\0\0\0\0\0\1x", "\0\0\0\3one\0\0\0\0\0\0\0\1x"),
    TALK(2, "\0\0\0\7abcdone\0\0\0\4efgh", "\0\0\0\10abcd\0one\0\0\0\5efgh\0"),
    TALK(3, "some bytes\n", "some bytes\n"),
};
#define TALKS (sizeof(talks) / sizeof(talks[0]))

/* What is said is cut at each place; the connection moves there. */
START_TEST(it_moves_at_every_byte)
{
	const struct talk *talk = &talks[(size_t)_i % TALKS];
	enum backend backend = backends[(size_t)_i / TALKS];

	for (size_t cut = 0; cut <= talk->says_length; cut++) {
		open_both_with(FOUR, FOUR, backend);
		(void)seat_connect(&from, talk->service, &client);
		if (cut > 0)
			say(talk->says, cut);
		turn_both(3);
		carry(seat_only(&from, talk->service));
		turn_both(2);
		ck_assert_ptr_null(seat_only(&from, talk->service));
		if (cut < talk->says_length)
			say(talk->says + cut, talk->says_length - cut);
		turn_both(3);
		expect(talk->hears, talk->hears_length);
		/* Nothing is left of it. */
		ck_assert_ptr_null(seat_only(&to, talk->service)->busy);
		ck_assert_uint_eq(atomic_load(&stats_row(from.sum, 0)->open), 0);
		ck_assert_uint_eq(atomic_load(&stats_row(from.sum, 1)->open), 1);
		close_both();
	}
}
END_TEST

/* And back, at every byte. */
START_TEST(it_moves_all_the_time)
{
	const struct talk *talk = &talks[(size_t)_i % TALKS];
	struct seat *here = &from, *there = &to;

	open_both_with(FOUR, FOUR, backends[(size_t)_i / TALKS]);
	(void)seat_connect(&from, talk->service, &client);
	for (size_t i = 0; i < talk->says_length; i++) {
		struct seat *swap = here;

		say(talk->says + i, 1);
		if (i % 3 != 0)
			turn_both(2); /* else nobody has seen it yet */
		seat_move(here, there, MSG_GIVE_ALL);
		for (int j = 0; j < 10 && seat_worker(here)->give != NULL; j++)
			turn_both(1);
		here = there;
		there = swap;
		ck_assert_ptr_nonnull(seat_only(here, talk->service));
	}
	turn_both(3);
	expect(talk->hears, talk->hears_length);
	ck_assert_uint_eq(seat_only(here, talk->service)->requests, talk->service == 3
									? talk->says_length
								    : talk->service == 0     ? 4
								    : talk->service + 1 == 2 ? 3
											     : 2);
	close_both();
}
END_TEST

/* The client has shut its side behind half a message. */
START_TEST(half_closed)
{
	static const struct talk ends[] = {TALK(0, "rest", "rest\n"),
	    TALK(1, "\0\0\0\5res", "\0\0\0\7ERR bad"), TALK(2, "\0\0\0\7abcdo", "\0\0\0\5abcd\5"),
	    TALK(3, "rest", "rest")};
	const struct talk *talk = &ends[(size_t)_i % TALKS];
	enum backend backend = backends[(size_t)_i / TALKS];

	for (int before = 0; before < 2; before++) {
		open_both_with(FOUR, FOUR, backend);
		seat_connect(&from, talk->service, &client);
		say(talk->says, talk->says_length - 1);
		turn_both(3);
		if (before) {
			/* Both are there, nobody has looked. */
			say(talk->says + talk->says_length - 1, 1);
			shutdown(client, SHUT_WR);
		}
		carry(seat_only(&from, talk->service));
		if (!before) {
			say(talk->says + talk->says_length - 1, 1);
			shutdown(client, SHUT_WR);
		}
		turn_both(4);
		expect(talk->hears, talk->hears_length);
		ck_assert_ptr_null(seat_only(&to, talk->service)); /* answered and closed */
		close_both();
	}
}
END_TEST

/* Several are under way, more is in the buffer, and the client has shut its side. */
START_TEST(the_end_is_taken_there)
{
	open_both_with(FOUR, FOUR, backends[_i]);
	seat_hold(&from, 0);
	seat_connect(&from, 0, &client);
	say("1\n2\n3\n4\n5\n6", 11);
	shutdown(client, SHUT_WR);
	turn_both(3);
	ck_assert_uint_eq(seat_only(&from, 0)->busy->under_way, 4);
	ck_assert(!frozen_may(seat_only(&from, 0)));
	seat_move(&from, &to, MSG_GIVE_ALL);
	turn_both(3);
	while (seat_answer())
		turn_both(1);
	turn_both(5);
	expect("1\n2\n3\n4\n5\n6\n", 12);
	ck_assert_ptr_null(seat_only(&to, 0));
	ck_assert_uint_eq(atomic_load(&stats_row(from.stats[0], 1)->counters[COUNTER_requests]), 2);
	close_both();
}
END_TEST

/* ---- deadlines ---- */

START_TEST(deadlines_stay)
{
	struct move_head head;
	struct conn *conn;
	uint64_t when;

	open_both_with(FOUR, FOUR, backends[_i]);
	conn = seat_connect(&from, 0, &client);
	when = conn->wait.when;
	head = carry(conn);
	ck_assert_uint_eq(head.wait_for, MOVE_WAIT_IDLE);
	conn = seat_only(&to, 0);
	turn_both(3);
	ck_assert_ptr_eq(conn->wait.line, &seat_service(&to, 0)->idles);
	ck_assert_uint_eq(conn->wait.when, when);
	say("half", 4);
	turn_both(2);
	ck_assert_ptr_eq(conn->wait.line, &seat_service(&to, 0)->messages);
	when = conn->wait.when;
	seat_move(&to, &from, MSG_GIVE_ALL);
	turn_both(3);
	conn = seat_only(&from, 0);
	ck_assert_ptr_eq(conn->wait.line, &seat_service(&from, 0)->messages);
	ck_assert_uint_eq(conn->wait.when, when);
	say("!", 1);
	turn_both(2);
	ck_assert_uint_eq(conn->wait.when, when);
	close_both();
}
END_TEST

/* Output that the client does not take: its deadline is for what waited when it was set. */
START_TEST(the_write_deadline_stays)
{
	static char much[200001], got[1 << 20];
	uint64_t when, left;
	struct conn *conn;
	size_t all = 0;
	ssize_t n;

	open_both_with(FOUR, FOUR, backends[_i]);
	seat_connect(&from, 3, &client);
	memset(much, 'x', sizeof(much));
	conn = seat_only(&from, 3);
	for (int i = 0; i < 10000 && (conn->busy == NULL || !deadline_is_set(&conn->busy->write));
	     i++) {
		n = write(client, much, 10000);
		all += n > 0 ? (size_t)n : 0;
		turn_both(1);
	}
	ck_assert(deadline_is_set(&conn->busy->write));
	when = conn->busy->write.when;
	left = conn->busy->write_mark - conn->busy->written;
	ck_assert_uint_gt(left, 0);
	carry(conn);
	conn = seat_only(&to, 3);
	turn_both(3);
	ck_assert(conn->busy->write_pending);
	ck_assert_uint_eq(conn->busy->write.when, when);
	ck_assert_uint_eq(conn->busy->write_mark - conn->busy->written, left);
	/* Every byte comes, once. */
	for (int i = 0; i < 1000 && all > 0; i++) {
		n = read(client, got, sizeof(got));
		all -= n > 0 ? (size_t)n : 0;
		turn_both(1);
	}
	ck_assert_uint_eq(all, 0);
	turn_both(3);
	ck_assert(conn->busy == NULL || !deadline_is_set(&conn->busy->write));
	close_both();
}
END_TEST

#define SHORT "idle_timeout=20ms\nmessage_timeout=20ms\n"

static struct conn *
frozen_too_long(const char *says, struct move_head *head, struct buf *state)
{
	struct conn *conn;

	open_both_with(
	    SERVICE("a", "1", "line") SHORT, SERVICE("a", "1", "line") SHORT, BACKEND_EPOLL);
	conn = seat_connect(&from, 0, &client);
	say(says, strlen(says));
	turn_both(2);
	frozen_make(conn, head, state);
	return conn;
}

/* A deadline that passes meanwhile is over, and what came in time is read before. */
START_TEST(what_came_in_time_is_answered)
{
	struct buf state = {0};
	struct move_head head;
	struct conn *conn = frozen_too_long(_i == 0 ? "" : "h", &head, &state);

	say("i\n", 2);
	poll(NULL, 0, 25);
	seat_worker(&from)->now = clock_now();
	frozen_undo(conn, &head);
	turn_both(3);
	expect(_i == 0 ? "i\n" : "hi\n", _i == 0 ? 2 : 3);
	buf_free(&state);
	close_both();
}
END_TEST

START_TEST(what_did_not_is_cut)
{
	struct buf state = {0};
	struct move_head head;
	struct conn *conn = frozen_too_long(_i == 0 ? "" : "h", &head, &state);

	if (_i == 2)
		say("a", 1);
	poll(NULL, 0, 25);
	seat_worker(&from)->now = clock_now();
	frozen_undo(conn, &head);
	for (int i = 0; i < 5; i++) {
		turn_both(2);
		poll(NULL, 0, 1);
	}
	expect("ERR timeout\n", _i == 0 ? 0 : 12);
	conn = seat_only(&from, 0);
	ck_assert(conn == NULL || conn->state == CONN_LINGERING);
	buf_free(&state);
	close_both();
}
END_TEST

START_TEST(who_lingers_lingers_on)
{
	struct move_head head;
	struct conn *conn;
	uint64_t when;

	open_both_with(SERVICE("a", "1", "line") "max_message=3B\n",
	    SERVICE("a", "1", "line") "max_message=3B\n", backends[_i]);
	conn = seat_connect(&from, 0, &client);
	say("too large\n", 10);
	turn_both(3);
	ck_assert_int_eq(conn->state, CONN_LINGERING);
	when = conn->wait.when;
	head = carry(conn);
	ck_assert_uint_eq(head.wait_for, MOVE_WAIT_LINGER);
	conn = seat_only(&to, 0);
	turn_both(2);
	ck_assert_int_eq(conn->state, CONN_LINGERING);
	ck_assert_uint_eq(conn->wait.when, when);
	say("more of it", 10);
	turn_both(2);
	ck_assert_ptr_nonnull(seat_only(&to, 0));
	shutdown(client, SHUT_WR);
	turn_both(3);
	ck_assert_ptr_null(seat_only(&to, 0));
	expect("ERR too-large\n", 14);
	close_both();
}
END_TEST

/* ---- who fits ---- */

START_TEST(who_does_not_fit)
{
	struct buf state = {0};
	struct move_head good, head;
	struct conn *conn;
	unsigned service = 99;

	open_both_with(FOUR, SERVICE("b", "2", "line") SERVICE("line", "1", "line"), BACKEND_EPOLL);
	/* The addresses are in another order there. */
	seat_worker(&to)->listener_inodes[0] = SEAT_INODE + 1;
	seat_worker(&to)->listener_inodes[1] = SEAT_INODE;
	conn = seat_connect(&from, 0, &client);
	frozen_make(conn, &good, &state);
	ck_assert(frozen_fits(seat_worker(&to), &good, &service));
	ck_assert_uint_eq(service, 1);
	head = good;
	head.version++;
	ck_assert(!frozen_fits(seat_worker(&to), &head, &service));
	head = good;
	head.listener = SEAT_INODE + 1; /* of another service there */
	ck_assert(!frozen_fits(seat_worker(&to), &head, &service));
	head = good;
	head.listener = 1;
	ck_assert(!frozen_fits(seat_worker(&to), &head, &service));
	head = good;
	head.protocol_version++;
	ck_assert(!frozen_fits(seat_worker(&to), &head, &service));
	head = good;
	strcpy(head.protocol, "line, several");
	ck_assert(!frozen_fits(seat_worker(&to), &head, &service));
	head = good;
	strcpy(head.service, "b");
	ck_assert(!frozen_fits(seat_worker(&to), &head, &service));
	frozen_undo(conn, &good);
	say("x\n", 2);
	turn_both(2);
	expect("x\n", 2);
	buf_free(&state);
	close_both();
}
END_TEST

/* The new configuration has a smaller bound: the message is too large when it goes on there. */
START_TEST(limits_of_the_new_one_count)
{
	open_both_with(
	    SERVICE("a", "1", "line"), SERVICE("a", "1", "line") "max_message=3B\n", BACKEND_EPOLL);
	seat_connect(&from, 0, &client);
	say("longer", 6);
	turn_both(2);
	carry(seat_only(&from, 0));
	turn_both(3);
	expect("ERR too-large\n", 14);
	close_both();
}
END_TEST

/* ---- what makes no sense ---- */

START_TEST(nonsense_is_no_head)
{
	struct buf state = {0};
	struct move_head good, head;
	struct conn *conn;

	open_both_with(FOUR, FOUR, BACKEND_EPOLL);
	conn = seat_connect(&from, 0, &client);
	frozen_make(conn, &good, &state);
#define BAD(change)                                                                                \
	do {                                                                                       \
		head = good;                                                                       \
		change;                                                                            \
		ck_assert_msg(!move_valid((union move_packet *)&head, sizeof(head), true, true),   \
		    "%s", #change);                                                                \
	} while (0)
	BAD(head.wait_for = MOVE_WAIT_MESSAGE);
	BAD(head.wait_for = MOVE_WAIT_LINGER);
	BAD(head.wait_for = MOVE_WAIT_COUNT);
	BAD(head.flags |= MOVE_LINGERING);
	BAD(head.write = 1);
	BAD(head.bytes = head.state = MOVE_BYTES_MAX + 1);
	BAD(head.bytes = 1);
	BAD(head.service[0] = '\0');
	BAD(memset(head.protocol, 'x', sizeof(head.protocol)));
#undef BAD
	frozen_undo(conn, &good);
	buf_free(&state);
	close_both();
}
END_TEST

/* A state that its protocol does not understand: closed, and nothing is lost count of. */
START_TEST(nonsense_is_closed)
{
	struct buf state = {0};
	struct move_head head;
	struct conn *conn;
	char *bytes;

	open_both_with(FOUR, FOUR, BACKEND_EPOLL);
	conn = seat_connect(&from, 0, &client);
	say("half", 4);
	turn_both(2);
	frozen_make(conn, &head, &state);
	bytes = bytes_of(conn, &state);
	listener_welcome(seat_service(&to, 0));
	bytes[0] = 5; /* looked through further than it goes */
	frozen_thaw(seat_worker(&to), 0, &head, bytes, fcntl(conn->fd, F_DUPFD_CLOEXEC, 0));
	ck_assert_ptr_null(seat_only(&to, 0));
	frozen_undo(conn, &head);
	say("\n", 1);
	turn_both(2);
	expect("half\n", 5);
	buf_free(&state);
	free(bytes);
	close_both();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("frozen");
	TCase *tcase = tcase_create("frozen");
	int every = 3 * (int)TALKS;

	tcase_set_timeout(tcase, 20);
	tcase_add_loop_test(tcase, it_moves_at_every_byte, 0, every);
	tcase_add_loop_test(tcase, it_moves_all_the_time, 0, every);
	tcase_add_loop_test(tcase, half_closed, 0, every);
	tcase_add_loop_test(tcase, the_end_is_taken_there, 0, 3);
	tcase_add_loop_test(tcase, deadlines_stay, 0, 3);
	tcase_add_loop_test(tcase, the_write_deadline_stays, 0, 3);
	tcase_add_loop_test(tcase, what_came_in_time_is_answered, 0, 2);
	tcase_add_loop_test(tcase, what_did_not_is_cut, 0, 3);
	tcase_add_loop_test(tcase, who_lingers_lingers_on, 0, 3);
	tcase_add_test(tcase, who_does_not_fit);
	tcase_add_test(tcase, limits_of_the_new_one_count);
	tcase_add_test(tcase, nonsense_is_no_head);
	tcase_add_test(tcase, nonsense_is_closed);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
