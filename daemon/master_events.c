/*
 * The master's loop, and what ends a turn of it: signals, its timer, a wake-up by a worker. Owns
 * nothing but those; what they mean is master.c's.
 */
#include "common/log.h"
#include "daemon/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int master_signals[MASTER_SIGNALS] = {
    SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};

/* By itself libevent would write to standard error, and wait until there is room. */
static void
master_on_event_log(int severity, const char *text)
{
	if (severity == EVENT_LOG_DEBUG)
		log_debug("libevent: %s", text);
	else
		log_warnx("libevent: %s", text);
}

/* What does not work is told below, in words that name the option. */
static void
master_on_trial_log(int severity, const char *text)
{
	(void)severity;
	log_debug("libevent: %s", text);
}

static bool
master_choose_backend(struct master *master, char *why, size_t why_size)
{
	enum backend wanted = master->conf->event_backend;
	char *where;

	event_set_log_callback(master_on_trial_log);
	master->backend = backend_choose(wanted);
	if (master->backend != BACKEND_AUTO)
		return true;
	where = conf_where(master->conf, 0, "event_backend");
	if (wanted == BACKEND_AUTO)
		snprintf(why, why_size, "%s: neither epoll nor poll nor select works here", where);
	else
		snprintf(why, why_size, "%s: %s does not work here; auto takes what does", where,
		    backend_name(wanted));
	free(where);
	return false;
}

/*
 * The master has three descriptors of each instance, and nothing may stop it: it waits by select
 * only where nothing else works, and then within what that carries.
 */
static bool
master_make_loop(struct master *master, char *why, size_t why_size)
{
	enum backend backend = master->backend;
	struct rlimit limit;

	if (backend == BACKEND_SELECT && backend_choose(BACKEND_POLL) == BACKEND_POLL)
		backend = BACKEND_POLL;
	event_set_log_callback(master_on_event_log);
	master->base = backend_open(backend, true);
	snprintf(why, why_size, "cannot make an event loop");
	if (master->base == NULL)
		return false;
	snprintf(why, why_size, "event_backend %s cannot carry descriptor %d",
	    backend_name(backend), master->wake_master);
	if (master->wake_master >= backend_descriptors(backend))
		return false;
	if (backend != BACKEND_SELECT || getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    limit.rlim_cur <= FD_SETSIZE)
		return true;
	limit.rlim_cur = FD_SETSIZE;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return true;
	snprintf(why, why_size, "cannot lower the limit of descriptors: %s", strerror(errno));
	return false;
}

static bool
master_watch(struct master *master)
{
	for (unsigned i = 0; i < MASTER_SIGNALS; i++) {
		master->signals[i] =
		    evsignal_new(master->base, master_signals[i], master_on_signal, master);
		if (master->signals[i] == NULL || event_add(master->signals[i], NULL) != 0)
			return false;
	}
	master->tick = evtimer_new(master->base, master_on_tick, master);
	master->looked = event_new(
	    master->base, master->wake_master, EV_READ | EV_PERSIST, master_on_wake, master);
	return master->tick != NULL && master->looked != NULL &&
	       event_add(master->looked, NULL) == 0;
}

bool
master_make_events(struct master *master, char *why, size_t why_size)
{
	if (!master_choose_backend(master, why, why_size) ||
	    !master_make_loop(master, why, why_size))
		return false;
	if (master_watch(master))
		return true;
	snprintf(why, why_size, "cannot watch signals and events");
	return false;
}

void
master_free_events(struct master *master)
{
	for (unsigned i = 0; i < MASTER_SIGNALS; i++)
		if (master->signals[i] != NULL)
			event_free(master->signals[i]);
	if (master->tick != NULL)
		event_free(master->tick);
	if (master->looked != NULL)
		event_free(master->looked);
	if (master->base != NULL)
		event_base_free(master->base);
}
