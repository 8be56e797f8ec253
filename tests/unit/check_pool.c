/*
 * What the pool promises, rule by rule, with all workers played by one process. After each test the
 * caches are compared with the commit words and violations must be 0.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

#include <stdlib.h>

/* ---- order, bound, work ---- */

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

/* ---- leaving, sending ahead, coming again ---- */

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

/* ---- what can be seen ---- */

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
	Suite *suite = suite_create("pool");
	TCase *line = tcase_create("line"), *seen = tcase_create("seen");

	tcase_add_test(line, test_first_come_first_served);
	tcase_add_test(line, test_a_grant_is_told_once);
	tcase_add_test(line, test_own_ticket_next);
	tcase_add_test(line, test_grant_behind_the_cursor);
	tcase_add_test(line, test_bound_is_exact);
	tcase_add_test(line, test_no_line_at_all);
	tcase_add_test(line, test_nobody_waits_beside_an_idle_slot);
	tcase_add_test(line, test_full_load);
	tcase_add_test(line, test_leave);
	tcase_add_test(line, test_send_ahead);
	tcase_add_test(line, test_batch_of_one);
	tcase_add_test(line, test_awake);
	tcase_add_test(line, test_a_break_is_known);
	tcase_add_test(line, test_come_again);
	tcase_add_test(line, test_a_grant_that_nobody_takes_up);
	tcase_add_test(line, test_come_again_in_any_order);
	tcase_add_test(line, test_come_again_to_the_same_instance);

	tcase_add_test(seen, test_trace);
	tcase_add_test(seen, test_violations_are_counted);
	tcase_add_test(seen, test_grant_out_of_order_is_counted);
	tcase_add_test(seen, test_reasons_have_texts);

	suite_add_tcase(suite, line);
	suite_add_tcase(suite, seen);
	return help_run(suite);
}
