/* When connections are taken from a worker that holds far more than its share, and how many. */
#include "daemon/balance.h"
#include "daemon/master.h"
#include "tests/unit/run_help.h"

#define WORKERS 3
#define SECOND  CLOCK_SECOND
#define LOOK    (SECOND / 4)

/* A master with three workers that never existed. */
struct world {
	struct conf conf;
	struct master master;
	struct generation generation;
	struct slot slots[WORKERS];
	uint64_t now;
};

static void
world_open(struct world *world, unsigned rate)
{
	*world = (struct world){.conf = {.rebalance = 1, .rebalance_rate = rate}};
	world->now = 100 * SECOND;
	world->master.conf = &world->conf;
	world->master.sum = stats_new(WORKERS);
	world->master.current = &world->generation;
	TAILQ_INIT(&world->master.generations);
	TAILQ_INSERT_TAIL(&world->master.generations, &world->generation, entry);
	world->generation.slots = world->slots;
	world->generation.slot_count = WORKERS;
	for (unsigned i = 0; i < WORKERS; i++)
		world->slots[i] = (struct slot){.master = &world->master,
		    .generation = &world->generation,
		    .id = i,
		    .pid = 1,
		    .state = SLOT_READY};
}

static void
world_hold(struct world *world, unsigned worker, uint64_t connections)
{
	atomic_store(&stats_row(world->master.sum, worker)->open, connections);
}

/* A look after each quarter of a second; returns what worker 0 has to give then. */
static uint64_t
world_look(struct world *world, unsigned looks)
{
	for (unsigned i = 0; i < looks; i++) {
		world->now += LOOK;
		ck_assert_uint_eq(balance_turn(&world->master, world->now), world->now + LOOK);
	}
	return world->slots[0].surplus;
}

START_TEST(only_who_is_far_above_for_a_second_gives)
{
	struct world world;

	world_open(&world, 1000000);
	/* A share of 100: 141 are far above, 140 are not. */
	world_hold(&world, 0, 140);
	world_hold(&world, 1, 80);
	world_hold(&world, 2, 80);
	ck_assert_uint_eq(world_look(&world, 20), 0);
	world_hold(&world, 0, 142);
	world_hold(&world, 2, 78);
	ck_assert_uint_eq(world_look(&world, 4), 0);
	ck_assert_uint_eq(world_look(&world, 1), 42);
	ck_assert_uint_eq(world.slots[1].surplus + world.slots[2].surplus, 0);
	stats_free(world.master.sum);
}
END_TEST

START_TEST(a_moment_is_not_enough)
{
	struct world world;

	world_open(&world, 1000000);
	for (int i = 0; i < 10; i++) {
		world_hold(&world, 0, 300);
		ck_assert_uint_eq(world_look(&world, 4), 0);
		world_hold(&world, 0, 3);
		ck_assert_uint_eq(world_look(&world, 1), 0);
	}
	stats_free(world.master.sum);
}
END_TEST

START_TEST(no_more_a_second_than_the_rate)
{
	struct world world;

	world_open(&world, 40);
	world_hold(&world, 0, 3000);
	/* Ten at each look; what was not needed before is not saved up. */
	ck_assert_uint_eq(world_look(&world, 4), 0);
	ck_assert_uint_eq(world_look(&world, 1), 10);
	ck_assert_uint_eq(world_look(&world, 1), 20);
	world.now += 50 * SECOND;
	ck_assert_uint_eq(world_look(&world, 1), 30);
	/* They have moved. */
	world.slots[0].surplus = 0;
	world_hold(&world, 0, 2970);
	world_hold(&world, 1, 30);
	ck_assert_uint_eq(world_look(&world, 1), 10);
	stats_free(world.master.sum);
}
END_TEST

START_TEST(one_a_second_is_slow_but_goes_on)
{
	struct world world;

	world_open(&world, 1);
	world_hold(&world, 0, 3000);
	ck_assert_uint_eq(world_look(&world, 5), 1);
	ck_assert_uint_eq(world_look(&world, 4), 2);
	ck_assert_uint_eq(world_look(&world, 40), 12);
	stats_free(world.master.sum);
}
END_TEST

START_TEST(who_has_begun_goes_on_to_the_share)
{
	struct world world;

	world_open(&world, 40);
	world_hold(&world, 0, 300);
	ck_assert_uint_eq(world_look(&world, 5), 10);
	/* No longer far above the share of 100, but not near it either. */
	world.slots[0].surplus = 0;
	world_hold(&world, 0, 110);
	world_hold(&world, 1, 100);
	world_hold(&world, 2, 90);
	ck_assert_uint_eq(world_look(&world, 1), 10);
	world.slots[0].surplus = 0;
	world_hold(&world, 0, 103);
	world_hold(&world, 1, 97);
	world_hold(&world, 2, 100);
	ck_assert_uint_eq(world_look(&world, 1), 0);
	/* And then it begins anew. */
	world_hold(&world, 0, 110);
	ck_assert_uint_eq(world_look(&world, 20), 0);
	stats_free(world.master.sum);
}
END_TEST

START_TEST(nobody_is_there_to_take)
{
	struct world world;

	world_open(&world, 1000);
	world_hold(&world, 0, 3000);
	world.slots[1].state = SLOT_STARTING;
	world.slots[2].pid = 0;
	ck_assert_uint_eq(world_look(&world, 40), 0);
	world.slots[1].state = SLOT_READY;
	ck_assert_uint_gt(world_look(&world, 8), 0);
	stats_free(world.master.sum);
}
END_TEST

START_TEST(not_unless_it_shall)
{
	struct world world;

	world_open(&world, 1000);
	world_hold(&world, 0, 3000);
	world.conf.rebalance = 0;
	ck_assert_uint_eq(balance_turn(&world.master, world.now), MASTER_NEVER);
	world.conf.rebalance = 1;
	world.master.stop.phase = STOP_DRAINING;
	ck_assert_uint_eq(balance_turn(&world.master, world.now + 60 * SECOND), MASTER_NEVER);
	ck_assert_uint_eq(world.slots[0].surplus, 0);
	stats_free(world.master.sum);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("balance");
	TCase *tests = tcase_create("balance");

	tcase_add_test(tests, only_who_is_far_above_for_a_second_gives);
	tcase_add_test(tests, a_moment_is_not_enough);
	tcase_add_test(tests, no_more_a_second_than_the_rate);
	tcase_add_test(tests, one_a_second_is_slow_but_goes_on);
	tcase_add_test(tests, who_has_begun_goes_on_to_the_share);
	tcase_add_test(tests, nobody_is_there_to_take);
	tcase_add_test(tests, not_unless_it_shall);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
