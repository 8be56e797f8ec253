/* Deadlines behind one timer: in order of time, however they come and go. */
#include "common/clock.h"
#include "tests/unit/run_help.h"
#include "workers/deadline.h"

#include <event2/event.h>

#include <stdlib.h>

#define MANY 200
#define LATE (3600 * CLOCK_SECOND) /* so long that none comes due by itself */

static struct event_base *base;
static struct deadline_line line;
static struct deadline deadlines[MANY];
static uint64_t now;
static unsigned due[MANY], dues;

static void
line_on_due(struct deadline *deadline)
{
	due[dues++] = (unsigned)(deadline - deadlines);
}

static void
line_open(void)
{
	base = event_base_new();
	deadline_open(&line, base, &now, line_on_due);
	now = clock_now();
}

/* So many are in line, one behind the other. */
static void
line_check(unsigned count)
{
	const struct deadline *deadline;
	uint64_t before = 0;

	bool is_right = true;

	TAILQ_FOREACH (deadline, &line.list, entry) {
		is_right =
		    is_right && deadline->line == &line && deadline->when >= before && count > 0;
		before = deadline->when;
		count--;
	}
	ck_assert(is_right);
	ck_assert_uint_eq(count, 0);
}

START_TEST(whatever_comes_and_goes)
{
	unsigned set = 0;

	line_open();
	srandom(7);
	for (int i = 0; i < 4000; i++) {
		struct deadline *deadline = &deadlines[random() % MANY];

		set -= deadline_is_set(deadline);
		if (random() % 3 == 0) {
			deadline_clear(deadline);
		} else {
			deadline_set(&line, deadline, now + LATE + (uint64_t)(random() % 50));
			set++;
		}
		line_check(set);
	}
	ck_assert_uint_eq(dues, 0);
}
END_TEST

/* As from another worker: in order, between those that are there, some of which end meanwhile. */
START_TEST(one_line_goes_into_another)
{
	line_open();
	for (unsigned i = 0; i < MANY / 2; i++)
		deadline_set(&line, &deadlines[i], now + LATE + 10 * i);
	for (unsigned i = MANY / 2; i < MANY; i++) {
		deadline_set(&line, &deadlines[i], now + LATE + 10 * (i - MANY / 2) + 5);
		if (i % 5 == 0)
			deadline_clear(&deadlines[i]);
		if (i % 7 == 0)
			deadline_clear(&deadlines[i - MANY / 2]);
	}
	line_check(MANY - MANY / 10 - 14);
	deadline_set(&line, &deadlines[0], now + LATE - 1);
	ck_assert_ptr_eq(TAILQ_FIRST(&line.list), &deadlines[0]);
}
END_TEST

START_TEST(they_come_due_in_their_order)
{
	line_open();
	for (unsigned i = 0; i < 10; i++)
		deadline_set(&line, &deadlines[i], now + (10 - i) * CLOCK_MS);
	while (dues < 10)
		event_base_loop(base, EVLOOP_ONCE);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(due[i], 9 - i);
	ck_assert_uint_ge(clock_now(), now);
	line_check(0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("deadline");
	TCase *tests = tcase_create("deadline");

	tcase_add_test(tests, whatever_comes_and_goes);
	tcase_add_test(tests, one_line_goes_into_another);
	tcase_add_test(tests, they_come_due_in_their_order);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
