/*
 * What the pool promises to workers that are awake, asleep or stand still: who is woken for a grant
 * and who is not, what all know of a break, and that no grant is lost on one who does not take it.
 */
#include "common/clock.h"
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

/* Who is awake is not woken, and finds the grant; who is about to sleep learns of it in time. */
START_TEST(test_awake)
{
	struct world_ticket *held, *next;
	struct pool_grant grant;
	unsigned woken;

	start(1, 4, 1, 2);
	world_open(world);
	for (int awake = 0; awake <= 1; awake++) {
		held = enter_held(0);
		next = enter_waits(1);
		if (awake)
			pool_stay_awake(world->as[1]);
		else
			ck_assert(pool_may_sleep(world->as[1]));
		ck_assert(!pool_was_granted(world->as[1]));
		woken = world->woken[1];
		must(world_give(world, held, POOL_REASON_NONE));
		ck_assert_uint_eq(world->woken[1] - woken, !awake);
		ck_assert(!pool_may_sleep(world->as[1]));
		ck_assert(pool_may_sleep(world->as[1])); /* told once */
		ck_assert(pool_next_grant(world->as[1], &grant));
		ck_assert_uint_eq(grant.arrival, next->ticket.arrival);
		next->grant = grant;
		next->fate = WORLD_HELD;
		must(world_give(world, next, POOL_REASON_NONE));
	}
	/* A new process with the id is asleep, whatever the one before it said. */
	pool_stay_awake(world->as[1]);
	world_attach(world, 1);
	held = enter_held(0);
	(void)enter_waits(1);
	woken = world->woken[1];
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_uint_eq(world->woken[1], woken + 1);
	look(1);
	must(world_drain(world));
	finish();
}
END_TEST

/* Who found no more grants searches again when it is told of one, by whichever of the two. */
START_TEST(test_told_is_searched)
{
	struct world_ticket *held, *next;
	struct pool_grant grant;

	start(1, 4, 1, 2);
	world_open(world);
	held = enter_held(0);
	next = enter_waits(1);
	ck_assert(!pool_next_grant(world->as[1], &grant));
	pool_stay_awake(world->as[1]);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert(!pool_next_grant(world->as[1], &grant)); /* a search only where there is news */
	ck_assert(_i == 0 ? pool_was_granted(world->as[1]) : !pool_may_sleep(world->as[1]));
	ck_assert(pool_next_grant(world->as[1], &grant));
	ck_assert_uint_eq(grant.arrival, next->ticket.arrival);
	next->grant = grant;
	next->fate = WORLD_HELD;
	must(world_drain(world));
	finish();
}
END_TEST

/* What breaks in somebody's hands is known to all; what is taken away on purpose is no break. */
START_TEST(test_a_break_is_known)
{
	static const enum pool_reason reasons[] = {
	    POOL_REASON_NONE, POOL_REASON_CANCELLED, POOL_REASON_TIMEOUT};

	start(1, 4, 1, 2);
	world_open(world);
	for (unsigned i = 0; i < 3; i++) {
		struct world_ticket *held = enter_held(0);

		world->now += CLOCK_SECOND;
		must(world_give(world, held, reasons[i]));
		ck_assert_uint_eq(
		    pool_broke(world->pool), reasons[i] == POOL_REASON_TIMEOUT ? world->now : 0);
		world_offer_lost(world);
		look(0);
	}
	ck_assert(!pool_is_hungry(world->pool));
	pool_set_hungry(world->pool, true);
	ck_assert(pool_is_hungry(world->pool));
	must(world_drain(world));
	finish();
}
END_TEST

/* A worker that stands still is granted an instance: it does not keep it, and gets no other. */
START_TEST(test_a_grant_that_nobody_takes_up)
{
	struct pool_grant grant;
	struct pool_ticket ticket;

	start(1, 8, 1, 3);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	struct world_ticket *first = enter_waits(1), *second = enter_waits(1);
	struct world_ticket *third = enter_waits(2);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_uint_eq(view_of(0).owner, 1);
	/* too early */
	world->now += 199 * CLOCK_MS;
	look(2);
	ck_assert_uint_eq(view_of(0).owner, 1);
	ck_assert_int_eq(third->fate, WORLD_WAITS);
	/* then it goes to the next who is awake, over the heads of the other's tickets */
	world->now += 60 * CLOCK_MS;
	look(2);
	ck_assert_int_eq(third->fate, WORLD_HELD);
	ck_assert_uint_eq(waiting(), 0);
	ck_assert(!pool_waits(world->as[1], &first->ticket));
	ck_assert(!pool_waits(world->as[1], &second->ticket));
	/* who goes on finds nothing, and comes back to the old place */
	pool_look(world->as[1], world->now);
	ck_assert(!pool_next_grant(world->as[1], &grant));
	ck_assert_ptr_nonnull(world_enter(world, 0));
	ck_assert_int_eq(
	    pool_enter_again(world->as[1], world->now, first->ticket.arrival, &ticket, &grant),
	    POOL_WAITING);
	first->fate = second->fate = WORLD_DONE;
	must(world_give(world, third, POOL_REASON_NONE));
	pool_look(world->as[1], world->now);
	ck_assert(pool_next_grant(world->as[1], &grant));
	ck_assert_uint_eq(grant.arrival, first->ticket.arrival);
	/* taken up: now it is kept, however long it takes */
	world->now += 10 * CLOCK_SECOND;
	pool_look(world->as[2], world->now);
	ck_assert_uint_eq(view_of(0).owner, 1);
	ck_assert_uint_eq(view_of(0).messages, 1);
}
END_TEST

/* Who is woken often locks only where there may be more than grants. */
START_TEST(test_what_changed)
{
	start(1, 4, 1, 2);
	world_open(world);
	look(0);
	look(1);
	ck_assert(!pool_has_changed(world->as[1], world->now));
	ck_assert(!pool_has_changed(world->as[1], world->now + 49 * CLOCK_MS));
	ck_assert(pool_has_changed(world->as[1], world->now + 50 * CLOCK_MS));
	/* The master's word is news until this worker itself has looked. */
	must(world_give(world, enter_held(0), POOL_REASON_TIMEOUT));
	world_offer_lost(world);
	ck_assert(pool_has_changed(world->as[1], world->now));
	look(0);
	ck_assert(!pool_has_changed(world->as[0], world->now));
	ck_assert(pool_has_changed(world->as[1], world->now));
	look(1);
	ck_assert(!pool_has_changed(world->as[1], world->now));
	must(world_drain(world));
	finish();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_awake");
	TCase *awake = tcase_create("awake");

	tcase_add_test(awake, test_awake);
	tcase_add_loop_test(awake, test_told_is_searched, 0, 2);
	tcase_add_test(awake, test_a_break_is_known);
	tcase_add_test(awake, test_a_grant_that_nobody_takes_up);
	tcase_add_test(awake, test_what_changed);

	suite_add_tcase(suite, awake);
	return help_run(suite);
}
