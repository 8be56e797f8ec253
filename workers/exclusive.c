/*
 * EPOLLEXCLUSIVE below libevent. Owns nothing that lasts. It knows two things that libevent does
 * not promise: that its loop is an epoll descriptor of this process, and that it tells the kernel
 * the descriptor as the event's data. Neither is believed: exclusive_find() tries it out with a
 * descriptor of its own, and without it workers are woken as libevent would have it.
 */
#include "workers/exclusive.h"

#include <event2/event.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EXCLUSIVE_FDS 65536 /* the loop's descriptor is looked for below this one */

bool
exclusive_watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

	event.data.fd = fd;
	return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) == 0 &&
	       epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void
exclusive_on_proof(evutil_socket_t fd, short what, void *arg)
{
	bool *came = arg;

	(void)fd;
	*came = what == EV_READ;
}

/* The one that watches `fd`: others say ENOENT, and what is no epoll descriptor says EINVAL. */
static int
exclusive_look(int fd)
{
	for (int epoll = STDERR_FILENO + 1; epoll < EXCLUSIVE_FDS; epoll++)
		if (exclusive_watch(epoll, fd))
			return epoll;
	return -1;
}

/* Whether an event that is watched like this arrives, and is forgotten when it is deleted. */
static bool
exclusive_prove(struct event_base *base, struct event *event, const bool *came)
{
	return event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK) == 0 && *came &&
	       event_del(event) == 0;
}

int
exclusive_find(struct event_base *base)
{
	int fd = -1, epoll = -1;
	struct event *event = NULL;
	bool came = false;

	if (strncmp(event_base_get_method(base), "epoll", strlen("epoll")) == 0)
		fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd >= 0)
		event = event_new(base, fd, EV_READ | EV_PERSIST, exclusive_on_proof, &came);
	if (event != NULL && event_add(event, NULL) == 0) {
		epoll = exclusive_look(fd);
		if (epoll >= 0 && !exclusive_prove(base, event, &came))
			epoll = -1;
	}
	if (event != NULL)
		event_free(event);
	if (fd >= 0)
		close(fd);
	return epoll;
}
