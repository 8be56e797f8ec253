/*
 * What the pool promises about instances that break, are doomed and replaced, and about what a slot
 * says of them, with all workers played by one process.
 */
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

#include <stdlib.h>

START_TEST(test_broken_by_its_holder)
{
	static const unsigned everybody[] = {0, 1};

	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *next = enter_waits(1);
	unsigned before = world->master_woken;

	must(world_give(world, held, (enum pool_reason)_i));
	ck_assert_uint_eq(world->master_woken, before + 1);
	ck_assert_int_eq(view_of(0).state, POOL_BROKEN);
	ck_assert_int_eq(view_of(0).reason, _i);
	ck_assert_uint_eq(view_of(0).incarnation, 1);
	look(1);
	ck_assert_int_eq(next->fate, WORLD_WAITS);
	enter_waits(0);
	/* only a newer incarnation comes back */
	pool_offer(world->pool, 0, 1);
	look(1);
	ck_assert_int_eq(next->fate, WORLD_WAITS);
	world_offer(world, 0);
	look(1);
	ck_assert_int_eq(next->fate, WORLD_HELD);
	ck_assert_uint_eq(next->grant.incarnation, 2);
	must(world_drain(world));
	must(world_full_load(world, everybody, 2));
	finish();
}
END_TEST

START_TEST(test_doomed_while_free)
{
	start(2, 4, 1, 2);
	world_open(world);
	pool_doom(world->pool, 0, 1);
	/* nobody has looked yet, still it is not given out */
	struct world_ticket *held = enter_held(0);
	ck_assert_uint_eq(held->grant.slot, 1);
	enter_waits(1);
	ck_assert(view_of(0).state == POOL_EMPTY || view_of(0).state == POOL_BROKEN);
	/* the order for an old incarnation does not touch the new one */
	world_offer(world, 0);
	pool_doom(world->pool, 0, 1);
	look(1);
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	ck_assert_uint_eq(view_of(0).incarnation, 2);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_doomed_while_leased)
{
	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *next = enter_waits(1);
	ck_assert(!pool_is_doomed(world->as[0], &held->grant));
	pool_doom(world->pool, 0, 1);
	ck_assert(pool_is_doomed(world->as[0], &held->grant));
	look(1);
	/* it stays with its holder, who reads what is left of the reply */
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert(view_of(0).state == POOL_EMPTY || view_of(0).state == POOL_BROKEN);
	look(1);
	ck_assert_int_eq(next->fate, WORLD_WAITS);
	world_offer(world, 0);
	look(1);
	ck_assert_int_eq(next->fate, WORLD_HELD);
	ck_assert(!pool_is_doomed(world->as[1], &next->grant));
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_replaced_under_a_stuck_holder)
{
	struct pool_grant next;

	start(1, 4, 2, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *own = enter_waits(0), *other = enter_waits(1);
	own->fate = WORLD_DONE;
	ck_assert(pool_leave(world->as[0], &own->ticket));
	pool_doom(world->pool, 0, 1);
	world_offer(world, 0);
	look(1);
	ck_assert_int_eq(other->fate, WORLD_HELD);
	ck_assert_uint_eq(other->grant.incarnation, 2);
	pool_set_deadline(world->as[1], &other->grant, 777);
	/* whatever the old holder does now touches nothing */
	pool_set_deadline(world->as[0], &held->grant, 5);
	ck_assert(pool_is_doomed(world->as[0], &held->grant));
	own = enter_waits(0);
	ck_assert_uint_eq(pool_send_ahead(world->as[0], &held->grant, &own->ticket, 1), 0);
	ck_assert(!pool_give(world->as[0], &held->grant, world->now, POOL_REASON_BABBLE, &next));
	held->fate = WORLD_DONE;
	ck_assert(!pool_give(world->as[0], &held->grant, world->now, POOL_REASON_NONE, &next));
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	ck_assert_uint_eq(view_of(0).owner, 1);
	ck_assert_uint_eq(view_of(0).incarnation, 2);
	ck_assert_uint_eq(view_of(0).messages, 1);
	ck_assert_uint_eq(view_of(0).deadline, 777);
	must(world_drain(world));
	finish();
}
END_TEST

/* The same lease given twice: the second time it may be somebody else's request by now. */
START_TEST(test_given_twice)
{
	struct pool_grant next;

	start(1, 4, 1, 1);
	world_open(world);
	struct world_ticket *held = enter_held(0), *mine = enter_waits(0);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_int_eq(mine->fate, WORLD_HELD);
	ck_assert(!pool_give(world->as[0], &held->grant, world->now, POOL_REASON_BABBLE, &next));
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_deadline_and_served)
{
	start(2, 4, 1, 2);
	world_open(world);
	world->now = 5000000;
	struct world_ticket *held = enter_held(0);
	ck_assert_uint_eq(view_of(0).deadline, world->now + world->shape.lease_time);
	ck_assert_uint_eq(view_of(0).owner, 0);
	pool_set_deadline(world->as[0], &held->grant, 12345);
	ck_assert_uint_eq(view_of(0).deadline, 12345);
	pool_count_served(world->as[0], &held->grant);
	pool_count_served(world->as[0], &held->grant);
	ck_assert_uint_eq(view_of(0).served, 2);
	must(world_give(world, held, POOL_REASON_CLOSED));
	world_offer(world, 0);
	world->now = 6000000;
	look(1);
	held = enter_held(1);
	ck_assert_uint_eq(view_of(0).deadline, world->now + world->shape.lease_time);
	pool_count_served(world->as[1], &held->grant);
	ck_assert_uint_eq(view_of(0).served, 3);
	ck_assert_uint_eq(view_of(1).served, 0);
	must(world_drain(world));
	finish();
}
END_TEST

/* The master may look at any time: what belongs to a commit word was written before it. */
static void
peek_on_point(int point)
{
	struct pool_view view;

	(void)point;
	if (!pool_peek(world->pool, 0, &view))
		abort();
	if (view.state == POOL_LEASED && view.deadline != world->now + world->shape.lease_time)
		abort();
	if (view.state == POOL_BROKEN && view.reason != POOL_REASON_BABBLE)
		abort();
}

START_TEST(test_commit_word_comes_last)
{
	start(1, 4, 1, 2);
	world_open(world);
	world->now += 50;
	pool_point = peek_on_point;
	struct world_ticket *held = enter_held(0), *next = enter_waits(1);
	pool_point = NULL;
	world->now += 50;
	/* under way from one holder to the next it rests for a moment, and is not seen as leased */
	pool_set_deadline(world->as[0], &held->grant, world->now + world->shape.lease_time);
	pool_point = peek_on_point;
	must(world_give(world, held, POOL_REASON_NONE));
	pool_point = NULL;
	look(1);
	pool_point = peek_on_point;
	must(world_give(world, next, POOL_REASON_BABBLE));
	pool_point = NULL;
	must(world_drain(world));
	finish();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_slots");
	TCase *slots = tcase_create("slots");

	tcase_add_loop_test(
	    slots, test_broken_by_its_holder, POOL_REASON_NONE + 1, POOL_REASON_COUNT);
	tcase_add_test(slots, test_doomed_while_free);
	tcase_add_test(slots, test_doomed_while_leased);
	tcase_add_test(slots, test_replaced_under_a_stuck_holder);
	tcase_add_test(slots, test_given_twice);
	tcase_add_test(slots, test_deadline_and_served);
	tcase_add_test(slots, test_commit_word_comes_last);

	suite_add_tcase(suite, slots);
	return help_run(suite);
}
