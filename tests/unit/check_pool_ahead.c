/*
 * What the pool promises about sending ahead: how many of its own requests a worker may add to the
 * one that an instance works on already, and what becomes of their places in the line.
 */
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

START_TEST(test_send_ahead)
{
	struct pool_ticket own[5], strange[2];

	start(1, 10, 4, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *other = enter_waits(1);
	for (int i = 0; i < 5; i++)
		own[i] = enter_waits(0)->ticket;
	ck_assert_uint_eq(view_of(0).messages, 1);
	/* nothing of somebody else's, by nobody but the holder */
	strange[0] = other->ticket;
	strange[1] = own[0];
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, strange, 2), 0);
	ck_assert_uint_eq(pool_send_ahead(world->as[1], &held->grant, &other->ticket, 1), 0);
	strange[0] = own[0];
	strange[1] = other->ticket;
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, strange, 2), 1);
	ck_assert_uint_eq(view_of(0).messages, 2);
	ck_assert_uint_eq(waiting(), 5);
	/* and never more than the batch */
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, own + 1, 4), 2);
	ck_assert_uint_eq(view_of(0).messages, 4);
	ck_assert_uint_eq(waiting(), 3);
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, own + 3, 2), 0);
	for (unsigned i = 0; i < world->count; i++)
		for (int j = 0; j < 3; j++)
			if (world->tickets[i].ticket.arrival == own[j].arrival)
				world->tickets[i].fate = WORLD_DONE;
	must(world_whole(world->pool));
	/* they cannot leave any more, nor go twice, nor ride on a lease that ended */
	ck_assert(!pool_leave(world->as[0], &own[0]));
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_uint_eq(view_of(0).messages, 0); /* another worker's now, and not taken up yet */
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, own + 3, 2), 0);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_batch_of_one)
{
	start(1, 4, 1, 1);
	world_open(world);
	struct world_ticket *held = enter_held(0), *own = enter_waits(0);
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, &own->ticket, 1), 0);
	must(world_drain(world));
	finish();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_ahead");
	TCase *ahead = tcase_create("ahead");

	tcase_add_test(ahead, test_send_ahead);
	tcase_add_test(ahead, test_batch_of_one);

	suite_add_tcase(suite, ahead);
	return help_run(suite);
}
