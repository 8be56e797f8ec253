/*
 * The generation that runs as another image of the master shall know it: its configuration, its
 * listening sockets, its logs and its workers. Services are made first, in state_service.c.
 */
#include "common/conf_save.h"
#include "common/mem.h"
#include "daemon/state_parts.h"

#include <stdlib.h>

/*
 * Not of struct generation: entry, drain_by, abandoned, killed, failure. It is the one that runs.
 */
static const struct record_field state_generation_fields[] = {
    RECORD_FIELD(struct generation, number, NUMBER, 0),
    RECORD_FIELD(struct generation, since, NUMBER, 0),
    RECORD_FIELD(struct generation, slot_count, NUMBER, POOL_WORKERS_MAX),
    RECORD_FIELD(struct generation, wanted, NUMBER, POOL_WORKERS_MAX),
    RECORD_FIELD(struct generation, max_connections, NUMBER, 0),
    RECORD_END,
};

/* Not of struct listen_socket: addr, holders. The address goes as bytes, and one generation has it.
 */
static const struct record_field state_socket_fields[] = {
    RECORD_FIELD(struct listen_socket, fd, FD, 0),
    RECORD_FIELD(struct listen_socket, service, STRING, 0),
    RECORD_NAMED("device", struct listen_socket, sockpath.device, NUMBER, 0),
    RECORD_NAMED("inode", struct listen_socket, sockpath.inode, NUMBER, 0),
    RECORD_END,
};

/* ---- listening sockets ---- */

static json_t *
state_save_addr(const struct addr *addr)
{
	return record_bytes((const char *)&addr->storage, addr->length);
}

static json_t *
state_save_listen(const struct listen_set *set)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < set->count; i++) {
		json_t *saved = json_object();

		record_put(saved, state_socket_fields, set->sockets[i]);
		json_object_set_new(saved, "addr", state_save_addr(&set->sockets[i]->addr));
		json_object_set_new(saved, "asked", state_save_addr(&set->asked[i]));
		json_object_set_new(saved, "for", json_integer(set->listeners[i].service));
		json_array_append_new(list, saved);
	}
	return list;
}

static bool
state_load_socket(struct generation *generation, const json_t *saved, struct record_reader *reader)
{
	struct listen_set *set = &generation->listen;
	struct listen_socket *socket = mem_alloc(1, sizeof(*socket));
	json_int_t service = json_integer_value(json_object_get(saved, "for"));
	unsigned at = set->count++;

	socket->fd = -1;
	socket->holders = 1;
	set->sockets[at] = socket;
	if (!record_take(reader, saved, state_socket_fields, socket))
		return false;
	if (socket->fd < 0 || socket->service == NULL || service < 0 ||
	    service >= generation->conf->service_count ||
	    !conf_restore_addr(json_object_get(saved, "addr"), &socket->addr) ||
	    !conf_restore_addr(json_object_get(saved, "asked"), &set->asked[at]))
		return record_fail(reader, "a listening socket makes no sense");
	set->listeners[at] =
	    (struct worker_listener){.fd = socket->fd, .service = (unsigned)service};
	return true;
}

static bool
state_load_listen(struct generation *generation, const json_t *list, struct record_reader *reader)
{
	struct listen_set *set = &generation->listen;
	const struct conf *conf = generation->conf;
	unsigned count = listen_count(conf);

	if (json_array_size(list) != count)
		return record_fail(reader, "there are %zu listening sockets in place of %u",
		    json_array_size(list), count);
	set->sockets = mem_alloc(count + 1, sizeof(*set->sockets));
	set->asked = mem_alloc(count + 1, sizeof(*set->asked));
	set->listeners = mem_alloc(count + 1, sizeof(*set->listeners));
	for (unsigned i = 0; i < count; i++)
		if (!state_load_socket(generation, json_array_get(list, i), reader))
			return false;
	return true;
}

/* ---- logs ---- */

static bool
state_load_logs(struct generation *generation, const json_t *saved, struct record_reader *reader)
{
	struct logs *logs = &generation->logs;
	const struct conf *conf = generation->conf;

	*logs = (struct logs){.conf = conf, .own = -1};
	logs->access = mem_alloc(conf->service_count + 1, sizeof(*logs->access));
	if (!record_take_fds(reader, saved, "fd_access", logs->access, conf->service_count))
		return false;
	for (unsigned i = 0; i < conf->service_count; i++)
		if ((logs->access[i] < 0) != (conf_access_path(&conf->services[i]) == NULL))
			return record_fail(
			    reader, "service %s has no access log", conf->services[i].name);
	return true;
}

/* ---- services and slots ---- */

static json_t *
state_save_list(const struct generation *generation, bool slots)
{
	unsigned count = slots ? generation->slot_count : generation->conf->service_count;
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, slots ? state_save_slot(&generation->slots[i])
						  : state_save_service(generation->services[i]));
	return list;
}

static bool
state_load_services(struct generation *generation, const json_t *list, struct record_reader *reader)
{
	unsigned count = generation->conf->service_count;

	if (json_array_size(list) != count)
		return record_fail(
		    reader, "there are %zu services in place of %u", json_array_size(list), count);
	generation->services = mem_alloc(count + 1, sizeof(*generation->services));
	generation->pools = mem_alloc(count + 1, sizeof(*generation->pools));
	generation->stats = mem_alloc(count + 1, sizeof(*generation->stats));
	generation->places = mem_alloc(count + 1, sizeof(*generation->places));
	for (unsigned i = 0; i < count; i++) {
		if (!state_load_service(generation, i, json_array_get(list, i), reader))
			return false;
		generation->pools[i] = generation->services[i]->pool;
		generation->stats[i] = generation->services[i]->stats;
		generation->places[i] = generation->place_count;
		generation->place_count += generation->services[i]->count;
	}
	return true;
}

static bool
state_load_slots(struct generation *generation, const json_t *list, struct record_reader *reader)
{
	unsigned most = generation_most(generation);

	if (json_array_size(list) != generation->slot_count || generation->slot_count > most ||
	    generation->wanted < 1 || generation->wanted > generation->slot_count)
		return record_fail(reader, "there are %zu workers in place of %u, of %u at most",
		    json_array_size(list), generation->slot_count, most);
	generation->slots = mem_alloc(most, sizeof(*generation->slots));
	for (unsigned i = 0; i < most; i++)
		slot_open(&generation->slots[i], generation, i);
	for (unsigned i = 0; i < generation->slot_count; i++)
		if (!state_load_slot(&generation->slots[i], json_array_get(list, i), reader))
			return false;
	return true;
}

/* ---- all of it ---- */

json_t *
state_save_generation(const struct generation *generation)
{
	json_t *saved = json_object();

	record_put(saved, state_generation_fields, generation);
	json_object_set_new(saved, "services", state_save_list(generation, false));
	json_object_set_new(saved, "collects", state_save_collects(generation));
	json_object_set_new(saved, "listen", state_save_listen(&generation->listen));
	json_object_set_new(saved, "logs",
	    json_pack("{s:o}", "fd_access",
		record_fds(generation->logs.access, generation->conf->service_count)));
	json_object_set_new(saved, "slots", state_save_list(generation, true));
	return saved;
}

bool
state_load_generation(
    struct generation *generation, const json_t *saved, struct record_reader *reader)
{
	generation->state = GENERATION_RUNNING;
	return record_take(reader, saved, state_generation_fields, generation) &&
	       state_load_services(generation, json_object_get(saved, "services"), reader) &&
	       state_load_collects(generation, json_object_get(saved, "collects"), reader) &&
	       state_load_listen(generation, json_object_get(saved, "listen"), reader) &&
	       state_load_logs(generation, json_object_get(saved, "logs"), reader) &&
	       state_load_slots(generation, json_object_get(saved, "slots"), reader);
}

void
state_disown_generation(struct generation *generation, const struct record_reader *reader)
{
	struct listen_set *set = &generation->listen;
	unsigned services = generation->conf->service_count;

	for (unsigned i = 0; i < set->count; i++) {
		set->sockets[i]->fd = -1;
		set->sockets[i]->sockpath.inode = 0;
	}
	for (unsigned i = 0; generation->logs.access != NULL && i < services; i++)
		generation->logs.access[i] = -1;
	/* The files go with the master. */
	free(generation->collects.files);
	generation->collects.files = NULL;
	for (unsigned i = 0; generation->slots != NULL && i < generation->slot_count; i++)
		generation->slots[i].channel = -1;
	for (unsigned i = 0; generation->services != NULL && i < services; i++) {
		struct service *service = generation->services[i];

		if (service == NULL)
			continue;
		state_disown_service(service, reader);
		/* None of its processes is ours to end. */
		for (unsigned j = 0; j < service->count; j++)
			service->instances[j].pid = 0;
	}
	generation_free(generation);
}
