/*
 * Accepts from the shared listening sockets. Owns the pause: a listener that may not accept is
 * taken out of the loop and looked at again by a timer, so a full house or a lack of descriptors
 * costs nothing and harms no connection that is open.
 */
#include "workers/listener.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/conn.h"
#include "workers/exclusive.h"
#include "workers/service.h"
#include "workers/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENER_BATCH 16 /* connections accepted in one go, so that other workers get some */
#define LISTENER_PAUSE (50 * CLOCK_MS)
#define LISTENER_YIELD CLOCK_MS
#define LISTENER_SLACK 2 /* connections above the share that are not worth standing back for */

/* One timer for all: it is set for the pause that ends first. */
static void
listener_wake_in(struct worker *worker, uint64_t time)
{
	struct timeval wait = {.tv_usec = (suseconds_t)(time / 1000)};

	if (worker->listener_wake != 0 && worker->listener_wake <= worker->now + time)
		return;
	worker->listener_wake = worker->now + time;
	evtimer_add(worker->listener_timer, &wait);
}

static void
listener_pause(struct listener *listener, uint64_t time)
{
	struct worker *worker = listener->service->worker;

	if (!listener->paused)
		event_del(listener->event);
	listener->paused = true;
	listener->until = worker->now + time;
	listener_wake_in(worker, time);
}

/* Says so once a second, whichever worker it is that runs short. */
static void
listener_say_short(struct worker *worker, const char *why)
{
	uint64_t second = worker->now / CLOCK_SECOND;

	if (stats_first_this_second(worker->start->sum, second))
		log_warnx("accepting pauses: %s; connections that are open go on", why);
}

static void
listener_pause_for_fds(struct listener *listener, const char *why)
{
	stats_count(listener->service->stats, COUNTER_fd_pauses);
	listener_say_short(listener->service->worker, why);
	listener_pause(listener, LISTENER_PAUSE);
}

static void
listener_leave(struct service *service)
{
	const struct worker_start *start = service->worker->start;

	stats_leave(start->stats[service->index], service->stats);
	stats_leave(start->sum, service->worker->sum);
}

/* What may still come from other workers has its descriptors; see take.c. */
static bool
listener_may_use(const struct worker *worker, int fd)
{
	return (uint64_t)fd + worker->promised < (uint64_t)worker->fd_limit;
}

/* Takes a place under both limits; returns false when there is none. */
static bool
listener_enter(struct service *service)
{
	const struct worker_start *start = service->worker->start;

	if (!stats_enter(start->sum, service->worker->sum, start->max_connections))
		return false;
	if (stats_enter(
		start->stats[service->index], service->stats, service->conf->max_connections))
		return true;
	stats_leave(start->sum, service->worker->sum);
	return false;
}

/* For a moment it is counted twice, so that there is never one more than the limits allow. */
void
listener_welcome(struct service *service)
{
	const struct worker_start *start = service->worker->start;

	(void)stats_enter(start->sum, service->worker->sum, UINT64_MAX);
	(void)stats_enter(start->stats[service->index], service->stats, UINT64_MAX);
}

void
listener_departs(const struct service *service)
{
	const struct worker_start *start = service->worker->start;

	stats_depart(start->sum);
	stats_depart(start->stats[service->index]);
}

/* Returns false when there is no more to accept now. */
static bool
listener_accept(struct listener *listener)
{
	struct service *service = listener->service;
	struct worker *worker = service->worker;
	int fd;

	if (!listener_enter(service)) {
		stats_count(service->stats, COUNTER_full_pauses);
		listener_pause(listener, LISTENER_PAUSE);
		return false;
	}
	fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		int error = errno;

		listener_leave(service);
		if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
			listener_pause_for_fds(listener, "the system has no descriptors left");
		return error == ECONNABORTED || error == EINTR;
	}
	conn_new(service, fd, listener->index);
	if (!listener_may_use(worker, fd)) {
		listener_pause_for_fds(listener, "this worker's descriptors are nearly used up");
		return false;
	}
	return true;
}

/* Whether this worker has clearly more connections than the others have on average. */
static bool
listener_has_share(const struct worker *worker)
{
	unsigned workers = stats_serving(worker->start->sum);
	uint64_t share = stats_open_about(worker->start->sum) / (workers > 0 ? workers : 1);

	return worker->open > share + share / 8 + LISTENER_SLACK;
}

/*
 * Takes what waits. Who has its share takes one, since it may be the only one who was woken, and
 * stands back; what nobody else has taken by then it takes.
 */
static void
listener_take(struct listener *listener)
{
	bool stands_back = !listener->yielded;

	listener->yielded = false;
	for (int i = 0; i < LISTENER_BATCH && listener_accept(listener); i++)
		if (stands_back && listener_has_share(listener->service->worker)) {
			listener->yielded = true;
			listener_pause(listener, LISTENER_YIELD);
			return;
		}
}

static void
listener_on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	listener->service->worker->now = clock_now();
	listener_take(listener);
}

/* Looks at it from now on. False when the loop cannot. */
static bool
listener_watch(struct listener *listener)
{
	int epoll = listener->service->worker->epoll;

	if (event_add(listener->event, NULL) != 0)
		return false;
	if (epoll < 0 || exclusive_watch(epoll, listener->fd))
		return true;
	/* Then as everybody else: nothing is lost by it but time. */
	return event_del(listener->event) == 0 && event_add(listener->event, NULL) == 0;
}

/* Whether the lowest free descriptor is one that a connection may have. */
static bool
listener_has_fds(const struct worker *worker)
{
	int fd = dup(STDIN_FILENO);

	if (fd < 0)
		return false;
	close(fd);
	return listener_may_use(worker, fd);
}

static void
listener_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	bool has_fds = listener_has_fds(worker);

	(void)fd;
	(void)what;
	worker->now = clock_now();
	worker->listener_wake = 0;
	for (unsigned i = 0; i < worker->start->listener_count; i++) {
		struct listener *listener = &worker->listeners[i];

		if (!listener->paused || listener->event == NULL)
			continue;
		if (listener->until > worker->now) {
			listener_wake_in(worker, listener->until - worker->now);
			continue;
		}
		if (!has_fds) {
			listener_pause_for_fds(
			    listener, "this worker's descriptors are nearly used up");
			continue;
		}
		listener->paused = !listener_watch(listener);
		if (listener->paused)
			listener_pause(listener, LISTENER_PAUSE);
	}
}

void
listener_start_all(struct worker *worker)
{
	const struct worker_start *start = worker->start;

	worker->listeners = mem_alloc(start->listener_count, sizeof(*worker->listeners));
	worker->listener_timer = evtimer_new(worker->base, listener_on_timer, worker);
	for (unsigned i = 0; i < start->listener_count; i++) {
		struct listener *listener = &worker->listeners[i];

		listener->service = &worker->services[start->listeners[i].service];
		listener->fd = start->listeners[i].fd;
		listener->index = (uint16_t)i;
		listener->event = event_new(
		    worker->base, listener->fd, EV_READ | EV_PERSIST, listener_on_accept, listener);
		if (listener->event == NULL || !listener_watch(listener))
			fatalx("cannot watch a listening socket");
	}
}

void
listener_tick(struct worker *worker)
{
	if (worker->listeners == NULL || worker->epoll < 0)
		return;
	for (unsigned i = 0; i < worker->start->listener_count; i++) {
		struct listener *listener = &worker->listeners[i];
		struct pollfd waiting = {.fd = listener->fd, .events = POLLIN};

		if (listener->event != NULL && !listener->paused && poll(&waiting, 1, 0) == 1)
			listener_take(listener);
	}
}

void
listener_stop_all(struct worker *worker)
{
	/* It may have been woken for them, and then nobody else was. */
	listener_tick(worker);
	for (unsigned i = 0; i < worker->start->listener_count; i++) {
		struct listener *listener = &worker->listeners[i];

		if (listener->event == NULL)
			continue;
		event_free(listener->event);
		listener->event = NULL;
		close(listener->fd);
	}
	evtimer_del(worker->listener_timer);
}

/* There may be room again. */
static void
listener_look_again(struct worker *worker)
{
	for (unsigned i = 0; i < worker->start->listener_count; i++) {
		struct listener *listener = &worker->listeners[i];

		if (!listener->paused || listener->event == NULL)
			continue;
		listener->until = 0;
		listener_wake_in(worker, 0);
	}
}

void
listener_released(struct service *service)
{
	listener_leave(service);
	listener_look_again(service->worker);
}

bool
listener_change(struct service *from, struct service *to)
{
	const struct worker_start *start = from->worker->start;

	if (!stats_enter(start->stats[to->index], to->stats, to->conf->max_connections))
		return false;
	stats_leave(start->stats[from->index], from->stats);
	listener_look_again(from->worker);
	return true;
}
