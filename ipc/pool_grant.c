/*
 * Who is given which instance: the oldest ticket gets the lowest one that rests, and whoever was
 * granted something finds it here. Called under the lock, but for pool_next_grant(). Never decides
 * when a lease ends.
 */
#include "ipc/pool_layout.h"

#define POOL_POINT_BASE 50000

void
pool_search(struct pool *pool)
{
	pool->untold = true;
	pool->cursor = 0;
}

static void
pool_wake(struct pool *pool, unsigned worker)
{
	struct pool_watch *watch;

	if (worker == pool->self) {
		pool_search(pool);
		pool->self_grants++;
		return;
	}
	watch = &pool->books->watches[worker];
	atomic_store(&watch->granted, atomic_load(&watch->granted) + 1);
	pool->wakes[worker / 64] |= UINT64_C(1) << worker % 64;
	pool->wake_workers = true;
}

static void
pool_trace_grant(struct pool *pool, const struct pool_trace *grant)
{
	struct pool_books *books = pool->books;
	uint64_t n = atomic_load_explicit(&books->grants, memory_order_relaxed);

	if (grant->arrival < books->last_granted && !grant->again)
		atomic_fetch_add_explicit(&books->violations, 1, memory_order_relaxed);
	if (grant->arrival > books->last_granted)
		books->last_granted = grant->arrival;
	books->trace[n % POOL_TRACE] = *grant;
	atomic_store_explicit(&books->grants, n + 1, memory_order_relaxed);
}

/* The slot goes to a worker: arrival and deadline first, the commit word last. */
static void
pool_lease(
    struct pool *pool, unsigned slot, uint64_t now, uint64_t arrival, unsigned worker, bool again)
{
	/* A lease of another worker counts no message until that worker has taken it up. */
	unsigned messages = worker == pool->self;

	struct pool_slot *s = &pool->slots[slot];
	uint32_t incarnation =
	    pool_word_incarnation(atomic_load_explicit(&s->word, memory_order_relaxed));

	atomic_store_explicit(&s->arrival, arrival, memory_order_relaxed);
	POOL_POINT();
	atomic_store_explicit(&s->deadline, now + pool->shape.lease_time, memory_order_relaxed);
	POOL_POINT();
	pool_set_slot(pool, slot, pool_word(POOL_LEASED, worker, messages, incarnation));
	POOL_POINT();
	pool_trace_grant(pool, &(struct pool_trace){.arrival = arrival,
				   .time = now,
				   .slot = slot,
				   .incarnation = incarnation,
				   .worker = worker,
				   .again = again});
	POOL_POINT();
}

/* The lowest resting slot, so that warm ones stay warm; false when there is none. A bit that lies
 * is cleared. */
static bool
pool_resting_slot(struct pool *pool, unsigned *slot)
{
	unsigned used = pool_used(pool);

	for (unsigned i = 0; i < (used + 63) / 64; i++) {
		for (uint64_t bits = pool->books->rested[i]; bits != 0; bits &= bits - 1) {
			*slot = i * 64 + (unsigned)__builtin_ctzll(bits);
			if (*slot < used &&
			    pool_word_state(atomic_load(&pool->slots[*slot].word)) == POOL_FREE)
				return true;
			pool->books->rested[i] &= ~(bits & -bits);
		}
	}
	return false;
}

/* The oldest ticket and its commit word; damaged links are mended first. POOL_NONE when nobody
 * waits. */
static uint32_t
pool_oldest(struct pool *pool, uint64_t *word)
{
	for (int tries = 0; tries < 2; tries++) {
		uint32_t cell = pool->books->head;

		if (cell >= pool->cells)
			return POOL_NONE;
		*word = atomic_load_explicit(&pool->line[cell].word, memory_order_relaxed);
		if ((*word & POOL_CELL_WAITING) != 0 &&
		    pool_cell_owner(*word) < pool->shape.workers)
			return cell;
		pool_rebuild(pool);
	}
	return POOL_NONE;
}

void
pool_match(struct pool *pool, uint64_t now)
{
	uint32_t cell;
	uint64_t word;
	unsigned slot;

	while ((cell = pool_oldest(pool, &word)) != POOL_NONE && pool_resting_slot(pool, &slot)) {
		struct pool_cell *c = &pool->line[cell];

		pool_lease(pool, slot, now, atomic_load_explicit(&c->arrival, memory_order_relaxed),
		    pool_cell_owner(word), (word & POOL_CELL_AGAIN) != 0);
		pool_wake(pool, pool_cell_owner(word));
		pool_line_remove(pool, cell);
		POOL_POINT();
	}
}

bool
pool_has_news(const struct pool *pool, unsigned slot)
{
	const struct pool_slot *s = &pool->slots[slot];
	uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);

	return pool_word_state(word) == POOL_LEASED && pool_word_owner(word) == pool->self &&
	       (pool->told[slot].arrival !=
		       atomic_load_explicit(&s->arrival, memory_order_relaxed) ||
		   pool->told[slot].incarnation != pool_word_incarnation(word));
}

void
pool_tell(struct pool *pool, unsigned slot, struct pool_grant *grant)
{
	struct pool_slot *s = &pool->slots[slot];

	grant->slot = slot;
	grant->incarnation = pool_word_incarnation(atomic_load(&s->word));
	grant->arrival = atomic_load(&s->arrival);
	pool->told[slot].arrival = grant->arrival;
	pool->told[slot].incarnation = grant->incarnation;
}

/* ---- told ---- */

bool
pool_grant_now(
    struct pool *pool, uint64_t now, uint64_t arrival, bool again, struct pool_grant *grant)
{
	unsigned slot;

	if (pool->books->head < pool->cells || !pool_resting_slot(pool, &slot))
		return false;
	pool_lease(pool, slot, now, arrival, pool->self, again);
	pool_tell(pool, slot, grant);
	return true;
}

/* Takes up a lease that another worker granted. False when it was reclaimed meanwhile. */
static bool
pool_claim(struct pool *pool, unsigned slot)
{
	_Atomic uint64_t *commit = &pool->slots[slot].word;
	uint64_t word = atomic_load(commit);

	if (pool_word_state(word) != POOL_LEASED || pool_word_owner(word) != pool->self)
		return false;
	if (pool_word_messages(word) > 0)
		return true;
	return atomic_compare_exchange_strong(
	    commit, &word, pool_word(POOL_LEASED, pool->self, 1, pool_word_incarnation(word)));
}

bool
pool_next_grant(struct pool *pool, struct pool_grant *grant)
{
	unsigned used = pool_used(pool);

	if (!pool->untold)
		return false;
	for (; pool->cursor < used; pool->cursor++) {
		if (!pool_has_news(pool, pool->cursor) || !pool_claim(pool, pool->cursor))
			continue;
		pool_tell(pool, pool->cursor, grant);
		return true;
	}
	pool->cursor = 0;
	pool->untold = false;
	return false;
}
