/*
 * Chooses an event loop's back end: each is tried on a socket whose other side is shut, because a
 * sandbox may offer a call and not what the loop needs of it. Keeps nothing.
 */
#include "common/backend.h"

#include <event2/event.h>
#include <limits.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const backend_names[BACKEND_COUNT] = {
    [BACKEND_AUTO] = "auto",
    [BACKEND_EPOLL] = "epoll",
    [BACKEND_POLL] = "poll",
    [BACKEND_SELECT] = "select",
};

const char *
backend_name(enum backend backend)
{
	return backend_names[backend];
}

int
backend_descriptors(enum backend backend)
{
	return backend == BACKEND_SELECT ? FD_SETSIZE : INT_MAX;
}

static void
backend_avoid_others(struct event_config *config, enum backend backend)
{
	for (int other = BACKEND_EPOLL; other < BACKEND_COUNT; other++)
		if (other != (int)backend)
			event_config_avoid_method(config, backend_names[other]);
}

struct event_base *
backend_open(enum backend backend, bool precise)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (config == NULL)
		return NULL;
	backend_avoid_others(config, backend);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	if (precise)
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	if (backend == BACKEND_EPOLL)
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

/* ---- the trial ---- */

struct backend_seen {
	int times;
	short what;
};

static void
backend_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct backend_seen *seen = arg;

	(void)fd;
	seen->times++;
	seen->what |= what;
}

/* Two rounds over a socket at its end: epoll must tell of the end, and once; the others each time.
 */
static bool
backend_tells(struct event_base *base, enum backend backend, int fd)
{
	bool is_epoll = backend == BACKEND_EPOLL;
	struct backend_seen seen = {0};
	struct event *event = event_new(base, fd,
	    EV_READ | EV_PERSIST | (is_epoll ? EV_CLOSED | EV_ET : 0), backend_on_event, &seen);
	bool good = event != NULL && event_add(event, NULL) == 0;

	for (int i = 0; i < 2 && good; i++)
		good = event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0;
	if (event != NULL)
		event_free(event);
	if (is_epoll)
		return good && seen.times == 1 && (seen.what & EV_CLOSED) != 0;
	return good && seen.times == 2;
}

static bool
backend_works(enum backend backend)
{
	struct event_base *base = backend_open(backend, false);
	int ends[2];
	bool works = false;

	if (base == NULL)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0) {
		/* With so many open there is nothing to try it on; a worker begins with few. */
		works = ends[0] >= backend_descriptors(backend) ||
			(shutdown(ends[1], SHUT_WR) == 0 && backend_tells(base, backend, ends[0]));
		close(ends[0]);
		close(ends[1]);
	}
	event_base_free(base);
	return works;
}

enum backend
backend_choose(enum backend wanted)
{
	if (wanted != BACKEND_AUTO)
		return backend_works(wanted) ? wanted : BACKEND_AUTO;
	for (int backend = BACKEND_EPOLL; backend < BACKEND_COUNT; backend++)
		if (backend_works((enum backend)backend))
			return (enum backend)backend;
	return BACKEND_AUTO;
}
