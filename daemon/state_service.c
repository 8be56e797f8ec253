/*
 * Services as another image of the master shall know them: pool, counters, instances, and where it
 * stands with starting, growing and replacing them.
 */
#include "common/mem.h"
#include "daemon/state_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct record_field state_service_fields[] = {
    RECORD_FIELD(struct service, failures, NUMBER, 0),
    RECORD_FIELD(struct service, last_exit, TEXT, 0),
    RECORD_FIELD(struct service, last_said, TEXT, 0),
    RECORD_FIELD(struct service, cannot_start, BOOL, 0),
    RECORD_NAMED("scaled", struct service, size.scaled, NUMBER, POOL_SLOTS_MAX),
    RECORD_NAMED("wanted", struct service, size.wanted, NUMBER, POOL_SLOTS_MAX),
    RECORD_NAMED("used", struct service, size.used, NUMBER, POOL_SLOTS_MAX),
    RECORD_NAMED("worn_incarnation", struct service, size.worn_incarnation, NUMBER, 0),
    RECORD_NAMED("recycled", struct service, size.recycled, NUMBER, 0),
    RECORD_NAMED("weigh_next", struct service, size.weigh_next, NUMBER, 0),
    RECORD_NAMED("good", struct service, size.good, NUMBER, 0),
    RECORD_NAMED("streak", struct service, loop.streak, NUMBER, 0),
    RECORD_NAMED("failed", struct service, loop.failed, NUMBER, 0),
    RECORD_NAMED("not_before", struct service, loop.not_before, NUMBER, 0),
    RECORD_END,
};

/* Of a pool, what pool_open() needs. */
struct state_pool {
	int fd;
	struct pool_shape shape;
};

static const struct record_field state_pool_fields[] = {
    RECORD_FIELD(struct state_pool, fd, FD, 0),
    RECORD_NAMED("slots", struct state_pool, shape.slots, NUMBER, POOL_SLOTS_MAX),
    RECORD_NAMED("queue", struct state_pool, shape.queue, NUMBER, 0),
    RECORD_NAMED("batch", struct state_pool, shape.batch, NUMBER, 0),
    RECORD_NAMED("workers", struct state_pool, shape.workers, NUMBER, 0),
    RECORD_NAMED("lease_time", struct state_pool, shape.lease_time, NUMBER, 0),
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

static json_t *
state_save_pool(const struct service *service)
{
	struct state_pool pool = {.fd = service->foreign.fd, .shape = service->foreign.shape};
	json_t *saved = json_object();

	if (!service_is_foreign(service))
		pool.fd = pool_memory(service->pool, &pool.shape);
	record_put(saved, state_pool_fields, &pool);
	return saved;
}

/* In place of a pool that cannot be read, one that nobody uses. */
static struct pool *
state_stand_in(const struct state_pool *saved, unsigned ids)
{
	const struct pool_shape shape = {
	    .slots = saved->shape.slots, .queue = 1, .batch = 1, .workers = ids};

	return pool_new(&shape);
}

/* NULL, and told. What cannot be read makes *foreign its descriptor, else that is -1. */
static struct pool *
state_load_pool(const struct master *master, const json_t *saved, struct state_pool *read,
    bool *is_foreign, struct record_reader *reader)
{
	struct pool *pool;

	*read = (struct state_pool){.fd = -1};
	if (!record_take(reader, saved, state_pool_fields, read))
		return NULL;
	if (read->fd < 0 || read->shape.slots < 1) {
		record_fail(reader, "a pool makes no sense");
		return NULL;
	}
	pool = pool_open(read->fd, &read->shape, master->rehearsal);
	*is_foreign = pool == NULL && errno == EPROTO;
	if (*is_foreign)
		pool = state_stand_in(read, master->ids);
	if (pool == NULL)
		record_fail(reader, "a pool cannot be mapped: %s", strerror(errno));
	return pool;
}

/* Frees it; what another image gave us stays open. */
static void
state_disown_pool(struct pool *pool, const struct record_reader *reader)
{
	struct pool_shape shape;

	if (pool != NULL && record_has(reader, pool_memory(pool, &shape)))
		pool_disown(pool);
	else
		pool_free(pool);
}

/* ---- the rest ---- */

static json_t *
state_save_rate(const struct backoff_rate *rate)
{
	json_t *list = json_array();

	/* The oldest first. */
	for (unsigned i = 0; i < rate->rate; i++)
		json_array_append_new(
		    list, json_integer((json_int_t)rate->recent[(rate->next + i) % rate->rate]));
	return list;
}

static void
state_load_rate(struct backoff_rate *rate, const json_t *saved)
{
	for (size_t i = 0; i < json_array_size(saved) && i < rate->rate; i++)
		backoff_rate_note(rate, (uint64_t)json_integer_value(json_array_get(saved, i)));
}

/* An instance that was never started has nothing to tell. */
static json_t *
state_save_instances(const struct service *service)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < service->count; i++)
		if (service->instances[i].starts > 0)
			json_array_append_new(list, state_save_instance(&service->instances[i]));
	return list;
}

json_t *
state_save_service(const struct service *service)
{
	const struct service_size *size = &service->size;
	json_t *saved = json_object();

	json_object_set_new(saved, "name", record_text(service->name));
	record_put(saved, state_service_fields, service);
	json_object_set_new(saved, "stats", state_save_stats(service->stats));
	json_object_set_new(saved, "rate", state_save_rate(&service->rate));
	if (service->pool != NULL)
		json_object_set_new(saved, "pool", state_save_pool(service));
	if (size->worn != NULL)
		json_object_set_new(saved, "worn", json_integer(size->worn->slot));
	json_object_set_new(saved, "instances", state_save_instances(service));
	return saved;
}

static bool
state_load_instances(struct service *service, const json_t *list, struct record_reader *reader)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *saved = json_array_get(list, i);
		const json_t *slot = json_object_get(saved, "slot");
		struct instance *instance;

		if (!json_is_integer(slot) || json_integer_value(slot) < 0 ||
		    json_integer_value(slot) >= service->count)
			return record_fail(
			    reader, "an instance of service %s has no place", service->name);
		instance = &service->instances[json_integer_value(slot)];
		if (instance->starts > 0 || instance->pid != 0)
			return record_fail(
			    reader, "an instance of service %s is there twice", service->name);
		if (!state_load_instance(instance, saved, reader))
			return false;
	}
	return true;
}

/* Whom its replacement is on the way for, if that still makes sense. */
static void
state_load_worn(struct service *service, const json_t *saved)
{
	struct service_size *size = &service->size;
	json_int_t slot = json_integer_value(saved);

	if (!json_is_integer(saved) || slot < 0 || slot >= service->count)
		return;
	size->worn = &service->instances[slot];
	size->worn_why = instance_worn(size->worn, service->master->started);
	if (size->worn_why == NULL)
		size->worn_why = "it has served long enough";
}

static bool
state_fill_service(struct service *service, const json_t *saved, struct record_reader *reader)
{
	unsigned used = 0;

	if (!record_take(reader, saved, state_service_fields, service) ||
	    !state_load_instances(service, json_object_get(saved, "instances"), reader))
		return false;
	state_load_rate(&service->rate, json_object_get(saved, "rate"));
	state_load_worn(service, json_object_get(saved, "worn"));
	for (unsigned i = 0; i < service->count; i++)
		if (service->instances[i].state != INSTANCE_EMPTY)
			used = i + 1;
	if (service->size.used < used)
		service->size.used = used;
	return (service->size.used <= service->count && service->size.wanted <= service->count &&
		   service->size.scaled <= service->count) ||
	       record_fail(reader, "service %s has too many instances", service->name);
}

bool
state_load_service(struct generation *generation, unsigned index, const json_t *saved,
    struct record_reader *reader)
{
	struct master *master = generation->master;
	const struct conf_service *conf = &generation->conf->services[index];
	const char *name = json_string_value(json_object_get(saved, "name"));
	struct stats *stats = NULL;
	struct pool *pool = NULL;
	struct state_pool read;
	bool is_foreign = false;
	struct service *service;
	char why[256];

	if (name == NULL || strcmp(name, conf->name) != 0)
		return record_fail(reader, "service %s is not there", conf->name);
	if (service_instances(conf) > 0)
		pool = state_load_pool(
		    master, json_object_get(saved, "pool"), &read, &is_foreign, reader);
	if (!reader->has_failed)
		stats = state_load_stats(master, json_object_get(saved, "stats"), reader);
	if (stats == NULL) {
		state_disown_pool(pool, reader);
		return false;
	}
	service = service_restore(generation, index, stats, pool, why, sizeof(why));
	if (service == NULL) {
		state_disown_pool(pool, reader);
		state_disown_stats(stats, reader);
		stats_free(stats);
		return record_fail(reader, "%s", why);
	}
	generation->services[index] = service;
	if (is_foreign)
		service->foreign = (struct service_foreign){.fd = read.fd, .shape = read.shape};
	return state_fill_service(service, saved, reader);
}

void
state_disown_service(struct service *service, const struct record_reader *reader)
{
	for (unsigned i = 0; i < service->count; i++)
		state_disown_instance(&service->instances[i]);
	record_disown(reader, &service->foreign.fd);
	state_disown_stats(service->stats, reader);
	state_disown_pool(service->pool, reader);
	service->pool = NULL;
}
