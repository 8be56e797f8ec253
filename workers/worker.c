/*
 * The life of a worker: one event loop, turn by turn. Events note what happened; after each round
 * of them every connection that has something to do gets its turn. Owns the loop and the services'
 * state; never reads configuration, never starts a process.
 */
#include "workers/worker.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "ipc/msg.h"
#include "workers/access.h"
#include "workers/collect.h"
#include "workers/conn.h"
#include "workers/exclusive.h"
#include "workers/give.h"
#include "workers/handler.h"
#include "workers/listener.h"
#include "workers/program.h"
#include "workers/proto.h"
#include "workers/req.h"
#include "workers/route.h"
#include "workers/service.h"
#include "workers/staying.h"
#include "workers/take.h"
#include "workers/worker_self.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKER_FD_SPARE 64     /* descriptors that connections never get */
#define WORKER_FD_ROOTS 2      /* of a service of files: its folder, and that a moment ago */
#define WORKER_FD_FILES 8      /* of a service that collects: an eventfd, its file, the next one */
#define WORKER_TICK_US  200000 /* how often a lost wake-up or a standing worker is looked for */

void
worker_end(struct worker *worker, int status, const char *why)
{
	if (!worker->done)
		log_debug("ends: %s", why);
	worker->done = true;
	worker->status = status;
}

/* ---- serving and draining ---- */

/*
 * The kernel gives the lowest number that is free, so before the first connection all below it are
 * in use for something else.
 */
static void
worker_count_base(struct worker *worker)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	worker->fd_base = fd >= 0 ? fd : worker->fd_limit;
	if (fd >= 0)
		close(fd);
}

/* Every instance is known now, so whatever the pool grants can be taken up. */
void
worker_say_ready(struct worker *worker)
{
	if (worker->ready)
		return;
	worker->ready = true;
	worker_count_base(worker);
	worker_send(worker, &(struct msg){.type = MSG_READY});
}

void
worker_accept(struct worker *worker)
{
	if (worker->listeners == NULL && !worker->draining)
		listener_start_all(worker);
}

/* Hastily: all. Else those that cannot move finish, the others are served until they do. */
static void
worker_drain_conns(struct worker *worker, bool hastily)
{
	for (unsigned i = 0; i < worker->start->conf->service_count; i++) {
		struct conn *conn;

		TAILQ_FOREACH (conn, &worker->services[i].conns, in_service)
			if (hastily || !give_can_ever(conn))
				conn_drain(conn, !hastily);
	}
}

/* A second order may be hastier than the first. */
void
worker_drain(struct worker *worker, bool hastily)
{
	if (worker->draining && (worker->hasty || !hastily))
		return;
	if (!worker->draining && worker->listeners != NULL)
		listener_stop_all(worker);
	worker->draining = true;
	worker->hasty = hastily;
	take_stop_all(worker);
	if (hastily)
		give_stop(worker);
	worker_drain_conns(worker, hastily);
	staying_tell(worker);
	worker_check_drained(worker);
}

void
worker_check_drained(struct worker *worker)
{
	if (!worker->draining || worker->open > 0)
		return;
	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		if ((worker->services[i].program != NULL &&
			program_is_busy(worker->services[i].program)) ||
		    (worker->services[i].collect != NULL &&
			collect_is_busy(worker->services[i].collect)))
			return;
	worker_send(worker, &(struct msg){.type = MSG_DRAINED});
	worker_end(worker, 0, "drained");
}

/* ---- descriptors ---- */

/* Instances of the service that have to be known now: by order there may be more than configured.
 */
static unsigned
worker_count_instances(const struct service *service)
{
	unsigned slots = service->program != NULL ? pool_slots(service->program->pool) : 0;

	return slots > service->conf->instances ? slots : service->conf->instances;
}

/* What connections never get: for the instances that there are to be, or that there ever can be. */
static rlim_t
worker_reserve_fds(const struct worker *worker, bool ever)
{
	rlim_t reserve = WORKER_FD_SPARE;

	for (unsigned i = 0; i < worker->start->conf->service_count; i++) {
		const struct service *service = &worker->services[i];

		if (service->conf->handler == HANDLER_COLLECT)
			reserve += WORKER_FD_FILES;
		if (service->conf->handler == HANDLER_STATIC)
			reserve += WORKER_FD_ROOTS;
		reserve +=
		    2 * (ever && service->program != NULL ? pool_capacity(service->program->pool)
							  : worker_count_instances(service));
	}
	return reserve;
}

void
worker_keep_fds(struct worker *worker)
{
	rlim_t reserve = worker_reserve_fds(worker, true);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = 0;
	/* Those of connections that are open cannot be had back when a service is scaled up. */
	if (reserve > limit.rlim_cur / 2)
		reserve = worker_reserve_fds(worker, false);
	if (limit.rlim_cur <= reserve)
		limit.rlim_cur = reserve;
	if (limit.rlim_cur > 1 << 30)
		limit.rlim_cur = 1 << 30;
	worker->fd_limit = (int)(limit.rlim_cur - reserve);
}

uint64_t
worker_room(const struct worker *worker)
{
	uint64_t used = (uint64_t)worker->fd_base + worker->open + worker->files + worker->promised;

	return used < (uint64_t)worker->fd_limit ? (uint64_t)worker->fd_limit - used : 0;
}

/* ---- other events ---- */

static void
worker_on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	uint64_t count;

	(void)what;
	worker->now = clock_now();
	/* Where each write is an event of its own nobody needs to know how many there were. */
	if (worker->watch.once && read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("cannot read the wake-up descriptor");
	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		if (worker->services[i].program != NULL)
			program_wake(worker->services[i].program);
}

static void
worker_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	worker->now = clock_now();
	log_flush();
	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		if (worker->services[i].program != NULL)
			program_tick(worker->services[i].program);
	worker_keep_fds(worker);
	listener_tick(worker);
	if (worker->draining)
		staying_tell(worker);
	take_tick(worker);
	give_tick(worker);
	worker_check_drained(worker);
}

static void
worker_on_term(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	worker_drain(arg, true);
}

/* ---- the turn ---- */

/* Every connection that is scheduled now gets one turn; who wants more waits for the next round. */
void
worker_turn(struct worker *worker)
{
	struct conn_busy *busy;

	worker->now = worker->turned = clock_now();
	worker->round++;
	program_take_grants();
	while ((busy = TAILQ_FIRST(&worker->turn)) != NULL && busy->round != worker->round) {
		TAILQ_REMOVE(&worker->turn, busy, in_turn);
		conn_turn(busy->conn);
	}
	program_take_grants();
	program_send_due();
	collect_turn();
	give_turn(worker);
	access_turn(worker);
	conn_free_closed(worker);
	program_free_ended();
}

/* Whether to look once more instead of sleeping: whoever is waited for may need microseconds. */
static bool
worker_spins(struct worker *worker)
{
	return worker->now - worker_self(worker)->active < worker->start->conf->spin;
}

static void
worker_loop(struct worker *worker)
{
	while (!worker->done) {
		bool sleeps = TAILQ_EMPTY(&worker->turn) && !worker_spins(worker) &&
			      program_may_sleep() && give_may_sleep(worker);
		/* EVLOOP_NONBLOCK alone would go on for as long as anything happens. */
		int flags = EVLOOP_ONCE | (sleeps ? 0 : EVLOOP_NONBLOCK);
		uint64_t before = worker->now;

		worker->waited = sleeps ? clock_now() : 0;
		if (event_base_loop(worker->base, flags) < 0) {
			log_errorx("the event loop failed");
			worker_end(worker, 1, "event loop");
		}
		if (worker->now != before) /* every callback sets it */
			worker_self(worker)->active = worker->now;
		worker_turn(worker);
	}
	log_flush();
}

/* ---- start ---- */

static void
worker_ignore_signals(void)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTTIN,
	    SIGTTOU, SIGWINCH, SIGXFSZ};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

void
worker_open_service(struct worker *worker, unsigned index)
{
	const struct worker_start *start = worker->start;
	struct service *service = &worker->services[index];

	service->conf = &start->conf->services[index];
	service->index = index;
	service->worker = worker;
	service->proto = proto_find(service->conf);
	service->handler = handler_find(service->conf->handler);
	service->stats = stats_row(start->stats[index], start->id);
	service->access = access_new(service->conf->name, start->access_logs[index]);
	service->times = stats_times(start->stats[index], start->id);
	TAILQ_INIT(&service->conns);
	deadline_open(&service->idles, worker->base, &worker->now, conn_on_idle);
	deadline_open(&service->silents, worker->base, &worker->now, conn_on_silent);
	deadline_open(&service->messages, worker->base, &worker->now, conn_on_message_late);
	deadline_open(&service->writes, worker->base, &worker->now, conn_on_write_late);
	deadline_open(&service->lingers, worker->base, &worker->now, conn_on_lingered);
	deadline_open(&service->limits, worker->base, &worker->now, req_on_limit);
	if (service->handler->start != NULL)
		service->handler->start(service);
}

/*
 * From here on the kernel gives this process no descriptor that its loop could not carry: who has
 * none left is handled everywhere, a set that is too small nowhere.
 */
static void
worker_limit_fds(enum backend backend)
{
	rlim_t most = (rlim_t)backend_descriptors(backend);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		fatal("cannot read the limit of descriptors");
	if (limit.rlim_cur <= most)
		return;
	limit.rlim_cur = most;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		fatal("cannot lower the limit of descriptors");
}

static void
worker_open_loop(struct worker *worker, enum backend backend)
{
	worker_limit_fds(backend);
	worker->base = backend_open(backend, false);
	if (worker->base == NULL)
		fatalx("cannot make an event loop with %s", backend_name(backend));
	watch_open(&worker->watch, backend);
}

static struct event *
worker_watch(struct worker *worker, int fd, short what, event_callback_fn on_event)
{
	struct worker_self *self = worker_self(worker);
	struct event *event = event_new(worker->base, fd, what | EV_PERSIST, on_event, worker);

	if (event == NULL || event_add(event, fd < 0 ? &self->tick_time : NULL) != 0)
		fatalx("cannot watch a descriptor");
	return event;
}

/* A listening socket has the same inode in every process and every generation. */
static void
worker_note_listeners(struct worker *worker)
{
	const struct worker_start *start = worker->start;

	worker->listener_inodes = mem_alloc(start->listener_count + 1, sizeof(uint64_t));
	for (unsigned i = 0; i < start->listener_count; i++) {
		struct stat status;

		if (fstat(start->listeners[i].fd, &status) != 0)
			fatal("cannot look at a listening socket");
		worker->listener_inodes[i] = status.st_ino;
	}
}

static void
worker_open(struct worker *worker, const struct worker_start *start)
{
	struct worker_self *self = worker_self(worker);
	sigset_t none;

	worker->start = start;
	worker_open_loop(worker, start->backend);
	worker->epoll = exclusive_find(worker->base);
	worker->started = worker->now = clock_now();
	worker->sum = stats_row(start->sum, start->id);
	worker->scratch = mem_alloc(1, WORKER_SCRATCH);
	worker->services = mem_alloc(start->conf->service_count, sizeof(*worker->services));
	TAILQ_INIT(&worker->turn);
	TAILQ_INIT(&worker->closed);
	LIST_INIT(&worker->takes);
	worker_note_listeners(worker);
	STAILQ_INIT(&self->mails);
	self->tick_time.tv_usec = WORKER_TICK_US;
	worker_ignore_signals();
	self->channel = worker_watch(worker, start->channel, EV_READ, worker_on_channel);
	if (!start->is_trial) {
		self->wake = worker_watch(worker, start->wakes[start->id],
		    EV_READ | (worker->watch.read & EV_ET), worker_on_wake);
		self->tick = worker_watch(worker, -1, EV_TIMEOUT, worker_on_tick);
	}
	self->term = worker_watch(worker, SIGTERM, EV_SIGNAL, worker_on_term);
	for (unsigned i = 0; i < start->conf->service_count; i++)
		worker_open_service(worker, i);
	route_open(worker);
	worker_keep_fds(worker);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int
worker_main(const struct worker_start *start)
{
	struct worker_self *self = mem_alloc(1, sizeof(*self));

	worker_open(&self->worker, start);
	worker_loop(&self->worker);
	/* The kernel takes the rest back: the process ends here. */
	return self->worker.status;
}
