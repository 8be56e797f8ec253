/*
 * What can be seen of the pool: the trace of its grants, the texts of the reasons, and the count of
 * violations, which can be anything but 0 where the memory was spoilt on purpose.
 */
#include "ipc/pool_layout.h"
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

START_TEST(test_trace)
{
	static struct pool_trace trace[POOL_TRACE + 10];
	struct pool_grant grant;
	struct pool_ticket ticket;
	unsigned total = POOL_TRACE + 100;

	start(2, 4, 1, 3);
	world_open(world);
	ck_assert_uint_eq(pool_trace(world->pool, trace, 10), 0);
	for (unsigned i = 0; i < total; i++) {
		ck_assert_int_eq(
		    pool_enter(world->as[i % 3], 1000 + i, &ticket, &grant), POOL_GRANTED);
		ck_assert(!pool_give(world->as[i % 3], &grant, 1000 + i, POOL_REASON_NONE, &grant));
	}
	ck_assert_uint_eq(pool_trace(world->pool, trace, POOL_TRACE + 10), POOL_TRACE);
	for (unsigned i = 0; i < POOL_TRACE; i++) {
		unsigned n = total - POOL_TRACE + i;

		ck_assert_uint_eq(trace[i].time, 1000 + n);
		ck_assert_uint_eq(trace[i].worker, n % 3);
		ck_assert_uint_eq(trace[i].slot, 0);
		ck_assert_uint_eq(trace[i].incarnation, 1);
		ck_assert_uint_eq(trace[i].again, 0);
	}
	ck_assert_uint_eq(pool_trace(world->pool, trace, 5), 5);
	ck_assert_uint_eq(trace[4].time, 1000 + total - 1);
	ck_assert_uint_eq(trace[0].time, 1000 + total - 5);
	pool_enter_again(world->as[1], 9, grant.arrival, &ticket, &grant);
	ck_assert_uint_eq(pool_trace(world->pool, trace, 1), 1);
	ck_assert_uint_eq(trace[0].again, 1);
	finish();
}
END_TEST

/* The count of violations can be anything but 0: a ticket forgotten by the line is seen. */
START_TEST(test_violations_are_counted)
{
	struct pool_figures figures;

	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	enter_waits(1);
	world->pool->books->head = world->pool->books->tail = POOL_NONE;
	must(world_give(world, held, POOL_REASON_NONE));
	pool_figures(world->pool, &figures);
	ck_assert_uint_gt(figures.violations, 0);
	ck_assert_ptr_nonnull(world_whole(world->pool));
	world_free(world);
}
END_TEST

START_TEST(test_grant_out_of_order_is_counted)
{
	struct pool_figures figures;

	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *a = enter_waits(1), *b = enter_waits(1);
	uint64_t arrival = a->ticket.arrival;

	world->pool->line[a->ticket.cell].arrival = b->ticket.arrival;
	world->pool->line[b->ticket.cell].arrival = arrival;
	for (int i = 0; i < 2; i++) {
		must(world_give(world, held, POOL_REASON_NONE));
		look(1);
		held = world_oldest(world, 1, WORLD_HELD);
		ck_assert_ptr_nonnull(held);
	}
	pool_figures(world->pool, &figures);
	ck_assert_uint_gt(figures.violations, 0);
	ck_assert_ptr_nonnull(world_in_order(world->pool));
	world_free(world);
}
END_TEST

START_TEST(test_reasons_have_texts)
{
	ck_assert_str_eq(pool_reason_text(POOL_REASON_NONE), "");
	for (int i = 1; i < POOL_REASON_COUNT; i++)
		ck_assert_str_ne(pool_reason_text((enum pool_reason)i), "");
	ck_assert_str_eq(
	    pool_reason_text((enum pool_reason)99), pool_reason_text(POOL_REASON_UNKNOWN));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_seen");
	TCase *seen = tcase_create("seen");

	tcase_add_test(seen, test_trace);
	tcase_add_test(seen, test_violations_are_counted);
	tcase_add_test(seen, test_grant_out_of_order_is_counted);
	tcase_add_test(seen, test_reasons_have_texts);

	suite_add_tcase(suite, seen);
	return help_run(suite);
}
