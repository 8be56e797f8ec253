/*
 * Makes a master of a document, in the order in which its parts need each other. When anything is
 * wrong all memory is freed, and whatever the document named is left as it was: whoever wrote it
 * can go on with it.
 */
#include "daemon/state.h"

#include "common/clock.h"
#include "common/conf_save.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/control.h"
#include "daemon/listing.h"
#include "daemon/notify.h"
#include "daemon/state_parts.h"
#include "ipc/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- whether it is for us ---- */

static bool
state_check(const struct master *master, const json_t *state, struct record_reader *reader)
{
	const char *writer = json_string_value(json_object_get(state, "writer"));
	json_int_t pid =
	    json_integer_value(json_object_get(json_object_get(state, "master"), "pid"));
	json_int_t version = json_integer_value(json_object_get(state, "version"));

	if (version != STATE_VERSION)
		return record_fail(reader,
		    "its state has version %lld, and this hostlerd understands %d",
		    (long long)version, STATE_VERSION);
	if (json_integer_value(json_object_get(state, "messages")) != (json_int_t)msg_layout())
		return record_fail(reader,
		    "the workers of hostlerd %s and this one's master do not understand each "
		    "other: hostlerd must be restarted",
		    writer != NULL ? writer : "before");
	if (!master->rehearsal && pid != getpid())
		return record_fail(reader, "the state is that of process %lld", (long long)pid);
	return true;
}

/* ---- the master's own ---- */

static bool
state_load_shared(struct master *master, const json_t *saved, struct record_reader *reader)
{
	if (!record_take(reader, saved, state_master_fields, master))
		return false;
	if (master->ids < 1 || master->wake_master < 0 || master->control_path == NULL ||
	    (master->pid_path == NULL) != (master->pidfile < 0) ||
	    (master->guardian.pid == 0) != (master->guardian.pipe < 0))
		return record_fail(reader, "the master makes no sense");
	if (master->guardian.pid != 0 && !state_check_child(master, master->guardian.pid, reader))
		return false;
	master->wakes = mem_alloc(master->ids, sizeof(int));
	if (!record_take_fds(reader, saved, "fd_wakes", master->wakes, master->ids))
		return false;
	for (unsigned i = 0; i < master->ids; i++)
		if (master->wakes[i] < 0)
			return record_fail(reader, "a wake-up descriptor is missing");
	master->sum = state_load_stats(master, json_object_get(saved, "sum"), reader);
	return master->sum != NULL;
}

/* The generation and its configuration, which the master follows. */
static bool
state_load_conf(struct master *master, const json_t *state, struct record_reader *reader)
{
	char why[256] = "";
	struct conf *conf = conf_restore(json_object_get(state, "conf"), why, sizeof(why));
	struct generation *generation;

	if (conf == NULL)
		return record_fail(reader, "its configuration: %s", why);
	generation = mem_alloc(1, sizeof(*generation));
	generation->master = master;
	generation->conf = conf;
	generation->logs.own = -1;
	TAILQ_INSERT_TAIL(&master->generations, generation, entry);
	master->current = generation;
	master->conf = conf;
	return priv_for_workers(&master->worker_priv, conf, why, sizeof(why)) ||
	       record_fail(reader, "%s", why);
}

/* Once nothing can go wrong any more: lines go where they went. */
static void
state_use_log(const struct master *master, int log, json_int_t level)
{
	if (log >= 0 && log != log_fd())
		log_adopt(log);
	log_set_path(conf_log_path(master->conf));
	log_set_format(master->conf->log_format);
	if (level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG)
		log_set_level((enum log_level)level);
}

static void
state_on_ask(void *arg, struct control_ask *ask)
{
	asks_add(arg, ask);
}

static bool
state_load_outside(struct master *master, const json_t *state, struct record_reader *reader)
{
	struct control_setup setup = master_control_setup(master);

	master->listing = listing_open(master);
	master->control = control_load(master->base, &setup, json_object_get(state, "control"),
	    reader, state_on_ask, &master->guest.asks);
	return master->control != NULL && notify_load(json_object_get(state, "notify"), reader);
}

static bool
state_load_all(struct master *master, const json_t *state, struct record_reader *reader)
{
	const json_t *saved = json_object_get(state, "master");
	const json_t *upgrade = json_object_get(state, "upgrade");
	char why[512];
	int log;

	if (!state_check(master, state, reader) || !state_load_shared(master, saved, reader) ||
	    !record_take_fd(reader, saved, "fd_log", &log) ||
	    !state_load_conf(master, state, reader))
		return false;
	if (!master_make_events(master, why, sizeof(why)))
		return record_fail(reader, "%s", why);
	if (!state_load_files(master, json_object_get(state, "files"), reader) ||
	    !state_load_generation(master->current, json_object_get(state, "generation"), reader) ||
	    !state_load_outside(master, state, reader))
		return false;
	master->guest.upgrade = upgrade != NULL ? json_deep_copy(upgrade) : NULL;
	master->state = MASTER_RUNNING;
	if (!master->rehearsal)
		state_use_log(master, log, json_integer_value(json_object_get(saved, "log_level")));
	return true;
}

/* ---- when it does not go ---- */

static void
state_disown_guest(struct state_guest *guest)
{
	asks_reply(&guest->asks, NULL);
	json_decref(guest->upgrade);
}

static void
state_disown(struct master *master, const struct record_reader *reader)
{
	bool rehearsal = master->rehearsal;
	struct service *service;

	control_disown(master->control);
	state_disown_guest(&master->guest);
	if (master->listing != NULL)
		listing_close(master->listing);
	if (master->current != NULL)
		state_disown_generation(master->current, reader);
	while ((service = TAILQ_FIRST(&master->services)) != NULL) {
		state_disown_service(service, reader);
		service_free(service);
	}
	state_disown_files(master);
	state_disown_stats(master->sum, reader);
	stats_free(master->sum);
	master_free_events(master);
	reload_close(&master->reload);
	priv_close(&master->worker_priv);
	free(master->wakes);
	free(master->control_path);
	free(master->pid_path);
	notify_close();
	*master = (struct master){.rehearsal = rehearsal};
}

/* ---- the doors ---- */

bool
state_load_json(struct master *master, const json_t *state, char *why, size_t why_size)
{
	struct record_reader reader = {.why = why, .why_size = why_size};
	bool good;

	signal(SIGPIPE, SIG_IGN);
	TAILQ_INIT(&master->generations);
	TAILQ_INIT(&master->services);
	TAILQ_INIT(&master->files);
	TAILQ_INIT(&master->left_files);
	master->pid = getpid();
	master->pidfile = master->wake_master = master->guardian.pipe = -1;
	good = state_load_all(master, state, &reader);
	if (!good)
		state_disown(master, &reader);
	record_reader_close(&reader);
	return good;
}

void
state_drop(struct master *master, const json_t *state)
{
	struct record_reader reader = {0};

	record_note_fds(&reader, state);
	state_disown(master, &reader);
	record_reader_close(&reader);
}

bool
state_load(struct master *master, int state, char *why, size_t why_size)
{
	json_t *document = state_read(state, why, why_size);
	bool good;

	if (document == NULL)
		return false;
	state_keep_fds(state, false);
	good = state_load_json(master, document, why, why_size);
	json_decref(document);
	return good;
}
