/*
 * The master's life on one page: prepare, start everybody, then one turn of the event loop after
 * another; between the turns it reaps, starts, watches and stops. What can go wrong while it
 * prepares is fatal; afterwards nothing is.
 */
#include "daemon/master.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/death.h"
#include "daemon/pidfile.h"
#include "daemon/status.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MASTER_TICK        CLOCK_SECOND /* the longest time without a look at everything */
#define MASTER_WHY_MAX     512
#define MASTER_REAPED      1000             /* dead processes taken in one turn */
#define MASTER_RETRY       (100 * CLOCK_MS) /* until another guardian is tried */
#define MASTER_WORKERS_MIN 16 /* worker ids are made for at least so many workers ... */
#define MASTER_GENERATIONS 3  /* ... so many times: two generations and a spare */

static const int master_signals[MASTER_SIGNALS] = {
    SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};

/* ---- pools and what belongs to them ---- */

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
	if (slot_count_alive(master) > 0)
		return;
	for (unsigned i = 0; i < master->conf->service_count; i++)
		if (master->services[i].is_damaged)
			service_start_over(&master->services[i]);
}

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
	const struct conf *conf = master->conf;

	master->ids = master_count_ids(conf);
	master->stats = stats_new(master->ids, conf->service_count);
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

/* ---- signals and events ---- */

static void
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
static void
master_on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	(void)arg;
	(void)!read(fd, &count, sizeof(count));
}

static void
master_on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void
master_make_events(struct master *master)
{
	struct event_config *config = event_config_new();

	if (config == NULL || event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) != 0)
		fatalx("cannot configure the event loop");
	master->base = event_base_new_with_config(config);
	event_config_free(config);
	if (master->base == NULL)
		fatalx("cannot make an event loop");
	signal(SIGPIPE, SIG_IGN);
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

static void
master_open_outside(struct master *master)
{
	const struct conf *conf = master->conf;
	struct control_setup setup = {.path = conf->control,
	    .uid = conf->uid,
	    .gid = conf->gid,
	    .commands = status_commands,
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

static void
master_open(struct master *master, const struct conf *conf)
{
	char why[MASTER_WHY_MAX];

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
	}
	for (unsigned i = 0; i < master->ids; i++)
		close(master->wakes[i]);
	close(master->wake_master);
	stats_free(master->stats);
	free(master->wakes);
	free(master->pools);
	free(master->services);
	free(master->instances);
}

static void
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
