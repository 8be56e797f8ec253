/*
 * Tests of the picture of latency: its ranges hold everything, and its bars fit the width.
 */
#include "ctl/load_histogram.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <string.h>

static struct histogram histogram;

static void
setup(void)
{
	memset(&histogram, 0, sizeof(histogram));
}

/* The ranges join, are few, and hold what was counted. */
static unsigned
assert_whole(void)
{
	struct load_histogram_row rows[LOAD_HISTOGRAM_ROWS];
	unsigned count = load_histogram_rows(&histogram, rows);
	uint64_t sum = 0;

	ck_assert_uint_le(count, LOAD_HISTOGRAM_ROWS);
	for (unsigned i = 0; i < count; i++) {
		sum += rows[i].count;
		ck_assert_uint_lt(rows[i].from, rows[i].to);
		if (i > 0)
			ck_assert_uint_eq(rows[i].from, rows[i - 1].to);
	}
	ck_assert_uint_eq(sum, histogram.count);
	if (count > 0)
		ck_assert(rows[0].count > 0 && rows[count - 1].count > 0);
	return count;
}

START_TEST(nothing_has_no_ranges)
{
	ck_assert_uint_eq(assert_whole(), 0);
}
END_TEST

START_TEST(one_value_has_one)
{
	histogram_add(&histogram, 12345);
	ck_assert_uint_eq(assert_whole(), 1);
}
END_TEST

START_TEST(all_values_fit)
{
	for (unsigned shift = 0; shift < 64; shift++)
		histogram_add(&histogram, (UINT64_C(1) << shift) - 1);
	ck_assert_uint_gt(assert_whole(), LOAD_HISTOGRAM_ROWS / 3);
}
END_TEST

START_TEST(a_narrow_range_is_drawn_finely)
{
	for (uint64_t value = 100000; value < 200000; value += 100)
		histogram_add(&histogram, value);
	ck_assert_uint_gt(assert_whole(), 7);
}
END_TEST

START_TEST(bars_fit_the_width)
{
	char text[8192];
	FILE *out = fmemopen(text, sizeof(text), "w");
	size_t longest = 0;

	ck_assert_ptr_nonnull(out);
	for (uint64_t value = 1000; value < 100000000; value += 1000)
		histogram_add(&histogram, value);
	load_histogram_print(&histogram, 72, false, out);
	fclose(out);
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
		longest = (size_t)(end - line) > longest ? (size_t)(end - line) : longest;
	ck_assert_uint_eq(longest, 72);
	ck_assert_ptr_nonnull(strchr(text, '#'));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_histogram");
	TCase *test = tcase_create("histogram");

	tcase_add_checked_fixture(test, setup, NULL);
	tcase_add_test(test, nothing_has_no_ranges);
	tcase_add_test(test, one_value_has_one);
	tcase_add_test(test, all_values_fit);
	tcase_add_test(test, a_narrow_range_is_drawn_finely);
	tcase_add_test(test, bars_fit_the_width);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
