/*
 * A real master with real workers and programs, turned by the test itself, for tests of its state.
 * Everything is static: each test is one program.
 */
#ifndef TESTS_STATE_HELP_H
#define TESTS_STATE_HELP_H

#include "common/log.h"
#include "daemon/master.h"
#include "tests/unit/conf_help.h"
#include "tests/unit/daemon_help.h"

#include <stdbool.h>

enum { SERVICE_CAT, SERVICE_LATE, SERVICE_COLLECT, SERVICE_UNIX, SERVICES };

static char *state_folder;

/* Every kind of thing that a master can have; FOLDER stands for the test's own. */
static inline char *
help_state_conf(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	fprintf(out,
	    "[hostler]\nworkers = 2\ncontrol = %1$s/control.sock\npid_file = %1$s/pid\n"
	    "log = %1$s/log\n"
	    "[service cat]\nlisten = 127.0.0.1:0\nprotocol = line\nhandler = program\n"
	    "command = sh -c 'printf unfinished >&2; exec cat'\ninstances = 2\n"
	    "[service late]\nlisten = 127.0.0.1:0\nprotocol = line\nhandler = program\n"
	    "command = sleep 1000\nready = line\nskip_lines = 2\ninstances = 1\n"
	    "[service collect]\nlisten = 127.0.0.1:0\nprotocol = line\nhandler = collect\n"
	    "file = %1$s/records\n"
	    "[service unix]\nlisten = unix:%1$s/echo.sock\nprotocol = line\nhandler = echo\n"
	    "access_log = %1$s/access\n",
	    state_folder);
	fclose(out);
	return text;
}

/* One turn of the master, but for what it does with the dead. */
static inline void
help_turn(struct master *master)
{
	uint64_t now = clock_now();
	struct generation *generation, *more;
	struct service *service;

	if (master->guardian.pid == 0)
		ck_assert_int_eq(guardian_start(&master->guardian, NULL, 0), 0);
	TAILQ_FOREACH (service, &master->services, entry)
		(void)service_turn(service, now);
	for (generation = TAILQ_FIRST(&master->generations); generation != NULL;
	     generation = more) {
		more = TAILQ_NEXT(generation, entry);
		(void)generation_turn(generation, now);
	}
	event_base_loop(master->base, EVLOOP_NONBLOCK);
}

static inline bool
help_is_settled(struct master *master)
{
	const struct service *cat = master->current->services[SERVICE_CAT];

	help_turn(master);
	return generation_all_ready(master->current) && service_is_up(cat, clock_now(), 0) &&
	       cat->instances[0].output.line != NULL && cat->instances[1].output.line != NULL &&
	       master->current->services[SERVICE_LATE]->instances[0].pid != 0 &&
	       master->current->slots[0].accept_told && master->current->slots[1].accept_told;
}

/* The caller's children and files end with the test's process, by the guardian. */
static inline struct master *
help_master(void)
{
	struct master *master = calloc(1, sizeof(*master));
	char *text;

	state_folder = help_folder();
	text = help_state_conf();
	log_open("master", LOG_LEVEL_WARN);
	master->control_default = "/nowhere";
	master_open(master, help_good(text));
	free(text);
	help_wait_for(help_is_settled(master));
	master->state = MASTER_RUNNING;
	return master;
}

static inline void
help_remove_folder(void)
{
	static const char *const names[] = {
	    "control.sock", "pid", "log", "records", "echo.sock", "access"};
	char path[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", state_folder, names[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(state_folder), 0);
	free(state_folder);
}

#endif
