/*
 * The master's life on one page: prepare, then one turn of the event loop after another; between
 * the turns it reaps, starts, watches and stops. Nothing here is fatal: whatever a client, a
 * program, a worker or a signal does, the next turn comes.
 */
#include "daemon/master.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/option.h"
#include "daemon/beat.h"
#include "daemon/death.h"
#include "daemon/mover.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MASTER_TICK   CLOCK_SECOND       /* the longest time without a look at everything */
#define MASTER_STOOD  (2 * CLOCK_SECOND) /* between two turns: we were stopped, or frozen */
#define MASTER_REAPED 1000               /* dead processes taken in one turn */
#define MASTER_RETRY  (100 * CLOCK_MS)   /* until another guardian is tried */

/* ---- damaged pools ---- */

bool
master_is_damaged(const struct master *master)
{
	const struct service *service;

	TAILQ_FOREACH (service, &master->services, entry)
		if (service->is_damaged)
			return true;
	return false;
}

void
master_damage_all(struct master *master)
{
	struct service *service;

	TAILQ_FOREACH (service, &master->services, entry)
		service->is_damaged = service->pool != NULL;
}

/* What is damaged is made new as soon as nobody can be in it. */
static void
master_mend(struct master *master)
{
	struct service *service;

	if (slot_count_processes(master) > 0)
		return;
	TAILQ_FOREACH (service, &master->services, entry)
		if (service->is_damaged)
			service_start_over(service);
}

/* ---- signals and events ---- */

/* TTIN and TTOU: one worker more or fewer. */
static void
master_scale(struct master *master, int more)
{
	struct generation *current = master->current;
	unsigned workers = current->wanted + (unsigned)more;

	if (master->stop.phase != STOP_NONE || upgrade_is_busy(&master->upgrade)) {
		log_warnx("%s: %s", more > 0 ? "TTIN" : "TTOU",
		    master->stop.phase != STOP_NONE ? "hostlerd is stopping"
						    : "an upgrade is under way");
		return;
	}
	if (!generation_may_have(current, workers)) {
		log_warnx("there are %u workers, from 1 to %u there may be", current->wanted,
		    generation_most(current));
		return;
	}
	log_info("%s: %u workers", more > 0 ? "TTIN" : "TTOU", workers);
	generation_scale(current, workers, clock_now());
}

void
master_on_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *master = arg;
	char why[512];

	(void)what;
	switch (number) {
	case SIGCHLD: /* the turn of the loop that it ends is enough */
		break;
	case SIGTERM:
		stop_gracefully(master, "TERM");
		break;
	case SIGHUP:
		reload_order(master, "HUP", NULL);
		break;
	case SIGTTIN:
		master_scale(master, +1);
		break;
	case SIGTTOU:
		master_scale(master, -1);
		break;
	case SIGINT:
		stop_now(master, "INT");
		break;
	case SIGQUIT:
		stop_now(master, "QUIT");
		break;
	case SIGUSR2:
		upgrade_order(master, "USR2", NULL, NULL);
		break;
	case SIGUSR1:
		(void)logs_reopen(master, why, sizeof(why)); /* the log has heard of it */
		break;
	default:
		break;
	}
}

/* A worker found something in a pool; what it is is seen when all are looked at. */
void
master_on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	(void)arg;
	(void)!read(fd, &count, sizeof(count));
}

void
master_on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* ---- children ---- */

/* The process groups of all instances; returns how many. */
static size_t
master_groups(const struct master *master, pid_t **groups)
{
	const struct service *service;
	size_t count = 0;

	*groups = NULL;
	TAILQ_FOREACH (service, &master->services, entry) {
		*groups = mem_resize(*groups, count + service->count + 1, sizeof(pid_t));
		for (unsigned i = 0; i < service->count; i++)
			if (service->instances[i].pid != 0)
				(*groups)[count++] = service->instances[i].pid;
	}
	return count;
}

static void
master_turn_guardian(struct master *master, uint64_t now)
{
	pid_t *groups;
	size_t count;

	if (master->guardian.pid != 0 || now < master->guardian_retry)
		return;
	count = master_groups(master, &groups);
	if (guardian_start(&master->guardian, groups, count) != 0) {
		log_warn("guardian cannot be started");
		master->guardian_retry = now + MASTER_RETRY;
	} else {
		log_info("guardian (pid %ld) started", (long)master->guardian.pid);
	}
	free(groups);
}

static void
master_on_guardian_death(struct master *master, const siginfo_t *info, uint64_t now)
{
	char text[128];

	waitpid(info->si_pid, NULL, 0);
	death_describe(info, text, sizeof(text));
	log_warnx("guardian (pid %ld) ended: %s", (long)info->si_pid, text);
	guardian_gone(&master->guardian);
	/* At once, but not faster and faster. */
	if (now < master->guardian_retry)
		return;
	master->guardian_retry = now;
	master_turn_guardian(master, now);
	master->guardian_retry = now + MASTER_RETRY;
}

static struct slot *
master_find_slot(const struct master *master, pid_t pid)
{
	const struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (generation->slots[i].pid == pid)
				return &generation->slots[i];
	return NULL;
}

static struct instance *
master_find_instance(const struct master *master, pid_t pid)
{
	const struct service *service;
	struct instance *instance = NULL;

	TAILQ_FOREACH (service, &master->services, entry)
		if (instance == NULL)
			instance = service_find(service, pid);
	return instance;
}

static void
master_on_death(struct master *master, const siginfo_t *info, uint64_t now)
{
	struct slot *slot = master_find_slot(master, info->si_pid);
	struct instance *instance = master_find_instance(master, info->si_pid);

	if (info->si_pid == master->guardian.pid) {
		master_on_guardian_death(master, info, now);
	} else if (slot != NULL) {
		slot_on_death(slot, info, now);
	} else if (instance != NULL) {
		instance_on_death(instance, info, now);
	} else if (!upgrade_on_death(master, info)) {
		/* As pid 1, or after an exec, there are children that we did not start. */
		waitpid(info->si_pid, NULL, 0);
		log_debug("process %ld, which nobody here started, ended", (long)info->si_pid);
	}
}

/* Looks who is dead without reaping: each kind of child is taken leave of in its own way. */
static void
master_reap(struct master *master, uint64_t now)
{
	for (int i = 0; i < MASTER_REAPED; i++) {
		siginfo_t info = {.si_pid = 0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
			return;
		master_on_death(master, &info, now);
	}
}

/* ---- turns ---- */

static void
master_note_ready(struct master *master)
{
	unsigned services = master->conf->service_count, workers = master->current->wanted;

	if (master->state != MASTER_STARTING || !generation_all_ready(master->current))
		return;
	master->state = MASTER_RUNNING;
	log_info("ready: %u worker%s, %u service%s; control socket %s", workers,
	    workers == 1 ? "" : "s", services, services == 1 ? "" : "s", master->control_path);
}

static void
master_sleep_until(struct master *master, uint64_t next)
{
	uint64_t now = clock_now();
	uint64_t left = next > now ? next - now : 0;
	struct timeval wait = {.tv_sec = (time_t)(left / CLOCK_SECOND),
	    .tv_usec = (suseconds_t)(left % CLOCK_SECOND / 1000)};

	event_add(master->tick, &wait);
}

static uint64_t
master_sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* All that is due now. Processes are started here, and nowhere inside a callback. */
static void
master_turn(struct master *master)
{
	uint64_t now = clock_now();
	uint64_t next = now + MASTER_TICK;

	if (master->turned != 0 && now > master->turned + MASTER_STOOD)
		slot_pardon_all(master, now);
	master->turned = now;
	master_reap(master, now);
	master_turn_guardian(master, now);
	master_mend(master);
	for (struct service *more, *service = TAILQ_FIRST(&master->services); service != NULL;
	     service = more) {
		more = TAILQ_NEXT(service, entry);
		next = master_sooner(next, service_turn(service, now));
	}
	for (struct generation *more, *generation = TAILQ_FIRST(&master->generations);
	     generation != NULL; generation = more) {
		more = TAILQ_NEXT(generation, entry);
		next = master_sooner(next, generation_turn(generation, now));
	}
	next = master_sooner(next, reload_turn(master, now));
	next = master_sooner(next, balance_turn(master, now));
	next = master_sooner(next, mover_turn(master, now));
	next = master_sooner(next, upgrade_turn(master, now));
	next = master_sooner(next, stop_turn(master, now));
	next = master_sooner(next, collect_file_turn(master, now));
	master_note_ready(master);
	next = master_sooner(next, beat_turn(master, now));
	log_flush();
	master_sleep_until(master, next);
}

/* ---- reload ---- */

void
master_apply(struct master *master, const struct conf_diff *diff)
{
	if (master->quiet_level >= 0)
		log_set_level((enum log_level)master->quiet_level);
	master->quiet_level = -1;
	for (unsigned i = 0; i < diff->hostler.count; i++)
		if (strcmp(diff->hostler.list[i].option->key, "log_level") == 0)
			log_set_level(master->conf->log_level);
	logs_use(master, &master->current->logs);
}

/* ---- the life ---- */

int
master_live(struct master *master)
{
	log_started();
	while (master->stop.phase != STOP_DONE) {
		master_turn(master);
		if (master->stop.phase != STOP_DONE)
			event_base_loop(master->base, EVLOOP_ONCE);
	}
	master_close(master);
	free(master);
	log_info("stopped");
	log_flush();
	return 0;
}

int
master_run(struct conf *conf, const char *control_default, const struct upgrade_start *start)
{
	struct master *master = mem_alloc(1, sizeof(*master));

	master->control_default = control_default;
	upgrade_open(master, start);
	master_open(master, conf);
	return master_live(master);
}
