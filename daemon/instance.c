/*
 * The life of one instance in the master: started, offered to the pool, watched there, killed when
 * it broke its contract, reaped. The only place that signals a program; a number is signalled only
 * while its process is ours, be it as a zombie. Never locks a pool and never reads a reply.
 */
#include "daemon/instance.h"

#include "common/clock.h"
#include "common/log.h"
#include "daemon/death.h"
#include "daemon/master.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSTANCE_OVERDUE (CLOCK_SECOND)     /* what a holder is given beyond the deadline */
#define INSTANCE_LOOK    (10 * CLOCK_MS)    /* until a slot is read again that was being written */
#define INSTANCE_TERM    (1 * CLOCK_SECOND) /* between TERM and KILL */

static const char *
instance_service(const struct instance *instance)
{
	return instance->service->name;
}

static void
instance_set_state(struct instance *instance, enum instance_state state)
{
	log_debug("service %s: instance %u: state %d -> %d", instance_service(instance),
	    instance->slot, instance->state, state);
	instance->state = state;
	if (state != INSTANCE_STARTING)
		instance_ready_close(instance);
}

bool
instance_is_open(const struct instance *instance)
{
	return instance->fds[0] >= 0 && instance->state != INSTANCE_STARTING;
}

bool
instance_is_live(const struct instance *instance)
{
	return (instance->state == INSTANCE_STARTING || instance->state == INSTANCE_RUNNING) &&
	       !instance->retired;
}

static void
instance_close_fds(struct instance *instance)
{
	instance_ready_close(instance);
	for (int i = 0; i < 2; i++) {
		if (instance->fds[i] >= 0)
			close(instance->fds[i]);
		instance->fds[i] = -1;
	}
}

/* ---- start ---- */

/* What is true of every new process. */
static void
instance_reset(struct instance *instance, const struct spawned *spawned, uint64_t now)
{
	struct pool_view view;

	instance->pid = spawned->pid;
	instance->fds[0] = spawned->in;
	instance->fds[1] = spawned->out;
	instance->incarnation++;
	instance->offered = instance->was_killed = instance->was_asked = instance->at_fault = false;
	instance->retired = instance->start_failed = false;
	/* Starting it, and others before it in this turn, took its time. */
	instance->since = clock_now();
	instance->due = 0;
	instance->why[0] = '\0';
	(void)pool_peek(instance->service->pool, instance->slot, &view);
	instance->served = instance->served_before = view.served;
	instance->rested = now;
	instance->rss = 0;
	instance_draw_jitter(instance);
}

void
instance_now_ready(struct instance *instance)
{
	instance_set_state(instance, INSTANCE_RUNNING);
	slot_tell_all(instance->service->master, instance);
}

void
instance_start(struct instance *instance, uint64_t now)
{
	struct service *service = instance->service;
	struct master *master = service->master;
	struct spawned spawned;
	char why[SPAWN_WHY_MAX];

	if (instance->env == NULL)
		instance->env = service_environment(service, instance->slot);
	service->plan.env = instance->env;
	backoff_rate_note(&service->rate, now);
	instance->since = now;
	instance->starts++;
	stats_count_staff(service->stats, STAFF_starts);
	if (spawn_start(&service->plan, &master->guardian, &spawned, why) != 0) {
		service->cannot_start = true;
		log_warnx("service %s: instance %u cannot be started: %s",
		    instance_service(instance), instance->slot, why);
		snprintf(instance->last_exit, sizeof(instance->last_exit), "%s", why);
		instance->last_said[0] = '\0';
		service_note_death(service, instance, now, now);
		return;
	}
	instance_reset(instance, &spawned, now);
	output_open(
	    &instance->output, master->base, spawned.err, instance_service(instance), spawned.pid);
	log_info("service %s: instance %u (pid %ld) started", instance_service(instance),
	    instance->slot, (long)instance->pid);
	if (!instance_ready_waits(instance)) {
		instance_now_ready(instance);
		instance_turn(instance, now);
		return;
	}
	instance_set_state(instance, INSTANCE_STARTING);
	if (!instance_ready_open(instance))
		instance_kill(instance, "cannot be listened to");
}

/*
 * Until when it must live before it is given out. After a failure the next one may die as well, and
 * need not cost a request while others serve.
 */
static uint64_t
instance_trial(const struct instance *instance)
{
	const struct service *service = instance->service;

	if (service->loop.streak == 0 || !service_has_offered(service))
		return 0;
	return instance->since + INSTANCE_TRIAL;
}

/* Not before every worker has it: whom the pool gives it to must know its pipes. */
static void
instance_offer(struct instance *instance, uint64_t now)
{
	struct master *master = instance->service->master;

	if (!slot_all_know(master, instance) || now < instance_trial(instance))
		return;
	instance->offered = true;
	instance->rested = clock_now();
	pool_offer(instance->service->pool, instance->slot, instance->incarnation);
	slot_wake_all(master);
}

/* ---- end ---- */

/* The whole group, and the leader itself should it have moved to another one. */
static void
instance_signal(const struct instance *instance, int number)
{
	kill(-instance->pid, number);
	kill(instance->pid, number);
}

static void
instance_doom(struct instance *instance, const char *why)
{
	snprintf(instance->why, sizeof(instance->why), "%s", why);
	pool_doom(instance->service->pool, instance->slot, instance->incarnation);
	instance_set_state(instance, INSTANCE_DOOMED);
	slot_wake_all(instance->service->master);
}

void
instance_kill(struct instance *instance, const char *why)
{
	if (instance->pid == 0 || instance->was_killed)
		return;
	if (instance->state == INSTANCE_RUNNING || instance->state == INSTANCE_STARTING)
		instance_doom(instance, why);
	else if (why != instance->why)
		snprintf(instance->why, sizeof(instance->why), "%s", why);
	if (instance->at_fault)
		log_warnx("service %s: instance %u (pid %ld) is killed: %s (see docs/programs.md)",
		    instance_service(instance), instance->slot, (long)instance->pid, why);
	else
		log_info("service %s: instance %u (pid %ld) is killed: %s",
		    instance_service(instance), instance->slot, (long)instance->pid, why);
	instance->was_killed = true;
	instance->due = 0;
	instance_signal(instance, SIGKILL);
}

void
instance_stop(struct instance *instance, uint64_t now)
{
	struct service *service = instance->service;

	if (instance->state != INSTANCE_RUNNING && instance->state != INSTANCE_STARTING)
		return;
	pool_doom(service->pool, instance->slot, instance->incarnation);
	instance_set_state(instance, INSTANCE_STOPPING);
	instance_close_fds(instance);
	instance->due = now + service->conf->stop_timeout;
	/* It sees the end of its input when the workers have closed theirs too. */
	slot_tell_all(service->master, instance);
	slot_wake_all(service->master);
}

void
instance_retire(struct instance *instance, uint64_t now)
{
	struct service *service = instance->service;

	if (!instance_is_live(instance))
		return;
	if (!instance->offered) {
		instance_stop(instance, now);
		return;
	}
	instance->retired = true;
	pool_retire(service->pool, instance->slot, instance->incarnation);
	slot_wake_all(service->master);
}

static void
instance_stop_harder(struct instance *instance, uint64_t now)
{
	char why[64];

	if (instance->was_asked) {
		instance_kill(instance, "did not end on TERM");
		return;
	}
	snprintf(why, sizeof(why), "did not end within stop_timeout");
	log_info("service %s: instance %u (pid %ld) gets TERM: %s", instance_service(instance),
	    instance->slot, (long)instance->pid, why);
	instance->was_asked = true;
	instance->due = now + INSTANCE_TERM;
	instance_signal(instance, SIGTERM);
}

/* ---- watching ---- */

/* What the workers made of it in the pool. Returns when to look again. */
static uint64_t
instance_watch(struct instance *instance, uint64_t now)
{
	struct pool_view view;
	uint64_t limit;

	if (!pool_peek(instance->service->pool, instance->slot, &view))
		return now + INSTANCE_LOOK;
	if (view.incarnation != instance->incarnation)
		return MASTER_NEVER;
	if (view.state == POOL_BROKEN && view.reason == POOL_REASON_RETIRED && instance->retired) {
		instance_stop(instance, now);
		return instance->due;
	}
	if (view.state == POOL_BROKEN) {
		instance_doom(instance, pool_reason_text(view.reason));
		instance->at_fault =
		    view.reason != POOL_REASON_HOLDER_DIED && view.reason != POOL_REASON_CANCELLED;
		instance->due = now + (view.reason == POOL_REASON_CLOSED ? INSTANCE_CLOSING : 0);
		return instance->due;
	}
	if (view.state != POOL_LEASED || view.deadline > MASTER_NEVER - INSTANCE_OVERDUE)
		return MASTER_NEVER;
	limit = view.deadline + INSTANCE_OVERDUE;
	if (now > limit) {
		instance_kill(
		    instance, "did not reply within request_timeout (its worker did not act)");
		return MASTER_NEVER;
	}
	return limit;
}

uint64_t
instance_turn(struct instance *instance, uint64_t now)
{
	output_tick(&instance->output, now);
	if (instance->state == INSTANCE_STARTING)
		return instance_ready_turn(instance, now);
	if (instance->state == INSTANCE_RUNNING && !instance->offered)
		instance_offer(instance, now);
	if (instance->state == INSTANCE_RUNNING && instance->offered) {
		uint64_t next = instance_watch(instance, now);

		if (instance->state == INSTANCE_RUNNING)
			return next;
	}
	if (instance->state == INSTANCE_RUNNING)
		return now < instance_trial(instance) ? instance_trial(instance) : MASTER_NEVER;
	if (instance->due == 0)
		return MASTER_NEVER;
	if (now < instance->due)
		return instance->due;
	if (instance->state == INSTANCE_STOPPING)
		instance_stop_harder(instance, now);
	else
		instance_kill(instance, instance->why);
	return instance->due > 0 ? instance->due : MASTER_NEVER;
}

/* ---- death ---- */

/* Words for the log and the status. True when it was our doing. */
static bool
instance_explain(struct instance *instance, const siginfo_t *info)
{
	bool ours =
	    instance->was_killed && info->si_code == CLD_KILLED && info->si_status == SIGKILL;
	bool asked = instance->was_asked && info->si_status == SIGTERM;

	snprintf(instance->last_said, sizeof(instance->last_said), "%s", instance->output.last);
	if (ours)
		snprintf(instance->last_exit, sizeof(instance->last_exit), "killed by us: %s",
		    instance->why);
	else
		death_describe(info, instance->last_exit, sizeof(instance->last_exit));
	return ours || asked;
}

static void
instance_log_death(const struct instance *instance, bool ours)
{
	bool tell = !ours && instance->last_said[0] != '\0';

	log_info("service %s: instance %u (pid %ld) ended: %s%s%s", instance_service(instance),
	    instance->slot, (long)instance->pid, instance->last_exit, tell ? "; last said: " : "",
	    tell ? instance->last_said : "");
}

void
instance_on_death(struct instance *instance, const siginfo_t *info, uint64_t now)
{
	struct service *service = instance->service;
	struct master *master = service->master;
	bool stopping = instance->state == INSTANCE_STOPPING;
	uint64_t started = instance->since;
	bool ours;

	/* The holder reads what there is and gives up; nobody gets it again. */
	pool_doom(service->pool, instance->slot, instance->incarnation);
	slot_wake_all(master);
	/*
	 * The dead leader keeps the number from being used again: first what is left of the group
	 * goes, then the guardian forgets it, then it is reaped. So a group that lives is always
	 * known to the guardian, and one that it knows is always ours.
	 */
	kill(-instance->pid, SIGKILL);
	guardian_forget(&master->guardian, instance->pid);
	output_finish(&instance->output);
	while (waitpid(instance->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	ours = instance_explain(instance, info);
	instance_log_death(instance, ours);
	/* What was wished, and went as it should, is no news for the status. */
	if (stopping && info->si_code == CLD_EXITED && info->si_status == 0)
		instance->last_exit[0] = '\0';
	instance_close_fds(instance);
	instance_set_state(instance, INSTANCE_EMPTY);
	instance->pid = 0;
	instance->due = 0;
	instance->offered = instance->retired = false;
	instance->since = now;
	slot_tell_all(master, instance);
	if ((!ours || instance->start_failed) && !stopping)
		service_note_death(service, instance, started, now);
}
