/*
 * A worker gives connections and another one takes them, both of the real parts and in this
 * process: who goes, who waits for an answer first, what holds nobody up, and what becomes of all
 * when the channel fails.
 */
#include "common/clock.h"
#include "ipc/chan.h"
#include "ipc/move.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/give_help.h"
#include "tests/unit/run_help.h"
#include "workers/take.h"

#include <check.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* ---- a channel that fails ---- */

static int failing;       /* the errno of sendmsg(2); 0: it works */
static unsigned succeeds; /* so many times before */
static bool lying;        /* the next TAKEN is said of another connection */

/* Whether it was a TAKEN, which then is told wrong. */
static bool
lie(int fd, const struct msghdr *mh, int flags, ssize_t *sent)
{
	struct move_answer answer;
	struct iovec iov = {.iov_base = &answer, .iov_len = sizeof(answer)};
	struct msghdr wrong = {.msg_iov = &iov, .msg_iovlen = 1};

	if (mh->msg_iov[0].iov_len != sizeof(answer))
		return false;
	memcpy(&answer, mh->msg_iov[0].iov_base, sizeof(answer));
	if (answer.type != MOVE_TAKEN)
		return false;
	answer.number += MANY;
	*sent = syscall(SYS_sendmsg, fd, &wrong, flags);
	return true;
}

ssize_t
sendmsg(int fd, const struct msghdr *mh, int flags)
{
	ssize_t sent;

	if (lying && lie(fd, mh, flags, &sent)) {
		lying = false;
		return sent;
	}
	if (failing != 0 && succeeds-- == 0) {
		errno = failing;
		failing = 0;
		return -1;
	}
	return syscall(SYS_sendmsg, fd, mh, flags);
}

/* ---- who goes ---- */

START_TEST(all_go)
{
	open_both();
	connect_some(0, MANY, "");
	connect_some(1, MANY, "half a mess");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	turn_both(20);
	expect_given(2 * MANY, 0);
	ck_assert_uint_eq(count(&giver), 0);
	ck_assert_uint_eq(count(&taker), 2 * MANY);
	ck_assert_uint_eq(stats_open(giver.sum), 2 * MANY);
	for (int i = 0; i < client_count; i++)
		ck_assert_int_eq(write(clients[i], "age\n", 4), 4);
	turn_both(3);
	for (int i = 0; i < client_count; i++)
		expect(clients[i], i < MANY ? "age\n" : "half a message\n");
	ck_assert_uint_eq(stats_row(giver.stats[0], 0)->counters[COUNTER_accepted], MANY);
	ck_assert_uint_eq(stats_row(giver.stats[0], 0)->counters[COUNTER_closed], 0);
	ck_assert_uint_eq(stats_row(giver.stats[0], 1)->counters[COUNTER_accepted], 0);
	close_both();
}
END_TEST

START_TEST(so_many_go)
{
	open_both();
	connect_some(0, MANY, "");
	seat_move(&giver, &taker, 30);
	turn_both(5);
	expect_given(30, MANY - 30);
	ck_assert_uint_eq(count(&taker), 30);
	close_both();
}
END_TEST

START_TEST(who_asks_goes_with_the_answer)
{
	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 1, "one\n");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	turn_both(5);
	ck_assert_uint_eq(count(&taker), 0);
	ck_assert_int_eq(write(clients[0], "two\n", 4), 4);
	turn_both(5);
	ck_assert(seat_answer());
	ck_assert(!seat_answer()); /* the second message was not taken */
	turn_both(5);
	expect_given(1, 0);
	expect(clients[0], "one\ntwo\n");
	close_both();
}
END_TEST

/*
 * Whose deadline comes first goes first, whoever came first: the taker has them in a line by time,
 * and many thousands that come in another order would cost it seconds.
 */
START_TEST(idle_ones_go_by_their_deadlines)
{
	const struct conn *conn, *before = NULL;
	unsigned seen = 0;

	open_both();
	connect_some(0, MANY, "");
	for (int i = 0; i < MANY; i++) {
		ck_assert_int_eq(write(clients[i * 37 % MANY], "x\n", 2), 2);
		turn_both(1);
	}
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	turn_both(10);
	expect_given(MANY, 0);
	TAILQ_FOREACH (conn, &seat_service(&taker, 0)->conns, in_service) {
		ck_assert(before == NULL || before->wait.when <= conn->wait.when);
		before = conn;
		seen++;
	}
	ck_assert_uint_eq(seen, MANY);
	close_both();
}
END_TEST

/* However many have a request under way: the worker sleeps until one is answered. */
START_TEST(waiting_costs_nothing)
{
	open_both();
	seat_hold(&giver, 0);
	connect_some(0, MANY, "one\n");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	turn_both(10);
	ck_assert_uint_eq(count(&giver), MANY);
	ck_assert(give_may_sleep(seat_worker(&giver)));
	while (seat_answer())
		turn_both(1);
	turn_both(5);
	expect_given(MANY, 0);
	close_both();
}
END_TEST

START_TEST(nobody_is_behind_those_who_wait)
{
	open_both();
	seat_hold(&giver, 0);
	connect_some(0, MANY, "one\n");
	connect_some(1, 5, "");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	turn_both(10);
	ck_assert_uint_eq(count(&taker), 5);
	close_both();
}
END_TEST

/* An order for a few is not held up by those of them who wait long: others may go. */
START_TEST(an_order_for_a_few_ends)
{
	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 10, "one\n");
	connect_some(1, 20, "");
	for (int i = 0; i < 4 && count(&taker) < 20; i++) {
		struct msg_given given;

		seat_move(&giver, &taker, 10);
		for (int j = 0; j < 10 && seat_worker(&giver)->give != NULL; j++) {
			turn_both(5);
			give_tick(seat_worker(&giver));
		}
		turn_both(2);
		ck_assert(seat_given(&giver, &given));
	}
	ck_assert_uint_eq(count(&taker), 20);
	/* Nobody stays marked: who waited is served on. */
	ck_assert_int_eq(write(clients[0], "two\n", 4), 4);
	turn_both(2);
	while (seat_answer())
		turn_both(1);
	turn_both(2);
	expect(clients[0], "one\ntwo\n");
	close_both();
}
END_TEST

START_TEST(who_closes_is_not_waited_for)
{
	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 3, "one\n");
	connect_some(1, 3, "");
	seat_move(&giver, &taker, 5);
	turn_both(5);
	ck_assert_uint_eq(count(&taker), 3);
	ck_assert(shutdown(clients[0], SHUT_RDWR) == 0); /* it waited, and is in nobody's way */
	turn_both(5);
	ck_assert_uint_eq(count(&giver), 2);
	while (seat_answer())
		turn_both(2);
	turn_both(5);
	expect_given(5, 0);
	close_both();
}
END_TEST

/* ---- time ---- */

/* Who sends a message slowly gets no more time by asking something else before it moves. */
START_TEST(no_message_begins_anew)
{
	struct conn *conn;
	uint64_t when;

	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 1, "one\ntw");
	conn = seat_only(&giver, 0);
	ck_assert_ptr_eq(conn->wait.line, &seat_service(&giver, 0)->messages);
	when = conn->wait.when;
	for (int i = 0; i < 3; i++) {
		struct seat *from = i % 2 == 0 ? &giver : &taker,
			    *to = i % 2 == 0 ? &taker : &giver;

		seat_move(from, to, MSG_GIVE_ALL);
		turn_both(3);
		(void)seat_answer();
		/* It sends on meanwhile. */
		ck_assert_int_eq(write(clients[0], "o", 1), 1);
		turn_both(5);
		conn = seat_only(to, 0);
		ck_assert_ptr_nonnull(conn);
		ck_assert_ptr_eq(conn->wait.line, &seat_service(to, 0)->messages);
		ck_assert_uint_eq(conn->wait.when, when);
	}
	close_both();
}
END_TEST

/* Nor does one who is taken back, or who was only marked. */
START_TEST(no_mark_begins_it_anew)
{
	struct conn *conn;
	uint64_t when;

	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 1, "one\ntw");
	conn = seat_only(&giver, 0);
	when = conn->wait.when;
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	turn_both(2);
	ck_assert_int_eq(write(clients[0], "o", 1), 1);
	turn_both(3);
	give_stop(seat_worker(&giver));
	turn_both(3);
	expect_given(0, 1);
	ck_assert_ptr_eq(conn->wait.line, &seat_service(&giver, 0)->messages);
	ck_assert_uint_eq(conn->wait.when, when);
	close_both();
}
END_TEST

/* ---- channels that fail ---- */

/* An errno that nobody thought of: what was not sent whole goes on here. */
START_TEST(what_cannot_be_sent_stays)
{
	open_both();
	connect_some(1, 3, "half a mess");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	seat_turn(&taker);
	failing = EMSGSIZE;
	succeeds = (unsigned)_i; /* heads and bytes in turn */
	turn_both(10);
	ck_assert_int_eq(failing, 0);
	ck_assert_ptr_null(seat_worker(&giver)->give);
	ck_assert_uint_eq(count(&giver) + count(&taker), 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(write(clients[i], "age\n", 4), 4);
	turn_both(3);
	for (int i = 0; i < 3; i++)
		expect(clients[i], "half a message\n");
	close_both();
}
END_TEST

/* A taker that cannot say TAKEN does not take, and the giver hears so. */
START_TEST(what_cannot_be_said_was_not_taken)
{
	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 1, "one\n"); /* so that the giver does not end by itself */
	connect_some(1, 1, "half a mess");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	seat_turn(&taker);
	seat_turn(&giver);
	failing = EMSGSIZE;
	succeeds = 0;
	seat_turn(&taker);
	ck_assert_int_eq(failing, 0);
	turn_both(5);
	expect_given(0, 2);
	ck_assert_uint_eq(count(&giver), 2);
	ck_assert_int_eq(write(clients[1], "age\n", 4), 4);
	turn_both(3);
	expect(clients[1], "half a message\n");
	close_both();
}
END_TEST

START_TEST(a_full_channel_is_waited_for)
{
	open_both();
	connect_some(1, 3, "half a mess");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	seat_turn(&taker);
	failing = EAGAIN;
	succeeds = (unsigned)_i;
	turn_both(10);
	expect_given(3, 0);
	ck_assert_uint_eq(count(&taker), 3);
	close_both();
}
END_TEST

/* Of another version the taker knows nothing but that it refuses: it does not wait for the rest. */
START_TEST(refused_before_it_is_whole)
{
	static char much[100000];
	struct move_head head;
	int channel, client;

	open_both();
	client = connect_one(1, "");
	memset(much, 'x', sizeof(much));
	for (size_t sent = 0; sent < 60000;) {
		ssize_t n = write(client, much, 60000 - sent);

		sent += n > 0 ? (size_t)n : 0;
		turn_both(1);
	}
	channel = order_by_hand();
	/* So little room that it takes the head and one piece. */
	ck_assert_int_eq(setsockopt(channel, SOL_SOCKET, SO_RCVBUF, &(int){0}, sizeof(int)), 0);
	say(channel, MOVE_CREDIT, 0, 2);
	failing = EAGAIN;
	succeeds = 1;
	seat_turn(&giver);
	ck_assert_int_eq(failing, 0);
	ck_assert_int_eq(hear_head(channel, &head), MOVE_OK);
	say(channel, MOVE_REFUSED, MOVE_NEVER, 0);
	turn_both(3);
	ck_assert_int_eq(hear_head(channel, &head), MOVE_ENDED);
	close(channel);
	turn_both(2);
	expect_given(0, 0); /* it stays */
	ck_assert_uint_eq(count(&giver), 1);
	close_both();
}
END_TEST

/*
 * The giver lives and closes its end, because the taker broke the rules; the taker takes that end
 * for a death, and owns what it has whole. So the giver must not; what is half sent stays with it.
 */
START_TEST(who_breaks_the_rules_makes_no_second_owner)
{
	static char much[60000];
	unsigned half = (unsigned)_i;

	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 1, "one\n"); /* so that the giver does not end by itself */
	connect_some(1, 2, "half a mess");
	memset(much, 'x', sizeof(much));
	ck_assert_int_gt(write(clients[2], much, sizeof(much)), 32768 * (int)half);
	turn_both(3);
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	/* A head and a piece of the first one; of the second a head alone, or all. */
	failing = half ? EAGAIN : 0;
	succeeds = 3;
	seat_turn(&giver);
	ck_assert_int_eq(failing, 0);
	lying = true;
	seat_turn(&taker);
	ck_assert(!lying);
	turn_both(5);
	ck_assert_uint_eq(count(&taker), 2 - half);
	ck_assert_uint_eq(count(&giver), 1 + half);
	expect_given(0, 1 + half);
	ck_assert_int_eq(write(clients[1], "age\n", 4), 4);
	turn_both(3);
	expect(clients[1], "half a message\n");
	close_both();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("give");
	TCase *tcase = tcase_create("give");

	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, all_go);
	tcase_add_test(tcase, so_many_go);
	tcase_add_test(tcase, who_asks_goes_with_the_answer);
	tcase_add_test(tcase, idle_ones_go_by_their_deadlines);
	tcase_add_test(tcase, waiting_costs_nothing);
	tcase_add_test(tcase, nobody_is_behind_those_who_wait);
	tcase_add_test(tcase, an_order_for_a_few_ends);
	tcase_add_test(tcase, who_closes_is_not_waited_for);
	tcase_add_test(tcase, no_message_begins_anew);
	tcase_add_test(tcase, no_mark_begins_it_anew);
	tcase_add_loop_test(tcase, what_cannot_be_sent_stays, 0, 6);
	tcase_add_test(tcase, what_cannot_be_said_was_not_taken);
	tcase_add_loop_test(tcase, a_full_channel_is_waited_for, 0, 6);
	tcase_add_test(tcase, refused_before_it_is_whole);
	tcase_add_loop_test(tcase, who_breaks_the_rules_makes_no_second_owner, 0, 2);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
