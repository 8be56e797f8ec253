/*
 * Looks a few times a second whether a worker holds far more connections than its share, and lets
 * it give some away. Owns nothing; reads the workers' statistics and writes what each has to give.
 * Never decides who takes it.
 */
#include "daemon/balance.h"

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/mover.h"

#define BALANCE_LOOK (250 * CLOCK_MS)
#define BALANCE_TIME (1 * CLOCK_SECOND) /* for so long it must have been far above */
#define BALANCE_MORE 16                 /* connections that are no skew, however few there are */
#define BALANCE_NEAR 4                  /* near enough to the share to leave it at that */

static bool
balance_is_far(uint64_t has, uint64_t share)
{
	return has > share + share / 4 + BALANCE_MORE;
}

/* What may move since the last look; nothing is saved up, but it may always come to be one. */
static void
balance_earn(struct balance *balance, uint64_t rate, uint64_t elapsed)
{
	uint64_t most = rate * BALANCE_LOOK;

	if (elapsed > BALANCE_LOOK)
		elapsed = BALANCE_LOOK;
	if (most < CLOCK_SECOND)
		most = CLOCK_SECOND;
	balance->allowance += rate * elapsed;
	if (balance->allowance > most)
		balance->allowance = most;
}

/* Takes as many of `wanted` as the allowance has. */
static uint64_t
balance_spend(struct balance *balance, uint64_t wanted)
{
	uint64_t most = balance->allowance / CLOCK_SECOND;
	uint64_t given = wanted < most ? wanted : most;

	balance->allowance -= given * CLOCK_SECOND;
	return given;
}

/* What it holds of the current generation's; 0 for one that does not serve. */
static uint64_t
balance_count(const struct slot *slot)
{
	return slot_is_alive(slot) && slot->state == SLOT_READY ? mover_count(slot) : 0;
}

/* An even share; 0 while there is nothing to share, or nobody to share with. */
static uint64_t
balance_share(const struct generation *current)
{
	uint64_t total = 0, workers = 0;

	for (unsigned i = 0; i < current->slot_count; i++) {
		const struct slot *slot = &current->slots[i];

		total += balance_count(slot);
		workers += slot_is_alive(slot) && slot->state == SLOT_READY;
	}
	return workers < 2 ? 0 : (total + workers - 1) / workers;
}

static void
balance_look_at(struct balance *balance, struct slot *slot, uint64_t share, uint64_t now)
{
	uint64_t has = balance_count(slot), more;

	if (slot->far_since == 0 && balance_is_far(has, share)) {
		slot->far_since = now;
		return;
	}
	/* Who has begun goes on until it is even: else it would stop just below what is far. */
	if (slot->far_since == 0 || has <= share + BALANCE_NEAR ||
	    (!slot->gives_way && !balance_is_far(has, share))) {
		slot->far_since = 0;
		slot->gives_way = false;
		return;
	}
	if (now < slot->far_since + BALANCE_TIME)
		return;
	if (!slot->gives_way)
		log_info("worker %u holds %llu connections, the share is %llu: it gives some away",
		    slot->place, (unsigned long long)has, (unsigned long long)share);
	slot->gives_way = true;
	more = has - share;
	if (more > slot->surplus)
		slot->surplus += balance_spend(balance, more - slot->surplus);
}

uint64_t
balance_turn(struct master *master, uint64_t now)
{
	struct generation *current = master->current;
	struct balance *balance = &master->balance;
	uint64_t share;

	if (!master->conf->rebalance || master->stop.phase != STOP_NONE) {
		balance->looked = 0;
		return MASTER_NEVER;
	}
	if (balance->looked != 0 && now < balance->looked + BALANCE_LOOK)
		return balance->looked + BALANCE_LOOK;
	balance_earn(balance, master->conf->rebalance_rate,
	    balance->looked != 0 ? now - balance->looked : BALANCE_LOOK);
	balance->looked = now;
	share = balance_share(current);
	for (unsigned i = 0; i < current->slot_count && share > 0; i++)
		balance_look_at(balance, &current->slots[i], share, now);
	return now + BALANCE_LOOK;
}
