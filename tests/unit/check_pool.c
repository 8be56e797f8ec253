/*
 * What the pool promises about its line: the order, the bound, that nobody waits beside an idle
 * slot, and that one may leave. As in each program that uses pool_help.h all workers are played by
 * one process; after each test the caches are compared with the commit words and violations must
 * be 0.
 */
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

START_TEST(test_first_come_first_served)
{
	static const unsigned arrivals[] = {1, 2, 0, 1, 3, 2, 2, 0};
	struct world_ticket *waits[8], *held;

	start(1, 10, 1, 4);
	world_open(world);
	held = enter_held(0);
	for (unsigned i = 0; i < 8; i++)
		waits[i] = enter_waits(arrivals[i]);
	for (unsigned i = 0; i < 8; i++) {
		unsigned worker = arrivals[i], before = world->woken[worker];
		bool same = held->worker == worker;

		must(world_give(world, held, POOL_REASON_NONE));
		ck_assert_int_eq(waits[i]->fate, same ? WORLD_HELD : WORLD_WAITS);
		if (!same)
			ck_assert_uint_eq(world->woken[worker], before + 1);
		/* nobody else was told or woken */
		for (unsigned w = 0; w < 4; w++)
			if (w != worker)
				look(w);
		for (unsigned j = i + 1; j < 8; j++)
			ck_assert_int_eq(waits[j]->fate, WORLD_WAITS);
		look(worker);
		ck_assert_int_eq(waits[i]->fate, WORLD_HELD);
		held = waits[i];
	}
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_int_eq(view_of(0).state, POOL_FREE);
	finish();
}
END_TEST

START_TEST(test_a_grant_is_told_once)
{
	struct pool_grant grant;

	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *next = enter_waits(1);
	ck_assert(!pool_next_grant(world->as[0], &grant));
	must(world_give(world, held, POOL_REASON_NONE));
	/* no wake-up arrived; looking at the memory is enough */
	ck_assert(!pool_next_grant(world->as[0], &grant));
	look(1);
	ck_assert_int_eq(next->fate, WORLD_HELD);
	ck_assert_uint_eq(next->grant.slot, 0);
	ck_assert_uint_eq(next->grant.incarnation, 1);
	/* doubled wake-ups do no harm */
	for (int i = 0; i < 3; i++) {
		pool_look(world->as[1], world->now);
		ck_assert(!pool_next_grant(world->as[1], &grant));
	}
	must(world_give(world, next, POOL_REASON_NONE));
	finish();
}
END_TEST

START_TEST(test_own_ticket_next)
{
	start(1, 4, 1, 1);
	world_open(world);
	struct world_ticket *held = enter_held(0), *next = enter_waits(0);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_int_eq(next->fate, WORLD_HELD);
	must(world_collect(world, 0));
	must(world_give(world, next, POOL_REASON_NONE));
	finish();
}
END_TEST

/* A worker in the middle of taking its grants must not miss one on a slot that it passed. */
START_TEST(test_grant_behind_the_cursor)
{
	struct pool_grant grant, next;
	struct world_ticket *a, *b, *d;

	start(4, 8, 1, 2);
	world_open(world);
	a = enter_held(1);
	b = enter_held(1);
	enter_held(1);
	d = enter_held(1);
	ck_assert_uint_eq(a->grant.slot, 0);
	ck_assert_uint_eq(d->grant.slot, 3);
	struct world_ticket *first = enter_waits(0), *second = enter_waits(0);
	struct world_ticket *third = enter_waits(0);
	must(world_give(world, d, POOL_REASON_NONE));
	pool_look(world->as[0], world->now);
	ck_assert(pool_next_grant(world->as[0], &grant));
	ck_assert_uint_eq(grant.slot, 3);
	ck_assert_uint_eq(grant.arrival, first->ticket.arrival);
	first->fate = WORLD_DONE;
	/* between two calls others come free: one by another worker, one by its own hand */
	must(world_give(world, a, POOL_REASON_NONE));
	pool_look(world->as[0], world->now);
	ck_assert(pool_next_grant(world->as[0], &next));
	ck_assert_uint_eq(next.arrival, second->ticket.arrival);
	second->fate = WORLD_DONE;
	pool_doom(world->pool, 1, 1);
	must(world_give(world, b, POOL_REASON_NONE));
	world_offer(world, 1);
	ck_assert(!pool_give(world->as[0], &grant, world->now, POOL_REASON_CLOSED, &grant));
	ck_assert(pool_next_grant(world->as[0], &next));
	ck_assert_uint_eq(next.arrival, third->ticket.arrival);
	ck_assert_uint_eq(next.incarnation, 2);
	world_free(world);
}
END_TEST

START_TEST(test_bound_is_exact)
{
	struct pool_figures figures;
	struct world_ticket *line[4];

	start(1, 4, 1, 3);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	for (unsigned i = 0; i < 4; i++)
		line[i] = enter_waits(i % 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_ptr_null(world_enter(world, i));
	pool_figures(world->pool, &figures);
	ck_assert_uint_eq(figures.refused, 3);
	ck_assert_uint_eq(figures.waiting, 4);
	/* one that leaves makes room at once, for one */
	ck_assert(pool_leave(world->as[2], &line[2]->ticket));
	line[2]->fate = WORLD_DONE;
	ck_assert_uint_eq(waiting(), 3);
	enter_waits(1);
	ck_assert_ptr_null(world_enter(world, 2));
	/* so does one that is granted, told or not */
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_uint_eq(waiting(), 3);
	enter_waits(2);
	ck_assert_ptr_null(world_enter(world, 0));
	must(world_drain(world));
	ck_assert_uint_eq(waiting(), 0);
	finish();
}
END_TEST

START_TEST(test_no_line_at_all)
{
	start(2, 0, 1, 2);
	world_open(world);
	struct world_ticket *a = enter_held(0);
	enter_held(1);
	ck_assert_ptr_null(world_enter(world, 0));
	must(world_give(world, a, POOL_REASON_NONE));
	enter_held(1);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_nobody_waits_beside_an_idle_slot)
{
	struct world_ticket *waits[6];

	start(5, 10, 1, 3);
	for (unsigned i = 0; i < 6; i++)
		waits[i] = enter_waits(i % 3);
	for (unsigned i = 0; i < 5; i++)
		world_offer(world, i);
	/* one worker looks, for whomever */
	pool_look(world->as[2], world->now);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(view_of(i).state, POOL_LEASED);
	ck_assert_uint_eq(waiting(), 1);
	for (unsigned w = 0; w < 3; w++)
		look(w);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_int_eq(waits[i]->fate, i < 5 ? WORLD_HELD : WORLD_WAITS);
	must(world_drain(world));
	for (unsigned i = 0; i < 5; i++)
		enter_held(i % 3);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_full_load)
{
	static const unsigned everybody[] = {0, 1, 2, 3};

	start(7, 100, 1, 4);
	world_open(world);
	for (int i = 0; i < 5; i++) {
		must(world_full_load(world, everybody, 4));
		must(world_whole(world->pool));
	}
	finish();
}
END_TEST

START_TEST(test_leave)
{
	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0), *a = enter_waits(1), *b = enter_waits(1);
	struct world_ticket *c = enter_waits(1);
	struct pool_ticket strange = {.cell = 1000000, .arrival = 1};

	/* not by another worker, not by a number that is no cell */
	ck_assert(!pool_leave(world->as[0], &b->ticket));
	ck_assert(!pool_leave(world->as[1], &strange));
	ck_assert(pool_leave(world->as[1], &b->ticket));
	ck_assert(!pool_leave(world->as[1], &b->ticket));
	b->fate = WORLD_DONE;
	/* the next ticket in the same cell is another one */
	struct world_ticket *d = enter_waits(1);
	ck_assert(!pool_leave(world->as[1], &b->ticket));
	ck_assert_uint_eq(waiting(), 3);
	must(world_whole(world->pool));
	/* one that was granted cannot leave, told or not */
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert(!pool_leave(world->as[1], &a->ticket));
	look(1);
	ck_assert_int_eq(a->fate, WORLD_HELD);
	ck_assert(!pool_leave(world->as[1], &a->ticket));
	/* head and tail of the line */
	ck_assert(pool_leave(world->as[1], &c->ticket));
	ck_assert(pool_leave(world->as[1], &d->ticket));
	c->fate = d->fate = WORLD_DONE;
	ck_assert_uint_eq(waiting(), 0);
	must(world_drain(world));
	finish();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool");
	TCase *line = tcase_create("line");

	tcase_add_test(line, test_first_come_first_served);
	tcase_add_test(line, test_a_grant_is_told_once);
	tcase_add_test(line, test_own_ticket_next);
	tcase_add_test(line, test_grant_behind_the_cursor);
	tcase_add_test(line, test_bound_is_exact);
	tcase_add_test(line, test_no_line_at_all);
	tcase_add_test(line, test_nobody_waits_beside_an_idle_slot);
	tcase_add_test(line, test_full_load);
	tcase_add_test(line, test_leave);

	suite_add_tcase(suite, line);
	return help_run(suite);
}
