/*
 * What the pool promises when workers die and others attach, whatever the dead left behind, and
 * when all of it is reset, with all workers played by one process.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

#include <string.h>

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
	Suite *suite = suite_create("pool_workers");
	TCase *workers = tcase_create("workers");

	tcase_add_test(workers, test_bury);
	tcase_add_test(workers, test_bury_a_grant_nobody_took);
	tcase_add_test(workers, test_nobody_left_to_sweep);
	tcase_add_loop_test(workers, test_the_dead_scribbled_on_the_caches, 0, 5);
	tcase_add_loop_test(workers, test_the_dead_scribbled_on_a_slot, 0, 5);
	tcase_add_test(workers, test_an_id_sweeps_behind_itself);
	tcase_add_test(workers, test_attach_grants_with_a_deadline);
	tcase_add_test(workers, test_reset);

	suite_add_tcase(suite, workers);
	return help_run(suite);
}
