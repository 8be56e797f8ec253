/*
 * What a worker does with the pool: enter, leave, give. Each operation is one short
 * stay under the lock; wake-ups follow the unlock and are only hints. docs/pool.md tells why every
 * crash is survived.
 */
#include "ipc/pool.h"
#include "ipc/pool_layout.h"

#define POOL_POINT_BASE 40000

#ifdef POOL_POINTS
void (*pool_point)(int point);
#endif

const char *
pool_reason_text(enum pool_reason reason)
{
	static const char *const texts[] = {
#define X(constant, text) text,
	    POOL_REASONS(X)
#undef X
	};

	return reason < POOL_REASON_COUNT ? texts[reason] : texts[POOL_REASON_UNKNOWN];
}

/* ---- granting ---- */

/* pool_next_grant() looks at all slots again: a grant may be on one that it has passed. */
static void
pool_search(struct pool *pool)
{
	pool->untold = true;
	pool->cursor = 0;
}

static void
pool_wake(struct pool *pool, unsigned worker)
{
	if (worker == pool->self) {
		pool_search(pool);
		pool->self_grants++;
		return;
	}
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
	for (unsigned i = 0; i < (pool->shape.slots + 63) / 64; i++) {
		for (uint64_t bits = pool->books->rested[i]; bits != 0; bits &= bits - 1) {
			*slot = i * 64 + (unsigned)__builtin_ctzll(bits);
			if (*slot < pool->shape.slots &&
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

/* Whether the worker has a lease on the slot that it does not know of. */
static bool
pool_has_news(const struct pool *pool, unsigned slot)
{
	const struct pool_slot *s = &pool->slots[slot];
	uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);

	return pool_word_state(word) == POOL_LEASED && pool_word_owner(word) == pool->self &&
	       (pool->told[slot].arrival !=
		       atomic_load_explicit(&s->arrival, memory_order_relaxed) ||
		   pool->told[slot].incarnation != pool_word_incarnation(word));
}

/* Notes that the worker knows of its lease on the slot, and fills in the grant. */
static void
pool_tell(struct pool *pool, unsigned slot, struct pool_grant *grant)
{
	struct pool_slot *s = &pool->slots[slot];

	grant->slot = slot;
	grant->incarnation = pool_word_incarnation(atomic_load(&s->word));
	grant->arrival = atomic_load(&s->arrival);
	pool->told[slot].arrival = grant->arrival;
	pool->told[slot].incarnation = grant->incarnation;
}

/* ---- the operations ---- */

static bool
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

static bool
pool_put_in_line(
    struct pool *pool, uint64_t now, uint64_t arrival, bool again, struct pool_ticket *ticket)
{
	ticket->arrival = arrival;
	ticket->cell = pool_line_add(pool, arrival, again);
	if (ticket->cell != POOL_NONE)
		return true;
	/* There are more cells than tickets may wait: the books are damaged. */
	pool_rebuild(pool);
	pool_match(pool, now);
	return false;
}

enum pool_answer
pool_enter(struct pool *pool, uint64_t now, struct pool_ticket *ticket, struct pool_grant *grant)
{
	struct pool_books *books = pool->books;
	enum pool_answer answer = POOL_WAITING;

	pool_lock(pool);
	pool_absorb(pool);
	pool_match(pool, now);
	if (pool_grant_now(pool, now, books->next_arrival, false, grant)) {
		answer = POOL_GRANTED;
	} else if (atomic_load_explicit(&books->waiting, memory_order_relaxed) >=
		       pool->shape.queue ||
		   !pool_put_in_line(pool, now, books->next_arrival, false, ticket)) {
		atomic_fetch_add_explicit(&books->refused, 1, memory_order_relaxed);
		answer = POOL_BUSY;
	}
	POOL_POINT();
	if (answer != POOL_BUSY)
		books->next_arrival++;
	if (answer == POOL_WAITING && pool_reclaim(pool, now))
		pool_match(pool, now);
	pool_unlock(pool);
	return answer;
}

enum pool_answer
pool_enter_again(struct pool *pool, uint64_t now, uint64_t arrival, struct pool_ticket *ticket,
    struct pool_grant *grant)
{
	enum pool_answer answer = POOL_WAITING;

	pool_lock(pool);
	pool_absorb(pool);
	pool_match(pool, now);
	if (pool_grant_now(pool, now, arrival, true, grant))
		answer = POOL_GRANTED;
	else if (!pool_put_in_line(pool, now, arrival, true, ticket))
		answer = POOL_BUSY;
	pool_unlock(pool);
	return answer;
}

bool
pool_waits(const struct pool *pool, const struct pool_ticket *ticket)
{
	const struct pool_cell *cell;
	uint64_t word;

	if (ticket->cell >= pool->cells)
		return false;
	cell = &pool->line[ticket->cell];
	word = atomic_load_explicit(&cell->word, memory_order_relaxed);
	return (word & POOL_CELL_WAITING) != 0 && pool_cell_owner(word) == pool->self &&
	       atomic_load_explicit(&cell->arrival, memory_order_relaxed) == ticket->arrival;
}

bool
pool_leave(struct pool *pool, const struct pool_ticket *ticket)
{
	bool held;

	pool_lock(pool);
	held = pool_waits(pool, ticket);
	if (held)
		pool_line_remove(pool, ticket->cell);
	pool_unlock(pool);
	return held;
}

/* Whether the worker still has the lease that it was granted. */
static bool
pool_leases(const struct pool *pool, const struct pool_grant *grant)
{
	uint64_t word;

	if (grant->slot >= pool->shape.slots)
		return false;
	word = atomic_load(&pool->slots[grant->slot].word);
	return pool_word_state(word) == POOL_LEASED && pool_word_owner(word) == pool->self &&
	       pool_word_incarnation(word) == grant->incarnation &&
	       atomic_load_explicit(&pool->slots[grant->slot].arrival, memory_order_relaxed) ==
		   grant->arrival;
}

unsigned
pool_send_ahead(struct pool *pool, const struct pool_grant *grant,
    const struct pool_ticket *tickets, unsigned count)
{
	unsigned went = 0;

	pool_lock(pool);
	if (pool_leases(pool, grant) && !pool_is_doomed(pool, grant)) {
		uint64_t word = atomic_load(&pool->slots[grant->slot].word);
		unsigned messages = pool_word_messages(word);

		while (went < count && messages < pool->shape.batch &&
		       pool_waits(pool, &tickets[went])) {
			messages++;
			pool_set_slot(pool, grant->slot,
			    pool_word(POOL_LEASED, pool->self, messages, grant->incarnation));
			POOL_POINT();
			pool_line_remove(pool, tickets[went].cell);
			POOL_POINT();
			went++;
		}
	}
	pool_unlock(pool);
	return went;
}

bool
pool_give(struct pool *pool, const struct pool_grant *grant, uint64_t now, enum pool_reason reason,
    struct pool_grant *next)
{
	bool mine = false, untold;

	pool_lock(pool);
	pool_absorb(pool);
	if (pool_leases(pool, grant)) {
		struct pool_slot *slot = &pool->slots[grant->slot];
		bool doomed =
		    atomic_load(&pool->head->orders[grant->slot].doomed) >= grant->incarnation;

		if (reason != POOL_REASON_NONE && !doomed) {
			atomic_store(&slot->reason, reason);
			POOL_POINT();
			pool->wake_master = true;
		}
		pool_set_slot(pool, grant->slot,
		    pool_word(doomed                       ? POOL_EMPTY
			      : reason != POOL_REASON_NONE ? POOL_BROKEN
							   : POOL_FREE,
			0, 0, grant->incarnation));
		POOL_POINT();
		/* The same request may come again and be granted the same instance. */
		pool->told[grant->slot] = (struct pool_told){0};
	}
	untold = pool->untold;
	pool->self_grants = 0;
	pool_match(pool, now);
	/* A newer incarnation in the slot is another instance: that is told by pool_next_grant().
	 */
	if (pool_has_news(pool, grant->slot) &&
	    pool_word_incarnation(atomic_load(&pool->slots[grant->slot].word)) ==
		grant->incarnation) {
		pool_tell(pool, grant->slot, next);
		mine = true;
		/* The usual case: that was the only one, nobody needs to search. */
		if (pool->self_grants == 1)
			pool->untold = untold;
	}
	pool_unlock(pool);
	return mine;
}

void
pool_set_deadline(struct pool *pool, const struct pool_grant *grant, uint64_t deadline)
{
	/* A stale holder writes nothing over the next one's deadline, but for a race that costs a
	 * second look: the master compares the word before it acts. */
	if (pool_leases(pool, grant))
		atomic_store_explicit(
		    &pool->slots[grant->slot].deadline, deadline, memory_order_release);
}

void
pool_count_served(struct pool *pool, const struct pool_grant *grant)
{
	_Atomic uint64_t *served = &pool->slots[grant->slot].served;

	atomic_store_explicit(
	    served, atomic_load_explicit(served, memory_order_relaxed) + 1, memory_order_relaxed);
}

void
pool_look(struct pool *pool, uint64_t now)
{
	pool_lock(pool);
	pool_absorb(pool);
	pool_reclaim(pool, now);
	pool_match(pool, now);
	pool_unlock(pool);
	pool_search(pool);
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
	if (!pool->untold)
		return false;
	for (; pool->cursor < pool->shape.slots; pool->cursor++) {
		if (!pool_has_news(pool, pool->cursor) || !pool_claim(pool, pool->cursor))
			continue;
		pool_tell(pool, pool->cursor, grant);
		return true;
	}
	pool->cursor = 0;
	pool->untold = false;
	return false;
}

bool
pool_is_doomed(const struct pool *pool, const struct pool_grant *grant)
{
	return atomic_load_explicit(&pool->head->orders[grant->slot].doomed,
		   memory_order_acquire) >= grant->incarnation;
}
