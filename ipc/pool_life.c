/*
 * A pool is made, attached to by a worker, started over, and let go. One memfd holds it; the handle
 * is private to each process.
 */
#include "common/clock.h"
#include "common/mem.h"
#include "ipc/pool_layout.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "commit words must be lock-free");

static int
pool_init(struct pool *pool)
{
	struct pool_books *books = pool->books;
	pthread_mutexattr_t attr;
	int error;

	pool->head->magic = POOL_MAGIC;
	pool->head->layout = POOL_LAYOUT;
	pool_set_queue(pool, pool->shape.queue);
	atomic_store(&pool->head->used, pool->shape.slots);
	books->head = books->tail = books->spare = POOL_NONE;
	books->next_arrival = 1;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	error = pthread_mutex_init(&books->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	pool->mutex_kind = books->mutex.__data.__kind;
	errno = error;
	return error == 0 ? 0 : -1;
}

static size_t
pool_align(size_t size)
{
	return (size + 4095) & ~(size_t)4095;
}

struct pool *
pool_new(const struct pool_shape *shape)
{
	struct pool *pool = mem_alloc(1, sizeof(*pool));
	size_t head = pool_align(sizeof(struct pool_head));
	size_t books = pool_align(sizeof(struct pool_books));
	size_t slots = pool_align(shape->slots * sizeof(struct pool_slot));
	char *base = MAP_FAILED;

	pool->shape = *shape;
	/* Requests that come back unwritten need a cell beside those in the line. */
	pool->cells = shape->queue + shape->slots * shape->batch;
	pool->size = head + books + slots + pool_align(pool->cells * sizeof(struct pool_cell));
	pool->told = mem_alloc(shape->slots, sizeof(*pool->told));
	pool->fd = memfd_create("hostler-pool", MFD_CLOEXEC);
	if (pool->fd >= 0 && ftruncate(pool->fd, (off_t)pool->size) == 0)
		base = mmap(NULL, pool->size, PROT_READ | PROT_WRITE, MAP_SHARED, pool->fd, 0);
	if (base == MAP_FAILED) {
		pool_free(pool);
		return NULL;
	}
	pool->head = (struct pool_head *)(void *)base;
	pool->books = (struct pool_books *)(void *)(base + head);
	pool->slots = (struct pool_slot *)(void *)(base + head + books);
	pool->line = (struct pool_cell *)(void *)(base + head + books + slots);
	if (pool_init(pool) != 0) {
		pool_free(pool);
		return NULL;
	}
	return pool;
}

void
pool_free(struct pool *pool)
{
	int saved = errno;

	if (pool == NULL)
		return;
	if (pool->head != NULL)
		munmap(pool->head, pool->size);
	if (pool->fd >= 0)
		close(pool->fd);
	free(pool->told);
	free(pool);
	errno = saved;
}

void
pool_reset(struct pool *pool)
{
	uint64_t queue = atomic_load(&pool->head->queue), used = atomic_load(&pool->head->used);
	uint64_t hungry = atomic_load(&pool->head->hungry);

	memset(pool->head, 0, sizeof(*pool->head));
	memset(pool->books, 0, sizeof(*pool->books));
	memset(pool->slots, 0, pool->shape.slots * sizeof(*pool->slots));
	memset(pool->line, 0, pool->cells * sizeof(*pool->line));
	pool_init(pool);
	atomic_store(&pool->head->queue, queue);
	atomic_store(&pool->head->used, used);
	atomic_store(&pool->head->hungry, hungry);
}

void
pool_attach(struct pool *pool, unsigned worker, const struct pool_hooks *hooks)
{
	pool->self = worker;
	pool->hooks = *hooks;
	pool->hungry_told = 0;
	pool_may_sleep(pool);
	memset(pool->told, 0, pool->shape.slots * sizeof(*pool->told));
	pool_look(pool, clock_now());
}
