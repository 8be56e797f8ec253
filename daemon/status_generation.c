/*
 * Turns what is known of the generations into JSON: what each has open, and what one that drains
 * still waits for. Reads statistics without a lock; changes nothing.
 */
#include "common/clock.h"
#include "daemon/master.h"
#include "daemon/status.h"

static bool
status_has_worker(const struct slot *slot)
{
	return slot->pid > 0;
}

static unsigned
status_worker_count(const struct generation *generation)
{
	unsigned count = 0;

	for (unsigned i = 0; i < generation->slot_count; i++)
		count += status_has_worker(&generation->slots[i]);
	return count;
}

uint64_t
status_connections(const struct generation *generation)
{
	uint64_t open = 0;

	for (unsigned i = 0; i < generation->slot_count; i++)
		if (status_has_worker(&generation->slots[i]))
			open += atomic_load(
			    &stats_row(generation->master->sum, generation->slots[i].id)->open);
	return open;
}

/* Of those, as its workers said when they last looked. */
struct status_left {
	uint64_t asking, staying, moving;
};

static uint64_t
status_take(uint64_t *open, uint64_t count)
{
	count = count < *open ? count : *open;
	*open -= count;
	return count;
}

/* They add up to `open`, whatever has happened since. */
static struct status_left
status_left(const struct generation *generation, uint64_t open)
{
	struct status_left left = {0};

	for (unsigned i = 0; i < generation->slot_count; i++) {
		const struct slot *slot = &generation->slots[i];
		const struct stats_row *row = stats_row(generation->master->sum, slot->id);

		if (!status_has_worker(slot))
			continue;
		left.asking += status_take(&open, atomic_load(&row->asking));
		left.staying += status_take(&open, atomic_load(&row->staying));
	}
	left.moving = open;
	return left;
}

uint64_t
status_under_way(const struct generation *generation)
{
	uint64_t total = 0;

	/* Once its workers are gone its services may be too. */
	if (generation->state == GENERATION_ENDING)
		return 0;
	for (unsigned i = 0; i < generation->slot_count; i++) {
		if (!status_has_worker(&generation->slots[i]))
			continue;
		for (unsigned j = 0; j < generation->conf->service_count; j++)
			total += stats_row_under_way(
			    stats_row(generation->services[j]->stats, generation->slots[i].id));
	}
	return total;
}

/* Processes of programs that nobody has any more, and that end now. */
static unsigned
status_programs(const struct generation *generation)
{
	const struct service *service;
	unsigned count = 0;

	TAILQ_FOREACH (service, &generation->master->services, entry)
		if (service->generation == generation && service->ending)
			count += service_processes(service);
	return count;
}

/* null in a state that knows no such number. */
static json_t *
status_number_if(bool is_known, uint64_t number)
{
	return is_known ? status_number(number) : json_null();
}

static json_t *
status_generation(const struct generation *generation, uint64_t now)
{
	bool drains = generation->state == GENERATION_DRAINING;
	uint64_t open = status_connections(generation);
	struct status_left left = status_left(generation, open);

	return json_pack("{s:i, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "generation",
	    (int)generation->number, "state", generation_state_name(generation->state), "age",
	    status_seconds(generation->since, now), "workers", (int)status_worker_count(generation),
	    "connections", status_number(open), "under_way",
	    status_number(status_under_way(generation)), "asking",
	    status_number_if(drains, left.asking), "staying",
	    status_number_if(drains, left.staying), "moving", status_number_if(drains, left.moving),
	    "programs", (int)status_programs(generation), "left",
	    drains && !generation->abandoned ? status_seconds(now, generation->drain_by)
					     : json_null());
}

json_t *
status_generations(const struct master *master, uint64_t now)
{
	const struct generation *generation;
	json_t *list = json_array();

	TAILQ_FOREACH (generation, &master->generations, entry)
		json_array_append_new(list, status_generation(generation, now));
	return list;
}

json_t *
status_answer_generations(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)request;
	(void)ask;
	return control_done(
	    json_pack("{s:o}", "generations", status_generations(arg, clock_now())));
}
