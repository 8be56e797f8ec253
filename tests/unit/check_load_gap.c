/*
 * Tests of the longest gap: how long it was, and when it began.
 */
#include "ctl/load_gap.h"
#include "tests/unit/run_help.h"

#include <check.h>

static struct load_gap gap;

static void
see(const uint64_t *times, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		load_gap_see(&gap, times[i]);
}

START_TEST(nothing_seen_is_one_gap)
{
	load_gap_begin(&gap, 1000);
	load_gap_see(&gap, 1700);
	ck_assert_uint_eq(gap.longest, 700);
	ck_assert_uint_eq(gap.since, 1000);
}
END_TEST

START_TEST(the_longest_one_is_kept_with_its_beginning)
{
	static const uint64_t times[] = {1010, 1100, 1350, 1400, 1500};

	load_gap_begin(&gap, 1000);
	see(times, 5);
	ck_assert_uint_eq(gap.longest, 250);
	ck_assert_uint_eq(gap.since, 1100);
}
END_TEST

START_TEST(the_first_of_equals_stays)
{
	static const uint64_t times[] = {1050, 1150, 1250, 1350};

	load_gap_begin(&gap, 1000);
	see(times, 4);
	ck_assert_uint_eq(gap.longest, 100);
	ck_assert_uint_eq(gap.since, 1050);
}
END_TEST

START_TEST(time_does_not_run_backwards)
{
	static const uint64_t times[] = {1100, 1040, 1120};

	load_gap_begin(&gap, 1000);
	see(times, 3);
	ck_assert_uint_eq(gap.longest, 100);
	ck_assert_uint_eq(gap.last, 1120);
}
END_TEST

START_TEST(what_was_before_the_beginning_is_forgotten)
{
	static const uint64_t times[] = {1900};

	load_gap_begin(&gap, 1000);
	see(times, 1);
	load_gap_begin(&gap, 2000);
	load_gap_see(&gap, 2010);
	ck_assert_uint_eq(gap.longest, 10);
	ck_assert_uint_eq(gap.since, 2000);
}
END_TEST

START_TEST(a_gap_belongs_to_the_slice_in_which_it_began)
{
	static const uint64_t times[] = {1010, 1030, 1099, 1400, 1405, 1450};

	gap.width = 100;
	load_gap_begin(&gap, 1000);
	see(times, 6);
	ck_assert_uint_eq(gap.count, 5);
	ck_assert_uint_eq(gap.slices[0], 301);
	for (unsigned i = 1; i < 4; i++)
		ck_assert_uint_eq(gap.slices[i], 0);
	ck_assert_uint_eq(gap.slices[4], 45);
	load_gap_begin(&gap, 2000);
	ck_assert_uint_eq(gap.count, 0);
	load_gap_see(&gap, 2001);
	ck_assert_uint_eq(gap.slices[0], 1);
	load_gap_free(&gap);
}
END_TEST

START_TEST(slices_are_bounded)
{
	gap.width = 1;
	load_gap_begin(&gap, 0);
	load_gap_see(&gap, UINT64_MAX / 2);
	load_gap_see(&gap, UINT64_MAX);
	ck_assert_uint_eq(gap.count, LOAD_GAP_SLICES);
	ck_assert_uint_eq(gap.slices[0], UINT64_MAX / 2);
	ck_assert_uint_eq(gap.slices[LOAD_GAP_SLICES - 1], UINT64_MAX - UINT64_MAX / 2);
	load_gap_free(&gap);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_gap");
	TCase *test = tcase_create("gap");

	tcase_add_test(test, nothing_seen_is_one_gap);
	tcase_add_test(test, the_longest_one_is_kept_with_its_beginning);
	tcase_add_test(test, the_first_of_equals_stays);
	tcase_add_test(test, time_does_not_run_backwards);
	tcase_add_test(test, what_was_before_the_beginning_is_forgotten);
	tcase_add_test(test, a_gap_belongs_to_the_slice_in_which_it_began);
	tcase_add_test(test, slices_are_bounded);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
