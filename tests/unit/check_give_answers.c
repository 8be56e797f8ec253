/*
 * What a taker may say to a worker that gives it connections, and what it may not: it is the test
 * that says it, over the channel's other end.
 */
#include "ipc/move.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/give_help.h"
#include "tests/unit/run_help.h"

#include <check.h>

START_TEST(who_has_no_room_is_left_alone)
{
	struct move_head head;
	int channel;

	open_both();
	connect_some(1, 3, "half a mess");
	channel = order_by_hand();
	say(channel, MOVE_CREDIT, 0, 1);
	turn_both(1);
	ck_assert_int_eq(hear_head(channel, &head), MOVE_OK);
	say(channel, MOVE_REFUSED, MOVE_NOT_NOW, 0);
	say(channel, MOVE_CREDIT, 0, 10);
	turn_both(2);
	/* It hears the end, and not the same question again. */
	ck_assert_int_eq(hear_head(channel, &head), MOVE_ENDED);
	close(channel);
	turn_both(1);
	expect_given(0, 3);
	close_both();
}
END_TEST

START_TEST(who_is_refused_for_good_is_asked_for_once)
{
	struct move_head head;
	int channel;

	open_both();
	connect_some(1, 2, "half a mess");
	channel = order_by_hand();
	say(channel, MOVE_CREDIT, 0, 10);
	turn_both(1);
	ck_assert_int_eq(hear_head(channel, &head), MOVE_OK);
	ck_assert_int_eq(hear_head(channel, &head), MOVE_OK);
	say(channel, MOVE_REFUSED, MOVE_NEVER, 0);
	say(channel, MOVE_TAKEN, 0, 1);
	turn_both(2);
	ck_assert_int_eq(hear_head(channel, &head), MOVE_ENDED);
	close(channel);
	turn_both(1);
	expect_given(1, 0);
	ck_assert_uint_eq(count(&giver), 1);
	close_both();
}
END_TEST

START_TEST(lies_are_not_believed)
{
	struct move_head head;
	int channel;

	open_both();
	connect_some(1, 2, "half a mess");
	channel = order_by_hand();
	say(channel, MOVE_CREDIT, 0, 1);
	turn_both(1);
	ck_assert_int_eq(hear_head(channel, &head), MOVE_OK);
	switch (_i) {
	case 0:
		say(channel, MOVE_TAKEN, 0, 1); /* which was never sent */
		break;
	case 1:
		say(channel, MOVE_CREDIT, 0, UINT64_MAX);
		break;
	default:
		say(channel, MOVE_TAKEN, 0, 0);
		say(channel, MOVE_TAKEN, 0, 0);
		break;
	}
	turn_both(1);
	close(channel);
	/* What it may have taken it keeps: nobody owns one twice. */
	expect_given(_i == 2, 1);
	close_both();
}
END_TEST

/* A second order while one is carried out: nothing comes of it, and the first goes on. */
START_TEST(one_order_at_a_time)
{
	struct msg_given given;
	int channel;

	open_both();
	seat_hold(&giver, 0);
	connect_some(0, 1, "one\n");
	seat_move(&giver, &taker, MSG_GIVE_ALL);
	turn_both(2);
	channel = order_by_hand();
	ck_assert(seat_given(&giver, &given));
	ck_assert_uint_eq(given.order, 7);
	ck_assert_uint_eq(given.moved, 0);
	ck_assert_uint_eq(given.rest, 1);
	close(channel);
	ck_assert(seat_answer());
	turn_both(5);
	expect_given(1, 0);
	close_both();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("give_answers");
	TCase *tcase = tcase_create("give_answers");

	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, who_has_no_room_is_left_alone);
	tcase_add_test(tcase, who_is_refused_for_good_is_asked_for_once);
	tcase_add_loop_test(tcase, lies_are_not_believed, 0, 3);
	tcase_add_test(tcase, one_order_at_a_time);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
