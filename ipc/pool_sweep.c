/*
 * The workers' side of the master's words, compared under the lock. An offered instance becomes
 * free, a doomed or retired one is not given out, a dead worker's tickets and leases are swept up.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"

#define POOL_POINT_BASE 30000
#define POOL_CLAIM_TIME (200 * CLOCK_MS) /* in which a grant must be taken up */

uint64_t
pool_let_go(struct pool *pool, unsigned slot, uint32_t incarnation)
{
	const struct pool_order *order = &pool->head->orders[slot];
	enum pool_state state = POOL_FREE;

	if (atomic_load(&order->doomed) >= incarnation) {
		state = POOL_EMPTY;
	} else if (atomic_load(&order->retired) >= incarnation) {
		atomic_store(&pool->slots[slot].reason, POOL_REASON_RETIRED);
		POOL_POINT();
		pool->wake_master = true;
		state = POOL_BROKEN;
	}
	return pool_word(state, 0, 0, incarnation);
}

static void
pool_absorb_slot(struct pool *pool, unsigned slot)
{
	uint64_t word = atomic_load_explicit(&pool->slots[slot].word, memory_order_relaxed);
	uint32_t incarnation = pool_word_incarnation(word);
	uint64_t offered = atomic_load(&pool->head->orders[slot].offered);
	uint64_t doomed = atomic_load(&pool->head->orders[slot].doomed);

	if (offered > incarnation && offered > doomed)
		/* Whoever still holds the lease of an older incarnation gives back nothing. */
		pool_set_slot(pool, slot, pool_let_go(pool, slot, (uint32_t)offered));
	else if (doomed >= incarnation && pool_word_state(word) != POOL_LEASED)
		pool_set_slot(pool, slot, pool_word(POOL_EMPTY, 0, 0, incarnation));
	else if (pool_word_state(word) == POOL_FREE)
		pool_set_slot(pool, slot, pool_let_go(pool, slot, incarnation));
}

static void
pool_sweep_line(struct pool *pool, unsigned worker)
{
	uint32_t cell = pool->books->head;

	for (uint32_t steps = 0; cell < pool->cells && steps < pool->cells; steps++) {
		uint32_t next = pool->line[cell].next;
		uint64_t word = atomic_load_explicit(&pool->line[cell].word, memory_order_relaxed);

		if (pool_cell_owner(word) == worker)
			pool_line_remove(pool, cell);
		POOL_POINT();
		cell = next;
	}
}

static void
pool_sweep_slots(struct pool *pool, unsigned worker)
{
	unsigned used = pool_used(pool);

	for (unsigned i = 0; i < used; i++) {
		uint64_t word = atomic_load_explicit(&pool->slots[i].word, memory_order_relaxed);

		if (pool_word_state(word) != POOL_LEASED || pool_word_owner(word) != worker)
			continue;
		atomic_store(&pool->slots[i].reason, POOL_REASON_HOLDER_DIED);
		POOL_POINT();
		pool_set_slot(pool, i, pool_word(POOL_BROKEN, 0, 0, pool_word_incarnation(word)));
		pool->wake_master = true;
		POOL_POINT();
	}
}

/* Drops what the dead held. Who died may have written anything, so all caches are made anew. */
static void
pool_sweep(struct pool *pool)
{
	struct pool_books *books = pool->books;
	bool swept = false;

	for (unsigned i = 0; i < pool->shape.workers; i++) {
		uint64_t dead = atomic_load(&pool->head->dead[i]);

		if (dead == atomic_load_explicit(&books->swept[i], memory_order_relaxed))
			continue;
		if (!swept)
			pool_rebuild(pool);
		swept = true;
		pool_sweep_line(pool, i);
		pool_sweep_slots(pool, i);
		atomic_store(&books->swept[i], dead);
		POOL_POINT();
	}
}

/*
 * Takes the slot back from a worker that was granted it and has not taken it up. Not a byte can
 * have been written: the worker takes it up by the same compare-and-exchange, without the lock.
 */
static bool
pool_reclaim_slot(struct pool *pool, unsigned slot, uint64_t word)
{
	uint64_t back = pool_let_go(pool, slot, pool_word_incarnation(word));

	if (!atomic_compare_exchange_strong(&pool->slots[slot].word, &word, back))
		return false;
	POOL_POINT();
	pool_set_slot(pool, slot, back);
	return true;
}

bool
pool_reclaim(struct pool *pool, uint64_t now)
{
	struct pool_books *books = pool->books;
	unsigned used = pool_used(pool);
	bool any = false;

	if (now - books->reclaimed < POOL_CLAIM_TIME / 4)
		return false;
	books->reclaimed = now;
	for (unsigned i = 0; i < used; i++) {
		uint64_t word = atomic_load(&pool->slots[i].word);
		uint64_t until = atomic_load(&pool->slots[i].deadline);
		unsigned owner = pool_word_owner(word);

		if (pool_word_state(word) != POOL_LEASED || pool_word_messages(word) > 0 ||
		    owner == pool->self || now + pool->shape.lease_time < until + POOL_CLAIM_TIME ||
		    !pool_reclaim_slot(pool, i, word))
			continue;
		/* It stands still: what else it waits for would be lost on it as well. When it
		 * goes on it finds out and comes back to its old place. */
		pool_sweep_line(pool, owner);
		any = true;
		POOL_POINT();
	}
	return any;
}

void
pool_absorb(struct pool *pool)
{
	uint64_t changes = atomic_load_explicit(&pool->head->changes, memory_order_acquire);
	unsigned used = pool_used(pool);

	if (changes == pool->books->seen_changes)
		return;
	pool_sweep(pool);
	for (unsigned i = 0; i < used; i++) {
		pool_absorb_slot(pool, i);
		POOL_POINT();
	}
	/* Last: who dies before this leaves the work to the next. */
	pool->books->seen_changes = changes;
}
