/*
 * The table of drills: each row prepares a small pool in which all parts matter, and then does one
 * operation as the victim. The slots are three, a line takes six tickets, a lease three messages.
 */
#include "common/clock.h"
#include "tests/unit/pool_drill.h"
#include "tests/unit/pool_world.h"

#include <stddef.h>

/* ---- the pool before ---- */

/* All three slots leased, to the victim, Sally and Tom; slot 0 to the victim. */
static void
prepare_leased(struct world *world)
{
	world_open(world);
	world_enter(world, VICTIM);
	world_enter(world, SALLY);
	world_enter(world, TOM);
}

/* And a line of six, two of the victim's among them. */
static void
prepare_line(struct world *world)
{
	static const unsigned line[] = {SALLY, VICTIM, TOM, TOM, VICTIM, SALLY};

	prepare_leased(world);
	for (unsigned i = 0; i < 6; i++)
		world_enter(world, line[i]);
}

/* A line in which cells were freed and used again, out of the order of their numbers. */
static void
prepare_mixed_line(struct world *world)
{
	prepare_line(world);
	for (int i = 0; i < 2; i++) {
		struct world_ticket *t = world_oldest(world, i == 0 ? TOM : SALLY, WORLD_WAITS);

		pool_leave(world->as[t->worker], &t->ticket);
		t->fate = WORLD_DONE;
	}
	world_enter(world, SALLY);
	world_enter(world, TOM);
}

static void
prepare_short_line(struct world *world)
{
	prepare_leased(world);
	world_enter(world, SALLY);
	world_enter(world, TOM);
}

/* Only the victim's second ticket waits. */
static void
prepare_own_line(struct world *world)
{
	prepare_leased(world);
	world_enter(world, VICTIM);
}

/* Nobody has compared the master's three offers yet. */
static void
prepare_offers(struct world *world)
{
	static const unsigned line[] = {SALLY, TOM, VICTIM, SALLY, TOM};

	for (unsigned i = 0; i < 5; i++)
		world_enter(world, line[i]);
	for (unsigned i = 0; i < 3; i++)
		world_offer(world, i);
}

/* Sally holds slot 0; the two others rest, one is doomed. */
static void
prepare_doom(struct world *world)
{
	world_open(world);
	world_enter(world, SALLY);
	pool_doom(world->pool, 1, world->incarnation[1]);
	pool_doom(world->pool, 0, world->incarnation[0]);
}

/* The victim's instance is doomed, and replaced under its hands. */
static void
prepare_replaced(struct world *world)
{
	prepare_short_line(world);
	pool_doom(world->pool, 0, world->incarnation[0]);
	world_offer(world, 0);
}

static void
prepare_doomed(struct world *world)
{
	prepare_short_line(world);
	pool_doom(world->pool, 0, world->incarnation[0]);
}

/* The victim's instance retires while there is a line. */
static void
prepare_retired(struct world *world)
{
	prepare_line(world);
	pool_retire(world->pool, 0, world->incarnation[0]);
}

/* Sally holds slot 0; of the two others one rests, the other retires. Nobody has looked yet. */
static void
prepare_retire(struct world *world)
{
	world_open(world);
	world_enter(world, SALLY);
	pool_retire(world->pool, 1, world->incarnation[1]);
	pool_retire(world->pool, 0, world->incarnation[0]);
}

/* Offered and retired at once, while there is a line. */
static void
prepare_retired_offer(struct world *world)
{
	prepare_offers(world);
	pool_retire(world->pool, 1, world->incarnation[1]);
}

/* Somebody was granted slot 0, which retires, and stands still. */
static void
prepare_still(struct world *world)
{
	prepare_leased(world);
	world_enter(world, GHOST);
	world_give(world, world_oldest(world, VICTIM, WORLD_HELD), POOL_REASON_NONE);
	world_forget(world, GHOST);
	pool_retire(world->pool, 0, world->incarnation[0]);
	world->now += 10 * CLOCK_SECOND;
}

/* A worker died with two leases and two tickets; nobody has swept up yet. */
static void
prepare_ghost(struct world *world)
{
	static const unsigned line[] = {GHOST, SALLY, TOM, GHOST, VICTIM};

	world_open(world);
	world_enter(world, GHOST);
	world_enter(world, SALLY);
	world_enter(world, GHOST);
	for (unsigned i = 0; i < 5; i++)
		world_enter(world, line[i]);
	world_forget(world, GHOST);
	pool_bury(world->pool, GHOST);
	world_offer(world, 2);
}

/* ---- what the victim does ---- */

static void
act_enter(struct world *world)
{
	world_enter(world, VICTIM);
}

static void
act_enter_again(struct world *world)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD);
	struct pool_grant grant;
	struct pool_ticket ticket;

	pool_give(world->as[VICTIM], &held->grant, world->now, POOL_REASON_CLOSED, &grant);
	pool_enter_again(world->as[VICTIM], world->now, held->grant.arrival, &ticket, &grant);
}

static void
act_enter_again_granted(struct world *world)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD);
	struct pool_grant grant;
	struct pool_ticket ticket;

	pool_give(world->as[VICTIM], &held->grant, world->now, POOL_REASON_NONE, &grant);
	pool_enter_again(world->as[VICTIM], world->now, held->grant.arrival, &ticket, &grant);
}

static void
act_leave_oldest(struct world *world)
{
	pool_leave(world->as[VICTIM], &world_oldest(world, VICTIM, WORLD_WAITS)->ticket);
}

static void
act_leave_newest(struct world *world)
{
	struct world_ticket *t = world_enter(world, VICTIM);

	if (t == NULL) {
		world_oldest(world, VICTIM, WORLD_WAITS)->fate = WORLD_DONE;
		t = world_oldest(world, VICTIM, WORLD_WAITS);
	}
	pool_leave(world->as[VICTIM], &t->ticket);
}

static void
act_send_ahead(struct world *world)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD), *first, *second;

	first = world_oldest(world, VICTIM, WORLD_WAITS);
	first->fate = WORLD_DONE;
	second = world_oldest(world, VICTIM, WORLD_WAITS);
	pool_send_ahead(world->as[VICTIM], &held->grant,
	    (struct pool_ticket[]){first->ticket, second->ticket}, 2);
}

static void
act_give_as(struct world *world, enum pool_reason reason)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD);
	struct pool_grant next;

	pool_give(world->as[VICTIM], &held->grant, world->now, reason, &next);
}

static void
act_give(struct world *world)
{
	act_give_as(world, POOL_REASON_NONE);
}

static void
act_give_broken(struct world *world)
{
	act_give_as(world, POOL_REASON_BABBLE);
}

static void
act_look(struct world *world)
{
	pool_look(world->as[VICTIM], world->now);
}

static void
act_attach(struct world *world)
{
	world_attach(world, VICTIM);
}

const struct drill drill_table[] = {
    {"enter, granted", world_open, act_enter},
    {"enter, waits", prepare_short_line, act_enter},
    {"enter, waits alone", prepare_leased, act_enter},
    {"enter, refused", prepare_line, act_enter},
    {"enter, after offers", prepare_offers, act_enter},
    {"enter, after a doom", prepare_doom, act_enter},
    {"enter again, waits", prepare_line, act_enter_again},
    {"enter again, in a mixed line", prepare_mixed_line, act_enter_again},
    {"enter again, granted", prepare_leased, act_enter_again_granted},
    {"leave, in the middle", prepare_line, act_leave_oldest},
    {"leave, in a mixed line", prepare_mixed_line, act_leave_oldest},
    {"leave, alone", prepare_own_line, act_leave_oldest},
    {"leave, at the end", prepare_short_line, act_leave_newest},
    {"send ahead", prepare_line, act_send_ahead},
    {"give, to another", prepare_line, act_give},
    {"give, in a mixed line", prepare_mixed_line, act_give},
    {"give, to itself", prepare_own_line, act_give},
    {"give, to nobody", prepare_leased, act_give},
    {"give, broken", prepare_line, act_give_broken},
    {"give, doomed", prepare_doomed, act_give},
    {"give, replaced", prepare_replaced, act_give},
    {"give, retired", prepare_retired, act_give},
    {"give, retired and broken", prepare_retired, act_give_broken},
    {"enter, after a retirement", prepare_retire, act_enter},
    {"look, at a retirement", prepare_retire, act_look},
    {"look, at a retired offer", prepare_retired_offer, act_look},
    {"look, at a retired slot that nobody took up", prepare_still, act_look},
    {"look, at offers", prepare_offers, act_look},
    {"look, at a doom", prepare_doom, act_look},
    {"look, at a dead worker", prepare_ghost, act_look},
    {"look, at a replacement", prepare_replaced, act_look},
    {"attach, behind a dead worker", prepare_ghost, act_attach},
};

const unsigned drill_table_size = sizeof(drill_table) / sizeof(drill_table[0]);
