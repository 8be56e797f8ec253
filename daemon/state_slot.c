/*
 * Workers as another image of the master shall know them. They serve all the time and notice
 * nothing: their end of the channel stays the same.
 */
#include "common/mem.h"
#include "daemon/state_parts.h"

#include <stdlib.h>

/* Not of struct slot: readable, drain_why. The latter is a text of the program's own. */
static const struct record_field state_slot_fields[] = {
    RECORD_FIELD(struct slot, state, NUMBER, SLOT_DRAINING),
    RECORD_FIELD(struct slot, since, NUMBER, 0),
    RECORD_FIELD(struct slot, starts, NUMBER, 0),
    RECORD_FIELD(struct slot, failures, NUMBER, 0),
    RECORD_FIELD(struct slot, not_before, NUMBER, 0),
    RECORD_FIELD(struct slot, pid, SIGNED, 0),
    RECORD_FIELD(struct slot, id, NUMBER, POOL_WORKERS_MAX),
    RECORD_NAMED("fd_channel", struct slot, channel, FD, 0),
    RECORD_FIELD(struct slot, was_ready, BOOL, 0),
    RECORD_FIELD(struct slot, was_killed, BOOL, 0),
    RECORD_FIELD(struct slot, start_told, BOOL, 0),
    RECORD_FIELD(struct slot, accept_told, BOOL, 0),
    RECORD_FIELD(struct slot, drain, BOOL, 0),
    RECORD_FIELD(struct slot, drain_hasty, BOOL, 0),
    RECORD_FIELD(struct slot, drain_told, BOOL, 0),
    RECORD_FIELD(struct slot, drain_by, NUMBER, 0),
    RECORD_FIELD(struct slot, logs_version, NUMBER, 0),
    RECORD_FIELD(struct slot, logs_next, NUMBER, 0),
    RECORD_FIELD(struct slot, behind, NUMBER, 0),
    RECORD_FIELD(struct slot, ping, NUMBER, 0),
    RECORD_FIELD(struct slot, next_ping, NUMBER, 0),
    RECORD_FIELD(struct slot, asked, NUMBER, 0),
    RECORD_FIELD(struct slot, check, NUMBER, 0),
    RECORD_FIELD(struct slot, check_by, NUMBER, 0),
    RECORD_FIELD(struct slot, order, NUMBER, 0),
    RECORD_FIELD(struct slot, giving, BOOL, 0),
    RECORD_FIELD(struct slot, gives_last, BOOL, 0),
    RECORD_FIELD(struct slot, gives, NUMBER, 0),
    RECORD_FIELD(struct slot, coming, NUMBER, 0),
    RECORD_FIELD(struct slot, surplus, NUMBER, 0),
    RECORD_FIELD(struct slot, gives_next, NUMBER, 0),
    RECORD_FIELD(struct slot, takes_next, NUMBER, 0),
    RECORD_FIELD(struct slot, gave_all, BOOL, 0),
    RECORD_FIELD(struct slot, far_since, NUMBER, 0),
    RECORD_FIELD(struct slot, gives_way, BOOL, 0),
    RECORD_FIELD(struct slot, last_exit, TEXT, 0),
    RECORD_END,
};

/* Most are 0: pairs of place and number. */
static json_t *
state_save_numbers(const uint32_t *numbers, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++) {
		if (numbers[i] == 0)
			continue;
		json_array_append_new(list, json_integer(i));
		json_array_append_new(list, json_integer(numbers[i]));
	}
	return list;
}

static bool
state_load_numbers(
    uint32_t *numbers, unsigned count, const json_t *list, struct record_reader *reader)
{
	for (size_t i = 0; i < json_array_size(list); i += 2) {
		const json_t *place = json_array_get(list, i),
			     *number = json_array_get(list, i + 1);
		json_int_t at = json_integer_value(place), value = json_integer_value(number);

		if (!json_is_integer(place) || !json_is_integer(number) || at < 0 || at >= count ||
		    value < 0 || value > UINT32_MAX)
			return record_fail(reader, "what a worker was told makes no sense");
		numbers[at] = (uint32_t)value;
	}
	return true;
}

json_t *
state_save_slot(const struct slot *slot)
{
	const struct generation *generation = slot->generation;
	json_t *saved = json_object();

	record_put(saved, state_slot_fields, slot);
	json_object_set_new(saved, "told", state_save_numbers(slot->told, generation->place_count));
	json_object_set_new(saved, "files_told",
	    state_save_numbers(slot->files_told, generation->conf->service_count));
	/* A move goes on between the two workers, whoever their master is. */
	if (slot->gives_to != NULL)
		json_object_set_new(saved, "gives_to", json_integer(slot->gives_to->place));
	return saved;
}

static bool
state_load_move(struct slot *slot, const json_t *gives_to, struct record_reader *reader)
{
	struct generation *generation = slot->generation;
	json_int_t place = json_integer_value(gives_to);

	if (gives_to == NULL)
		return true;
	if (!json_is_integer(gives_to) || place < 0 || place >= generation->slot_count)
		return record_fail(reader, "worker %u gives to nobody", slot->place);
	slot->gives_to = &generation->slots[place];
	return true;
}

static bool
state_check_slot(const struct slot *slot, struct record_reader *reader)
{
	const struct master *master = slot->master;
	bool waits = slot->state == SLOT_WAITING;

	if (waits != (slot->pid == 0) || slot->id >= master->ids || (waits && slot->channel >= 0))
		return record_fail(reader, "worker %u makes no sense", slot->place);
	return waits || state_check_child(master, slot->pid, reader);
}

bool
state_load_slot(struct slot *slot, const json_t *saved, struct record_reader *reader)
{
	const struct generation *generation = slot->generation;

	if (!record_take(reader, saved, state_slot_fields, slot) ||
	    !state_load_numbers(
		slot->told, generation->place_count, json_object_get(saved, "told"), reader) ||
	    !state_load_numbers(slot->files_told, generation->conf->service_count,
		json_object_get(saved, "files_told"), reader) ||
	    !state_load_move(slot, json_object_get(saved, "gives_to"), reader) ||
	    !state_check_slot(slot, reader))
		return false;
	return slot->channel < 0 || slot_listen(slot) ||
	       record_fail(reader, "worker %u cannot be listened to", slot->place);
}
