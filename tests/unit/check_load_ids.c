/*
 * Tests of the load generator's account where a reply names its request by an id: the order is
 * free, and all else is as strict as without ids.
 */
#include "tests/unit/load_help.h"
#include "tests/unit/run_help.h"

static enum load_found
answer_to(unsigned connection, uint32_t id, unsigned status, const char *text)
{
	return load_check_reply_to(&check, connection, id, status, text,
	    text == NULL          ? 0
	    : strlen(text) < SIZE ? strlen(text)
				  : SIZE,
	    START + CLOCK_MS);
}

START_TEST(by_id_any_order_is_right)
{
	ask(0, 3);
	for (uint32_t i = 3; i-- > 0;)
		ck_assert_int_eq(answer_to(0, i, 0, texts[0][i]), LOAD_FOUND_RIGHT);
	ck_assert(load_check_answered(&check, 0));
	ck_assert_uint_eq(check.counts.right, 3);
}
END_TEST

START_TEST(by_id_what_is_wrong)
{
	ask(0, 4);
	ask(1, 1);
	/* Another's reply, on this connection or another, and no reply at all. */
	ck_assert_int_eq(answer_to(0, 0, 0, texts[0][1]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer_to(0, 1, 0, texts[1][0]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer_to(0, 2, 0, "garbage"), LOAD_FOUND_WRONG);
	/* Nobody asked; the one that waits goes on waiting. */
	ck_assert_int_eq(answer_to(0, 4, 0, texts[0][3]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer_to(0, 0x80000000, 0, texts[0][3]), LOAD_FOUND_WRONG);
	ck_assert_int_eq(answer_to(0, 3, 0, texts[0][3]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer_to(0, 3, 0, texts[0][3]), LOAD_FOUND_DUPLICATE);
	ck_assert_int_eq(answer_to(1, 0, 0, texts[1][0]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer_to(1, 0, 0, texts[1][0]), LOAD_FOUND_DUPLICATE);
	ck_assert_uint_eq(check.waiting, 0);
	ck_assert_uint_eq(check.counts.wrong, 5);
	ck_assert_uint_eq(check.spoiled, 3);
}
END_TEST

START_TEST(by_id_errors)
{
	ask(0, 4);
	ck_assert_int_eq(answer_to(0, 1, 1, NULL), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_to(0, 0, 5, NULL), LOAD_FOUND_ERROR);
	ck_assert_int_eq(answer_to(0, 2, 3, "text"), LOAD_FOUND_WRONG); /* errors have no payload */
	ck_assert_int_eq(answer_to(0, 3, 6, NULL), LOAD_FOUND_WRONG);
	ck_assert_uint_eq(check.counts.error, 2);
	ck_assert_uint_eq(check.counts.errors[LOAD_ERROR_BUSY], 1);
	ck_assert_uint_eq(check.counts.errors[LOAD_ERROR_BAD], 1);
}
END_TEST

START_TEST(by_id_late)
{
	ask(0, 2);
	load_check_age(&check, 0, START + TIMEOUT + 1);
	ck_assert_uint_eq(check.counts.overdue, 2);
	ck_assert_int_eq(answer_to(0, 1, 0, texts[0][1]), LOAD_FOUND_LATE);
	ck_assert_int_eq(answer_to(0, 0, 2, NULL), LOAD_FOUND_LATE);
	ck_assert_uint_eq(check.counts.late, 2);
	ck_assert(load_check_may_make(&check, 0));
}
END_TEST

START_TEST(by_id_after_a_break)
{
	ask(0, 3);
	ck_assert_int_eq(answer_to(0, 1, 0, texts[0][1]), LOAD_FOUND_RIGHT);
	load_check_break(&check, 0);
	begun[0] = 0;
	ask(0, 2);
	ck_assert_int_eq(answer_to(0, 4, 0, texts[0][4]), LOAD_FOUND_RIGHT);
	ck_assert_int_eq(answer_to(0, 2, 0, texts[0][2]), LOAD_FOUND_WRONG); /* of the one before */
	ck_assert_int_eq(answer_to(0, 3, 0, texts[0][3]), LOAD_FOUND_RIGHT);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_ids");
	TCase *test = tcase_create("ids");

	tcase_add_checked_fixture(test, enter, leave);
	tcase_add_test(test, by_id_any_order_is_right);
	tcase_add_test(test, by_id_what_is_wrong);
	tcase_add_test(test, by_id_errors);
	tcase_add_test(test, by_id_late);
	tcase_add_test(test, by_id_after_a_break);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
