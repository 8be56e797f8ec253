/* Tests of the histogram: every bucket has its bounds, every percentile is right to 1.6 percent. */
#include "common/histogram.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NARROW 1024                    /* below this all buckets are 32 ns wide */
#define LAST   (UINT64_C(1) << 47)     /* what is longer counts as that */
#define DAY    (UINT64_C(86400) << 30) /* more than a day of nanoseconds */
#define RANDOM 100000

static struct histogram histogram;

static void
clear(void)
{
	memset(&histogram, 0, sizeof(histogram));
}

static void
assert_close(uint64_t got, uint64_t wanted)
{
	uint64_t off = got > wanted ? got - wanted : wanted - got;

	ck_assert_msg(off <= 16 || off <= wanted / 64, "%ju is not close to %ju", (uintmax_t)got,
	    (uintmax_t)wanted);
}

/* Any number of bits is as likely as any other. */
static uint64_t
random_value(unsigned *seed)
{
	uint64_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 16 ^ (uint64_t)rand_r(seed) >> 4;
	return value >> (17 + rand_r(seed) % 47); /* below 2^47 */
}

START_TEST(empty_is_zero)
{
	ck_assert_uint_eq(histogram_percentile(&histogram, 50), 0);
	ck_assert_uint_eq(histogram_percentile(&histogram, 100), 0);
}
END_TEST

/* The buckets lie side by side, and both ends of each belong to it. */
START_TEST(bounds)
{
	ck_assert_uint_eq(histogram_lower(0), 0);
	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		uint64_t lower = histogram_lower(i), upper = histogram_upper(i);

		ck_assert_uint_lt(lower, upper);
		ck_assert_uint_eq(histogram_index(lower), i);
		ck_assert_uint_eq(histogram_index(upper - 1), i);
		if (i + 1 < HISTOGRAM_SIZE)
			ck_assert_uint_eq(histogram_index(upper), i + 1);
		if (lower >= NARROW)
			ck_assert_uint_le(upper - lower, lower / 32);
		else
			ck_assert_uint_eq(upper - lower, 32);
	}
	ck_assert_uint_eq(histogram_upper(HISTOGRAM_SIZE - 1), LAST);
	ck_assert_uint_gt(LAST, DAY);
}
END_TEST

START_TEST(too_long_is_counted_last)
{
	ck_assert_uint_eq(histogram_index(LAST), HISTOGRAM_SIZE - 1);
	ck_assert_uint_eq(histogram_index(UINT64_MAX), HISTOGRAM_SIZE - 1);
	histogram_add(&histogram, UINT64_MAX);
	ck_assert_uint_eq(histogram.max, UINT64_MAX);
	ck_assert_uint_eq(histogram.buckets[HISTOGRAM_SIZE - 1], 1);
}
END_TEST

START_TEST(random_values_come_back)
{
	unsigned seed = 1;

	for (int i = 0; i < RANDOM; i++) {
		uint64_t value = random_value(&seed);
		unsigned index = histogram_index(value);
		uint64_t middle = (histogram_lower(index) + histogram_upper(index)) / 2;

		ck_assert_uint_ge(value, histogram_lower(index));
		ck_assert_uint_lt(value, histogram_upper(index));
		assert_close(middle, value);
	}
}
END_TEST

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against the values themselves, sorted. */
START_TEST(percentiles_of_random_values)
{
	static const double percents[] = {0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
	static uint64_t values[RANDOM];
	unsigned seed = 2;
	uint64_t sum = 0;

	for (int i = 0; i < RANDOM; i++) {
		values[i] = random_value(&seed);
		sum += values[i];
		histogram_add(&histogram, values[i]);
	}
	qsort(values, RANDOM, sizeof(values[0]), compare);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		double place = percents[i] / 100 * RANDOM;
		size_t index = (size_t)place - ((double)(size_t)place >= place);

		assert_close(histogram_percentile(&histogram, percents[i]), values[index]);
	}
	ck_assert_uint_eq(histogram.count, RANDOM);
	ck_assert_uint_eq(histogram.sum, sum);
	ck_assert_uint_eq(histogram.max, values[RANDOM - 1]);
}
END_TEST

START_TEST(percentiles_of_a_ramp)
{
	for (uint64_t value = 1; value <= 100000; value++)
		histogram_add(&histogram, value * 1000);
	ck_assert_uint_eq(histogram.count, 100000);
	assert_close(histogram_percentile(&histogram, 50), 50000000);
	assert_close(histogram_percentile(&histogram, 90), 90000000);
	assert_close(histogram_percentile(&histogram, 99), 99000000);
	assert_close(histogram_percentile(&histogram, 99.9), 99900000);
	assert_close(histogram_percentile(&histogram, 100), 100000000);
	assert_close(histogram_percentile(&histogram, 0), 1000);
}
END_TEST

START_TEST(percentiles_count_from_the_smallest)
{
	for (unsigned i = 1; i <= 10; i++)
		histogram_add(&histogram, i * 32); /* a bucket each */
	ck_assert_uint_eq(histogram_percentile(&histogram, 50), 5 * 32 + 16);
	ck_assert_uint_eq(histogram_percentile(&histogram, 51), 6 * 32 + 16);
	ck_assert_uint_eq(histogram_percentile(&histogram, 90), 9 * 32 + 16);
	ck_assert_uint_eq(histogram_percentile(&histogram, 91), 10 * 32);
	ck_assert_uint_eq(histogram_percentile(&histogram, 99.9), 10 * 32);
}
END_TEST

START_TEST(no_percentile_above_the_largest)
{
	histogram_add(&histogram, 1000000);
	histogram_add(&histogram, 1000001);
	ck_assert_uint_le(histogram_percentile(&histogram, 100), 1000001);
	clear();
	histogram_add(&histogram, 0);
	ck_assert_uint_eq(histogram_percentile(&histogram, 50), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("histogram");
	TCase *test = tcase_create("histogram");

	tcase_add_checked_fixture(test, clear, NULL);
	tcase_add_test(test, empty_is_zero);
	tcase_add_test(test, bounds);
	tcase_add_test(test, too_long_is_counted_last);
	tcase_add_test(test, random_values_come_back);
	tcase_add_test(test, percentiles_of_random_values);
	tcase_add_test(test, percentiles_of_a_ramp);
	tcase_add_test(test, percentiles_count_from_the_smallest);
	tcase_add_test(test, no_percentile_above_the_largest);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
