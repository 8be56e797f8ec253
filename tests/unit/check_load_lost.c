/*
 * Tests of the load generator's account: requests whose reply is overdue, late or never comes,
 * because the connection broke or because they were not sent.
 */
#include "tests/unit/load_help.h"
#include "tests/unit/run_help.h"

START_TEST(reply_in_the_last_moment)
{
	ask(0, 2);
	ck_assert_int_eq(answer_at(0, texts[0][0], START + TIMEOUT), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer_at(0, texts[0][1], START + TIMEOUT + 1), LOAD_FOUND_LATE);
	ck_assert_uint_eq(check.counts.overdue, 1);
	ck_assert_uint_eq(check.counts.late, 1);
	ck_assert_uint_eq(check.waiting, 0);
}
END_TEST

START_TEST(overdue_blocks_until_answered)
{
	ask(0, 2);
	ck_assert_uint_eq(load_check_age(&check, 0, START + TIMEOUT), TIMEOUT);
	ck_assert_uint_eq(check.counts.overdue, 0);
	ck_assert_uint_eq(load_check_age(&check, 0, START + TIMEOUT + 1), TIMEOUT + 1);
	load_check_age(&check, 0, START + TIMEOUT + 2);
	ck_assert_uint_eq(check.counts.overdue, 2);
	ck_assert_uint_eq(check.waiting, 0);
	ck_assert(!load_check_may_make(&check, 0));
	ck_assert_int_eq(answer_at(0, texts[0][0], START + 2 * TIMEOUT), LOAD_FOUND_LATE);
	ck_assert(!load_check_may_make(&check, 0));
	ck_assert_int_eq(answer_at(0, texts[0][1], START + 2 * TIMEOUT), LOAD_FOUND_LATE);
	ck_assert(load_check_may_make(&check, 0));
	ck_assert_uint_eq(load_check_age(&check, 0, START + 3 * TIMEOUT), 0);
}
END_TEST

START_TEST(overdue_errors_and_garbage_stay_overdue)
{
	ask(0, 3);
	load_check_age(&check, 0, START + TIMEOUT + 1);
	ck_assert_int_eq(answer_text(0, "ERR timeout"), LOAD_FOUND_LATE);
	ck_assert_uint_eq(check.counts.error, 0);
	ck_assert_uint_eq(check.counts.overdue, 3);
	load_check_break(&check, 0);
	ck_assert_uint_eq(check.counts.broken, 0);
}
END_TEST

/* The clock of the caller may have been read before the request was made. */
START_TEST(requests_from_the_future_are_young)
{
	make_at(0, 1, START + CLOCK_MS);
	load_check_sent(&check, 0, 1);
	ck_assert_uint_eq(load_check_age(&check, 0, START), 0);
	ck_assert_uint_eq(check.counts.overdue, 0);
}
END_TEST

START_TEST(broken_and_unsent)
{
	make_at(0, 5, START);
	load_check_sent(&check, 0, 3);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_RIGHT);
	load_check_break(&check, 0);
	ck_assert_uint_eq(check.counts.sent, 3);
	ck_assert_uint_eq(check.counts.broken, 2);
	ck_assert_uint_eq(check.counts.unsent, 2);
	ck_assert_uint_eq(check.waiting, 0);
	ck_assert(load_check_answered(&check, 0));
}
END_TEST

START_TEST(early_reply_is_not_broken)
{
	ask(0, 3);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_WRONG);
	load_check_break(&check, 0);
	ck_assert_uint_eq(check.counts.broken, 2);
}
END_TEST

START_TEST(after_a_break_numbers_go_on)
{
	ask(0, 3);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_RIGHT);
	load_check_break(&check, 0);
	begun[0] = 0;
	ask(0, 2);
	ck_assert_uint_eq(check.counts.sent, 5);
	ck_assert_int_eq(answer(0, texts[0][0]), LOAD_FOUND_DUPLICATE);
	ck_assert_int_eq(answer(0, texts[0][1]), LOAD_FOUND_WRONG); /* it had no reply before */
	ck_assert_int_eq(answer(0, texts[0][4]), LOAD_FOUND_RIGHT);
}
END_TEST

START_TEST(broken_on_a_new_connection)
{
	ask(0, 2);
	load_check_break(&check, 0);
	ck_assert_uint_eq(check.counts.broken_new, 2);
	begun[0] = 0;
	ask(0, 2); /* the next one answers, then breaks */
	ck_assert_int_eq(answer(0, texts[0][2]), LOAD_FOUND_RIGHT);
	load_check_break(&check, 0);
	ck_assert_uint_eq(check.counts.broken, 3);
	ck_assert_uint_eq(check.counts.broken_new, 2);
	begun[0] = 0;
	ask(0, 2); /* an answer out of turn is one too */
	ck_assert_int_eq(answer(0, texts[0][5]), LOAD_FOUND_WRONG);
	load_check_break(&check, 0);
	ck_assert_uint_eq(check.counts.broken_new, 2);
	begun[0] = 0;
	ask(0, 1);
	ck_assert_int_eq(answer_text(0, "ERR busy"), LOAD_FOUND_ERROR);
	ask(0, 1);
	load_check_break(&check, 0);
	ck_assert_uint_eq(check.counts.broken_new, 2);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_lost");
	TCase *test = tcase_create("lost");

	tcase_add_checked_fixture(test, enter, leave);
	tcase_add_test(test, reply_in_the_last_moment);
	tcase_add_test(test, overdue_blocks_until_answered);
	tcase_add_test(test, overdue_errors_and_garbage_stay_overdue);
	tcase_add_test(test, requests_from_the_future_are_young);
	tcase_add_test(test, broken_and_unsent);
	tcase_add_test(test, early_reply_is_not_broken);
	tcase_add_test(test, after_a_break_numbers_go_on);
	tcase_add_test(test, broken_on_a_new_connection);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
