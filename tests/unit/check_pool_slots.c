/*
 * What the pool promises about instances that break and workers that die, with all workers played
 * by one process.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

#include <stdlib.h>
#include <string.h>

/* ---- instances: broken, doomed, replaced ---- */

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

/* ---- workers come and go ---- */

START_TEST(test_bury)
{
	static const unsigned everybody[] = {0, 1, 2};
	struct world_ticket *survivor[3];

	start(3, 10, 1, 3);
	world_open(world);
	struct world_ticket *held = enter_held(1);
	enter_held(0);
	enter_held(1);
	unsigned broken_slot = held->grant.slot;
	for (int i = 0; i < 3; i++) {
		enter_waits(1);
		survivor[i] = enter_waits(i % 2 == 0 ? 0 : 2);
	}
	unsigned before = world->master_woken;
	pool_bury(world->pool, 1);
	ck_assert(!pool_swept(world->pool, 1));
	ck_assert(pool_swept(world->pool, 0));
	world_forget(world, 1);
	look(2);
	ck_assert(pool_swept(world->pool, 1));
	ck_assert_uint_gt(world->master_woken, before);
	ck_assert_uint_eq(waiting(), 3);
	ck_assert_int_eq(view_of(broken_slot).state, POOL_BROKEN);
	ck_assert_int_eq(view_of(broken_slot).reason, POOL_REASON_HOLDER_DIED);
	ck_assert_int_eq(view_of(1).state, POOL_LEASED);
	must(world_whole(world->pool));
	/* the replaced instances go to the survivors, in order */
	ck_assert_uint_eq(world_offer_lost(world), 2);
	look(0);
	look(2);
	ck_assert_int_eq(survivor[0]->fate, WORLD_HELD);
	ck_assert_int_eq(survivor[1]->fate, WORLD_HELD);
	ck_assert_int_eq(survivor[2]->fate, WORLD_WAITS);
	must(world_drain(world));
	/* the id starts as if it were new */
	world_attach(world, 1);
	must(world_collect(world, 1));
	must(world_full_load(world, everybody, 3));
	finish();
}
END_TEST

START_TEST(test_bury_a_grant_nobody_took)
{
	start(1, 4, 1, 2);
	world_open(world);
	struct world_ticket *held = enter_held(0);
	enter_waits(1);
	struct world_ticket *last = enter_waits(0);
	must(world_give(world, held, POOL_REASON_NONE));
	ck_assert_uint_eq(view_of(0).owner, 1);
	pool_bury(world->pool, 1);
	world_forget(world, 1);
	look(0);
	ck_assert_int_eq(view_of(0).state, POOL_BROKEN);
	ck_assert_int_eq(last->fate, WORLD_WAITS);
	must(world_drain(world));
	finish();
}
END_TEST

START_TEST(test_nobody_left_to_sweep)
{
	static const unsigned newcomer[] = {3};

	start(2, 10, 1, 4);
	world_open(world);
	enter_held(0);
	enter_held(1);
	for (unsigned w = 0; w < 3; w++)
		enter_waits(w);
	for (unsigned w = 0; w < 3; w++) {
		pool_bury(world->pool, w);
		world_forget(world, w);
	}
	world_attach(world, 3);
	for (unsigned w = 0; w < 3; w++)
		ck_assert(pool_swept(world->pool, w));
	ck_assert_uint_eq(waiting(), 0);
	must(world_drain(world));
	must(world_full_load(world, newcomer, 1));
	finish();
}
END_TEST

/* All that can be made anew is made anew when somebody died, whatever he wrote there. */
START_TEST(test_the_dead_scribbled_on_the_caches)
{
	static const unsigned everybody[] = {0, 1, 2};
	static const uint32_t nonsense[] = {0, 1, 5, 1000000, UINT32_MAX};
	struct pool_books *books;

	start(3, 10, 1, 3);
	world_open(world);
	for (unsigned i = 0; i < 11; i++)
		ck_assert_ptr_nonnull(world_enter(world, i % 3));
	books = world->pool->books;
	books->head = nonsense[_i];
	books->tail = books->spare = nonsense[4 - _i];
	books->fresh = nonsense[_i];
	books->waiting = nonsense[_i] * UINT64_C(77);
	memset(books->rested, _i % 2 == 0 ? 0xff : 0, sizeof(books->rested));
	for (uint32_t i = 0; i < world->pool->cells; i++)
		world->pool->line[i].next = world->pool->line[i].prev = nonsense[_i];
	pool_bury(world->pool, 1);
	world_forget(world, 1);
	look(0);
	must(world_whole(world->pool));
	must(world_drain(world));
	world_attach(world, 1);
	must(world_full_load(world, everybody, 3));
	finish();
}
END_TEST

/* A slot that names an incarnation which was never offered, or an owner who cannot be. */
START_TEST(test_the_dead_scribbled_on_a_slot)
{
	static const unsigned everybody[] = {0, 1};

	start(2, 4, 1, 3);
	world_open(world);
	enter_held(0);
	enter_held(0);
	enter_waits(0);
	world->pool->slots[1].word = _i < 4 ? pool_word((enum pool_state)_i, 0, 1, UINT32_MAX)
					    : pool_word(POOL_LEASED, 1000, 1, 1);
	pool_bury(world->pool, 1);
	world_forget(world, 1);
	look(0);
	ck_assert_int_eq(view_of(1).state, POOL_BROKEN);
	ck_assert_int_eq(view_of(1).reason, POOL_REASON_UNKNOWN);
	ck_assert_uint_gt(world->master_woken, 0);
	must(world_whole(world->pool));
	must(world_drain(world));
	world_attach(world, 1);
	must(world_full_load(world, everybody, 2));
	finish();
}
END_TEST

/* The very id that died attaches again before anybody else swept up behind it. */
START_TEST(test_an_id_sweeps_behind_itself)
{
	static const unsigned itself[] = {0};

	start(1, 4, 1, 1);
	world_open(world);
	enter_held(0);
	enter_waits(0);
	pool_bury(world->pool, 0);
	world_forget(world, 0);
	world_attach(world, 0);
	ck_assert(pool_swept(world->pool, 0));
	must(world_collect(world, 0));
	ck_assert_uint_eq(waiting(), 0);
	must(world_drain(world));
	must(world_full_load(world, itself, 1));
	finish();
}
END_TEST

/* What a newcomer's first look grants has a deadline of now, not of the beginning of time. */
START_TEST(test_attach_grants_with_a_deadline)
{
	uint64_t before = clock_now();

	start(1, 4, 1, 2);
	enter_waits(0);
	world_offer(world, 0);
	world_attach(world, 1);
	ck_assert_int_eq(view_of(0).state, POOL_LEASED);
	ck_assert_uint_ge(view_of(0).deadline, before + world->shape.lease_time);
	look(0);
	must(world_drain(world));
	finish();
}
END_TEST

/* One step of a random walk: any operation by any worker, or something done by the master. */
static void
walk(uint64_t number)
{
	unsigned worker = (unsigned)(number >> 8) % 4, slot = (unsigned)(number >> 16) % 3;
	struct world_ticket *held = world_oldest(world, worker, WORLD_HELD);
	struct world_ticket *waits = world_oldest(world, worker, WORLD_WAITS);

	switch (number % 16) {
	case 0:
		if ((number >> 24 & 1) != 0)
			pool_doom(world->pool, slot, world->incarnation[slot]);
		else
			pool_retire(world->pool, slot, world->incarnation[slot]);
		break;
	case 1:
		world_offer_lost(world);
		break;
	case 2:
		pool_bury(world->pool, worker);
		world_forget(world, worker);
		look((worker + 1) % 4);
		world_attach(world, worker);
		break;
	case 3:
		if (held != NULL)
			must(world_give(world, held, POOL_REASON_TIMEOUT));
		break;
	case 4:
		if (waits != NULL && pool_leave(world->as[worker], &waits->ticket))
			waits->fate = WORLD_DONE;
		break;
	case 5:
	case 6:
		if (held != NULL && waits != NULL &&
		    pool_send_ahead(world->as[worker], &held->grant, &waits->ticket, 1) == 1)
			waits->fate = WORLD_DONE;
		break;
	case 7:
	case 8:
	case 9:
		if (held != NULL)
			must(world_give(world, held, POOL_REASON_NONE));
		break;
	default:
		/* refused only where the line is full to the last place */
		if (world_enter(world, worker) == NULL)
			ck_assert_uint_eq(waiting(), 7);
		break;
	}
}

START_TEST(test_random_walk)
{
	static const unsigned everybody[] = {0, 1, 2, 3};
	uint64_t number = clock_now() | 1, seed = number;

	start(3, 7, 3, 4);
	world_open(world);
	for (int i = 0; i < 20000; i++) {
		number ^= number << 13;
		number ^= number >> 7;
		number ^= number << 17;
		/* on with the clock that repairs look at: a grant must not look old to them */
		world->now = clock_now();
		walk(number);
		/* a bare order of the master is compared at the next look */
		look((unsigned)(number >> 24) % 4);
		const char *wrong = world_whole(world->pool);
		ck_assert_msg(wrong == NULL && waiting() <= 7, "step %d: %s (seed %llu)", i,
		    wrong != NULL ? wrong : "too many wait", (unsigned long long)seed);
		if (world->count == WORLD_TICKETS) {
			must(world_drain(world));
			world->count = 0;
		}
	}
	must(world_drain(world));
	must(world_full_load(world, everybody, 4));
	struct pool_figures figures;
	pool_figures(world->pool, &figures);
	ck_assert_uint_gt(figures.grants, 500);
	ck_assert_uint_gt(figures.refused, 20);
	ck_assert_uint_gt(figures.rebuilds, 100);
	finish();
}
END_TEST

START_TEST(test_reset)
{
	static const unsigned everybody[] = {0, 1};

	start(3, 5, 2, 2);
	world_open(world);
	must(world_full_load(world, everybody, 2));
	for (int i = 0; i < 6; i++)
		ck_assert_ptr_nonnull(world_enter(world, 1));
	pool_bury(world->pool, 1);
	pool_reset(world->pool);
	must(world_whole(world->pool));
	world->count = 0;
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(view_of(i).state, POOL_EMPTY);
		world->incarnation[i] += 5;
	}
	ck_assert_uint_eq(waiting(), 0);
	world_attach(world, 0);
	world_attach(world, 1);
	must(world_drain(world));
	must(world_full_load(world, everybody, 2));
	finish();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_slots");
	TCase *slots = tcase_create("slots"), *workers = tcase_create("workers");

	tcase_add_loop_test(
	    slots, test_broken_by_its_holder, POOL_REASON_NONE + 1, POOL_REASON_COUNT);
	tcase_add_test(slots, test_doomed_while_free);
	tcase_add_test(slots, test_doomed_while_leased);
	tcase_add_test(slots, test_replaced_under_a_stuck_holder);
	tcase_add_test(slots, test_given_twice);
	tcase_add_test(slots, test_deadline_and_served);
	tcase_add_test(slots, test_commit_word_comes_last);

	tcase_add_test(workers, test_bury);
	tcase_add_test(workers, test_bury_a_grant_nobody_took);
	tcase_add_test(workers, test_nobody_left_to_sweep);
	tcase_add_loop_test(workers, test_the_dead_scribbled_on_the_caches, 0, 5);
	tcase_add_loop_test(workers, test_the_dead_scribbled_on_a_slot, 0, 5);
	tcase_add_test(workers, test_an_id_sweeps_behind_itself);
	tcase_add_test(workers, test_attach_grants_with_a_deadline);
	tcase_add_test(workers, test_reset);
	tcase_add_test(workers, test_random_walk);

	suite_add_tcase(suite, slots);
	suite_add_tcase(suite, workers);
	return help_run(suite);
}
