/*
 * A random walk through all that workers and the master may do to the pool, with all workers played
 * by one process: after each step the pool must be whole.
 */
#include "common/clock.h"
#include "tests/unit/pool_help.h"
#include "tests/unit/run_help.h"

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

int
main(void)
{
	Suite *suite = suite_create("pool_walk");
	TCase *walks = tcase_create("walks");

	tcase_add_test(walks, test_random_walk);

	suite_add_tcase(suite, walks);
	return help_run(suite);
}
