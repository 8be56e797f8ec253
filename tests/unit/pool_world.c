/*
 * The world of pool_world.h. It reads the private layout to compare caches with the truth, and to
 * give each worker id a handle within one process; it changes the pool by the public functions
 * only.
 */
#include "tests/unit/pool_world.h"
#include "common/clock.h"
#include "ipc/pool_layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORLD_ROUNDS 10000 /* no drain takes longer */

static const char *world_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *
world_say(const char *format, ...)
{
	static char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

/* ---- life ---- */

static void
world_on_wake(void *arg, unsigned worker)
{
	struct world *world = arg;

	if (worker < WORLD_WORKERS)
		world->woken[worker]++;
}

static void
world_on_wake_master(void *arg)
{
	struct world *world = arg;

	world->master_woken++;
}

/* Nobody else runs when one process plays all: these cannot be called unless the lock is left. */
static void
world_on_trouble(void *arg)
{
	(void)arg;
	fprintf(stderr, "the pool's lock was left locked or is damaged\n");
	abort();
}

void
world_attach(struct world *world, unsigned worker)
{
	static const struct pool_hooks hooks = {.wake = world_on_wake,
	    .wake_master = world_on_wake_master,
	    .stuck = world_on_trouble,
	    .damaged = world_on_trouble};
	struct pool_hooks mine = hooks;
	struct pool *handle = world->as[worker];

	mine.arg = world;
	if (handle == NULL) {
		handle = calloc(1, sizeof(*handle));
		if (handle == NULL)
			exit(2);
		*handle = *world->pool;
		handle->told = calloc(world->shape.slots, sizeof(*handle->told));
		if (handle->told == NULL)
			exit(2);
		world->as[worker] = handle;
	}
	world->dead[worker] = false;
	pool_attach(handle, worker, &mine);
}

struct world *
world_new(unsigned slots, unsigned queue, unsigned batch, unsigned workers)
{
	struct world *world = calloc(1, sizeof(*world));

	if (world == NULL || slots > WORLD_SLOTS || workers > WORLD_WORKERS)
		exit(2);
	world->shape = (struct pool_shape){
	    .slots = slots, .queue = queue, .batch = batch, .workers = workers, .lease_time = 1000};
	world->pool = pool_new(&world->shape);
	if (world->pool == NULL)
		exit(2);
	world->now = clock_now();
	for (unsigned i = 0; i < workers; i++)
		world_attach(world, i);
	return world;
}

void
world_free(struct world *world)
{
	for (unsigned i = 0; i < WORLD_WORKERS; i++) {
		if (world->as[i] == NULL)
			continue;
		free(world->as[i]->told);
		free(world->as[i]);
	}
	pool_free(world->pool);
	free(world);
}

/* ---- the master ---- */

void
world_offer(struct world *world, unsigned slot)
{
	pool_offer(world->pool, slot, ++world->incarnation[slot]);
}

unsigned
world_offer_lost(struct world *world)
{
	unsigned offered = 0;

	for (unsigned i = 0; i < world->shape.slots; i++) {
		struct pool_view view;

		if (!pool_peek(world->pool, i, &view) ||
		    (view.state != POOL_EMPTY && view.state != POOL_BROKEN))
			continue;
		world_offer(world, i);
		offered++;
	}
	return offered;
}

void
world_open(struct world *world)
{
	for (unsigned i = 0; i < world->shape.slots; i++)
		world_offer(world, i);
	pool_look(world->as[0], world->now);
}

/* ---- requests ---- */

struct world_ticket *
world_enter(struct world *world, unsigned worker)
{
	struct world_ticket *t = &world->tickets[world->count];
	enum pool_answer answer;

	if (world->count >= WORLD_TICKETS)
		exit(2);
	memset(t, 0, sizeof(*t));
	answer = pool_enter(world->as[worker], world->now, &t->ticket, &t->grant);
	if (answer == POOL_BUSY)
		return NULL;
	t->worker = worker;
	t->fate = answer == POOL_GRANTED ? WORLD_HELD : WORLD_WAITS;
	if (answer == POOL_GRANTED)
		t->ticket.arrival = t->grant.arrival;
	world->count++;
	return t;
}

struct world_ticket *
world_oldest(struct world *world, unsigned worker, enum world_fate fate)
{
	struct world_ticket *oldest = NULL;

	for (unsigned i = 0; i < world->count; i++) {
		struct world_ticket *t = &world->tickets[i];

		if (t->worker != worker || t->fate != fate)
			continue;
		if (oldest == NULL || t->ticket.arrival < oldest->ticket.arrival)
			oldest = t;
	}
	return oldest;
}

static const char *
world_granted(struct world *world, unsigned worker, const struct pool_grant *grant)
{
	for (unsigned i = 0; i < world->count; i++) {
		struct world_ticket *t = &world->tickets[i];

		if (t->ticket.arrival != grant->arrival)
			continue;
		if (t->worker != worker || t->fate != WORLD_WAITS)
			continue;
		t->fate = WORLD_HELD;
		t->grant = *grant;
		return NULL;
	}
	return world_say("worker %u was granted arrival %llu, which it does not wait for", worker,
	    (unsigned long long)grant->arrival);
}

const char *
world_collect(struct world *world, unsigned worker)
{
	struct pool_grant grant;
	const char *wrong = NULL;

	while (wrong == NULL && pool_next_grant(world->as[worker], &grant))
		wrong = world_granted(world, worker, &grant);
	return wrong;
}

const char *
world_give(struct world *world, struct world_ticket *held, enum pool_reason reason)
{
	struct pool_grant next;

	held->fate = WORLD_DONE;
	if (pool_give(world->as[held->worker], &held->grant, world->now, reason, &next)) {
		if (next.slot != held->grant.slot)
			return "pool_give() passed on another slot than the one given";
		return world_granted(world, held->worker, &next);
	}
	return NULL;
}

void
world_forget(struct world *world, unsigned worker)
{
	world->dead[worker] = true;
	for (unsigned i = 0; i < world->count; i++)
		if (world->tickets[i].worker == worker)
			world->tickets[i].fate = WORLD_DONE;
}

static bool
world_busy(const struct world *world)
{
	for (unsigned i = 0; i < world->count; i++)
		if (world->tickets[i].fate != WORLD_DONE)
			return true;
	return false;
}

/* Every waiting request must be younger than every one that is held. */
static const char *
world_check_order(const struct world *world)
{
	uint64_t newest_held = 0, oldest_waiting = UINT64_MAX;

	for (unsigned i = 0; i < world->count; i++) {
		const struct world_ticket *t = &world->tickets[i];

		if (t->fate == WORLD_HELD && t->ticket.arrival > newest_held)
			newest_held = t->ticket.arrival;
		if (t->fate == WORLD_WAITS && !t->again && t->ticket.arrival < oldest_waiting)
			oldest_waiting = t->ticket.arrival;
	}
	if (newest_held > oldest_waiting)
		return world_say("arrival %llu was granted before %llu",
		    (unsigned long long)newest_held, (unsigned long long)oldest_waiting);
	return NULL;
}

const char *
world_drain(struct world *world)
{
	const char *wrong = NULL;
	unsigned round = 0;

	while (wrong == NULL && (world_offer_lost(world) > 0 || world_busy(world))) {
		if (round++ > WORLD_ROUNDS)
			return "a request waits for ever";
		/* what is looked for from time to time is looked for */
		world->now += 60 * CLOCK_MS;
		for (unsigned w = 0; w < world->shape.workers && wrong == NULL; w++) {
			if (world->dead[w])
				continue;
			pool_look(world->as[w], world->now);
			wrong = world_collect(world, w);
		}
		if (wrong == NULL)
			wrong = world_check_order(world);
		/* one lease at a time ends, a different worker's each time */
		for (unsigned i = 0; i < world->shape.workers && wrong == NULL; i++) {
			unsigned w = (round + i) % world->shape.workers;
			struct world_ticket *held = world_oldest(world, w, WORLD_HELD);

			if (held == NULL)
				continue;
			wrong = world_give(world, held, POOL_REASON_NONE);
			break;
		}
	}
	return wrong;
}

const char *
world_full_load(struct world *world, const unsigned *workers, unsigned count)
{
	unsigned total = world->shape.slots + world->shape.queue;
	struct pool_figures figures;

	world->count = 0;
	for (unsigned i = 0; i < total; i++) {
		struct world_ticket *t = world_enter(world, workers[i % count]);

		if (t == NULL)
			return world_say("request %u of %u was refused", i + 1, total);
		if ((t->fate == WORLD_HELD) != (i < world->shape.slots))
			return world_say("request %u of %u, with %u slots, was %s", i + 1, total,
			    world->shape.slots, t->fate == WORLD_HELD ? "granted" : "not granted");
	}
	pool_figures(world->pool, &figures);
	if (figures.waiting != world->shape.queue)
		return world_say("%llu wait in a line of %u", (unsigned long long)figures.waiting,
		    world->shape.queue);
	if (world_enter(world, workers[0]) != NULL)
		return "one request too many was not refused";
	return world_drain(world);
}

/* ---- the whole ---- */

static const char *
world_whole_line(const struct pool *pool, unsigned char *seen, uint32_t *count)
{
	const struct pool_books *books = pool->books;
	uint32_t previous = POOL_NONE;
	uint64_t last = 0;

	for (uint32_t cell = books->head; cell != POOL_NONE; cell = pool->line[cell].next) {
		if (cell >= pool->cells || seen[cell]++)
			return "the line is no list";
		const struct pool_cell *c = &pool->line[cell];
		if ((c->word & POOL_CELL_WAITING) == 0)
			return world_say("cell %u in the line does not wait", cell);
		if (pool_cell_owner(c->word) >= pool->shape.workers)
			return world_say("cell %u has no owner", cell);
		if (c->arrival <= last)
			return world_say("cell %u arrived out of order", cell);
		if (c->prev != previous)
			return world_say("cell %u points back wrongly", cell);
		last = c->arrival;
		previous = cell;
		++*count;
	}
	if (books->tail != previous)
		return "the tail is not the last cell";
	if (last >= books->next_arrival)
		return "the next arrival is in use";
	return NULL;
}

static const char *
world_whole_cells(const struct pool *pool)
{
	unsigned char *seen = calloc(pool->cells, 1);
	uint32_t waiting = 0, spare = 0;
	const char *wrong = world_whole_line(pool, seen, &waiting);

	for (uint32_t cell = pool->books->spare; wrong == NULL && cell != POOL_NONE;
	     cell = pool->line[cell].next, spare++) {
		if (cell >= pool->books->fresh || seen[cell]++)
			wrong = "the free list is no list";
		else if (pool->line[cell].word != 0)
			wrong = world_say("free cell %u is not free", cell);
	}
	free(seen);
	if (wrong != NULL)
		return wrong;
	if (waiting != pool->books->waiting)
		return world_say("%u tickets wait, %llu are counted", waiting,
		    (unsigned long long)pool->books->waiting);
	if (waiting + spare != pool->books->fresh)
		return world_say(
		    "%u cells of %u are lost", pool->books->fresh - waiting - spare, pool->cells);
	for (uint32_t cell = pool->books->fresh; cell < pool->cells; cell++)
		if (pool->line[cell].word != 0)
			return world_say("cell %u was never used, but waits", cell);
	return NULL;
}

static const char *
world_whole_slot(const struct pool *pool, unsigned slot)
{
	uint64_t word = pool->slots[slot].word, arrival = pool->slots[slot].arrival;
	bool rests = (pool->books->rested[slot / 64] >> slot % 64 & 1) != 0;

	if (rests != (pool_word_state(word) == POOL_FREE))
		return world_say("slot %u: the bit map is wrong", slot);
	if (rests && pool->books->waiting > 0)
		return world_say("slot %u rests beside a live ticket", slot);
	if (rests && pool->books->seen_changes == pool->head->changes &&
	    pool_word_incarnation(word) <= pool->head->orders[slot].retired)
		return world_say("slot %u rests and is retired", slot);
	if (pool_word_state(word) != POOL_LEASED)
		return NULL;
	if (arrival == 0 || arrival >= pool->books->next_arrival)
		return world_say("slot %u: no such arrival", slot);
	for (unsigned i = 0; i < slot; i++)
		if (pool_word_state(pool->slots[i].word) == POOL_LEASED &&
		    pool->slots[i].arrival == arrival)
			return world_say("slots %u and %u answer the same ticket", i, slot);
	for (uint32_t cell = pool->books->head; cell != POOL_NONE; cell = pool->line[cell].next)
		if (pool->line[cell].arrival == arrival)
			return world_say("slot %u answers a ticket that still waits", slot);
	return NULL;
}

const char *
world_whole(const struct pool *pool)
{
	const char *wrong = NULL;
	unsigned bits = 0, free_slots = 0;

	if (pthread_mutex_trylock(&pool->books->mutex) != 0)
		return "somebody left the lock locked";
	pthread_mutex_unlock(&pool->books->mutex);
	wrong = world_whole_cells(pool);
	for (unsigned i = 0; i < pool->shape.slots && wrong == NULL; i++) {
		wrong = world_whole_slot(pool, i);
		free_slots += pool_word_state(pool->slots[i].word) == POOL_FREE;
	}
	for (unsigned i = 0; i < POOL_MAP; i++)
		bits += (unsigned)__builtin_popcountll(pool->books->rested[i]);
	if (wrong == NULL && bits != free_slots)
		wrong = "the bit map has bits beyond the slots";
	if (wrong == NULL && pool->books->violations != 0)
		wrong = world_say("%llu violations", (unsigned long long)pool->books->violations);
	return wrong;
}

const char *
world_in_order(const struct pool *pool)
{
	static struct pool_trace trace[POOL_TRACE];
	unsigned count = pool_trace(pool, trace, POOL_TRACE);
	uint64_t last = 0;

	for (unsigned i = 0; i < count; i++) {
		if (trace[i].slot >= pool->shape.slots || trace[i].worker >= pool->shape.workers)
			return world_say("grant %u of the trace makes no sense", i);
		if (trace[i].again)
			continue;
		if (trace[i].arrival <= last)
			return world_say("arrival %llu was granted after %llu",
			    (unsigned long long)trace[i].arrival, (unsigned long long)last);
		last = trace[i].arrival;
	}
	return NULL;
}
