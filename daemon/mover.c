/*
 * Brokers moves: makes a channel for each and hands its ends to the two workers. Owns nothing but a
 * few numbers in the slots; never sees a connection.
 */
#include "daemon/mover.h"

#include "common/log.h"
#include "daemon/master.h"
#include "ipc/chan.h"

#include <unistd.h>

#define MOVER_RETRY (10 * CLOCK_MS) /* after a channel that was full */
#define MOVER_PAUSE (50 * CLOCK_MS) /* after an order that moved nothing */
#define MOVER_SHUN  CLOCK_SECOND    /* how long another taker is preferred after that */
#define MOVER_SLACK 4               /* connections above the share that are not worth an order */

uint64_t
mover_count(const struct slot *slot)
{
	return stats_open_of(slot->master->sum, slot->id);
}

/* Whether connections may be given to it. */
static bool
mover_may_take(const struct slot *slot)
{
	return slot_is_alive(slot) && slot->state == SLOT_READY && slot->accept_told &&
	       slot->behind == 0;
}

/* What it has, and what it will have when the moves under way are done. */
static uint64_t
mover_load(const struct slot *slot)
{
	return mover_count(slot) + slot->coming;
}

/* Its connections shall all go. */
static bool
mover_is_leaving(const struct slot *slot)
{
	return slot->drain && slot->drain_told && !slot->drain_hasty && !slot->gave_all;
}

/* ---- one move ---- */

static void
mover_settle(struct slot *giver)
{
	if (giver->gives_to != NULL)
		giver->gives_to->coming -= giver->gives;
	giver->gives_to = NULL;
	giver->gives = 0;
	giver->giving = false;
}

/* False when it could not be ordered now. */
static bool
mover_order(struct slot *giver, struct slot *taker, uint64_t most)
{
	struct msg take = {.type = MSG_TAKE}, give = {.type = MSG_GIVE};
	int ends[2];
	bool told;

	if (chan_pair(ends) != 0)
		return false;
	take.take.order = give.give.order = ++giver->order;
	give.give.most = most;
	/* A taker without a giver hears the end at once. */
	told = slot_send(taker, &take, &ends[0]) && slot_send(giver, &give, &ends[1]);
	close(ends[0]);
	close(ends[1]);
	if (!told)
		return false;
	giver->giving = true;
	giver->gives_last = mover_is_leaving(giver);
	giver->gives_to = taker;
	giver->gives = most < mover_count(giver) ? most : mover_count(giver);
	taker->coming += giver->gives;
	log_debug("worker %u (pid %ld) gives %llu connections to worker %u (pid %ld)", giver->place,
	    (long)giver->pid, (unsigned long long)giver->gives, taker->place, (long)taker->pid);
	return true;
}

bool
mover_heard(struct slot *slot, const struct msg_given *given, uint64_t now)
{
	if (given->order != slot->order || !slot->giving)
		return false;
	if (given->moved == 0 && slot->gives_to != NULL)
		slot->gives_to->takes_next = now + MOVER_SHUN;
	mover_settle(slot);
	slot->surplus -= given->moved < slot->surplus ? given->moved : slot->surplus;
	slot->gives_next = given->moved > 0 ? now : now + MOVER_PAUSE;
	if (given->rest > 0)
		return true;
	/* What cannot move finishes where it is. One that did not leave may have got more since. */
	slot->surplus = 0;
	slot->gave_all = slot->gives_last;
	return true;
}

void
mover_forget(struct slot *slot)
{
	struct generation *generation;

	mover_settle(slot);
	slot->surplus = slot->coming = slot->order = slot->gives_next = slot->takes_next = 0;
	slot->gave_all = false;
	/* Who gives to it hears that its channel ends, and says so. */
	TAILQ_FOREACH (generation, &slot->master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (generation->slots[i].gives_to == slot)
				generation->slots[i].gives_to = NULL;
}

/* ---- deciding ---- */

static bool
mover_may_give(const struct slot *slot)
{
	return slot_is_alive(slot) && slot->was_ready && !slot->giving && slot->behind == 0 &&
	       (mover_is_leaving(slot) || slot->surplus > 0) && mover_count(slot) > 0;
}

struct mover_plan {
	uint64_t takers, share; /* how many connections each of them will have in the end */
};

static struct mover_plan
mover_plan(const struct master *master)
{
	const struct generation *generation;
	struct mover_plan plan = {0};
	uint64_t total = 0;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++) {
			const struct slot *slot = &generation->slots[i];

			if (!slot_is_alive(slot))
				continue;
			total += mover_count(slot);
			plan.takers += generation == master->current && mover_may_take(slot);
		}
	if (plan.takers > 0)
		plan.share = (total + plan.takers - 1) / plan.takers;
	return plan;
}

/* Who has just taken nothing, for want of descriptors or because it ends, comes last. */
static bool
mover_is_better(const struct slot *slot, const struct slot *other, uint64_t now)
{
	bool shunned = now < slot->takes_next, other_shunned = now < other->takes_next;

	return shunned != other_shunned ? other_shunned : mover_load(slot) < mover_load(other);
}

static struct slot *
mover_find_taker(const struct master *master, const struct slot *giver, uint64_t now)
{
	struct generation *current = master->current;
	struct slot *best = NULL;

	for (unsigned i = 0; i < current->slot_count; i++) {
		struct slot *slot = &current->slots[i];

		if (slot != giver && mover_may_take(slot) &&
		    (best == NULL || mover_is_better(slot, best, now)))
			best = slot;
	}
	return best;
}

/* Who leaves gives all, but in as few pieces as an even share allows. */
static uint64_t
mover_most(const struct slot *giver, const struct slot *taker, const struct mover_plan *plan)
{
	uint64_t load = mover_load(taker), room = plan->share > load ? plan->share - load : 0;
	uint64_t has = mover_count(giver), least = has / plan->takers + 1;

	if (!mover_is_leaving(giver))
		return room < giver->surplus ? room : giver->surplus;
	if (has <= room + room / 8 + MOVER_SLACK)
		return MSG_GIVE_ALL;
	/* One that takes nothing leaves more to the others than their share. */
	return room > least ? room : least;
}

static uint64_t
mover_turn_slot(struct slot *giver, const struct mover_plan *plan, uint64_t now)
{
	struct slot *taker;
	uint64_t most;

	if (!mover_may_give(giver))
		return MASTER_NEVER;
	if (now < giver->gives_next)
		return giver->gives_next;
	taker = mover_find_taker(giver->master, giver, now);
	if (taker == NULL)
		return MASTER_NEVER; /* one that becomes ready ends a turn of the loop */
	most = mover_most(giver, taker, plan);
	if (most == 0) {
		giver->surplus = 0; /* others have closed theirs, or come and gone */
		return MASTER_NEVER;
	}
	return mover_order(giver, taker, most) ? MASTER_NEVER : now + MOVER_RETRY;
}

uint64_t
mover_turn(struct master *master, uint64_t now)
{
	struct generation *generation;
	struct mover_plan plan = mover_plan(master);
	uint64_t next = MASTER_NEVER;

	if (plan.share == 0 || master->stop.phase != STOP_NONE)
		return MASTER_NEVER;
	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++) {
			uint64_t time = mover_turn_slot(&generation->slots[i], &plan, now);

			next = time < next ? time : next;
		}
	return next;
}

uint64_t
mover_rebalance(struct master *master)
{
	struct generation *current = master->current;
	uint64_t share = mover_plan(master).share, sum = 0;

	for (unsigned i = 0; i < current->slot_count && share > 0; i++) {
		struct slot *slot = &current->slots[i];
		uint64_t has = mover_may_take(slot) ? mover_count(slot) : 0;

		slot->surplus = has > share ? has - share : 0;
		sum += slot->surplus;
	}
	return sum;
}
