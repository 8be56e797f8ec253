/* Tests of the latency histogram: every percentile is right to better than one percent. */
#include "ctl/load_histogram.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct load_histogram histogram;

static void
clear(void)
{
	memset(&histogram, 0, sizeof(histogram));
}

static void
assert_close(uint64_t got, uint64_t wanted)
{
	uint64_t off = got > wanted ? got - wanted : wanted - got;

	ck_assert_msg(
	    off <= wanted / 100, "%ju is not close to %ju", (uintmax_t)got, (uintmax_t)wanted);
}

START_TEST(empty_is_zero)
{
	ck_assert_uint_eq(load_histogram_percentile(&histogram, 50), 0);
	ck_assert_uint_eq(load_histogram_percentile(&histogram, 100), 0);
}
END_TEST

START_TEST(single_values_come_back)
{
	/* Around every power of two, where buckets change their width. */
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int step = -1; step <= 1; step++) {
			uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)step;

			clear();
			load_histogram_add(&histogram, value);
			assert_close(load_histogram_percentile(&histogram, 50), value);
			ck_assert_uint_eq(histogram.largest, value);
		}
	}
	clear();
	load_histogram_add(&histogram, UINT64_MAX);
	assert_close(load_histogram_percentile(&histogram, 50), UINT64_MAX);
}
END_TEST

START_TEST(neighbours_stay_in_order)
{
	uint64_t before = 0;

	for (uint64_t value = 1; value < UINT64_MAX / 3; value += value / 50 + 1) {
		uint64_t got;

		clear();
		load_histogram_add(&histogram, value);
		got = load_histogram_percentile(&histogram, 100);
		assert_close(got, value);
		ck_assert_uint_ge(got, before);
		before = got;
	}
}
END_TEST

START_TEST(percentiles_of_a_ramp)
{
	for (uint64_t value = 1; value <= 100000; value++)
		load_histogram_add(&histogram, value * 1000);
	ck_assert_uint_eq(histogram.count, 100000);
	assert_close(load_histogram_percentile(&histogram, 50), 50000000);
	assert_close(load_histogram_percentile(&histogram, 90), 90000000);
	assert_close(load_histogram_percentile(&histogram, 99), 99000000);
	assert_close(load_histogram_percentile(&histogram, 99.9), 99900000);
	assert_close(load_histogram_percentile(&histogram, 100), 100000000);
	assert_close(load_histogram_percentile(&histogram, 0), 1000);
}
END_TEST

START_TEST(percentiles_count_from_the_smallest)
{
	/* Small values have a bucket each, so these are exact. */
	for (unsigned value = 1; value <= 10; value++)
		load_histogram_add(&histogram, value);
	ck_assert_uint_eq(load_histogram_percentile(&histogram, 50), 5);
	ck_assert_uint_eq(load_histogram_percentile(&histogram, 51), 6);
	ck_assert_uint_eq(load_histogram_percentile(&histogram, 90), 9);
	ck_assert_uint_eq(load_histogram_percentile(&histogram, 91), 10);
	ck_assert_uint_eq(load_histogram_percentile(&histogram, 99.9), 10);
}
END_TEST

START_TEST(no_percentile_above_the_largest)
{
	load_histogram_add(&histogram, 1000000);
	load_histogram_add(&histogram, 1000001);
	ck_assert_uint_le(load_histogram_percentile(&histogram, 100), 1000001);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_histogram");
	TCase *test = tcase_create("histogram");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(test, clear, NULL);
	tcase_add_test(test, empty_is_zero);
	tcase_add_test(test, single_values_come_back);
	tcase_add_test(test, neighbours_stay_in_order);
	tcase_add_test(test, percentiles_of_a_ramp);
	tcase_add_test(test, percentiles_count_from_the_smallest);
	tcase_add_test(test, no_percentile_above_the_largest);
	suite_add_tcase(suite, test);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
