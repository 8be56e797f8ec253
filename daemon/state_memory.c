/*
 * Shared memory as another image of the master shall find it: counters and pools, by their
 * descriptors. What another version laid out in another way stays with who can read it, and is kept
 * for a way back.
 */
#include "daemon/state_parts.h"

#include <errno.h>
#include <string.h>

/* What pool_open() needs. */
static const struct record_field state_pool_fields[] = {
    RECORD_FIELD(struct service_foreign, fd, FD, 0),
    RECORD_NAMED("slots", struct service_foreign, shape.slots, NUMBER, POOL_SLOTS_MAX),
    RECORD_NAMED("queue", struct service_foreign, shape.queue, NUMBER, 0),
    RECORD_NAMED("batch", struct service_foreign, shape.batch, NUMBER, 0),
    RECORD_NAMED("workers", struct service_foreign, shape.workers, NUMBER, 0),
    RECORD_NAMED("lease_time", struct service_foreign, shape.lease_time, NUMBER, 0),
    RECORD_END,
};

/* ---- counters ---- */

json_t *
state_save_stats(const struct stats *stats)
{
	return json_pack("{s:i, s:i}", "fd", stats->fd, "fd_other", stats->other.fd);
}

/*
 * What is laid out in another way stays with who counts there, and is kept for a way back; ours
 * begin anew. On a way back those that were kept go on.
 */
struct stats *
state_load_stats(const struct master *master, const json_t *saved, struct record_reader *reader)
{
	struct stats *stats;
	int fd, other;

	if (!record_take_fd(reader, saved, "fd", &fd) ||
	    !record_take_fd(reader, saved, "fd_other", &other))
		return NULL;
	stats = stats_attach(fd, master->ids, master->rehearsal);
	if (stats == NULL && other >= 0) {
		stats = stats_attach(other, master->ids, master->rehearsal);
		other = fd;
	} else if (stats == NULL && fd >= 0) {
		stats = stats_new(master->ids);
		other = fd;
	}
	if (stats != NULL && other >= 0)
		stats_keep_other(stats, other, master->rehearsal);
	if (stats == NULL)
		record_fail(reader, "counters cannot be mapped: %s", strerror(errno));
	return stats;
}

void
state_disown_stats(struct stats *stats, const struct record_reader *reader)
{
	if (stats == NULL)
		return;
	record_disown(reader, &stats->fd);
	record_disown(reader, &stats->other.fd);
}

/* ---- a pool ---- */

json_t *
state_save_pool(const struct service *service)
{
	struct service_foreign pool = {.fd = service->foreign.fd, .shape = service->foreign.shape};
	json_t *saved = json_object();

	if (!service_is_foreign(service))
		pool.fd = pool_memory(service->pool, &pool.shape);
	record_put(saved, state_pool_fields, &pool);
	return saved;
}

/* In place of a pool that cannot be read, one that nobody uses. */
static struct pool *
state_stand_in(const struct service_foreign *saved, unsigned ids)
{
	const struct pool_shape shape = {
	    .slots = saved->shape.slots, .queue = 1, .batch = 1, .workers = ids};

	return pool_new(&shape);
}

struct pool *
state_load_pool(const struct master *master, const json_t *saved, struct service_foreign *foreign,
    struct record_reader *reader)
{
	struct service_foreign read = {.fd = -1};
	struct pool *pool;

	foreign->fd = -1;
	if (!record_take(reader, saved, state_pool_fields, &read))
		return NULL;
	if (read.fd < 0 || read.shape.slots < 1) {
		record_fail(reader, "a pool makes no sense");
		return NULL;
	}
	pool = pool_open(read.fd, &read.shape, master->rehearsal);
	if (pool == NULL && errno == EPROTO) {
		*foreign = read;
		pool = state_stand_in(&read, master->ids);
	}
	if (pool == NULL)
		record_fail(reader, "a pool cannot be mapped: %s", strerror(errno));
	return pool;
}

void
state_disown_pool(struct pool *pool, const struct record_reader *reader)
{
	struct pool_shape shape;

	if (pool != NULL && record_has(reader, pool_memory(pool, &shape)))
		pool_disown(pool);
	else
		pool_free(pool);
}
