/*
 * Tests of the schedule of a fixed rate: when each request is due, and how many are at any time.
 */
#include "common/clock.h"
#include "ctl/load_run.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <string.h>

#define ORIGIN (3 * CLOCK_SECOND + 7)

static const struct load_frequency rates[] = {
    {.count = 1, .per = CLOCK_SECOND},
    {.count = 3, .per = CLOCK_SECOND},
    {.count = 1000, .per = CLOCK_SECOND},
    {.count = 7, .per = 60 * CLOCK_SECOND},
    {.count = 999983, .per = CLOCK_SECOND},
    {.count = 10000000, .per = 60 * CLOCK_SECOND},
};

static struct load_options options;
static struct load_run run;

static void
begin(const struct load_frequency *rate, uint64_t made)
{
	memset(&run, 0, sizeof(run));
	options.rate = *rate;
	run.options = &options;
	run.rate.origin = ORIGIN;
	run.rate.made = made;
}

START_TEST(each_is_owed_from_when_it_is_due)
{
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t due;

		begin(&rates[_i], i * i);
		due = load_rate_take(&run, UINT64_MAX);
		run.rate.made = i * i;
		ck_assert_uint_ge(due, ORIGIN);
		ck_assert_uint_eq(load_rate_owed(&run, due), 1);
		ck_assert_uint_eq(load_rate_owed(&run, due - 1), 0);
	}
}
END_TEST

START_TEST(no_error_adds_up)
{
	const struct load_frequency *rate = &rates[_i];

	/* After a year, to the nanosecond. */
	begin(rate, 525600 * 60 * CLOCK_SECOND / rate->per * rate->count);
	ck_assert_uint_eq(load_rate_take(&run, UINT64_MAX), ORIGIN + 525600 * 60 * CLOCK_SECOND);
}
END_TEST

START_TEST(what_waits_is_owed_and_lateness_remembered)
{
	begin(&rates[2], 0);
	ck_assert_uint_eq(load_rate_owed(&run, ORIGIN + 300 * CLOCK_MS), 301);
	ck_assert_uint_eq(load_rate_take(&run, ORIGIN + 300 * CLOCK_MS), ORIGIN);
	ck_assert_uint_eq(load_rate_take(&run, ORIGIN + 300 * CLOCK_MS), ORIGIN + CLOCK_MS);
	ck_assert_uint_eq(load_rate_owed(&run, ORIGIN + 300 * CLOCK_MS), 299);
	ck_assert_uint_eq(run.rate.behind, 300 * CLOCK_MS);
}
END_TEST

START_TEST(nothing_is_owed_before_the_beginning)
{
	begin(&rates[2], 0);
	run.rate.origin = 0;
	ck_assert_uint_eq(load_rate_owed(&run, ORIGIN), 0);
	memset(&options, 0, sizeof(options)); /* no rate at all */
	ck_assert_uint_eq(load_rate_take(&run, 42), 42);
	ck_assert_uint_eq(run.rate.made, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_rate");
	TCase *test = tcase_create("rate");
	int rows = sizeof(rates) / sizeof(rates[0]);

	tcase_add_loop_test(test, each_is_owed_from_when_it_is_due, 0, rows);
	tcase_add_loop_test(test, no_error_adds_up, 0, rows);
	tcase_add_test(test, what_waits_is_owed_and_lateness_remembered);
	tcase_add_test(test, nothing_is_owed_before_the_beginning);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
