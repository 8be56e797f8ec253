/* What those check_pool programs share that play all workers in one process: one world, and Check's
 * way to look at it. */
#ifndef TESTS_POOL_HELP_H
#define TESTS_POOL_HELP_H

#include "tests/unit/pool_world.h"

#include <check.h>

static struct world *world;

/* A sentence about what is wrong fails the test. */
static inline void
must(const char *wrong)
{
	ck_assert_msg(wrong == NULL, "%s", wrong);
}

static inline void
start(unsigned slots, unsigned queue, unsigned batch, unsigned workers)
{
	world = world_new(slots, queue, batch, workers);
}

static inline void
finish(void)
{
	must(world_whole(world->pool));
	must(world_in_order(world->pool));
	world_free(world);
}

static inline struct world_ticket *
enter_held(unsigned worker)
{
	struct world_ticket *t = world_enter(world, worker);

	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(t->fate, WORLD_HELD);
	return t;
}

static inline struct world_ticket *
enter_waits(unsigned worker)
{
	struct world_ticket *t = world_enter(world, worker);

	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(t->fate, WORLD_WAITS);
	return t;
}

static inline uint64_t
waiting(void)
{
	struct pool_figures figures;

	pool_figures(world->pool, &figures);
	return figures.waiting;
}

static inline struct pool_view
view_of(unsigned slot)
{
	struct pool_view view;

	ck_assert(pool_peek(world->pool, slot, &view));
	return view;
}

static inline void
look(unsigned worker)
{
	pool_look(world->as[worker], world->now);
	must(world_collect(world, worker));
}

#endif
