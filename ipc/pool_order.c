/*
 * The master's side of a pool: it gives orders in words that no worker writes, and looks at the
 * others. Never takes the lock, so that nobody who stands still in it can stop the master.
 */
#include "ipc/pool_layout.h"

static void
pool_changed(struct pool *pool)
{
	atomic_fetch_add_explicit(&pool->head->changes, 1, memory_order_release);
}

void
pool_offer(struct pool *pool, unsigned slot, uint32_t incarnation)
{
	atomic_store(&pool->head->orders[slot].offered, incarnation);
	pool_changed(pool);
}

void
pool_doom(struct pool *pool, unsigned slot, uint32_t incarnation)
{
	atomic_store(&pool->head->orders[slot].doomed, incarnation);
	pool_changed(pool);
}

void
pool_retire(struct pool *pool, unsigned slot, uint32_t incarnation)
{
	atomic_store(&pool->head->orders[slot].retired, incarnation);
	pool_changed(pool);
}

unsigned
pool_capacity(const struct pool *pool)
{
	return pool->shape.slots;
}

unsigned
pool_slots(const struct pool *pool)
{
	return pool_used(pool);
}

bool
pool_fits(const struct pool *pool, unsigned slots, unsigned queue)
{
	return slots <= pool->shape.slots && queue <= pool->shape.queue;
}

void
pool_set_queue(struct pool *pool, unsigned queue)
{
	atomic_store(&pool->head->queue, queue < pool->shape.queue ? queue : pool->shape.queue);
}

/* Whether an instance is in the slot, or on its way into it. */
static bool
pool_in_use(const struct pool *pool, unsigned slot)
{
	const struct pool_order *order = &pool->head->orders[slot];

	return pool_word_state(atomic_load(&pool->slots[slot].word)) != POOL_EMPTY ||
	       atomic_load(&order->offered) > atomic_load(&order->doomed);
}

void
pool_set_slots(struct pool *pool, unsigned used)
{
	unsigned now = pool_used(pool);

	if (used > pool->shape.slots)
		used = pool->shape.slots;
	while (used < now && !pool_in_use(pool, now - 1))
		now--;
	atomic_store(&pool->head->used, used > now ? used : now);
}

void
pool_set_hungry(struct pool *pool, bool hungry)
{
	atomic_store(&pool->head->hungry, hungry);
}

void
pool_bury(struct pool *pool, unsigned worker)
{
	atomic_fetch_add(&pool->head->dead[worker], 1);
	pool_changed(pool);
}

bool
pool_swept(const struct pool *pool, unsigned worker)
{
	return atomic_load(&pool->books->swept[worker]) == atomic_load(&pool->head->dead[worker]);
}

bool
pool_peek(const struct pool *pool, unsigned slot, struct pool_view *view)
{
	struct pool_slot *s = &pool->slots[slot];
	uint64_t word = atomic_load(&s->word);
	uint64_t reason;

	view->state = pool_word_state(word);
	view->owner = pool_word_owner(word);
	view->incarnation = pool_word_incarnation(word);
	view->messages = pool_word_messages(word);
	view->deadline = atomic_load(&s->deadline);
	view->served = atomic_load(&s->served);
	reason = atomic_load(&s->reason);
	view->reason = reason < POOL_REASON_COUNT ? (enum pool_reason)reason : POOL_REASON_UNKNOWN;
	return atomic_load(&s->word) == word;
}

void
pool_figures(const struct pool *pool, struct pool_figures *figures)
{
	figures->waiting = atomic_load(&pool->books->waiting);
	figures->grants = atomic_load(&pool->books->grants);
	figures->refused = atomic_load(&pool->books->refused);
	figures->violations = atomic_load(&pool->books->violations);
	figures->rebuilds = atomic_load(&pool->books->rebuilds);
}

unsigned
pool_trace(const struct pool *pool, struct pool_trace *out, unsigned max)
{
	uint64_t end = atomic_load(&pool->books->grants);
	uint64_t count = end < POOL_TRACE ? end : POOL_TRACE;

	if (count > max)
		count = max;
	for (uint64_t i = 0; i < count; i++)
		out[i] = pool->books->trace[(end - count + i) % POOL_TRACE];
	return (unsigned)count;
}
