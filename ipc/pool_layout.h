/*
 * How a pool lies in shared memory. Private to pool*.c.
 *
 * head:  written by the master alone; its layout never changes.
 * books: guarded by the mutex; all of it but the swept words is a cache that can be rebuilt.
 * slots, cells: guarded by the mutex; their commit words are the truth.
 */
#ifndef IPC_POOL_LAYOUT_H
#define IPC_POOL_LAYOUT_H

#include "ipc/pool.h"

#include <pthread.h>
#include <stdatomic.h>

#define POOL_MAGIC  UINT32_C(0x484f5354) /* "HOST" */
#define POOL_LAYOUT 3
#define POOL_NONE   UINT32_MAX /* no cell */
#define POOL_MAP    (POOL_SLOTS_MAX / 64)

struct pool_order {
	_Atomic uint64_t offered; /* newest incarnation that may be given out */
	_Atomic uint64_t doomed;  /* newest incarnation that may not be any more */
	_Atomic uint64_t retired; /* newest incarnation that goes when nobody holds it */
};

struct pool_head {
	uint32_t magic, layout;
	_Atomic uint64_t changes; /* grows after an order or a death */
	_Atomic uint64_t queue;   /* tickets that may wait now; not more than it is made for */
	_Atomic uint64_t used;    /* slots from here on are empty; nobody walks there */
	_Atomic uint64_t hungry;  /* the master wants to hear of tickets that wait */
	struct pool_order orders[POOL_SLOTS_MAX];
	_Atomic uint64_t dead[POOL_WORKERS_MAX]; /* how often the id has died */
};

/* The commit word of a slot: state 2 bits, owner 10, messages 20, incarnation 32. */
static inline uint64_t
pool_word(enum pool_state state, unsigned owner, unsigned messages, uint32_t incarnation)
{
	return (uint64_t)state << 62 | (uint64_t)(owner & 0x3ff) << 52 |
	       (uint64_t)(messages & 0xfffff) << 32 | incarnation;
}

static inline enum pool_state
pool_word_state(uint64_t word)
{
	return (enum pool_state)(word >> 62);
}

static inline unsigned
pool_word_owner(uint64_t word)
{
	return (unsigned)(word >> 52 & 0x3ff);
}

static inline unsigned
pool_word_messages(uint64_t word)
{
	return (unsigned)(word >> 32 & 0xfffff);
}

static inline uint32_t
pool_word_incarnation(uint64_t word)
{
	return (uint32_t)word;
}

struct pool_slot {
	_Alignas(64) _Atomic uint64_t word; /* written last */
	_Atomic uint64_t deadline;
	_Atomic uint64_t arrival; /* of the ticket that the lease answers */
	_Atomic uint64_t reason;  /* enum pool_reason, where broken */
	_Atomic uint64_t served;  /* by the holder; over all incarnations */
};

/* The commit word of a cell: bit 0 waiting, bit 1 come again, from bit 8 the worker. */
#define POOL_CELL_WAITING UINT64_C(1)
#define POOL_CELL_AGAIN   UINT64_C(2)

static inline unsigned
pool_cell_owner(uint64_t word)
{
	return (unsigned)(word >> 8);
}

struct pool_cell {
	_Atomic uint64_t arrival; /* written first */
	_Atomic uint64_t word;    /* written last */
	uint32_t next, prev;      /* of the line, or next of the free list */
};

/* What one worker and those that grant it something say to each other; a hint, as its eventfd. */
struct pool_watch {
	_Alignas(64) _Atomic uint64_t granted; /* by others, ever; written under the lock */
	_Atomic uint64_t awake; /* it looks before it sleeps: nobody needs to wake it */
};

struct pool_books {
	pthread_mutex_t mutex;
	uint64_t seen_changes;
	uint64_t next_arrival, last_granted;
	uint64_t reclaimed;        /* when grants that nobody takes up were last looked for */
	uint32_t head, tail;       /* of the line */
	uint32_t spare;            /* head of the free list */
	uint32_t fresh;            /* cells from here on were never used */
	uint64_t rested[POOL_MAP]; /* bit map of POOL_FREE slots */
	_Atomic uint64_t waiting, grants, refused, violations, rebuilds;
	_Atomic uint64_t broke; /* when an instance last broke in somebody's hands */
	_Atomic uint64_t swept[POOL_WORKERS_MAX]; /* the death that was swept up after */
	struct pool_trace trace[POOL_TRACE];
	struct pool_watch watches[POOL_WORKERS_MAX];
};

/* The grant of a slot that the worker knows of. */
struct pool_told {
	uint64_t arrival;
	uint32_t incarnation;
};

/* The handle: one process's view. Everything here is private memory. */
struct pool {
	struct pool_shape shape;
	uint32_t cells;
	int fd;      /* owns; the memfd */
	size_t size; /* bytes mapped */
	struct pool_head *head;
	struct pool_books *books;
	struct pool_slot *slots;
	struct pool_cell *line;

	int mutex_kind; /* of a mutex that nobody has scribbled on */

	unsigned self; /* this worker's id */
	struct pool_hooks hooks;
	struct pool_told *told;                /* owns; one for each slot */
	uint64_t granted;                      /* by others, as far as it was looked at */
	bool untold;                           /* there may be a grant that it does not know of */
	unsigned self_grants;                  /* grants to itself under this stay in the lock */
	unsigned cursor;                       /* where pool_next_grant() goes on looking */
	uint64_t wakes[POOL_WORKERS_MAX / 64]; /* to be woken after the unlock */
	bool wake_workers, wake_master;
	uint64_t looked, looked_changes; /* when this worker last looked, and what was new then */
	uint64_t hungry_told; /* when this worker last told the master that a ticket waits */
};

/* A place between two stores where a test may kill the process. */
#ifdef POOL_POINTS
#define POOL_POINT()                                                                               \
	do {                                                                                       \
		if (pool_point != NULL)                                                            \
			pool_point(__LINE__ + POOL_POINT_BASE);                                    \
	} while (0)
#else
#define POOL_POINT() ((void)0)
#endif

/* pool_lock.c: the lock, and what is done when its owner died in it */
void pool_lock(struct pool *pool);
void pool_unlock(struct pool *pool);
void pool_rebuild(struct pool *pool);

/* pool_line.c: cells; all under the lock */
uint32_t pool_line_add(struct pool *pool, uint64_t arrival, bool again);
void pool_line_remove(struct pool *pool, uint32_t cell);

/* pool_sweep.c: the master's words, compared under the lock */
void pool_absorb(struct pool *pool);

/* pool_sweep.c: takes back what was granted to workers that stand still; true when there was any */
bool pool_reclaim(struct pool *pool, uint64_t now);

/* pool_sweep.c: what the word of an instance becomes that nobody holds any more; under the lock */
uint64_t pool_let_go(struct pool *pool, unsigned slot, uint32_t incarnation);

/* pool_grant.c: gives resting instances to the oldest tickets; under the lock */
void pool_match(struct pool *pool, uint64_t now);
/* A lease at once, where nobody waits and an instance rests. */
bool pool_grant_now(
    struct pool *pool, uint64_t now, uint64_t arrival, bool again, struct pool_grant *grant);
/* pool_next_grant() looks at all slots again: a grant may be on one that it has passed. */
void pool_search(struct pool *pool);
/* Whether the worker has a lease on the slot that it does not know of. */
bool pool_has_news(const struct pool *pool, unsigned slot);
/* Notes that the worker knows of its lease on the slot, and fills in the grant. */
void pool_tell(struct pool *pool, unsigned slot, struct pool_grant *grant);

/* How far walks over the slots go. The master writes it, but nothing here is trusted. */
static inline unsigned
pool_used(const struct pool *pool)
{
	uint64_t used = atomic_load_explicit(&pool->head->used, memory_order_relaxed);

	return used < pool->shape.slots ? (unsigned)used : pool->shape.slots;
}

static inline bool
pool_rests(const struct pool *pool)
{
	for (unsigned i = 0; i < (pool_used(pool) + 63) / 64; i++)
		if (pool->books->rested[i] != 0)
			return true;
	return false;
}

/* Notes in the map whether the slot rests. */
static inline void
pool_map_slot(struct pool *pool, unsigned slot, uint64_t word)
{
	uint64_t bit = UINT64_C(1) << slot % 64;

	if (pool_word_state(word) == POOL_FREE)
		pool->books->rested[slot / 64] |= bit;
	else
		pool->books->rested[slot / 64] &= ~bit;
}

static inline void
pool_set_slot(struct pool *pool, unsigned slot, uint64_t word)
{
	atomic_store_explicit(&pool->slots[slot].word, word, memory_order_release);
	pool_map_slot(pool, slot, word);
}

#endif
