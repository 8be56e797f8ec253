/*
 * Services as another image of the master shall know them: pool, counters, instances, and where it
 * stands with starting, growing and replacing them.
 */
#include "daemon/state_parts.h"

#include <stdlib.h>
#include <string.h>

/*
 * Not of struct service: entry, generation, conf, holders, ending, priv, plan, is_damaged. They
 * follow from the configuration; nothing is written while a service ends or is damaged.
 */
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
	struct service_foreign foreign = {.fd = -1};
	struct stats *stats = NULL;
	struct pool *pool = NULL;
	struct service *service;
	char why[256];

	if (name == NULL || strcmp(name, conf->name) != 0)
		return record_fail(reader, "service %s is not there", conf->name);
	if (service_instances(conf) > 0)
		pool = state_load_pool(master, json_object_get(saved, "pool"), &foreign, reader);
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
	service->foreign = foreign;
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
