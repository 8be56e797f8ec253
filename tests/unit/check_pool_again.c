/*
 * What the pool promises to requests that come again, because their instance broke or was given
 * back unused: their old place in the line, also where the line is full, in whatever order they
 * come.
 */
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

START_TEST(test_come_again)
{
	struct pool_grant grant;
	struct world_ticket *again;

	start(1, 2, 1, 3);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	struct world_ticket *b = enter_waits(1), *c = enter_waits(2);
	uint64_t arrival = held->grant.arrival;

	must(world_give(world, held, POOL_REASON_CLOSED));
	/* the line is full, and it is not refused */
	again = &world->tickets[world->count++];
	*again = (struct world_ticket){.worker = 0, .fate = WORLD_WAITS, .again = true};
	ck_assert_int_eq(
	    pool_enter_again(world->as[0], world->now, arrival, &again->ticket, &grant),
	    POOL_WAITING);
	ck_assert_uint_eq(again->ticket.arrival, arrival);
	ck_assert_uint_eq(waiting(), 3);
	ck_assert_ptr_null(world_enter(world, 1));
	must(world_whole(world->pool));
	/* and it is the next */
	world_offer(world, 0);
	look(1);
	ck_assert_int_eq(b->fate, WORLD_WAITS);
	look(0);
	ck_assert_int_eq(again->fate, WORLD_HELD);
	ck_assert_uint_eq(again->grant.arrival, arrival);
	ck_assert_uint_eq(again->grant.incarnation, 2);
	must(world_give(world, again, POOL_REASON_NONE));
	look(1);
	ck_assert_int_eq(b->fate, WORLD_HELD);
	must(world_give(world, b, POOL_REASON_NONE));
	look(2);
	must(world_give(world, c, POOL_REASON_NONE));
	/* where something rests, it is granted at once */
	ck_assert_int_eq(
	    pool_enter_again(world->as[0], world->now, arrival, &again->ticket, &grant),
	    POOL_GRANTED);
	ck_assert_uint_eq(grant.arrival, arrival);
	ck_assert(!pool_give(world->as[0], &grant, world->now, POOL_REASON_NONE, &grant));
	finish();
}
END_TEST

/* Several that come again in any order stand in the line by their arrival. */
START_TEST(test_come_again_in_any_order)
{
	uint64_t arrivals[4];
	struct pool_grant grant, next;
	struct pool_ticket ticket;

	start(4, 3, 1, 2);
	world_open(world);
	for (int i = 0; i < 4; i++)
		arrivals[i] = enter_held(0)->grant.arrival;
	for (int i = 0; i < 3; i++)
		enter_waits(1);
	for (unsigned i = 0; i < 4; i++)
		must(world_give(world, &world->tickets[i], POOL_REASON_CLOSED));
	static const int order[] = {2, 0, 3, 1};
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
		    pool_enter_again(world->as[0], world->now, arrivals[order[i]], &ticket, &grant),
		    POOL_WAITING);
	must(world_whole(world->pool));
	ck_assert_uint_eq(waiting(), 7);
	for (int i = 0; i < 4; i++) {
		world_offer(world, 0);
		pool_look(world->as[0], world->now);
		ck_assert(pool_next_grant(world->as[0], &grant));
		ck_assert_uint_eq(grant.arrival, arrivals[i]);
		ck_assert(!pool_next_grant(world->as[0], &next));
		ck_assert(!pool_give(world->as[0], &grant, world->now, POOL_REASON_CLOSED, &next));
	}
	must(world_drain(world));
	finish();
}
END_TEST

/* A lease given back unused, whose request then comes again to the very same instance. */
START_TEST(test_come_again_to_the_same_instance)
{
	struct pool_grant grant, next;
	struct pool_ticket ticket;

	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *other = enter_waits(1);
	must(world_give(world, held, POOL_REASON_NONE));
	look(1);
	ck_assert_int_eq(
	    pool_enter_again(world->as[0], world->now, held->grant.arrival, &ticket, &grant),
	    POOL_WAITING);
	must(world_give(world, other, POOL_REASON_NONE));
	pool_look(world->as[0], world->now);
	ck_assert_msg(pool_next_grant(world->as[0], &grant), "a grant is never told");
	ck_assert_uint_eq(grant.arrival, held->grant.arrival);
	ck_assert(!pool_give(world->as[0], &grant, world->now, POOL_REASON_NONE, &next));
	finish();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_again");
	TCase *again = tcase_create("again");

	tcase_add_test(again, test_come_again);
	tcase_add_test(again, test_come_again_in_any_order);
	tcase_add_test(again, test_come_again_to_the_same_instance);

	suite_add_tcase(suite, again);
	return help_run(suite);
}
