/*
 * The steps of an upgrade, before and after the execve of upgrade_exec.c. Owns whoever waits for
 * the outcome, the rehearsal and the way back. Whatever goes wrong before the execve, nothing was
 * changed; whatever goes wrong after it, the workers that served go on to serve.
 */
#include "daemon/upgrade.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/control_line.h"
#include "daemon/listing.h"
#include "daemon/master.h"
#include "daemon/notify.h"
#include "daemon/state.h"
#include "daemon/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UPGRADE_QUIET_TIME    (5 * CLOCK_SECOND)  /* that what is starting has to come to its end */
#define UPGRADE_REHEARSE_TIME (10 * CLOCK_SECOND) /* that a rehearsal may take */
#define UPGRADE_LOOK          (10 * CLOCK_MS)     /* between two looks whether it is quiet */

const char *
upgrade_phase_name(enum upgrade_phase phase)
{
	static const char *const names[] = {
	    [UPGRADE_IDLE] = "idle",
	    [UPGRADE_WAITING] = "waiting",
	    [UPGRADE_REHEARSING] = "rehearsing",
	    [UPGRADE_LEAVING] = "leaving",
	    [UPGRADE_PROVING] = "proving",
	    [UPGRADE_RETURNING] = "returning",
	};

	return names[phase];
}

json_t *
upgrade_status(const struct upgrade *upgrade)
{
	return json_pack("{s:s, s:o, s:i, s:i, s:o}", "state", upgrade_phase_name(upgrade->phase),
	    "binary", status_text(upgrade->start.binary), "count", (int)upgrade->count, "failed",
	    (int)upgrade->failed, "last_error", status_text(upgrade->last_error));
}

static void
upgrade_set_phase(struct upgrade *upgrade, enum upgrade_phase phase, uint64_t limit)
{
	log_debug(
	    "upgrade: %s -> %s", upgrade_phase_name(upgrade->phase), upgrade_phase_name(phase));
	upgrade->phase = phase;
	upgrade->limit = limit;
}

bool
upgrade_is_busy(const struct upgrade *upgrade)
{
	return upgrade->phase != UPGRADE_IDLE && upgrade->phase != UPGRADE_WAITING;
}

/* ---- outcomes ---- */

/* What belonged to the present upgrade is forgotten. */
static void
upgrade_end(struct upgrade *upgrade)
{
	rehearsal_abort(&upgrade->rehearsal);
	upgrade_file_close(&upgrade->file);
	if (upgrade->before >= 0)
		close(upgrade->before);
	upgrade->before = -1;
	free(upgrade->binary);
	free(upgrade->version);
	free(upgrade->before_binary);
	free(upgrade->before_version);
	free(upgrade->why);
	upgrade->binary = upgrade->version = NULL;
	upgrade->before_binary = upgrade->before_version = upgrade->why = NULL;
	upgrade_set_phase(upgrade, UPGRADE_IDLE, 0);
}

void
upgrade_refuse(struct master *master, const char *why)
{
	struct upgrade *upgrade = &master->upgrade;

	log_errorx("upgrade failed: %s", why);
	upgrade->failed++;
	free(upgrade->last_error);
	upgrade->last_error = mem_strdup(why);
	notify_status("upgrade failed: %s", why);
	notify_reloaded();
	asks_reply(&upgrade->asks, control_error("%s", why));
	upgrade_end(upgrade);
}

void
upgrade_proven(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;
	double took = (double)(clock_now() - upgrade->begun) / CLOCK_SECOND;

	state_settle(master);
	log_info("upgrade: hostlerd %s runs after %.3fs as generation %u", PACKAGE_VERSION, took,
	    master->current->number);
	free(upgrade->last_error);
	upgrade->last_error = NULL;
	notify_reloaded();
	asks_reply(&upgrade->asks,
	    json_pack("{s:s, s:o, s:o, s:i, s:f}", "version", PACKAGE_VERSION, "before",
		status_text(upgrade->before_version), "binary", status_text(upgrade->start.binary),
		"generation", (int)master->current->number, "took", took));
	upgrade_end(upgrade);
}

void
upgrade_failed(struct master *master, char *why)
{
	struct upgrade *upgrade = &master->upgrade;

	if (master->state == MASTER_STOPPING) {
		upgrade_refuse(master, why);
		free(why);
		return;
	}
	log_errorx("upgrade: hostlerd %s cannot take over: %s; going back to %s", PACKAGE_VERSION,
	    why, upgrade->before_version);
	free(upgrade->why);
	upgrade->why = why;
	upgrade_set_phase(upgrade, UPGRADE_RETURNING, 0);
}

/* ---- the order ---- */

void
upgrade_order(struct master *master, const char *who, const char *binary, struct control_ask *ask)
{
	struct upgrade *upgrade = &master->upgrade;
	const char *why = NULL, *later = "";

	if (master->stop.phase != STOP_NONE)
		why = "hostlerd is stopping";
	else if (upgrade->phase != UPGRADE_IDLE)
		why = "an upgrade is under way";
	if (why != NULL) {
		log_warnx("upgrade (%s): %s", who, why);
		if (ask != NULL)
			control_ask_reply(ask, control_error("%s", why));
		return;
	}
	upgrade->binary = mem_strdup(binary != NULL ? binary : upgrade->start.binary);
	upgrade->begun = clock_now();
	upgrade->count++;
	asks_add(&upgrade->asks, ask);
	if (master->reload.phase == RELOAD_BUILDING)
		later = "; it begins when the reload is done";
	else if (master->reload.phase != RELOAD_IDLE)
		later = "; it begins when the generation before has ended";
	log_info("upgrade: %s, to %s%s", who, upgrade->binary, later);
	upgrade_set_phase(upgrade, UPGRADE_WAITING, 0);
}

/* ---- waiting ---- */

/* What an upgrade waits for without a limit of its own: it has one. */
static bool
upgrade_is_blocked(const struct master *master)
{
	return master->state == MASTER_STARTING || master->reload.phase != RELOAD_IDLE ||
	       TAILQ_FIRST(&master->generations) !=
		   TAILQ_LAST(&master->generations, generation_list);
}

/* What must not be on its way when one binary hands over to another; NULL when nothing is. */
static const char *
upgrade_find_noise(const struct master *master)
{
	const struct generation *current = master->current;

	if (listing_is_busy(master->listing))
		return "connections are being listed";
	for (unsigned i = 0; i < current->slot_count; i++)
		if (current->slots[i].giving)
			return "connections are moving";
	/* A binary whose workers do not become ready cannot wait until they are. */
	if (master->upgrade.phase == UPGRADE_RETURNING)
		return NULL;
	if (!generation_all_ready(current))
		return "a worker is not ready";
	if (master->guardian.pid == 0)
		return "the guardian is not there";
	if (master_is_damaged(master))
		return "a pool is being made anew";
	return NULL;
}

bool
upgrade_is_quiet(const struct master *master)
{
	return !upgrade_is_blocked(master) && upgrade_find_noise(master) == NULL;
}

/* Whether a program is about to be ready; one in a crash loop is not worth the time. */
static bool
upgrade_has_births(const struct master *master)
{
	const struct service *service;

	TAILQ_FOREACH (service, &master->services, entry)
		for (unsigned i = 0; !backoff_loop_is_on(&service->loop) && i < service->count; i++)
			if (service->instances[i].state == INSTANCE_STARTING)
				return true;
	return false;
}

static void
upgrade_rehearse_now(struct master *master, uint64_t now)
{
	struct upgrade *upgrade = &master->upgrade;
	char why[UPGRADE_WHY_MAX];
	bool good = false;
	int state;

	notify_reloading();
	if (!upgrade_file_open(&upgrade->file, upgrade->binary, why, sizeof(why))) {
		upgrade_refuse(master, why);
		return;
	}
	state = upgrade_write_state(master, why, sizeof(why));
	if (state >= 0) {
		good = rehearsal_start(&upgrade->rehearsal, master, upgrade->binary, &upgrade->file,
		    upgrade->start.words, state, why, sizeof(why));
		close(state);
	}
	if (good)
		upgrade_set_phase(upgrade, UPGRADE_REHEARSING, now + UPGRADE_REHEARSE_TIME);
	else
		upgrade_refuse(master, why);
}

static void
upgrade_leave_now(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;
	char why[UPGRADE_WHY_MAX];

	if (!upgrade_file_is_same(&upgrade->file, upgrade->binary))
		snprintf(why, sizeof(why), "%s: was changed during the upgrade", upgrade->binary);
	else if (upgrade_leave(master, why, sizeof(why)))
		return;
	upgrade_refuse(master, why);
}

/* WAITING and LEAVING: the next step is for a moment in which nothing else is under way. */
static uint64_t
upgrade_wait(struct master *master, uint64_t now)
{
	struct upgrade *upgrade = &master->upgrade;
	const char *noise;
	char *why;

	if (upgrade_is_blocked(master)) {
		upgrade->limit = 0;
		return MASTER_NEVER;
	}
	if (upgrade->limit == 0)
		upgrade->limit = now + UPGRADE_QUIET_TIME;
	noise = upgrade_find_noise(master);
	if ((noise != NULL || upgrade_has_births(master)) && now < upgrade->limit)
		return now + UPGRADE_LOOK;
	if (noise != NULL) {
		why = mem_printf("not begun, because after %gs still %s",
		    (double)UPGRADE_QUIET_TIME / CLOCK_SECOND, noise);
		upgrade_refuse(master, why);
		free(why);
	} else if (upgrade->phase == UPGRADE_WAITING) {
		upgrade_rehearse_now(master, now);
	} else {
		upgrade_leave_now(master);
	}
	if (upgrade->phase == UPGRADE_IDLE)
		return MASTER_NEVER;
	return upgrade->phase == UPGRADE_LEAVING ? now + UPGRADE_LOOK : upgrade->limit;
}

/* ---- the rehearsal ---- */

bool
upgrade_on_death(struct master *master, const siginfo_t *info)
{
	struct upgrade *upgrade = &master->upgrade;
	char why[UPGRADE_WHY_MAX], *text;

	if (upgrade->rehearsal.pid == 0 || info->si_pid != upgrade->rehearsal.pid)
		return false;
	if (rehearsal_end(&upgrade->rehearsal, info, &upgrade->version, why, sizeof(why))) {
		log_info("upgrade: hostlerd %s is ready to take over", upgrade->version);
		upgrade_set_phase(upgrade, UPGRADE_LEAVING, 0);
		return true;
	}
	text = mem_printf("%s: %s", upgrade->binary, why);
	upgrade_refuse(master, text);
	free(text);
	return true;
}

/* ---- on the other side ---- */

void
upgrade_prove(struct master *master)
{
	upgrade_set_phase(&master->upgrade, UPGRADE_PROVING, 0);
	reload_upgrade(master);
}

/* Once nothing is left of what was built, we are what the old binary knew. */
static void
upgrade_return(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;
	char why[UPGRADE_WHY_MAX], *text;

	if (!upgrade_is_quiet(master) || upgrade_go_back(master, why, sizeof(why)))
		return;
	/* The old workers serve on, whoever their master is. */
	text = mem_printf("%s; and the old binary cannot go on: %s", upgrade->why, why);
	upgrade_refuse(master, text);
	free(text);
}

uint64_t
upgrade_turn(struct master *master, uint64_t now)
{
	struct upgrade *upgrade = &master->upgrade;

	switch (upgrade->phase) {
	case UPGRADE_WAITING:
	case UPGRADE_LEAVING:
		return upgrade_wait(master, now);
	case UPGRADE_REHEARSING:
		if (now >= upgrade->limit)
			rehearsal_expire(&upgrade->rehearsal);
		return now < upgrade->limit ? upgrade->limit : MASTER_NEVER;
	case UPGRADE_RETURNING:
		upgrade_return(master);
		return now + UPGRADE_LOOK;
	case UPGRADE_IDLE:
	case UPGRADE_PROVING:
		break;
	}
	return MASTER_NEVER;
}

/* ---- its life ---- */

void
upgrade_open(struct master *master, const struct upgrade_start *start)
{
	struct upgrade *upgrade = &master->upgrade;

	*upgrade = (struct upgrade){.start = *start, .file.fd = -1, .before = -1};
	upgrade->self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (upgrade->self < 0)
		log_warn("without /proc/self/exe there is no upgrade");
}

void
upgrade_stop(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;

	/* What was being built is reload.c's, which has told us already. */
	if (upgrade->phase != UPGRADE_IDLE)
		upgrade_refuse(master, "hostlerd is stopping");
}

void
upgrade_close(struct upgrade *upgrade)
{
	upgrade_end(upgrade);
	if (upgrade->self >= 0)
		close(upgrade->self);
	upgrade->self = -1;
	free(upgrade->start.binary);
	free(upgrade->last_error);
	upgrade->start.binary = upgrade->last_error = NULL;
}
