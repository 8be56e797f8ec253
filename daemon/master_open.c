/*
 * What comes before the master's first turn and after its last: everything that it owns is made and
 * released here, in one order and its reverse. What cannot be had at the start is fatal.
 */
#include "common/log.h"
#include "common/mem.h"
#include "daemon/listing.h"
#include "daemon/master.h"
#include "daemon/order.h"
#include "daemon/pidfile.h"
#include "daemon/status.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MASTER_WHY_MAX     512
#define MASTER_WORKERS_MIN 16 /* worker ids are made for at least so many workers ... */
#define MASTER_GENERATIONS 3  /* ... so many times: two generations and a spare */

static const int master_signals[MASTER_SIGNALS] = {
    SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};

/* ---- what all generations share ---- */

static unsigned
master_count_ids(const struct conf *conf)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned most = MASTER_WORKERS_MIN;

	if (cpus > 0 && 4 * (unsigned)cpus > most)
		most = 4 * (unsigned)cpus;
	if (conf->workers > most)
		most = conf->workers;
	most *= MASTER_GENERATIONS;
	return most < POOL_WORKERS_MAX ? most : POOL_WORKERS_MAX;
}

static int
master_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		fatal("cannot make an eventfd");
	return fd;
}

static void
master_make_shared(struct master *master)
{
	master->ids = master_count_ids(master->conf);
	master->sum = stats_new(master->ids);
	if (master->sum == NULL)
		fatal("cannot map memory for the counters");
	master->wakes = mem_alloc(master->ids, sizeof(int));
	for (unsigned i = 0; i < master->ids; i++)
		master->wakes[i] = master_eventfd();
	master->wake_master = master_eventfd();
}

/* All that is wrong is told, then nothing is started. */
static void
master_make_generation(struct master *master, struct conf *conf)
{
	struct conf_errors errors = {0};
	struct generation *first = generation_new(master, conf, NULL, NULL, &errors);

	for (unsigned i = 0; i < errors.count; i++)
		log_errorx("%s", errors.lines[i]);
	conf_errors_free(&errors);
	if (first == NULL) {
		control_close(master->control);
		pidfile_close(master->pidfile, master->pid_path);
		fatalx("nothing was started");
	}
	generation_run(first);
}

/* ---- events ---- */

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

static void
master_choose_backend(struct master *master)
{
	enum backend wanted = master->conf->event_backend;
	char *where = conf_where(master->conf, 0, "event_backend");

	event_set_log_callback(master_on_trial_log);
	master->backend = backend_choose(wanted);
	if (master->backend == BACKEND_AUTO && wanted == BACKEND_AUTO)
		fatalx("%s: neither epoll nor poll nor select works here", where);
	if (master->backend == BACKEND_AUTO)
		fatalx(
		    "%s: %s does not work here; auto takes what does", where, backend_name(wanted));
	free(where);
	log_info("event_backend %s: workers wait by %s", backend_name(wanted),
	    backend_name(master->backend));
}

/*
 * The master has three descriptors of each instance, and nothing may stop it: it waits by select
 * only where nothing else works, and then within what that carries.
 */
static void
master_make_loop(struct master *master)
{
	enum backend backend = master->backend;
	struct rlimit limit;

	if (backend == BACKEND_SELECT && backend_choose(BACKEND_POLL) == BACKEND_POLL)
		backend = BACKEND_POLL;
	event_set_log_callback(master_on_event_log);
	master->base = backend_open(backend, true);
	if (master->base == NULL)
		fatalx("cannot make an event loop");
	if (master->wake_master >= backend_descriptors(backend))
		fatalx("event_backend %s cannot carry descriptor %d", backend_name(backend),
		    master->wake_master);
	if (backend != BACKEND_SELECT || getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    limit.rlim_cur <= FD_SETSIZE)
		return;
	limit.rlim_cur = FD_SETSIZE;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		fatal("cannot lower the limit of descriptors");
}

static void
master_make_events(struct master *master)
{
	master_choose_backend(master);
	master_make_loop(master);
	for (unsigned i = 0; i < MASTER_SIGNALS; i++) {
		master->signals[i] =
		    evsignal_new(master->base, master_signals[i], master_on_signal, master);
		if (master->signals[i] == NULL || event_add(master->signals[i], NULL) != 0)
			fatalx("cannot watch signals");
	}
	master->tick = evtimer_new(master->base, master_on_tick, master);
	master->looked = event_new(
	    master->base, master->wake_master, EV_READ | EV_PERSIST, master_on_wake, master);
	if (master->tick == NULL || master->looked == NULL || event_add(master->looked, NULL) != 0)
		fatalx("cannot watch events");
}

/* ---- all of it ---- */

static void
master_open_outside(struct master *master)
{
	static const struct control_command *const tables[] = {
	    status_commands, order_commands, NULL};
	const struct conf *conf = master->conf;
	struct control_setup setup = {.path = master->control_path,
	    .uid = conf->uid,
	    .gid = conf->gid,
	    .tables = tables,
	    .arg = master};
	char why[MASTER_WHY_MAX];

	if (master->pid_path != NULL) {
		master->pidfile = pidfile_open(master->pid_path, why, sizeof(why));
		if (master->pidfile < 0)
			fatalx("%s", why);
	}
	master->listing = listing_open(master);
	master->control = control_open(master->base, &setup, why, sizeof(why));
	if (master->control == NULL) {
		pidfile_close(master->pidfile, master->pid_path);
		fatalx("%s", why);
	}
}

/* The soft limit of descriptors goes up to the hard one; instances get the old one back. */
static void
master_raise_limits(struct master *master)
{
	struct rlimit raised;

	if (getrlimit(RLIMIT_NOFILE, &master->nofile) != 0)
		fatal("cannot read the limit of descriptors");
	raised = master->nofile;
	raised.rlim_cur = raised.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &raised) != 0)
		log_warn("the limit of descriptors stays at %llu",
		    (unsigned long long)master->nofile.rlim_cur);
}

void
master_open(struct master *master, struct conf *conf)
{
	char why[MASTER_WHY_MAX];

	/* First of all: the log may be a pipe that nobody reads any more. */
	signal(SIGPIPE, SIG_IGN);
	master->conf = conf;
	master->control_path = mem_strdup(conf->control);
	master->pid_path = conf->pid_file != NULL ? mem_strdup(conf->pid_file) : NULL;
	TAILQ_INIT(&master->generations);
	TAILQ_INIT(&master->services);
	TAILQ_INIT(&master->files);
	TAILQ_INIT(&master->left_files);
	master->pid = getpid();
	master->started = clock_now();
	master->pidfile = -1;
	master->quiet_level = -1;
	master->guardian.pipe = -1;
	logs_start(conf);
	master_raise_limits(master);
	if (!priv_for_workers(&master->worker_priv, conf, why, sizeof(why)))
		fatalx("%s", why);
	if (master->worker_priv.set_uid && conf->uid == CONF_NO_ID)
		log_warnx("started as root without [hostler] user: workers become nobody, programs "
			  "keep running as root unless their service has a user");
	master_make_shared(master);
	master_make_events(master);
	master_open_outside(master);
	master_make_generation(master, conf);
}

static void
master_close_shared(struct master *master)
{
	for (unsigned i = 0; i < master->ids; i++)
		close(master->wakes[i]);
	close(master->wake_master);
	stats_free(master->sum);
	free(master->wakes);
	free(master->control_path);
	free(master->pid_path);
}

/* What the stop could not end any more, the guardian has killed. */
static void
master_close_generations(struct master *master)
{
	struct generation *generation;
	struct service *service;

	while ((generation = TAILQ_FIRST(&master->generations)) != NULL)
		generation_free(generation);
	while ((service = TAILQ_FIRST(&master->services)) != NULL)
		service_free(service);
}

void
master_close(struct master *master)
{
	control_close(master->control);
	listing_close(master->listing);
	pidfile_close(master->pidfile, master->pid_path);
	/* Last of all children: whatever did not die yet, it kills. */
	guardian_stop(&master->guardian);
	master_close_generations(master);
	reload_close(&master->reload);
	for (unsigned i = 0; i < MASTER_SIGNALS; i++)
		event_free(master->signals[i]);
	event_free(master->tick);
	event_free(master->looked);
	event_base_free(master->base);
	priv_close(&master->worker_priv);
	master_close_shared(master);
}
