/*
 * The waiting line: cells in a doubly linked list by arrival, and a free list. Called under the
 * lock. The links are a cache: where one is out of range, everything is rebuilt from the words.
 */
#include "ipc/pool_layout.h"

#define POOL_POINT_BASE 10000

static struct pool_cell *
pool_line_cell(struct pool *pool, uint32_t cell)
{
	return cell < pool->cells ? &pool->line[cell] : NULL;
}

/* A cell that is free; POOL_NONE when the links are damaged beyond the spare cells. */
static uint32_t
pool_line_take_spare(struct pool *pool)
{
	struct pool_books *books = pool->books;
	uint32_t cell = books->spare;

	if (cell != POOL_NONE) {
		struct pool_cell *c = pool_line_cell(pool, cell);

		if (c == NULL || (atomic_load(&c->word) & POOL_CELL_WAITING) != 0)
			return POOL_NONE;
		books->spare = c->next;
		return cell;
	}
	cell = books->fresh;
	if (cell >= pool->cells)
		return POOL_NONE;
	books->fresh = cell + 1;
	return cell;
}

static void
pool_line_link(struct pool *pool, uint32_t cell, uint32_t before)
{
	struct pool_books *books = pool->books;
	struct pool_cell *c = &pool->line[cell];

	uint32_t prev = before == POOL_NONE ? books->tail : pool->line[before].prev;

	c->next = before;
	c->prev = prev;
	POOL_POINT();
	if (prev < pool->cells)
		pool->line[prev].next = cell;
	else
		books->head = cell;
	POOL_POINT();
	if (before != POOL_NONE)
		pool->line[before].prev = cell;
	else
		books->tail = cell;
	POOL_POINT();
	atomic_fetch_add_explicit(&books->waiting, 1, memory_order_relaxed);
}

/* The first ticket that arrived later; only tickets that come again are not the newest. */
static uint32_t
pool_line_place(struct pool *pool, uint64_t arrival)
{
	uint32_t cell = pool->books->head;

	for (uint32_t steps = 0; cell < pool->cells && steps < pool->cells; steps++) {
		if (atomic_load_explicit(&pool->line[cell].arrival, memory_order_relaxed) > arrival)
			return cell;
		cell = pool->line[cell].next;
	}
	return POOL_NONE;
}

uint32_t
pool_line_add(struct pool *pool, uint64_t arrival, bool again)
{
	uint32_t cell = pool_line_take_spare(pool);
	struct pool_cell *c;

	if (cell == POOL_NONE)
		return POOL_NONE;
	c = &pool->line[cell];
	POOL_POINT();
	atomic_store_explicit(&c->arrival, arrival, memory_order_relaxed);
	POOL_POINT();
	atomic_store_explicit(&c->word,
	    POOL_CELL_WAITING | (again ? POOL_CELL_AGAIN : 0) | (uint64_t)pool->self << 8,
	    memory_order_release);
	POOL_POINT();
	pool_line_link(pool, cell, again ? pool_line_place(pool, arrival) : POOL_NONE);
	return cell;
}

void
pool_line_remove(struct pool *pool, uint32_t cell)
{
	struct pool_books *books = pool->books;
	struct pool_cell *c = &pool->line[cell];

	uint32_t next = c->next, prev = c->prev;

	atomic_store_explicit(&c->word, 0, memory_order_release);
	POOL_POINT();
	if (prev < pool->cells)
		pool->line[prev].next = next;
	else
		books->head = next;
	POOL_POINT();
	if (next < pool->cells)
		pool->line[next].prev = prev;
	else
		books->tail = prev;
	POOL_POINT();
	c->next = books->spare;
	books->spare = cell;
	POOL_POINT();
	atomic_fetch_sub_explicit(&books->waiting, 1, memory_order_relaxed);
}
