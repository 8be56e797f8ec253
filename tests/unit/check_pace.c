/* Tests of the pace: cheap programs get many messages at once, dear and moody ones get one. */
#include "tests/unit/run_help.h"
#include "workers/pace.h"

#include <check.h>
#include <stdlib.h>

#define US   1000
#define MS   1000000
#define MOST 32

static struct pace pace;

static void
setup(void)
{
	pace = (struct pace){0};
}

static void
note(uint64_t elapsed, unsigned replies, unsigned times)
{
	while (times-- > 0)
		pace_note(&pace, elapsed, elapsed, replies);
}

/* Messages of a whole lease. */
static unsigned
lease(void)
{
	return pace_room(&pace, 0, 0, 0, MOST);
}

/* Messages of a whole lease after as many single replies, each after that long. */
static unsigned
lease_after(uint64_t elapsed, unsigned times)
{
	note(elapsed, 1, times);
	return lease();
}

START_TEST(test_nothing_is_known)
{
	ck_assert_uint_eq(lease(), 1);
	ck_assert_uint_eq(pace_room(&pace, 1, 0, 0, MOST), 0);
	ck_assert_uint_eq(pace_room(&pace, 1, 1, 0, MOST), 0);
	ck_assert_uint_gt(pace_guess(&pace), PACE_BUDGET);
}
END_TEST

START_TEST(test_cheap)
{
	/* The first one paid for the start. */
	ck_assert_uint_eq(lease_after(30 * MS, 1), 1);
	ck_assert_uint_eq(lease_after(10 * US, 1000), MOST);
	ck_assert_uint_eq(pace_room(&pace, 30, 0, 0, MOST), 2);
	ck_assert_uint_eq(pace_room(&pace, 30, 30, 0, MOST), 2);
	ck_assert_uint_eq(pace_room(&pace, MOST, 0, 0, MOST), 0);
	/* Many at once count as many. */
	note(100 * US, 10, 100);
	ck_assert_uint_eq(lease(), MOST);
	ck_assert_uint_lt(pace_guess(&pace), 12 * US);
	note(1000 * US, 100, 10);
	ck_assert_uint_lt(pace_guess(&pace), 12 * US);
}
END_TEST

START_TEST(test_dear)
{
	ck_assert_uint_eq(lease_after(5 * MS, 1), 1);
	ck_assert_uint_eq(lease_after(5 * MS, 1000), 1);
	ck_assert_uint_eq(pace_room(&pace, 1, 1, 0, MOST), 0);
}
END_TEST

/* How much care is taken: the first one counts half of itself as its deviation, times four. */
START_TEST(test_care)
{
	note(20 * US, 1, 1);
	ck_assert_uint_eq(pace_guess(&pace), 60 * US + 1);
	ck_assert_uint_eq(lease(), 16);
	ck_assert_uint_eq(pace_room(&pace, 17, 0, 0, MOST), 0);
	/* Two at once, each as before: the deviation is a third of what it was. */
	note(40 * US, 2, 1);
	ck_assert_uint_eq(pace_guess(&pace), 20 * US + 4 * 10 * US / 3 + 1);
}
END_TEST

/* Who looks only now and then believes what he guessed, unless that cannot be. */
START_TEST(test_between_two_looks)
{
	/* Nothing was guessed yet: the worse. */
	pace_note(&pace, 0, 300 * US, 1);
	ck_assert_uint_eq(pace_guess(&pace), 900 * US + 1);
	/* It may have been so: what is not contradicted deviates less and less. */
	for (unsigned i = 0; i < 1000; i++)
		pace_note(&pace, 100 * US, 900 * US, 1);
	ck_assert_uint_eq(pace_guess(&pace), 300 * US + 1);
	/* It was faster, it was slower: no more of it than is sure. */
	for (unsigned i = 0; i < 1000; i++)
		pace_note(&pace, 0, 400 * US, 2);
	ck_assert_uint_ge(pace_guess(&pace), 200 * US);
	ck_assert_uint_le(pace_guess(&pace), 201 * US);
	for (unsigned i = 0; i < 1000; i++)
		pace_note(&pace, 250 * US, 900 * US, 1);
	ck_assert_uint_ge(pace_guess(&pace), 249 * US);
	ck_assert_uint_le(pace_guess(&pace), 251 * US);
	/* Cheap or dear, seldom looked at: one who is dear is found out all the same. */
	setup();
	note(10 * US, 1, 1000);
	pace_note(&pace, 5 * MS - 300 * US, 5 * MS, 1);
	ck_assert_uint_le(lease(), 3);
}
END_TEST

/* What is done in a quarter of the budget is not worth dividing. */
START_TEST(test_bundle)
{
	ck_assert_uint_eq(pace_bundle(&pace, MOST), 0);
	note(5 * US, 1, 1000);
	ck_assert_uint_eq(pace_bundle(&pace, MOST), MOST);
	note(25 * US, 1, 1000);
	ck_assert_uint_ge(pace_bundle(&pace, MOST), 9);
	ck_assert_uint_le(pace_bundle(&pace, MOST), 10);
	note(300 * US, 1, 1000);
	ck_assert_uint_eq(pace_bundle(&pace, MOST), 0);
	note(0, 1, 3000);
	ck_assert_uint_eq(pace_bundle(&pace, MOST), MOST);
}
END_TEST

/* The whole lease fits into the budget, and nothing more than that. */
START_TEST(test_between)
{
	ck_assert_uint_eq(lease_after(300 * US, 1000), 3);
	ck_assert_uint_eq(lease_after(400 * US, 1000), 2);
	ck_assert_uint_eq(lease_after(501 * US, 1000), 1);
}
END_TEST

START_TEST(test_becomes_dear)
{
	note(10 * US, 1, 1000);
	ck_assert_uint_le(lease_after(5 * MS, 1), 2);
	ck_assert_uint_eq(lease_after(5 * MS, 1), 1);
}
END_TEST

START_TEST(test_becomes_cheap)
{
	note(5 * MS, 1, 1000);
	ck_assert_uint_ge(lease_after(10 * US, 700), 16);
}
END_TEST

/* Mostly cheap, sometimes dear: one by one, or nearly so. */
START_TEST(test_moody)
{
	for (unsigned i = 0; i < 5000; i++) {
		note(i % 10 == 0 ? 5 * MS : 10 * US, 1, 1);
		if (i > 100)
			ck_assert_uint_eq(lease(), 1);
	}
	setup();
	for (unsigned i = 0; i < 5000; i++) {
		note(i % 100 == 0 ? 5 * MS : 10 * US, 1, 1);
		ck_assert_uint_le(lease(), 3);
	}
}
END_TEST

/* A dear one now and then is forgotten: it may have been the machine. */
START_TEST(test_forgets)
{
	note(10 * US, 1, 1000);
	note(5 * MS, 1, 1);
	ck_assert_uint_ge(lease_after(10 * US, 400), 16);
}
END_TEST

/* Behind one that runs already, only as many as fit into the rest of the time. */
START_TEST(test_running)
{
	note(20 * US, 1, 1000);
	ck_assert_uint_eq(pace_room(&pace, 1, 1, 0, MOST), MOST - 1);
	ck_assert_uint_eq(pace_room(&pace, 1, 1, 250 * US, MOST), MOST - 1);
	/* It should have been answered long ago: nobody is put behind it. */
	ck_assert_uint_eq(pace_room(&pace, 1, 1, 300 * US, MOST), 0);
	ck_assert_uint_le(pace_room(&pace, 1, 30, 840 * US, MOST), 0);
	/* 49 fit into the budget, 24 into half of it: as many less as are inside. */
	ck_assert_uint_eq(pace_room(&pace, 10, 20, 500 * US, MOST), 4);
	ck_assert_uint_eq(pace_room(&pace, 10, 12, 480 * US, MOST), 13);
	ck_assert_uint_eq(pace_room(&pace, 10, 24, 500 * US, MOST), 0);
	ck_assert_uint_eq(pace_room(&pace, 10, 30, 500 * US, MOST), 0);
	ck_assert_uint_eq(pace_room(&pace, 1, 1, MS, MOST), 0);
	ck_assert_uint_eq(pace_room(&pace, 1, 1, UINT64_MAX, MOST), 0);
}
END_TEST

START_TEST(test_extremes)
{
	ck_assert_uint_eq(lease_after(0, 1000), MOST);
	ck_assert_uint_eq(lease_after(UINT64_MAX, 1), 1);
	setup();
	note(UINT64_MAX, 4000000000U, 3);
	ck_assert_uint_eq(lease(), 1);
	ck_assert_uint_eq(pace_room(&pace, 0, 0, 0, 0), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pace");
	TCase *cases = tcase_create("pace");

	tcase_add_checked_fixture(cases, setup, NULL);
	tcase_add_test(cases, test_nothing_is_known);
	tcase_add_test(cases, test_cheap);
	tcase_add_test(cases, test_dear);
	tcase_add_test(cases, test_care);
	tcase_add_test(cases, test_between);
	tcase_add_test(cases, test_between_two_looks);
	tcase_add_test(cases, test_bundle);
	tcase_add_test(cases, test_becomes_dear);
	tcase_add_test(cases, test_becomes_cheap);
	tcase_add_test(cases, test_moody);
	tcase_add_test(cases, test_forgets);
	tcase_add_test(cases, test_running);
	tcase_add_test(cases, test_extremes);
	suite_add_tcase(suite, cases);
	return help_run(suite);
}
