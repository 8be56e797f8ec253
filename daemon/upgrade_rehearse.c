/*
 * The rehearsal, as the new binary plays it: a child of the running master reads a copy of the
 * state, builds the next generation as it would, and starts one worker of it, the trial worker,
 * which has to be READY. Nothing that others use is touched: shared memory is mapped so that nobody
 * sees what is written to it, no program is told of, no socket is accepted from, and the end is
 * _exit(2), so that no path is removed.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/death.h"
#include "daemon/master.h"
#include "daemon/state.h"
#include "daemon/upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define UPGRADE_TRIAL_TIME (8 * CLOCK_SECOND) /* that the trial worker has to be READY */
#define UPGRADE_TRIAL_LOOK (20 * CLOCK_MS)

/* One line, and no more of us. */
static void __attribute__((noreturn)) upgrade_answer(int fd, bool good, const char *text)
{
	log_flush();
	dprintf(fd, "%s %s\n", good ? "ready" : "failed", text);
	_exit(good ? 0 : 1);
}

/* The trial worker is told of no program: it shall not hold their pipes, nor read from them. */
static void
upgrade_forget_instances(struct master *master)
{
	struct service *service;

	TAILQ_FOREACH (service, &master->services, entry)
		for (unsigned i = 0; i < service->count; i++)
			service->instances[i].state = INSTANCE_EMPTY;
}

/* What the state has watched is not ours to read: a loop of our own knows the trial worker alone.
 */
static bool
upgrade_make_loop(struct master *master)
{
	master->base = backend_open(master->backend, false);
	return master->base != NULL;
}

static struct generation *
upgrade_build_trial(struct master *master, char *why, size_t why_size)
{
	struct conf_errors errors = {0};
	struct generation *built;
	struct conf_diff *diff;
	struct conf *conf = reload_copy(master, &diff, why, why_size);

	if (conf == NULL)
		return NULL;
	built = generation_new(master, conf, master->current, diff, &errors);
	if (built == NULL)
		snprintf(why, why_size, "%s", errors.count > 0 ? errors.lines[0] : "unknown");
	conf_errors_free(&errors);
	return built;
}

/* Reaps the worker when it is dead. */
static void
upgrade_look_after(struct slot *slot)
{
	siginfo_t info = {.si_pid = 0};

	if (slot->pid > 0 &&
	    waitid(P_PID, (id_t)slot->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid == slot->pid)
		slot_on_death(slot, &info, clock_now());
}

/* True when the worker is READY; else a sentence in `why`. */
static bool
upgrade_try_worker(struct generation *built, char *why, size_t why_size)
{
	const struct timeval look = {.tv_usec = UPGRADE_TRIAL_LOOK / 1000};
	uint64_t limit = clock_now() + UPGRADE_TRIAL_TIME;
	struct slot *slot = &built->slots[0];

	built->wanted = built->slot_count = 1;
	while (slot->state != SLOT_READY && built->failure[0] == '\0' && clock_now() < limit) {
		slot_turn(slot, clock_now());
		if (event_base_once(
			built->master->base, -1, EV_TIMEOUT, master_on_tick, NULL, &look) != 0 ||
		    event_base_loop(built->master->base, EVLOOP_ONCE) < 0)
			break;
		upgrade_look_after(slot);
	}
	if (slot->state == SLOT_READY)
		return true;
	if (built->failure[0] != '\0')
		snprintf(why, why_size, "%s", built->failure);
	else
		snprintf(why, why_size, "its worker was not ready in time");
	return false;
}

int
upgrade_rehearse(const struct upgrade_arrival *arrival, const char *control_default)
{
	struct master *master = mem_alloc(1, sizeof(*master));
	struct generation *built;
	char why[UPGRADE_WHY_MAX];

	log_open("rehearsal", LOG_LEVEL_INFO);
	master->control_default = control_default;
	master->rehearsal = true;
	if (!state_load(master, arrival->state, why, sizeof(why)))
		upgrade_answer(arrival->other, false, why);
	if (!upgrade_make_loop(master))
		upgrade_answer(arrival->other, false, "cannot make an event loop");
	upgrade_forget_instances(master);
	built = upgrade_build_trial(master, why, sizeof(why));
	if (built == NULL || !upgrade_try_worker(built, why, sizeof(why)))
		upgrade_answer(arrival->other, false, why);
	upgrade_answer(arrival->other, true, PACKAGE_VERSION);
}
