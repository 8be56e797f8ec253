/*
 * The files that services collect in, as another image of the master shall know them: those that
 * stand at a path, and those that were replaced and some worker may still write to. The page that
 * their writers share goes along, and so does its lock.
 */
#include "common/mem.h"
#include "daemon/collect_file.h"
#include "daemon/state_parts.h"
#include "ipc/ledger.h"

#include <stdlib.h>

#define STATE_FILES_MAX 4096

/* Not of struct collect_open: entry, held. Which workers hold it goes as a list. */
static const struct record_field state_open_fields[] = {
    RECORD_FIELD(struct collect_open, number, NUMBER, 0),
    RECORD_FIELD(struct collect_open, fd, FD, 0),
    RECORD_NAMED("fd_page", struct collect_open, page, FD, 0),
    RECORD_NAMED("fd_folder", struct collect_open, folder, FD, 0),
    RECORD_FIELD(struct collect_open, device, NUMBER, 0),
    RECORD_FIELD(struct collect_open, inode, NUMBER, 0),
    RECORD_FIELD(struct collect_open, retry, NUMBER, 0),
    RECORD_FIELD(struct collect_open, tries, NUMBER, 0),
    RECORD_END,
};

/* ---- one file ---- */

static json_t *
state_save_open(const struct master *master, const struct collect_open *open)
{
	json_t *saved = json_object(), *held = json_array();

	record_put(saved, state_open_fields, open);
	for (unsigned i = 0; i < master->ids; i++)
		if (open->held[i])
			json_array_append_new(held, json_integer(i));
	json_object_set_new(saved, "held", held);
	return saved;
}

static bool
state_fill_open(struct master *master, struct collect_open *open, const json_t *saved,
    struct record_reader *reader)
{
	const json_t *held = json_object_get(saved, "held");

	if (!record_take(reader, saved, state_open_fields, open))
		return false;
	if (open->fd < 0 || open->page < 0 || open->folder < 0)
		return record_fail(reader, "a file that is collected in makes no sense");
	for (size_t i = 0; i < json_array_size(held); i++) {
		json_int_t id = json_integer_value(json_array_get(held, i));

		if (id < 0 || id >= master->ids)
			return record_fail(reader, "a file is held by nobody");
		open->held[id] = true;
	}
	return true;
}

static void
state_disown_open(struct collect_open *open)
{
	open->fd = open->page = open->folder = -1;
	collect_shut(open);
}

/* NULL, and told. */
static struct collect_open *
state_load_open(struct master *master, const json_t *saved, struct record_reader *reader)
{
	struct collect_open *open = mem_alloc(1, sizeof(*open));

	open->fd = open->page = open->folder = -1;
	open->held = mem_alloc(master->ids, sizeof(*open->held));
	if (state_fill_open(master, open, saved, reader))
		return open;
	state_disown_open(open);
	return NULL;
}

/* ---- all of them ---- */

json_t *
state_save_files(const struct master *master)
{
	json_t *files = json_array(), *left = json_array(), *saved;
	const struct collect_file *file;
	const struct collect_open *open;

	TAILQ_FOREACH (file, &master->files, entry) {
		saved = state_save_open(master, file->open);
		json_object_set_new(saved, "rotated", json_integer((json_int_t)file->rotated));
		json_array_append_new(files, saved);
	}
	TAILQ_FOREACH (open, &master->left_files, entry)
		json_array_append_new(left, state_save_open(master, open));
	return json_pack("{s:i, s:o, s:o}", "layout", LEDGER_LAYOUT, "now", files, "left", left);
}

static bool
state_load_left(struct master *master, const json_t *list, struct record_reader *reader)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct collect_open *open =
		    state_load_open(master, json_array_get(list, i), reader);

		if (open == NULL)
			return false;
		collect_retire(master, open);
	}
	return true;
}

bool
state_load_files(struct master *master, const json_t *saved, struct record_reader *reader)
{
	const json_t *list = json_object_get(saved, "now"), *left = json_object_get(saved, "left");

	if (json_array_size(list) > STATE_FILES_MAX || json_array_size(left) > STATE_FILES_MAX)
		return record_fail(reader, "there are too many files that are collected in");
	if (json_array_size(list) + json_array_size(left) > 0 &&
	    json_integer_value(json_object_get(saved, "layout")) != LEDGER_LAYOUT)
		return record_fail(reader, "this version and the one that runs would not keep out "
					   "of each other's way in files that are collected in");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		struct collect_open *open = state_load_open(master, item, reader);
		struct collect_file *file;

		if (open == NULL)
			return false;
		file = mem_alloc(1, sizeof(*file));
		file->open = open;
		file->rotated = (uint64_t)json_integer_value(json_object_get(item, "rotated"));
		TAILQ_INSERT_TAIL(&master->files, file, entry);
	}
	return state_load_left(master, left, reader);
}

void
state_disown_files(struct master *master)
{
	struct collect_file *file;
	struct collect_open *open;

	while ((file = TAILQ_FIRST(&master->files)) != NULL) {
		TAILQ_REMOVE(&master->files, file, entry);
		state_disown_open(file->open);
		free(file);
	}
	while ((open = TAILQ_FIRST(&master->left_files)) != NULL) {
		TAILQ_REMOVE(&master->left_files, open, entry);
		state_disown_open(open);
	}
	master->left_count = 0;
}

/* ---- who collects in which ---- */

static int
state_find_file(const struct master *master, const struct collect_file *wanted)
{
	const struct collect_file *file;
	int index = 0;

	TAILQ_FOREACH (file, &master->files, entry) {
		if (file == wanted)
			return index;
		index++;
	}
	return -1;
}

json_t *
state_save_collects(const struct generation *generation)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < generation->conf->service_count; i++)
		json_array_append_new(list, json_integer(state_find_file(generation->master,
						generation->collects.files[i])));
	return list;
}

bool
state_load_collects(
    struct generation *generation, const json_t *saved, struct record_reader *reader)
{
	struct collect_set *set = &generation->collects;
	unsigned count = generation->conf->service_count;

	set->conf = generation->conf;
	set->files = mem_alloc(count + 1, sizeof(*set->files));
	for (unsigned i = 0; i < count; i++) {
		bool needs = generation->conf->services[i].handler == HANDLER_COLLECT;
		json_int_t index = json_integer_value(json_array_get(saved, i));
		struct collect_file *file = TAILQ_FIRST(&generation->master->files);

		if (!needs)
			continue;
		while (file != NULL && index-- > 0)
			file = TAILQ_NEXT(file, entry);
		if (file == NULL || index < -1 || file->holders > 0)
			return record_fail(reader, "service %s has no file to collect in",
			    generation->conf->services[i].name);
		file->holders++;
		set->files[i] = file;
	}
	return true;
}
