/*
 * The pool's lock and the repair behind it. A worker may be killed at any instruction: the next one
 * to lock gets EOWNERDEAD, forgets all lists and counts, and makes them again from the commit
 * words.
 */
#include "common/clock.h"
#include "common/mem.h"
#include "ipc/pool_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POOL_POINT_BASE 20000
#define POOL_TRY_NS     (200 * CLOCK_MS) /* one try for the lock */
#define POOL_SPINS      100              /* the lock is held for a fraction of a microsecond */

static int
pool_lock_try(struct pool *pool)
{
	pthread_mutex_t *mutex = &pool->books->mutex;
	struct timespec until;
	int error;

	/* The C library aborts on a mutex of a kind that it does not expect. */
	if (mutex->__data.__kind != pool->mutex_kind)
		return EINVAL;
	for (int i = 0; i < POOL_SPINS; i++) {
		error = pthread_mutex_trylock(mutex);
		if (error != EBUSY)
			return error;
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)POOL_TRY_NS;
	if (until.tv_nsec >= (long)CLOCK_SECOND) {
		until.tv_nsec -= (long)CLOCK_SECOND;
		until.tv_sec++;
	}
	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
}

void
pool_lock(struct pool *pool)
{
	for (;;) {
		switch (pool_lock_try(pool)) {
		case 0:
			return;
		case EOWNERDEAD:
			pool_rebuild(pool);
			pool_absorb(pool);
			pool_match(pool, clock_now());
			pthread_mutex_consistent(&pool->books->mutex);
			return;
		case ETIMEDOUT:
			pool->hooks.stuck(pool->hooks.arg);
			break;
		default:
			pool->hooks.damaged(pool->hooks.arg);
			nanosleep(&(struct timespec){.tv_nsec = 50 * (long)CLOCK_MS}, NULL);
			break;
		}
	}
}

/* Whether an instance rests. Sanitizer builds ask the commit words, not the map that is made of
 * them. */
static bool
pool_lock_rests(const struct pool *pool)
{
#ifdef POOL_STRICT
	for (unsigned i = 0; i < pool_used(pool); i++)
		if (pool_word_state(atomic_load(&pool->slots[i].word)) == POOL_FREE)
			return true;
	return false;
#else
	return pool_rests(pool);
#endif
}

/* The invariant that the whole pool exists for, looked at where it must hold. */
static void
pool_lock_check(struct pool *pool)
{
	if (atomic_load_explicit(&pool->books->waiting, memory_order_relaxed) > 0 &&
	    pool_lock_rests(pool))
		atomic_fetch_add_explicit(&pool->books->violations, 1, memory_order_relaxed);
}

void
pool_unlock(struct pool *pool)
{
	pool_lock_check(pool);
	pthread_mutex_unlock(&pool->books->mutex);
	if (pool->wake_master) {
		pool->wake_master = false;
		pool->hooks.wake_master(pool->hooks.arg);
	}
	if (!pool->wake_workers)
		return;
	pool->wake_workers = false;
	for (unsigned i = 0; i < (pool->shape.workers + 63) / 64; i++)
		for (; pool->wakes[i] != 0; pool->wakes[i] &= pool->wakes[i] - 1) {
			unsigned worker = i * 64 + (unsigned)__builtin_ctzll(pool->wakes[i]);

			/* It sees the grant before it sleeps, or we see that it is about to. */
			if (atomic_load(&pool->books->watches[worker].awake) == 0)
				pool->hooks.wake(pool->hooks.arg, worker);
		}
}

/* A slot's word may have been scribbled on: what makes no sense is broken. */
static void
pool_rebuild_slots(struct pool *pool)
{
	unsigned used = pool_used(pool);

	memset(pool->books->rested, 0, sizeof(pool->books->rested));
	for (unsigned i = 0; i < used; i++) {
		struct pool_slot *slot = &pool->slots[i];
		uint64_t word = atomic_load(&slot->word);
		uint64_t offered = atomic_load(&pool->head->orders[i].offered);

		/* No worker makes an incarnation, so one that was never offered is nonsense. */
		if (pool_word_incarnation(word) > offered ||
		    (pool_word_state(word) == POOL_LEASED &&
			pool_word_owner(word) >= pool->shape.workers)) {
			atomic_store(&slot->reason, POOL_REASON_UNKNOWN);
			pool_set_slot(pool, i, pool_word(POOL_BROKEN, 0, 0, (uint32_t)offered));
			pool->wake_master = true;
			continue;
		}
		/* Never written back as it was read: its owner takes up a lease without the lock.
		 */
		pool_map_slot(pool, i, word);
	}
}

/* A live ticket as it was read, once: whoever scribbles meanwhile changes nothing here. */
struct pool_kept {
	uint64_t arrival;
	uint32_t cell;
};

static uint64_t
pool_rebuild_newest_lease(const struct pool *pool)
{
	uint64_t newest = 0;

	for (unsigned i = 0; i < pool->shape.slots; i++) {
		uint64_t arrival = atomic_load(&pool->slots[i].arrival);

		if (arrival > newest)
			newest = arrival;
	}
	return newest;
}

/* Whether some lease answers this ticket: its granter died before it could free the cell. */
static bool
pool_rebuild_granted(const struct pool *pool, uint64_t arrival, unsigned owner)
{
	unsigned used = pool_used(pool);

	for (unsigned i = 0; i < used; i++) {
		const struct pool_slot *slot = &pool->slots[i];
		uint64_t word = atomic_load(&slot->word);

		if (pool_word_state(word) == POOL_LEASED && pool_word_owner(word) == owner &&
		    atomic_load(&slot->arrival) == arrival)
			return true;
	}
	return false;
}

static int
pool_rebuild_compare(const void *a, const void *b)
{
	const struct pool_kept *x = a, *y = b;

	return x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
}

/* How many cells were ever used; no cell beyond them waits. It is a cache too. */
static uint32_t
pool_rebuild_used(const struct pool *pool)
{
	uint32_t used = pool->books->fresh;

	if (used > pool->cells)
		used = pool->cells;
	for (uint32_t i = used; i < pool->cells; i++)
		if ((atomic_load(&pool->line[i].word) & POOL_CELL_WAITING) != 0)
			used = i + 1;
	return used;
}

/* Frees every cell that is no live ticket; collects the others in `kept`. Returns how many. */
static uint32_t
pool_rebuild_collect(struct pool *pool, struct pool_kept *kept, uint32_t used)
{
	uint64_t newest = pool_rebuild_newest_lease(pool);
	uint32_t count = 0, spare = POOL_NONE;

	for (uint32_t i = used; i-- > 0;) {
		struct pool_cell *cell = &pool->line[i];
		uint64_t word = atomic_load(&cell->word);
		uint64_t arrival = atomic_load(&cell->arrival);

		if ((word & POOL_CELL_WAITING) != 0 &&
		    pool_cell_owner(word) < pool->shape.workers &&
		    !(arrival <= newest &&
			pool_rebuild_granted(pool, arrival, pool_cell_owner(word)))) {
			kept[count++] = (struct pool_kept){.arrival = arrival, .cell = i};
			continue;
		}
		atomic_store(&cell->word, 0);
		cell->next = spare;
		spare = i;
	}
	pool->books->spare = spare;
	return count;
}

static void
pool_rebuild_line(struct pool *pool)
{
	struct pool_books *books = pool->books;
	uint32_t used = pool_rebuild_used(pool), count, previous = POOL_NONE;
	struct pool_kept *kept = mem_alloc(used + 1, sizeof(*kept));

	books->fresh = used;
	count = pool_rebuild_collect(pool, kept, used);
	qsort(kept, count, sizeof(*kept), pool_rebuild_compare);
	books->head = POOL_NONE;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t cell = kept[i].cell;

		pool->line[cell].prev = previous;
		pool->line[cell].next = POOL_NONE;
		if (previous == POOL_NONE)
			books->head = cell;
		else
			pool->line[previous].next = cell;
		previous = cell;
	}
	books->tail = previous;
	atomic_store(&books->waiting, count);
	free(kept);
}

/* Arrivals go on above every number that is in use. */
static void
pool_rebuild_arrivals(struct pool *pool)
{
	uint64_t newest = pool_rebuild_newest_lease(pool);

	for (uint32_t i = 0; i < pool->cells; i++) {
		uint64_t arrival = atomic_load(&pool->line[i].arrival);

		if (arrival > newest)
			newest = arrival;
	}
	if (newest >= pool->books->next_arrival)
		pool->books->next_arrival = newest + 1;
}

/* Called under the lock. Idempotent, so a death in here is repaired by the next one. */
void
pool_rebuild(struct pool *pool)
{
	atomic_fetch_add(&pool->books->rebuilds, 1);
	POOL_POINT();
	pool_rebuild_slots(pool);
	POOL_POINT();
	pool_rebuild_line(pool);
	POOL_POINT();
	pool_rebuild_arrivals(pool);
	POOL_POINT();
}
