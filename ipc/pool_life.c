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
#include <sys/stat.h>
#include <unistd.h>

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "commit words must be lock-free");

static int
pool_init_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;
	int error;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	error = pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return error;
}

static int
pool_init(struct pool *pool)
{
	struct pool_books *books = pool->books;

	pool->head->magic = POOL_MAGIC;
	pool->head->layout = POOL_LAYOUT;
	pool_set_queue(pool, pool->shape.queue);
	atomic_store(&pool->head->used, pool->shape.slots);
	books->head = books->tail = books->spare = POOL_NONE;
	books->next_arrival = 1;
	errno = pool_init_mutex(&books->mutex);
	pool->mutex_kind = books->mutex.__data.__kind;
	return errno == 0 ? 0 : -1;
}

static size_t
pool_align(size_t size)
{
	return (size + 4095) & ~(size_t)4095;
}

/* Where everything lies in a pool of that shape. */
static size_t
pool_place(const struct pool_shape *shape, char *base, struct pool *pool)
{
	size_t books = pool_align(sizeof(struct pool_head));
	size_t slots = books + pool_align(sizeof(struct pool_books));
	size_t line = slots + pool_align(shape->slots * sizeof(struct pool_slot));

	/* Requests that come back unwritten need a cell beside those in the line. */
	pool->cells = shape->queue + shape->slots * shape->batch;
	pool->size = line + pool_align(pool->cells * sizeof(struct pool_cell));
	if (base == NULL)
		return pool->size;
	pool->head = (struct pool_head *)(void *)base;
	pool->books = (struct pool_books *)(void *)(base + books);
	pool->slots = (struct pool_slot *)(void *)(base + slots);
	pool->line = (struct pool_cell *)(void *)(base + line);
	return pool->size;
}

static bool
pool_map(struct pool *pool, int kind)
{
	char *base = mmap(NULL, pool->size, PROT_READ | PROT_WRITE, kind, pool->fd, 0);

	if (base == MAP_FAILED)
		return false;
	pool_place(&pool->shape, base, pool);
	return true;
}

struct pool *
pool_new(const struct pool_shape *shape)
{
	struct pool *pool = mem_alloc(1, sizeof(*pool));

	pool->shape = *shape;
	pool_place(shape, NULL, pool);
	pool->told = mem_alloc(shape->slots, sizeof(*pool->told));
	pool->fd = memfd_create("hostler-pool", MFD_CLOEXEC);
	if (pool->fd >= 0 && ftruncate(pool->fd, (off_t)pool->size) == 0 &&
	    pool_map(pool, MAP_SHARED) && pool_init(pool) == 0)
		return pool;
	pool_free(pool);
	return NULL;
}

/* What the mutex of a pool is when nobody has scribbled on it. */
static int
pool_find_kind(void)
{
	struct pool_books *books = mem_alloc(1, sizeof(*books));
	int kind = pool_init_mutex(&books->mutex) == 0 ? books->mutex.__data.__kind : -1;

	free(books);
	return kind;
}

static bool
pool_shape_is_sane(const struct pool_shape *shape)
{
	return shape->slots >= 1 && shape->slots <= POOL_SLOTS_MAX &&
	       shape->queue <= POOL_QUEUE_MAX && shape->batch >= 1 &&
	       shape->batch <= POOL_QUEUE_MAX / POOL_SLOTS_MAX && shape->workers >= 1 &&
	       shape->workers <= POOL_WORKERS_MAX;
}

struct pool *
pool_open(int fd, const struct pool_shape *shape, bool is_trial)
{
	struct pool *pool;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return NULL;
	errno = EPROTO;
	if (!pool_shape_is_sane(shape) || !S_ISREG(st.st_mode))
		return NULL;
	pool = mem_alloc(1, sizeof(*pool));
	pool->shape = *shape;
	pool->fd = fd;
	pool->mutex_kind = pool_find_kind();
	if ((size_t)st.st_size == pool_place(shape, NULL, pool) &&
	    pool_map(pool, is_trial ? MAP_PRIVATE : MAP_SHARED)) {
		if (pool->head->magic == POOL_MAGIC && pool->head->layout == POOL_LAYOUT) {
			pool->told = mem_alloc(shape->slots, sizeof(*pool->told));
			return pool;
		}
		errno = EPROTO;
	}
	pool->fd = -1;
	pool_free(pool);
	return NULL;
}

int
pool_memory(const struct pool *pool, struct pool_shape *shape)
{
	*shape = pool->shape;
	return pool->fd;
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
pool_disown(struct pool *pool)
{
	if (pool != NULL)
		pool->fd = -1;
	pool_free(pool);
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
pool_join(struct pool *pool, unsigned worker, const struct pool_hooks *hooks)
{
	pool->self = worker;
	pool->hooks = *hooks;
	pool->hungry_told = 0;
	pool_may_sleep(pool);
	memset(pool->told, 0, pool->shape.slots * sizeof(*pool->told));
}

void
pool_attach(struct pool *pool, unsigned worker, const struct pool_hooks *hooks)
{
	pool_join(pool, worker, hooks);
	pool_look(pool, clock_now());
}
