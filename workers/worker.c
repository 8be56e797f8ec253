/*
 * The life of a worker: one event loop, turn by turn. Events note what happened; after each round
 * of them every connection that has something to do gets its turn. Owns the loop and the services'
 * state; never reads configuration, never starts a process.
 */
#include "workers/worker.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "ipc/chan.h"
#include "workers/conn.h"
#include "workers/handler.h"
#include "workers/listener.h"
#include "workers/program.h"
#include "workers/proto.h"
#include "workers/service.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define WORKER_FD_SPARE    64     /* descriptors that connections never get */
#define WORKER_TICK_US     200000 /* how often a lost wake-up or a standing worker is looked for */
#define WORKER_STUCK_MAX   (12 * CLOCK_SECOND) /* longer than a worker may take to be READY */
#define WORKER_STUCK_PAUSE (CLOCK_SECOND) /* a silence after which being stuck is a new story */

/* A message that came while the worker waited for a lock, to be handled later. */
struct worker_mail {
	STAILQ_ENTRY(worker_mail) entry;
	struct msg msg;
	int fds[MSG_FDS_MAX];
};

STAILQ_HEAD(worker_mails, worker_mail);

/* What only worker.c knows of the worker. */
struct worker_self {
	struct worker worker;
	struct event *channel, *wake, *tick, *term;
	struct worker_mails mails;
	uint64_t stuck_since, stuck_last;
	struct timeval tick_time;
};

static struct worker_self *
worker_self(struct worker *worker)
{
	return (struct worker_self *)(void *)worker; /* it is the first member */
}

static void
worker_end(struct worker *worker, int status, const char *why)
{
	if (!worker->done)
		log_debug("ends: %s", why);
	worker->done = true;
	worker->status = status;
}

/* ---- saying ---- */

static void
worker_send(struct worker *worker, const struct msg *msg)
{
	/* Not heard is as good as not said: the master asks again, or has ended. */
	if (chan_send(worker->start->channel, msg, NULL) != CHAN_OK)
		log_debug("message %u to the master was not sent", msg->type);
}

void
worker_wake(struct worker *worker, unsigned id)
{
	uint64_t one = 1;

	if (id >= worker->start->ids ||
	    write(worker->start->wakes[id], &one, sizeof(one)) == (ssize_t)sizeof(one))
		return;
	log_debug("worker id %u is full of wake-ups", id); /* so it is awake */
}

void
worker_wake_master(struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->start->wake_master, &one, sizeof(one)) != (ssize_t)sizeof(one))
		log_debug("the master is full of wake-ups");
}

/* ---- serving and draining ---- */

/* Every instance is known now, so whatever the pool grants can be taken up. */
static void
worker_say_ready(struct worker *worker)
{
	if (!worker->ready)
		worker_send(worker, &(struct msg){.type = MSG_READY});
	worker->ready = true;
}

static void
worker_accept(struct worker *worker)
{
	if (worker->listeners == NULL && !worker->draining)
		listener_start_all(worker);
}

/* A second order may be less patient than the first. */
static void
worker_drain(struct worker *worker, bool patiently)
{
	if (worker->draining && patiently)
		return;
	if (!worker->draining && worker->listeners != NULL)
		listener_stop_all(worker);
	worker->draining = true;
	for (unsigned i = 0; i < worker->start->conf->service_count; i++) {
		struct conn *conn;

		TAILQ_FOREACH (conn, &worker->services[i].conns, in_service)
			conn_drain(conn, patiently);
	}
	worker_check_drained(worker);
}

void
worker_check_drained(struct worker *worker)
{
	if (!worker->draining || worker->open > 0)
		return;
	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		if (worker->services[i].program != NULL &&
		    program_is_busy(worker->services[i].program))
			return;
	worker_send(worker, &(struct msg){.type = MSG_DRAINED});
	worker_end(worker, 0, "drained");
}

/* ---- listening to the master ---- */

static struct program *
worker_program(struct worker *worker, const struct msg_instance *instance)
{
	struct service *service;

	if (instance->service >= worker->start->conf->service_count)
		return NULL;
	service = &worker->services[instance->service];
	if (service->program == NULL || instance->slot >= pool_capacity(service->program->pool))
		return NULL;
	return service->program;
}

static void
worker_on_instance(struct worker *worker, const struct msg_instance *instance, int in, int out)
{
	struct program *program = worker_program(worker, instance);

	if (program != NULL) {
		program_on_instance(program, instance, in, out);
		return;
	}
	close(in);
	close(out);
}

static void
worker_pong(struct worker *worker, const struct msg *ping)
{
	worker_send(worker, &(struct msg){.type = MSG_PONG, .number.number = ping->number.number});
}

static void
worker_handle(struct worker *worker, const struct msg *msg, int fds[MSG_FDS_MAX])
{
	struct program *program;

	switch ((enum msg_type)msg->type) {
	case MSG_PING:
		worker_pong(worker, msg);
		break;
	case MSG_START:
		worker_say_ready(worker);
		break;
	case MSG_ACCEPT:
		worker_accept(worker);
		break;
	case MSG_DRAIN:
		worker_drain(worker, msg->number.number != 0);
		break;
	case MSG_INSTANCE:
		worker_on_instance(worker, &msg->instance, fds[0], fds[1]);
		break;
	case MSG_INSTANCE_GONE:
		program = worker_program(worker, &msg->instance);
		if (program != NULL)
			program_on_instance_gone(program, &msg->instance);
		break;
	default:
		break; /* chan.c lets only the master's messages through */
	}
}

/* The next message: what came while the lock was stuck goes first. */
static enum chan_result
worker_receive(struct worker *worker, struct msg *msg, int fds[MSG_FDS_MAX])
{
	struct worker_self *self = worker_self(worker);
	struct worker_mail *mail = STAILQ_FIRST(&self->mails);

	if (mail == NULL)
		return chan_receive(worker->start->channel, MSG_FROM_MASTER, msg, fds);
	STAILQ_REMOVE_HEAD(&self->mails, entry);
	*msg = mail->msg;
	for (int i = 0; i < MSG_FDS_MAX; i++)
		fds[i] = mail->fds[i];
	free(mail);
	return CHAN_OK;
}

void
worker_read_channel(struct worker *worker)
{
	int fds[MSG_FDS_MAX];
	struct msg msg;

	for (;;) {
		switch (worker_receive(worker, &msg, fds)) {
		case CHAN_OK:
			worker_handle(worker, &msg, fds);
			break;
		case CHAN_AGAIN:
			return;
		case CHAN_CLOSED:
			worker_end(worker, 0, "the master is gone");
			return;
		case CHAN_TRUNCATED:
			log_errorx("an instance's pipes were lost: no descriptors are left");
			worker_end(worker, 1, "no descriptors");
			return;
		case CHAN_BROKEN:
			log_errorx("the master's channel is broken");
			worker_end(worker, 1, "broken channel");
			return;
		}
	}
}

static void
worker_on_channel(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	worker->now = clock_now();
	worker_read_channel(worker);
}

/* Between two tries for a lock: the master must hear from us, everything else waits. */
static void
worker_answer_pings(struct worker *worker)
{
	struct worker_self *self = worker_self(worker);
	struct worker_mail *mail = mem_alloc(1, sizeof(*mail));

	while (chan_receive(worker->start->channel, MSG_FROM_MASTER, &mail->msg, mail->fds) ==
	       CHAN_OK) {
		if (mail->msg.type == MSG_PING) {
			worker_pong(worker, &mail->msg);
			continue;
		}
		STAILQ_INSERT_TAIL(&self->mails, mail, entry);
		event_active(self->channel, EV_READ, 0);
		mail = mem_alloc(1, sizeof(*mail));
	}
	free(mail);
}

void
worker_pool_damaged(struct worker *worker, unsigned service)
{
	worker_send(worker, &(struct msg){.type = MSG_POOL_DAMAGED, .pool = {.service = service}});
	worker_answer_pings(worker);
}

void
worker_lock_stuck(struct worker *worker, unsigned service)
{
	struct worker_self *self = worker_self(worker);
	uint64_t now = clock_now();

	if (now - self->stuck_last > WORKER_STUCK_PAUSE)
		self->stuck_since = now;
	self->stuck_last = now;
	/* The master would have killed a holder that is silent long ago. */
	if (now - self->stuck_since > WORKER_STUCK_MAX) {
		worker_pool_damaged(worker, service);
		return;
	}
	worker_send(worker, &(struct msg){.type = MSG_LOCK_STUCK, .pool = {.service = service}});
	worker_answer_pings(worker);
}

/* ---- other events ---- */

static void
worker_on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	uint64_t count;

	(void)what;
	worker->now = clock_now();
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("cannot read the wake-up descriptor");
	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		if (worker->services[i].program != NULL)
			program_look(worker->services[i].program);
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
	worker_check_drained(worker);
}

static void
worker_on_term(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	worker_drain(arg, false);
}

/* ---- the turn ---- */

static void
worker_free_closed(struct worker *worker)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&worker->closed)) != NULL) {
		TAILQ_REMOVE(&worker->closed, conn, in_service);
		free(conn);
	}
	program_free_ended();
}

/* Every connection that is scheduled now gets one turn; who wants more waits for the next round. */
static void
worker_turn(struct worker *worker)
{
	struct conn *conn;

	worker->now = clock_now();
	worker->round++;
	while ((conn = TAILQ_FIRST(&worker->turn)) != NULL && conn->round != worker->round) {
		TAILQ_REMOVE(&worker->turn, conn, in_turn);
		conn->scheduled = false;
		conn_turn(conn);
	}
	worker_free_closed(worker);
}

static void
worker_loop(struct worker *worker)
{
	while (!worker->done) {
		int flags = TAILQ_EMPTY(&worker->turn) ? EVLOOP_ONCE : EVLOOP_NONBLOCK;

		if (event_base_loop(worker->base, flags) < 0) {
			log_errorx("the event loop failed");
			worker_end(worker, 1, "event loop");
		}
		worker_turn(worker);
	}
	log_flush();
}

/* ---- start ---- */

static void
worker_ignore_signals(void)
{
	static const int ignored[] = {
	    SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

/* Connections may use descriptors up to here; the rest is for the instances' pipes. */
static int
worker_fd_limit(const struct conf *conf)
{
	struct rlimit limit;
	rlim_t reserve = WORKER_FD_SPARE;

	for (unsigned i = 0; i < conf->service_count; i++)
		if (conf->services[i].handler == HANDLER_PROGRAM)
			reserve += 2 * conf->services[i].instances;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= reserve)
		return 0;
	if (limit.rlim_cur > 1 << 30)
		limit.rlim_cur = 1 << 30;
	return (int)(limit.rlim_cur - reserve);
}

static void
worker_open_service(struct worker *worker, unsigned index)
{
	const struct worker_start *start = worker->start;
	struct service *service = &worker->services[index];

	service->conf = &start->conf->services[index];
	service->index = index;
	service->worker = worker;
	service->proto = proto_find(service->conf->protocol);
	service->handler = handler_find(service->conf->handler);
	service->stats = stats_row(start->stats[index], start->id);
	TAILQ_INIT(&service->conns);
	deadline_open(&service->idles, worker->base, &worker->now, conn_on_idle);
	deadline_open(&service->messages, worker->base, &worker->now, conn_on_message_late);
	deadline_open(&service->writes, worker->base, &worker->now, conn_on_write_late);
	deadline_open(&service->lingers, worker->base, &worker->now, conn_on_lingered);
	if (service->handler->start != NULL)
		service->handler->start(service);
}

static struct event_base *
worker_new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config != NULL) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
		base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (base == NULL)
		fatalx("cannot make an event loop with epoll");
	return base;
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

static void
worker_open(struct worker *worker, const struct worker_start *start)
{
	struct worker_self *self = worker_self(worker);
	sigset_t none;

	worker->start = start;
	worker->base = worker_new_base();
	worker->now = clock_now();
	worker->sum = stats_row(start->sum, start->id);
	worker->scratch = mem_alloc(1, WORKER_SCRATCH);
	worker->services = mem_alloc(start->conf->service_count, sizeof(*worker->services));
	worker->fd_limit = worker_fd_limit(start->conf);
	TAILQ_INIT(&worker->turn);
	TAILQ_INIT(&worker->closed);
	STAILQ_INIT(&self->mails);
	self->tick_time.tv_usec = WORKER_TICK_US;
	worker_ignore_signals();
	self->channel = worker_watch(worker, start->channel, EV_READ, worker_on_channel);
	self->wake = worker_watch(worker, start->wakes[start->id], EV_READ, worker_on_wake);
	self->tick = worker_watch(worker, -1, EV_TIMEOUT, worker_on_tick);
	self->term = worker_watch(worker, SIGTERM, EV_SIGNAL, worker_on_term);
	for (unsigned i = 0; i < start->conf->service_count; i++)
		worker_open_service(worker, i);
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
