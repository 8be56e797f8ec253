/* When things are started again: delays, rates and crash loops, with a clock of our own. */
#include "daemon/backoff.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#define MS CLOCK_MS

START_TEST(delays_double_up_to_a_limit)
{
	ck_assert_uint_eq(backoff_delay(0), 0);
	ck_assert_uint_eq(backoff_delay(1), 100 * MS);
	ck_assert_uint_eq(backoff_delay(2), 200 * MS);
	ck_assert_uint_eq(backoff_delay(9), 25600 * MS);
	ck_assert_uint_eq(backoff_delay(10), 30000 * MS);
	ck_assert_uint_eq(backoff_delay(4000000000u), 30000 * MS);
}
END_TEST

START_TEST(rate_bounds_every_second)
{
	struct backoff_rate rate;
	uint64_t now = 5 * CLOCK_SECOND;

	backoff_rate_open(&rate, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_le(backoff_rate_time(&rate), now);
		backoff_rate_note(&rate, now + (uint64_t)i * 100 * MS);
	}
	/* The fourth waits until the first is a second old, the fifth for the second. */
	ck_assert_uint_eq(backoff_rate_time(&rate), now + CLOCK_SECOND);
	backoff_rate_note(&rate, now + CLOCK_SECOND);
	ck_assert_uint_eq(backoff_rate_time(&rate), now + 1100 * MS);
	backoff_rate_close(&rate);
}
END_TEST

START_TEST(rate_of_nothing_is_one)
{
	struct backoff_rate rate;

	backoff_rate_open(&rate, 0);
	backoff_rate_note(&rate, CLOCK_SECOND);
	ck_assert_uint_eq(backoff_rate_time(&rate), 2 * CLOCK_SECOND);
	backoff_rate_close(&rate);
}
END_TEST

START_TEST(first_restart_is_immediate_then_it_waits)
{
	struct backoff_loop loop = {0};
	uint64_t now = 10 * CLOCK_SECOND;

	ck_assert(!backoff_loop_death(&loop, now, now - 50 * MS, false));
	ck_assert_uint_eq(loop.not_before, now);
	ck_assert(!backoff_loop_is_on(&loop));

	now += 50 * MS;
	ck_assert_msg(backoff_loop_death(&loop, now, now - 10 * MS, false), "the loop begins here");
	ck_assert_uint_eq(loop.not_before, now + 100 * MS);

	now += 150 * MS;
	ck_assert_msg(!backoff_loop_death(&loop, now, now - 10 * MS, false), "and is told once");
	ck_assert_uint_eq(loop.not_before, now + 200 * MS);
	ck_assert(backoff_loop_is_on(&loop));
}
END_TEST

START_TEST(crowd_that_dies_together_is_one_failure)
{
	struct backoff_loop loop = {0};
	uint64_t now = 10 * CLOCK_SECOND;

	for (uint64_t i = 0; i < 20; i++)
		ck_assert(!backoff_loop_death(&loop, now + i * MS, now - CLOCK_SECOND, false));
	ck_assert_uint_eq(loop.streak, 1);
}
END_TEST

START_TEST(good_reply_between_is_no_loop)
{
	struct backoff_loop loop = {0};
	uint64_t now = 10 * CLOCK_SECOND;

	for (int i = 1; i < 50; i++) {
		now += 10 * MS;
		ck_assert(!backoff_loop_death(&loop, now, now - 5 * MS, true));
		ck_assert_uint_eq(loop.not_before, now);
	}
	ck_assert(!backoff_loop_is_on(&loop));
}
END_TEST

START_TEST(good_reply_ends_a_loop_and_is_told_once)
{
	struct backoff_loop loop = {0};
	uint64_t now = 10 * CLOCK_SECOND;

	for (int i = 0; i < 5; i++, now += 100 * MS)
		backoff_loop_death(&loop, now, now - MS, false);
	ck_assert(backoff_loop_is_on(&loop));
	ck_assert(!backoff_loop_look(&loop, false));
	ck_assert(backoff_loop_look(&loop, true));
	ck_assert(!backoff_loop_look(&loop, true));
	ck_assert_uint_eq(loop.not_before, 0);
}
END_TEST

START_TEST(long_life_ends_a_streak)
{
	struct backoff_loop loop = {0};
	uint64_t now = 100 * CLOCK_SECOND;

	for (int i = 0; i < 5; i++, now += 100 * MS)
		backoff_loop_death(&loop, now, now - MS, false);
	now += 90 * CLOCK_SECOND;
	ck_assert(!backoff_loop_death(&loop, now, now - 61 * CLOCK_SECOND, false));
	ck_assert_uint_eq(loop.streak, 1);
	ck_assert_uint_eq(loop.not_before, now);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("backoff");
	TCase *tests = tcase_create("backoff");

	tcase_add_test(tests, delays_double_up_to_a_limit);
	tcase_add_test(tests, rate_bounds_every_second);
	tcase_add_test(tests, rate_of_nothing_is_one);
	tcase_add_test(tests, first_restart_is_immediate_then_it_waits);
	tcase_add_test(tests, crowd_that_dies_together_is_one_failure);
	tcase_add_test(tests, good_reply_between_is_no_loop);
	tcase_add_test(tests, good_reply_ends_a_loop_and_is_told_once);
	tcase_add_test(tests, long_life_ends_a_streak);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
