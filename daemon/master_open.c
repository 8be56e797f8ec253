/*
 * What comes before the master's first turn and after its last: everything that it owns is made and
 * released here, in one order and its reverse. What cannot be had at the start is fatal.
 */
#include "common/log.h"
#include "common/mem.h"
#include "daemon/master.h"
#include "daemon/order.h"
#include "daemon/pidfile.h"
#include "daemon/status.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MASTER_WHY_MAX     512
#define MASTER_WORKERS_MIN 16  /* worker ids are made for at least so many workers ... */
#define MASTER_FDS         100 /* of any process beside what is counted: spares, some connections */
#define MASTER_GENERATIONS 3   /* ... so many times: two generations and a spare */

static const int master_signals[MASTER_SIGNALS] = {
    SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};

/* ---- pools and what belongs to them ---- */

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

static struct stats *
master_new_stats(const struct master *master)
{
	struct stats *stats = stats_new(master->ids);

	if (stats == NULL)
		fatal("cannot map memory for the counters");
	return stats;
}

static void
master_make_shared(struct master *master)
{
	const struct conf *conf = master->conf;

	master->ids = master_count_ids(conf);
	master->sum = master_new_stats(master);
	master->stats = mem_alloc(conf->service_count + 1, sizeof(*master->stats));
	for (unsigned i = 0; i < conf->service_count; i++)
		master->stats[i] = master_new_stats(master);
	master->wakes = mem_alloc(master->ids, sizeof(int));
	for (unsigned i = 0; i < master->ids; i++)
		master->wakes[i] = master_eventfd();
	master->wake_master = master_eventfd();
	master->pools = mem_alloc(conf->service_count + 1, sizeof(*master->pools));
	for (unsigned i = 0; i < conf->service_count; i++) {
		const struct conf_service *service = &conf->services[i];
		struct pool_shape shape = {.slots = service_instances(service),
		    .queue = service->queue,
		    .batch = service->concurrency,
		    .workers = master->ids,
		    .lease_time = service->request_timeout};

		if (shape.slots == 0)
			continue;
		master->pools[i] = pool_new(&shape);
		if (master->pools[i] == NULL)
			fatal("service %s: cannot make its pool", service->name);
	}
}

static void
master_make_places(struct master *master)
{
	const struct conf *conf = master->conf;
	char why[MASTER_WHY_MAX];
	unsigned next = 0;

	for (unsigned i = 0; i < conf->service_count; i++)
		master->instance_count += service_instances(&conf->services[i]);
	master->instances = mem_alloc(master->instance_count + 1, sizeof(*master->instances));
	master->services = mem_alloc(conf->service_count + 1, sizeof(*master->services));
	for (unsigned i = 0; i < conf->service_count; i++) {
		if (!service_open(&master->services[i], master, i, &master->instances[next], why,
			sizeof(why)))
			fatalx("%s", why);
		next += master->services[i].count;
	}
	master->slot_count = conf->workers;
	master->slots = mem_alloc(master->slot_count, sizeof(*master->slots));
	for (unsigned i = 0; i < master->slot_count; i++)
		slot_open(&master->slots[i], master, i);
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

static void
master_make_events(struct master *master)
{
	struct event_config *config;

	event_set_log_callback(master_on_event_log);
	config = event_config_new();
	if (config == NULL || event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) != 0)
		fatalx("cannot configure the event loop");
	master->base = event_base_new_with_config(config);
	event_config_free(config);
	if (master->base == NULL)
		fatalx("cannot make an event loop");
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
	struct control_setup setup = {.path = conf->control,
	    .uid = conf->uid,
	    .gid = conf->gid,
	    .tables = tables,
	    .arg = master};
	char why[MASTER_WHY_MAX];

	if (conf->pid_file != NULL) {
		master->pidfile = pidfile_open(conf->pid_file, why, sizeof(why));
		if (master->pidfile < 0)
			fatalx("%s", why);
	}
	master->control = control_open(master->base, &setup, why, sizeof(why));
	if (master->control == NULL) {
		pidfile_close(master->pidfile, conf->pid_file);
		fatalx("%s", why);
	}
	if (!listen_open(&master->listen, conf)) {
		listen_free(&master->listen);
		control_close(master->control);
		pidfile_close(master->pidfile, conf->pid_file);
		fatalx("cannot listen on every address; nothing was started");
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

/*
 * A daemon that is ready but cannot accept would be a riddle: what it needs at least is known now.
 * The master has three pipes of each instance, a worker two and what it keeps free beside them.
 */
static void
master_check_limits(const struct master *master)
{
	unsigned ids = master_count_ids(master->conf), listens = 0, instances = 0, need;
	struct rlimit limit;

	for (unsigned i = 0; i < master->conf->service_count; i++) {
		listens += master->conf->services[i].listens;
		instances += service_instances(&master->conf->services[i]);
	}
	need = MASTER_FDS + ids + listens + master->conf->workers + 3 * instances;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < need)
		fatalx("the limit of descriptors (ulimit -n) is %llu; with %u instances at least "
		       "%u are needed, and one more for each connection",
		    (unsigned long long)limit.rlim_cur, instances, need);
}

void
master_open(struct master *master, const struct conf *conf)
{
	char why[MASTER_WHY_MAX];

	/* First of all: the log may be a pipe that nobody reads any more. */
	signal(SIGPIPE, SIG_IGN);
	master->conf = conf;
	master->pid = getpid();
	master->started = clock_now();
	master->pidfile = -1;
	master->guardian.pipe = -1;
	master_raise_limits(master);
	if (!priv_for_workers(&master->worker_priv, conf, why, sizeof(why)))
		fatalx("%s", why);
	if (master->worker_priv.set_uid && conf->uid == CONF_NO_ID)
		log_warnx("started as root without [hostler] user: workers become nobody, programs "
			  "keep running as root unless their service has a user");
	master_check_limits(master);
	master_make_shared(master);
	master_make_places(master);
	master_make_events(master);
	master_open_outside(master);
}

static void
master_close_shared(struct master *master)
{
	for (unsigned i = 0; i < master->conf->service_count; i++) {
		service_close(&master->services[i]);
		pool_free(master->pools[i]);
		stats_free(master->stats[i]);
	}
	for (unsigned i = 0; i < master->ids; i++)
		close(master->wakes[i]);
	close(master->wake_master);
	stats_free(master->sum);
	free(master->stats);
	free(master->wakes);
	free(master->pools);
	free(master->services);
	free(master->instances);
}

void
master_close(struct master *master)
{
	control_close(master->control);
	listen_free(&master->listen);
	pidfile_close(master->pidfile, master->conf->pid_file);
	for (unsigned i = 0; i < master->slot_count; i++)
		slot_close(&master->slots[i]);
	free(master->slots);
	/* Last of all children: whatever did not die yet, it kills. */
	guardian_stop(&master->guardian);
	for (unsigned i = 0; i < MASTER_SIGNALS; i++)
		event_free(master->signals[i]);
	event_free(master->tick);
	event_free(master->looked);
	event_base_free(master->base);
	priv_close(&master->worker_priv);
	master_close_shared(master);
}
