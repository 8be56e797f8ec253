/*
 * Tests of the account that the load generator keeps: every way a reply that comes in order can be
 * right or not, and that a request has exactly one outcome whatever a server does. Requests without
 * a reply are in check_load_lost.c, replies by id in check_load_ids.c.
 */
#include "tests/unit/load_help.h"
#include "tests/unit/run_help.h"

#include <stdlib.h>

START_TEST(replies_in_order_are_right)
{
	ask(0, DEPTH);
	ck_assert(!load_check_may_make(&check, 0));
	for (unsigned i = 0; i < DEPTH; i++)
		ck_assert_int_eq(answer(0, texts[0][i]), LOAD_FOUND_RIGHT);
	ck_assert(load_check_answered(&check, 0));
	ck_assert(load_check_may_make(&check, 0));
	ck_assert_uint_eq(check.counts.right, DEPTH);
	ck_assert_uint_eq(check.waiting, 0);
	ck_assert_uint_eq(check.latency.max, CLOCK_MS);
}
END_TEST

START_TEST(rings_go_round)
{
	for (unsigned i = 0; i < 50; i++) {
		ask(1, 2);
		ck_assert_int_eq(answer(1, texts[1][2 * i]), LOAD_FOUND_RIGHT);
		ck_assert_int_eq(answer(1, texts[1][2 * i + 1]), LOAD_FOUND_RIGHT);
	}
	ck_assert_uint_eq(check.counts.right, 100);
}
END_TEST

START_TEST(garbage_takes_the_oldest)
{
	ask(0, 2);
	ck_assert_int_eq(answer_text(0, "garbage"), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_RIGHT);
	ck_assert_uint_eq(check.counts.wrong, 1);
}
END_TEST

START_TEST(the_reply_after_garbage_is_no_duplicate)
{
	ask(0, 2);
	ck_assert_int_eq(answer_text(0, "garbage"), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_RIGHT);
	ck_assert_uint_eq(check.counts.duplicate, 0);
}
END_TEST

START_TEST(swapped_replies_are_one_mistake)
{
	ask(0, 4);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer(0, texts[0][2]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer(0, texts[0][3]), LOAD_FOUND_RIGHT);
	ck_assert(load_check_answered(&check, 0));
	ck_assert_uint_eq(check.waiting, 0);
}
END_TEST

START_TEST(early_reply_twice_is_a_duplicate)
{
	ask(0, 3);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_DUPLICATE);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer(0, texts[0][2]), LOAD_FOUND_RIGHT);
}
END_TEST

START_TEST(duplicates_take_nothing)
{
	ask(0, 2);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_DUPLICATE);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_DUPLICATE);
	ck_assert_uint_eq(check.counts.duplicate, 2);
}
END_TEST

START_TEST(duplicate_on_another_connection)
{
	ask(0, 1);
	ask(1, 1);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer(1, texts[0][0]), LOAD_FOUND_DUPLICATE);
	ck_assert_int_eq(answer(1, texts[1][0]), LOAD_FOUND_RIGHT);
}
END_TEST

START_TEST(connections_that_swap_replies)
{
	ask(0, 1);
	ask(1, 1);
	ck_assert_int_eq(answer(0, texts[1][0]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer(1, texts[0][0]), LOAD_FOUND_WRONG);
	ck_assert(load_check_answered(&check, 0));
	ck_assert(load_check_answered(&check, 1));
	ck_assert_uint_eq(check.counts.wrong, 2);
}
END_TEST

START_TEST(unasked_replies_are_wrong)
{
	make_at(0, 1, START); /* made, but not a byte has left */
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer_text(0, "ERR busy"), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer_text(1, ""), LOAD_FOUND_WRONG);
	ck_assert_uint_eq(check.counts.error, 0);
	ck_assert_uint_eq(check.waiting, 1);
	begun[0] = 1;
	load_check_sent(&check, 0, 1);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_RIGHT);
}
END_TEST

START_TEST(connections_that_do_not_exist)
{
	static const unsigned numbers[] = {CONNECTIONS, 1000, LOAD_MESSAGE_CONNECTION_MAX};
	char text[SIZE];

	ask(0, 3);
	for (size_t i = 0; i < 3; i++) {
		load_message_write(&check.message, numbers[i], 0, text);
		ck_assert_int_eq(answer(0, text), LOAD_FOUND_WRONG);
	}
}
END_TEST

START_TEST(errors_by_kind)
{
	ask(0, DEPTH);
	ck_assert_int_eq(answer_text(0, "ERR busy"), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_text(0, "ERR timeout"), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_text(0, "ERR failed"), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_text(0, "ERR too-large"), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_text(0, "ERR bad"), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_text(0, "ERR "), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_text(0, "ERR busyness"), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_text(0, "ERR"), LOAD_FOUND_WRONG);
	for (unsigned i = 0; i < LOAD_ERROR_OTHER; i++)
		ck_assert_uint_eq(check.counts.errors[i], 1);
	ck_assert_uint_eq(check.counts.errors[LOAD_ERROR_OTHER], 2);
	ck_assert_str_eq(load_check_error_text(LOAD_ERROR_TOO_LARGE), "too-large");
}
END_TEST

START_TEST(stray_replies)
{
	ask(0, 1);
	ck_assert_int_eq(answer_text(0, "what?"), LOAD_FOUND_WRONG); /* its outcome */
	ck_assert_uint_eq(load_check_stray(&check), 0);
	ck_assert_int_eq(answer_text(0, "what?"), LOAD_FOUND_WRONG); /* unasked */
	ck_assert_uint_eq(load_check_stray(&check), 1);
	ask(0, 1);
	load_check_age(&check, 0, START + TIMEOUT + 1);
	ck_assert_int_eq(answer_text(0, "what?"), LOAD_FOUND_WRONG); /* to an overdue one */
	ck_assert_uint_eq(load_check_stray(&check), 2);
	ck_assert_uint_eq(check.counts.requests, 2);
}
END_TEST

/* Replies that do not tell whose they are. */
START_TEST(replies_without_a_message)
{
	uint64_t now = START + CLOCK_MS;

	make_at(0, 1, START);
	ck_assert_int_eq(load_check_any(&check, 0, now), LOAD_FOUND_WRONG); /* nothing was sent */
	ck_assert_int_eq(load_check_error(&check, 0, LOAD_ERROR_BUSY, now), LOAD_FOUND_WRONG);
	begun[0] = 1;
	load_check_sent(&check, 0, 1);
	ask(0, 3);
	ck_assert_int_eq(load_check_any(&check, 0, now), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(load_check_error(&check, 0, LOAD_ERROR_BUSY, now), LOAD_FOUND_ERROR);
	ck_assert_int_eq(load_check_wrong(&check, 0, now), LOAD_FOUND_WRONG);
	ck_assert_int_eq(load_check_any(&check, 0, START + TIMEOUT + 1), LOAD_FOUND_LATE);
	ck_assert_int_eq(load_check_any(&check, 0, now), LOAD_FOUND_WRONG);
	ck_assert_uint_eq(check.counts.errors[LOAD_ERROR_BUSY], 1);
	ck_assert_uint_eq(check.counts.wrong, 4);
	ck_assert_uint_eq(load_check_stray(&check), 3);
	ck_assert_uint_eq(check.waiting, 0);
}
END_TEST

/* ERR is a word of lines and frames; a body that begins with it is as wrong as any other.
 */
START_TEST(bodies_have_no_errors)
{
	ask(0, 2);
	ck_assert_int_eq(load_check_body(&check, 0, "ERR busy", 8, START), LOAD_FOUND_WRONG);
	ck_assert_int_eq(load_check_body(&check, 0, texts[0][1], SIZE, START), LOAD_FOUND_RIGHT);
	ck_assert_uint_eq(check.counts.error, 0);
}
END_TEST

/* Anything in any order: the sums must come out. The seed is shown when they do not. */
START_TEST(random_servers)
{
	uint64_t now = START;

	srand((unsigned)_i);
	for (unsigned step = 0; step < 400; step++) {
		unsigned c = (unsigned)rand() % CONNECTIONS, other = (unsigned)rand() % CONNECTIONS;
		uint64_t back = (uint64_t)(rand() % 6);

		now += (uint64_t)(rand() % 20) * CLOCK_MS;
		if (made[c] < 100 && load_check_may_make(&check, c)) {
			load_check_make(&check, c, now, texts[c][made[c]++]);
			if (rand() % 3)
				load_check_sent(&check, c, ++begun[c]);
		}
		if (rand() % 2 && made[other] > back)
			load_check_reply(
			    &check, c, texts[other][made[other] - 1 - back], SIZE, now);
		if (rand() % 10 == 0)
			load_check_reply(&check, c, "ERR busy", 8, now);
		if (rand() % 10 == 0)
			load_check_reply(&check, c, "what?", 5, now);
		if (rand() % 10 == 0)
			load_check_age(&check, c, now);
		if (rand() % 20 == 0)
			load_check_any(&check, c, now);
		if (rand() % 20 == 0)
			load_check_wrong(&check, c, now);
		if (rand() % 40 == 0) {
			load_check_break(&check, c);
			begun[c] = 0;
		}
		ck_assert_uint_le(check.waiting, CONNECTIONS * DEPTH);
	}
	for (unsigned c = 0; c < CONNECTIONS; c++)
		load_check_break(&check, c);
	ck_assert_uint_eq(check.waiting, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_check");
	TCase *test = tcase_create("check");

	tcase_add_checked_fixture(test, enter, leave);
	tcase_add_test(test, replies_in_order_are_right);
	tcase_add_test(test, rings_go_round);
	tcase_add_test(test, garbage_takes_the_oldest);
	tcase_add_test(test, the_reply_after_garbage_is_no_duplicate);
	tcase_add_test(test, swapped_replies_are_one_mistake);
	tcase_add_test(test, early_reply_twice_is_a_duplicate);
	tcase_add_test(test, duplicates_take_nothing);
	tcase_add_test(test, duplicate_on_another_connection);
	tcase_add_test(test, connections_that_swap_replies);
	tcase_add_test(test, unasked_replies_are_wrong);
	tcase_add_test(test, connections_that_do_not_exist);
	tcase_add_test(test, errors_by_kind);
	tcase_add_test(test, stray_replies);
	tcase_add_test(test, replies_without_a_message);
	tcase_add_test(test, bodies_have_no_errors);
	tcase_add_loop_test(test, random_servers, 0, 50);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
