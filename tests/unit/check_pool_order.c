/*
 * What the pool promises about the master's newer orders: instances that retire, bounds that
 * change, slots that come and go, and the wake-up of a master that could start one more.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

#include <stdlib.h>

/* ---- retired ---- */

static void
must_be_retired(unsigned slot)
{
	ck_assert_int_eq(view_of(slot).state, POOL_BROKEN);
	ck_assert_int_eq(view_of(slot).reason, POOL_REASON_RETIRED);
	ck_assert_uint_eq(view_of(slot).incarnation, world->incarnation[slot]);
}

START_TEST(test_retired_while_it_rests)
{
	start(2, 4, 1, 2);
	world_open(world);
	pool_retire(world->pool, 0, 1);
	unsigned before = world->master_woken;
	/* nobody has looked yet, still it is not given out */
	struct world_ticket *held = enter_held(0);
	ck_assert_uint_eq(held->grant.slot, 1);
	must_be_retired(0);
	ck_assert_uint_eq(world->master_woken, before + 1);
	/* told once: it is no news to the next who looks */
	enter_waits(1);
	look(1);
	ck_assert_uint_eq(world->master_woken, before + 1);
	/* the master takes leave of it; the order says nothing about the next */
	pool_doom(world->pool, 0, 1);
	look(1);
	ck_assert_int_eq(view_of(0).state, POOL_EMPTY);
	world_offer(world, 0);
	look(1);
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	ck_assert_uint_eq(view_of(0).incarnation, 2);
	must(world_drain(world));
	ck_assert_int_eq(view_of(0).state, POOL_FREE);
	finish();
}
END_TEST

START_TEST(test_retired_while_leased)
{
	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *next = enter_waits(1);
	pool_retire(world->pool, 0, 1);
	look(1);
	look(0);
	/* it stays with its holder, for whom nothing changes */
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	ck_assert(!pool_is_doomed(world->as[0], &held->grant));
	pool_count_served(world->as[0], &held->grant);
	unsigned before = world->master_woken;
	must(world_give(world, held, POOL_REASON_NONE));
	must_be_retired(0);
	ck_assert_uint_eq(view_of(0).served, 1);
	ck_assert_uint_eq(world->master_woken, before + 1);
	look(1);
	ck_assert_int_eq(next->fate, WORLD_WAITS);
	world_offer(world, 0);
	look(1);
	ck_assert_int_eq(next->fate, WORLD_HELD);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_retired_and_broken)
{
	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	pool_retire(world->pool, 0, 1);
	must(world_give(world, held, POOL_REASON_BABBLE));
	ck_assert_int_eq(view_of(0).state, POOL_BROKEN);
	ck_assert_int_eq(view_of(0).reason, POOL_REASON_BABBLE);
	look(1);
	ck_assert_int_eq(view_of(0).reason, POOL_REASON_BABBLE);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_retired_and_doomed)
{
	start(2, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	for (unsigned i = 0; i < 2; i++) {
		pool_retire(world->pool, i, 1);
		pool_doom(world->pool, i, 1);
	}
	look(1);
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	ck_assert_int_eq(view_of(1).state, POOL_EMPTY);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_int_eq(view_of(0).state, POOL_EMPTY);
	must(world_drain(world));
	finish();
}
END_TEST

/* Offered and retired before anybody looked: it was never given out. */
START_TEST(test_retired_before_it_was_seen)
{
	start(1, 4, 1, 1);
	struct world_ticket *waits = enter_waits(0);
	world_offer(world, 0);
	pool_retire(world->pool, 0, 1);
	look(0);
	must_be_retired(0);
	ck_assert_int_eq(waits->fate, WORLD_WAITS);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_retired_takes_nothing_ahead)
{
	start(1, 6, 4, 1);
	world_open(world);
	struct world_ticket *held = enter_held(0), *a = enter_waits(0), *b = enter_waits(0);
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, &a->ticket, 1), 1);
	a->fate = WORLD_DONE;
	pool_retire(world->pool, 0, 1);
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, &b->ticket, 1), 0);
	ck_assert_uint_eq(view_of(0).messages, 2);
	ck_assert_uint_eq(waiting(), 1);
	must(world_give(world, held, POOL_REASON_NONE));
	must_be_retired(0);
	must(world_drain(world));
	finish();
}
END_TEST

/* Its worker stands still and never took it up: it goes, to nobody else. */
START_TEST(test_retired_and_reclaimed)
{
	start(1, 4, 1, 3);
	world_open(world);
	struct world_ticket *held = enter_held(0), *still = enter_waits(1), *next = enter_waits(2);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_uint_eq(view_of(0).owner, 1);
	ck_assert_uint_eq(view_of(0).messages, 0);
	pool_retire(world->pool, 0, 1);
	world->now += 10 * CLOCK_SECOND;
	look(2);
	must_be_retired(0);
	ck_assert_int_eq(next->fate, WORLD_WAITS);
	/* it would come again by itself; here it is over */
	must(world_collect(world, 1));
	ck_assert_int_eq(still->fate, WORLD_WAITS);
	still->fate = WORLD_DONE;
	must(world_drain(world));
	finish();
}
END_TEST

/* ---- bounds ---- */

START_TEST(test_queue_in_force)
{
	static const unsigned everybody[] = {0, 1};
	struct world_ticket *waits[4];

	start(1, 4, 1, 2);
	world_open(world);
	enter_held(0);
	pool_set_queue(world->pool, 2);
	waits[0] = enter_waits(0);
	waits[1] = enter_waits(1);
	ck_assert_ptr_null(world_enter(world, 0));
	/* more at once when it grows, but never more than it is made for */
	pool_set_queue(world->pool, 1000000);
	waits[2] = enter_waits(1);
	waits[3] = enter_waits(0);
	ck_assert_ptr_null(world_enter(world, 1));
	/* who waits is not thrown out when it shrinks */
	pool_set_queue(world->pool, 1);
	ck_assert_uint_eq(waiting(), 4);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_ptr_null(world_enter(world, 1));
		ck_assert(pool_leave(world->as[waits[i]->worker], &waits[i]->ticket));
		waits[i]->fate = WORLD_DONE;
	}
	enter_waits(1);
	ck_assert_ptr_null(world_enter(world, 0));
	must(world_drain(world));
	/* no line at all */
	pool_set_queue(world->pool, 0);
	enter_held(0);
	ck_assert_ptr_null(world_enter(world, 1));
	must(world_drain(world));
	pool_set_queue(world->pool, 4);
	must(world_full_load(world, everybody, 2));
	finish();
}
END_TEST

/* Everybody reads the bound, so nonsense there lets nobody in beyond the cells. */
START_TEST(test_bounds_are_not_trusted)
{
	static const unsigned everybody[] = {0, 1};

	start(2, 4, 1, 2);
	world_open(world);
	world->pool->head->queue = UINT64_MAX;
	world->pool->head->used = UINT64_MAX;
	look(1);
	must(world_full_load(world, everybody, 2));
	finish();
}
END_TEST

START_TEST(test_slots_in_use)
{
	static const unsigned everybody[] = {0, 1};

	start(100, 4, 1, 2);
	ck_assert_uint_eq(pool_capacity(world->pool), 100);
	ck_assert(pool_fits(world->pool, 100, 4));
	ck_assert(!pool_fits(world->pool, 101, 4));
	ck_assert(!pool_fits(world->pool, 100, 5));
	ck_assert_uint_eq(pool_slots(world->pool), 100);
	pool_set_slots(world->pool, 2);
	ck_assert_uint_eq(pool_slots(world->pool), 2);
	world_offer(world, 0);
	world_offer(world, 1);
	struct world_ticket *a = enter_held(0), *b = enter_held(1), *c = enter_waits(1);
	/* it grows while somebody waits */
	pool_set_slots(world->pool, 70);
	world_offer(world, 69);
	look(0);
	look(1);
	ck_assert_int_eq(c->fate, WORLD_HELD);
	ck_assert_uint_eq(c->grant.slot, 69);
	/* below a slot in use it does not go */
	pool_set_slots(world->pool, 1);
	ck_assert_uint_eq(pool_slots(world->pool), 70);
	must(world_give(world, c, POOL_REASON_NONE));
	pool_set_slots(world->pool, 1);
	ck_assert_uint_eq(pool_slots(world->pool), 70);
	pool_retire(world->pool, 69, 1);
	look(0);
	pool_set_slots(world->pool, 1);
	ck_assert_uint_eq(pool_slots(world->pool), 70);
	pool_doom(world->pool, 69, 1);
	look(0);
	pool_set_slots(world->pool, 1);
	ck_assert_uint_eq(pool_slots(world->pool), 2);
	/* nor below one that was offered, though nobody has looked */
	pool_set_slots(world->pool, 4);
	world_offer(world, 3);
	pool_set_slots(world->pool, 0);
	ck_assert_uint_eq(pool_slots(world->pool), 4);
	must(world_give(world, a, POOL_REASON_NONE));
	must(world_give(world, b, POOL_REASON_NONE));
	look(0);
	must(world_whole(world->pool));
	/* more than it is made for is all of it */
	pool_set_slots(world->pool, 1000);
	ck_assert_uint_eq(pool_slots(world->pool), 100);
	world_offer_lost(world);
	look(0);
	must(world_full_load(world, everybody, 2));
	finish();
}
END_TEST

START_TEST(test_bounds_stay_over_a_reset)
{
	start(8, 4, 1, 1);
	pool_set_slots(world->pool, 1);
	pool_set_queue(world->pool, 2);
	pool_reset(world->pool);
	world_attach(world, 0);
	world_offer(world, 0);
	ck_assert_uint_eq(pool_slots(world->pool), 1);
	enter_held(0);
	enter_waits(0);
	enter_waits(0);
	ck_assert_ptr_null(world_enter(world, 0));
	world->shape.slots = 1;
	must(world_drain(world));
	finish();
}
END_TEST

/* ---- hunger ---- */

START_TEST(test_hungry)
{
	start(1, 9, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	unsigned before = world->master_woken;
	enter_waits(0);
	ck_assert_uint_eq(world->master_woken, before);
	pool_set_hungry(world->pool, true);
	enter_waits(0);
	ck_assert_uint_eq(world->master_woken, before + 1);
	/* each worker at most every 10 ms ... */
	enter_waits(0);
	look(0);
	ck_assert_uint_eq(world->master_woken, before + 1);
	enter_waits(1);
	ck_assert_uint_eq(world->master_woken, before + 2);
	/* ... and what was kept back is said later */
	world->now += 11 * CLOCK_MS;
	look(0);
	ck_assert_uint_eq(world->master_woken, before + 3);
	world->now += 11 * CLOCK_MS;
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_uint_eq(world->master_woken, before + 4);
	world->now += 11 * CLOCK_MS;
	must(world_drain(world));
	/* nobody waits: nothing to say */
	before = world->master_woken;
	world->now += 11 * CLOCK_MS;
	held = enter_held(0);
	must(world_give(world, held, POOL_REASON_NONE));
	look(0);
	ck_assert_uint_eq(world->master_woken, before);
	finish();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_order");
	TCase *retired = tcase_create("retired"), *bounds = tcase_create("bounds");

	tcase_add_test(retired, test_retired_while_it_rests);
	tcase_add_test(retired, test_retired_while_leased);
	tcase_add_test(retired, test_retired_and_broken);
	tcase_add_test(retired, test_retired_and_doomed);
	tcase_add_test(retired, test_retired_before_it_was_seen);
	tcase_add_test(retired, test_retired_takes_nothing_ahead);
	tcase_add_test(retired, test_retired_and_reclaimed);

	tcase_add_test(bounds, test_queue_in_force);
	tcase_add_test(bounds, test_bounds_are_not_trusted);
	tcase_add_test(bounds, test_slots_in_use);
	tcase_add_test(bounds, test_bounds_stay_over_a_reset);
	tcase_add_test(bounds, test_hungry);

	suite_add_tcase(suite, retired);
	suite_add_tcase(suite, bounds);
	return help_run(suite);
}
