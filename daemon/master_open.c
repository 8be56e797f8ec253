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

/* ---- all of it ---- */

struct control_setup
master_control_setup(struct master *master)
{
	static const struct control_command *const tables[] = {
	    status_commands, order_commands, NULL};

	return (struct control_setup){.path = master->control_path,
	    .uid = master->conf->uid,
	    .gid = master->conf->gid,
	    .tables = tables,
	    .arg = master};
}

static void
master_open_outside(struct master *master)
{
	struct control_setup setup = master_control_setup(master);
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
	if (!master_make_events(master, why, sizeof(why)))
		fatalx("%s", why);
	log_info("event_backend %s: workers wait by %s", backend_name(conf->event_backend),
	    backend_name(master->backend));
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
	upgrade_close(&master->upgrade);
	master_free_events(master);
	priv_close(&master->worker_priv);
	master_close_shared(master);
}
