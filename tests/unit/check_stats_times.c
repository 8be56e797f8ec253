/* Tests of the times in a reply: what a daemon told comes back, and so does what lies between. */
#include "ctl/reply.h"
#include "ctl/stats_times.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* As the daemon tells them; the percentiles do not matter here. */
static json_t *
tell(const struct histogram *times, unsigned merged)
{
	json_t *buckets = json_array();

	for (unsigned first = 0; first < HISTOGRAM_SIZE; first += merged) {
		json_int_t count = 0;

		for (unsigned i = first; i < first + merged; i++)
			count += (json_int_t)times->buckets[i];
		if (count > 0)
			json_array_append_new(
			    buckets, json_pack("[I, I]",
					 (json_int_t)histogram_upper(first + merged - 1), count));
	}
	return json_pack("{s:I, s:I, s:I, s:o}", "count", (json_int_t)times->count, "sum",
	    (json_int_t)times->sum, "max", (json_int_t)times->max, "buckets", buckets);
}

static struct histogram told, found;

static void
clear(void)
{
	memset(&told, 0, sizeof(told));
}

START_TEST(the_same_comes_back)
{
	json_t *now;

	for (uint64_t value = 1; value < UINT64_C(1) << 46; value += value / 70 + 1)
		histogram_add(&told, value);
	histogram_add(&told, 0);
	now = tell(&told, 1);
	stats_times_read(&found, now, NULL);
	ck_assert_mem_eq(&found, &told, sizeof(told));
	json_decref(now);
}
END_TEST

START_TEST(nothing)
{
	json_t *now = tell(&told, 1);

	stats_times_read(&found, now, NULL);
	ck_assert_mem_eq(&found, &told, sizeof(told));
	stats_times_read(&found, now, now);
	ck_assert_uint_eq(found.count, 0);
	ck_assert_uint_eq(found.max, 0);
	json_decref(now);
}
END_TEST

START_TEST(an_interval_forgets_what_was_before)
{
	json_t *before, *now;

	for (int i = 0; i < 1000; i++)
		histogram_add(&told, 5000000000);
	before = tell(&told, 1);
	for (int i = 0; i < 10; i++)
		histogram_add(&told, 20000000);
	now = tell(&told, 1);
	stats_times_read(&found, now, before);
	ck_assert_uint_eq(found.count, 10);
	ck_assert_uint_eq(found.sum, 200000000);
	ck_assert_uint_ge(found.max, 20000000);
	ck_assert_uint_le(found.max, 20000000 + 20000000 / 32);
	ck_assert_uint_ge(histogram_percentile(&found, 99), 19600000);
	ck_assert_uint_le(histogram_percentile(&found, 99), 20400000);
	/* The other way round, as after a restart: nothing is less than nothing. */
	stats_times_read(&found, before, now);
	ck_assert_uint_eq(found.count, 0);
	ck_assert_uint_eq(found.sum, 0);
	json_decref(before);
	json_decref(now);
}
END_TEST

/* A daemon with very many buckets tells neighbours as one. */
START_TEST(merged_buckets)
{
	json_t *before, *now;

	for (uint64_t value = 1000000; value < 2000000; value += 1000)
		histogram_add(&told, value);
	before = tell(&told, 1);
	for (uint64_t value = 1000000; value < 2000000; value += 1000)
		histogram_add(&told, value);
	now = tell(&told, 8);
	stats_times_read(&found, now, NULL);
	ck_assert_uint_eq(found.count, 2000);
	ck_assert_uint_ge(histogram_percentile(&found, 50), 1400000);
	ck_assert_uint_le(histogram_percentile(&found, 50), 1700000);
	stats_times_read(&found, now, before);
	ck_assert_uint_le(found.count, 2000);
	ck_assert_uint_ge(found.count, 1000);
	json_decref(before);
	json_decref(now);
}
END_TEST

/* What else a reply may hold: counts only, and no crash whatever they are. */
START_TEST(strange_counts)
{
	static const struct reply_field fields[] = {
	    {"buckets", REPLY_PAIRS, NULL}, {NULL, REPLY_TEXT, NULL}};
	static const char *const wrong[] = {"{}", "{\"buckets\":5}", "{\"buckets\":[5]}",
	    "{\"buckets\":[[1]]}", "{\"buckets\":[[1,-1]]}", "{\"buckets\":[[1,2,3]]}",
	    "{\"buckets\":[[1,\"2\"]]}", "{\"buckets\":[{}]}"};
	json_t *now = json_loads("{\"count\":1,\"sum\":0,\"max\":9223372036854775807,"
				 "\"buckets\":[[0,3],[9223372036854775807,9223372036854775807]]}",
	    0, NULL);

	ck_assert_ptr_eq(reply_check(now, fields), NULL);
	stats_times_read(&found, now, NULL);
	ck_assert_uint_eq(found.buckets[0], 3);
	ck_assert_uint_eq(found.buckets[HISTOGRAM_SIZE - 1], INT64_MAX);
	json_decref(now);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *object = json_loads(wrong[i], 0, NULL);
		char *why = reply_check(object, fields);

		ck_assert_msg(why != NULL, "%s is good", wrong[i]);
		free(why);
		json_decref(object);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stats_times");
	TCase *test = tcase_create("times");

	tcase_add_checked_fixture(test, clear, NULL);
	tcase_add_test(test, the_same_comes_back);
	tcase_add_test(test, nothing);
	tcase_add_test(test, an_interval_forgets_what_was_before);
	tcase_add_test(test, merged_buckets);
	tcase_add_test(test, strange_counts);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
