/*
 * What a worker does with the pool: enter, leave, give. Each operation is one short
 * stay under the lock; wake-ups follow the unlock and are only hints. docs/pool.md tells why every
 * crash is survived.
 */
#include "ipc/pool.h"

#include "common/clock.h"
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

#define POOL_HUNGRY_TIME (10 * CLOCK_MS) /* between two words to the master that a ticket waits */
#define POOL_LOOK_TIME   (50 * CLOCK_MS) /* between two looks of a worker that is woken often */

/* ---- the operations ---- */

/* A ticket waits, and the master wants to hear of it: perhaps it starts one more instance. */
static void
pool_note_hunger(struct pool *pool, uint64_t now)
{
	if (atomic_load_explicit(&pool->books->waiting, memory_order_relaxed) == 0 ||
	    atomic_load_explicit(&pool->head->hungry, memory_order_relaxed) == 0 ||
	    now < pool->hungry_told + POOL_HUNGRY_TIME)
		return;
	pool->hungry_told = now;
	pool->wake_master = true;
}

/* Tickets that may wait. The master writes it, but nothing here is trusted. */
static uint64_t
pool_bound(const struct pool *pool)
{
	uint64_t queue = atomic_load_explicit(&pool->head->queue, memory_order_relaxed);

	return queue < pool->shape.queue ? queue : pool->shape.queue;
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
		       pool_bound(pool) ||
		   !pool_put_in_line(pool, now, books->next_arrival, false, ticket)) {
		atomic_fetch_add_explicit(&books->refused, 1, memory_order_relaxed);
		answer = POOL_BUSY;
	}
	POOL_POINT();
	if (answer != POOL_BUSY)
		books->next_arrival++;
	if (answer == POOL_WAITING && pool_reclaim(pool, now))
		pool_match(pool, now);
	pool_note_hunger(pool, now);
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
	pool_note_hunger(pool, now);
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

/* Whether the instance is given nothing more than it has: it is doomed, or retires. */
static bool
pool_is_going(const struct pool *pool, const struct pool_grant *grant)
{
	return pool_is_doomed(pool, grant) ||
	       atomic_load(&pool->head->orders[grant->slot].retired) >= grant->incarnation;
}

unsigned
pool_send_ahead(struct pool *pool, const struct pool_grant *grant,
    const struct pool_ticket *tickets, unsigned count)
{
	unsigned went = 0;

	pool_lock(pool);
	if (pool_leases(pool, grant) && !pool_is_going(pool, grant)) {
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
		uint64_t word;

		if (reason != POOL_REASON_NONE && !pool_is_doomed(pool, grant)) {
			atomic_store(&pool->slots[grant->slot].reason, reason);
			POOL_POINT();
			pool->wake_master = true;
			word = pool_word(POOL_BROKEN, 0, 0, grant->incarnation);
		} else {
			word = pool_let_go(pool, grant->slot, grant->incarnation);
		}
		pool_set_slot(pool, grant->slot, word);
		POOL_POINT();
		/* The same request may come again and be granted the same instance. */
		pool->told[grant->slot] = (struct pool_told){0};
	}
	if (reason != POOL_REASON_NONE && reason != POOL_REASON_CANCELLED)
		atomic_store_explicit(&pool->books->broke, now, memory_order_relaxed);
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
	pool_note_hunger(pool, now);
	pool_unlock(pool);
	return mine;
}

bool
pool_is_hungry(const struct pool *pool)
{
	return atomic_load_explicit(&pool->head->hungry, memory_order_relaxed) != 0;
}

uint64_t
pool_broke(const struct pool *pool)
{
	return atomic_load_explicit(&pool->books->broke, memory_order_relaxed);
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

bool
pool_has_changed(const struct pool *pool, uint64_t now)
{
	return atomic_load_explicit(&pool->head->changes, memory_order_acquire) !=
		   pool->looked_changes ||
	       now - pool->looked >= POOL_LOOK_TIME;
}

void
pool_look(struct pool *pool, uint64_t now)
{
	pool->looked = now;
	pool->looked_changes = atomic_load_explicit(&pool->head->changes, memory_order_acquire);
	pool_lock(pool);
	pool_absorb(pool);
	pool_reclaim(pool, now);
	pool_match(pool, now);
	pool_note_hunger(pool, now);
	pool_unlock(pool);
	pool_search(pool);
}

void
pool_stay_awake(struct pool *pool)
{
	atomic_store_explicit(&pool->books->watches[pool->self].awake, 1, memory_order_relaxed);
}

bool
pool_was_granted(struct pool *pool)
{
	uint64_t granted = atomic_load(&pool->books->watches[pool->self].granted);

	if (granted == pool->granted)
		return false;
	pool->granted = granted;
	pool_search(pool);
	return true;
}

bool
pool_may_sleep(struct pool *pool)
{
	atomic_store(&pool->books->watches[pool->self].awake, 0);
	return !pool_was_granted(pool);
}

bool
pool_is_doomed(const struct pool *pool, const struct pool_grant *grant)
{
	return atomic_load_explicit(&pool->head->orders[grant->slot].doomed,
		   memory_order_acquire) >= grant->incarnation;
}
