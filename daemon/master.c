/*
 * The master's life on one page: prepare, then one turn of the event loop after another; between
 * the turns it reaps, starts, watches and stops. Nothing here is fatal: whatever a client, a
 * program, a worker or a signal does, the next turn comes.
 */
#include "daemon/master.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/death.h"

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
	for (unsigned i = 0; i < master->conf->service_count; i++)
		if (master->services[i].is_damaged)
			return true;
	return false;
}

void
master_damage_all(struct master *master)
{
	for (unsigned i = 0; i < master->conf->service_count; i++)
		master->services[i].is_damaged = master->pools[i] != NULL;
}

/* What is damaged is made new as soon as nobody can be in it. */
static void
master_mend(struct master *master)
{
	if (slot_count_processes(master) > 0)
		return;
	for (unsigned i = 0; i < master->conf->service_count; i++)
		if (master->services[i].is_damaged)
			service_start_over(&master->services[i]);
}

/* ---- signals and events ---- */

void
master_on_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *master = arg;

	(void)what;
	switch (number) {
	case SIGCHLD: /* the turn of the loop that it ends is enough */
		break;
	case SIGTERM:
		stop_gracefully(master, "TERM");
		break;
	case SIGINT:
		stop_now(master, "INT");
		break;
	case SIGQUIT:
		stop_now(master, "QUIT");
		break;
	default:
		log_warnx("signal %s is ignored: this version cannot do what it asks for",
		    sigabbrev_np((int)number));
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

static void
master_turn_guardian(struct master *master, uint64_t now)
{
	pid_t *groups;
	size_t count = 0;

	if (master->guardian.pid != 0 || now < master->guardian_retry)
		return;
	groups = mem_alloc(master->instance_count + 1, sizeof(*groups));
	for (unsigned i = 0; i < master->instance_count; i++)
		if (master->instances[i].pid != 0)
			groups[count++] = master->instances[i].pid;
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

static void
master_on_death(struct master *master, const siginfo_t *info, uint64_t now)
{
	pid_t pid = info->si_pid;

	if (pid == master->guardian.pid) {
		master_on_guardian_death(master, info, now);
		return;
	}
	for (unsigned i = 0; i < master->slot_count; i++) {
		if (master->slots[i].pid == pid) {
			slot_on_death(&master->slots[i], info, now);
			return;
		}
	}
	for (unsigned i = 0; i < master->instance_count; i++) {
		if (master->instances[i].pid == pid) {
			instance_on_death(&master->instances[i], info, now);
			return;
		}
	}
	/* As pid 1, or after an exec, there are children that we did not start. */
	waitpid(pid, NULL, 0);
	log_debug("process %ld, which nobody here started, ended", (long)pid);
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
	unsigned services = master->conf->service_count;

	if (master->state != MASTER_STARTING)
		return;
	for (unsigned i = 0; i < master->slot_count; i++)
		if (master->slots[i].state != SLOT_READY)
			return;
	master->state = MASTER_RUNNING;
	log_info("ready: %u worker%s, %u service%s; control socket %s", master->slot_count,
	    master->slot_count == 1 ? "" : "s", services, services == 1 ? "" : "s",
	    master->conf->control);
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

/* All that is due now. Processes are started here, and nowhere inside a callback. */
static void
master_turn(struct master *master)
{
	uint64_t now = clock_now();
	uint64_t next = now + MASTER_TICK;
	uint64_t time;

	if (master->turned != 0 && now > master->turned + MASTER_STOOD)
		slot_pardon_all(master, now);
	master->turned = now;
	master_reap(master, now);
	master_turn_guardian(master, now);
	master_mend(master);
	for (unsigned i = 0; i < master->conf->service_count; i++) {
		time = service_turn(&master->services[i], now);
		next = time < next ? time : next;
	}
	for (unsigned i = 0; i < master->slot_count; i++) {
		time = slot_turn(&master->slots[i], now);
		next = time < next ? time : next;
	}
	time = stop_turn(master, now);
	next = time < next ? time : next;
	master_note_ready(master);
	log_flush();
	master_sleep_until(master, next);
}

/* ---- the life ---- */

int
master_run(const struct conf *conf)
{
	struct master *master = mem_alloc(1, sizeof(*master));

	master_open(master, conf);
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
