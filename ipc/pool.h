/*
 * The pool of one service in shared memory: who may talk to which instance, and who waits.
 *
 * Slots hold instances, cells hold tickets; both carry one 64-bit commit word that is written last.
 * Workers change them under one robust mutex. The master never locks: it writes `offered`, `doomed`
 * and `dead` words and wakes the workers, which compare under the lock. Lists and counts are
 * caches: after a crash inside the lock they are rebuilt from the commit words. See docs/pool.md.
 *
 * Nothing in the shared memory is trusted: every index is range-checked, every walk is bounded.
 */
#ifndef IPC_POOL_H
#define IPC_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define POOL_WORKERS_MAX 1024 /* worker ids; three times the largest worker count at most */
#define POOL_SLOTS_MAX   1024
#define POOL_QUEUE_MAX   (1 << 20) /* tickets */
#define POOL_TRACE       4096      /* grants remembered */

/* What the pool is made for. What of it is in force is told by pool_set_queue(), pool_set_slots().
 */
struct pool_shape {
	unsigned slots;      /* instances at most */
	unsigned queue;      /* tickets that may wait at most; the bound in force is exact */
	unsigned batch;      /* requests of one lease (concurrency) */
	unsigned workers;    /* worker ids */
	uint64_t lease_time; /* ns; the deadline of a fresh lease until its holder sets one */
};

enum pool_state { POOL_EMPTY, POOL_FREE, POOL_LEASED, POOL_BROKEN };

/* Why an instance must go, as told by the worker that found out. */
#define POOL_REASONS(X)                                                                            \
	X(NONE, "")                                                                                \
	X(BABBLE, "wrote output that nobody asked for")                                            \
	X(EARLY, "replied before it was given the whole request")                                  \
	X(TOO_LARGE, "wrote a reply larger than max_message")                                      \
	X(CLOSED, "closed its output")                                                             \
	X(TIMEOUT, "did not reply within request_timeout")                                         \
	X(CANCELLED, "was serving a client that left")                                             \
	X(HOLDER_DIED, "was held by a worker that died")                                           \
	X(RETIRED, "is retired")                                                                   \
	X(UNKNOWN, "was in a state that nobody could explain")

enum pool_reason {
#define X(constant, text) POOL_REASON_##constant,
	POOL_REASONS(X)
#undef X
	    POOL_REASON_COUNT
};

const char *pool_reason_text(enum pool_reason reason);

struct pool;

/* The one process that made the pool, and every fork of it, reach it through this handle. */
struct pool *pool_new(const struct pool_shape *shape); /* NULL with errno */
/*
 * Maps the memory of a pool again, as after an execve(2); takes `fd` over unless it returns NULL
 * with errno: EPROTO where it is no pool of that shape, or one that is laid out in another way. In
 * a trial what is changed is seen by this process and its forks alone.
 */
struct pool *pool_open(int fd, const struct pool_shape *shape, bool is_trial);
/* What pool_open() needs: the descriptor, which stays the pool's, and *shape. */
int pool_memory(const struct pool *pool, struct pool_shape *shape);
void pool_free(struct pool *pool);
/* The same, but the descriptor stays open: it is the caller's. */
void pool_disown(struct pool *pool);
/* Starts over, as after pool_new(), with the bounds in force. Only when no worker is alive. */
void pool_reset(struct pool *pool);

/* ---- the master's side: no lock, and only words that no worker writes ---- */

/* The instance `incarnation` of the slot may now be given out. */
void pool_offer(struct pool *pool, unsigned slot, uint32_t incarnation);
/* The instance is dead or about to be killed; it is never given out again. */
void pool_doom(struct pool *pool, unsigned slot, uint32_t incarnation);
/*
 * The instance has had its day: who holds it finishes, nobody is given it again. Once nobody holds
 * it, it becomes POOL_BROKEN with POOL_REASON_RETIRED and the master is woken. Wake the workers.
 */
void pool_retire(struct pool *pool, unsigned slot, uint32_t incarnation);
/* How many tickets may wait from now on; more than the pool is made for means just that many. */
void pool_set_queue(struct pool *pool, unsigned queue);
/* How many slots the pool is made for. */
unsigned pool_capacity(const struct pool *pool);
/* How many slots are in use or may be at any moment: as of pool_set_slots(). Anybody may ask. */
unsigned pool_slots(const struct pool *pool);
/* Whether it is made for at least so many slots and tickets. */
bool pool_fits(const struct pool *pool, unsigned slots, unsigned queue);
/*
 * Only slots below `used` may be offered; walks stop there. Never lies below a slot in use, so a
 * smaller number may have to be tried again when instances have gone. All of them after pool_new().
 */
void pool_set_slots(struct pool *pool, unsigned used);
/* Whether a ticket that waits is worth a wake-up of the master, from each worker every 10 ms. */
void pool_set_hungry(struct pool *pool, bool hungry);
/* The worker is dead; its tickets go, the instances that it held become POOL_BROKEN. */
void pool_bury(struct pool *pool, unsigned worker);
/* Whether somebody has swept up behind the worker, so that its id may be used again. */
bool pool_swept(const struct pool *pool, unsigned worker);

/* Whether it does, as of the last pool_set_hungry(). Anybody may ask. */
bool pool_is_hungry(const struct pool *pool);
/*
 * When an instance last broke while it was held: it died, or the contract was broken. As
 * clock_now() of the worker that found out; 0 for never. Anybody may ask.
 */
uint64_t pool_broke(const struct pool *pool);

/* A slot as it is now, consistent in itself. */
struct pool_view {
	enum pool_state state;
	unsigned owner; /* worker id; only where leased */
	uint32_t incarnation;
	unsigned messages;       /* given to the instance under this lease */
	uint64_t deadline;       /* of the message at the head; only where leased */
	enum pool_reason reason; /* only where broken */
	uint64_t served;         /* replies of this slot, over all incarnations */
};

/* Reads word, deadline, word; false when they did not agree. */
bool pool_peek(const struct pool *pool, unsigned slot, struct pool_view *view);

/* Anybody may read these; they are exact only when nobody is in the lock. */
struct pool_figures {
	uint64_t waiting, grants, refused, violations, rebuilds;
};
void pool_figures(const struct pool *pool, struct pool_figures *figures);

/* The newest grants, oldest first; returns how many of at most `max`. */
struct pool_trace {
	uint64_t arrival, time;
	uint32_t slot, incarnation, worker, again;
};
unsigned pool_trace(const struct pool *pool, struct pool_trace *out, unsigned max);

/* ---- a worker's side ---- */

struct pool_hooks {
	void *arg;
	void (*wake)(void *arg, unsigned worker); /* another worker was granted something */
	void (*wake_master)(void *arg);           /* a slot became POOL_BROKEN; tickets wait */
	/* The lock could not be had for 200 ms: report it and answer pings; called between tries.
	 */
	void (*stuck)(void *arg);
	/* The mutex itself is damaged: the master must start over. Called until it does. */
	void (*damaged)(void *arg);
};

/* After fork: this process is worker `worker` from now on. Sweeps what the dead left. */
void pool_attach(struct pool *pool, unsigned worker, const struct pool_hooks *hooks);
/* The same for a worker that never uses the pool: it takes no lock and sweeps nothing. */
void pool_join(struct pool *pool, unsigned worker, const struct pool_hooks *hooks);

struct pool_ticket {
	uint32_t cell;
	uint64_t arrival;
};

struct pool_grant {
	uint32_t slot;
	uint32_t incarnation;
	uint64_t arrival; /* of the ticket that it answers */
};

enum pool_answer {
	POOL_GRANTED, /* *grant is yours */
	POOL_WAITING, /* *ticket is in the line */
	POOL_BUSY     /* the line is full */
};

/* A request arrives. */
enum pool_answer pool_enter(
    struct pool *pool, uint64_t now, struct pool_ticket *ticket, struct pool_grant *grant);

/*
 * A request of which not one byte was written comes back to its old place; the bound does not
 * apply. POOL_BUSY only when more come back than there can be leases: the books were damaged.
 */
enum pool_answer pool_enter_again(struct pool *pool, uint64_t now, uint64_t arrival,
    struct pool_ticket *ticket, struct pool_grant *grant);

/* Takes the ticket out of the line; false when it was granted (or swept) already. */
bool pool_leave(struct pool *pool, const struct pool_ticket *ticket);

/* Whether the ticket is still in the line. No lock, so the answer may be a moment old. */
bool pool_waits(const struct pool *pool, const struct pool_ticket *ticket);

/*
 * The holder adds waiting tickets of its own, its oldest first, to its lease. Returns how many of
 * them went (a prefix).
 */
unsigned pool_send_ahead(struct pool *pool, const struct pool_grant *grant,
    const struct pool_ticket *tickets, unsigned count);

/*
 * The lease ends: the instance is passed on or rests (POOL_REASON_NONE), or must go. Returns true
 * when the same worker was granted this very instance again: then *next is filled.
 */
bool pool_give(struct pool *pool, const struct pool_grant *grant, uint64_t now,
    enum pool_reason reason, struct pool_grant *next);

/* The deadline of the message at the head of the lease, absolute. No lock. */
void pool_set_deadline(struct pool *pool, const struct pool_grant *grant, uint64_t deadline);
/* A good reply came. No lock. */
void pool_count_served(struct pool *pool, const struct pool_grant *grant);

/*
 * Saves wake-ups. From pool_stay_awake() on nobody wakes this worker for a grant, so it must call
 * pool_may_sleep() before it waits for events, and not wait when that says false: something was
 * granted meanwhile, which pool_next_grant() finds. pool_was_granted() tells the same in between.
 * No lock.
 */
void pool_stay_awake(struct pool *pool);
bool pool_was_granted(struct pool *pool);
bool pool_may_sleep(struct pool *pool);

/*
 * Whether pool_look() may find more than grants: the master has changed something since this worker
 * last looked, or that was 50 ms ago or more. No lock.
 */
bool pool_has_changed(const struct pool *pool, uint64_t now);
/*
 * What a woken worker does first: compares the master's words, matches, sweeps, where there is
 * news; and makes pool_next_grant() search.
 */
void pool_look(struct pool *pool, uint64_t now);
/* The next grant to this worker that it has not been told yet; false when there is none. No lock.
 */
bool pool_next_grant(struct pool *pool, struct pool_grant *grant);
/* Whether the master doomed the instance of the lease. No lock. */
bool pool_is_doomed(const struct pool *pool, const struct pool_grant *grant);

#ifdef POOL_POINTS
/* Test builds only: called between any two stores inside the critical section. */
extern void (*pool_point)(int point);
#endif

#endif
