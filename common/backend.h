/*
 * Which of the kernel's ways to wait for many descriptors at once an event loop uses.
 *
 * Epoll tells of each change once and of clients that left; its cost does not grow with idle
 * connections. Poll and select tell what is so, as long as it is so, and look at every descriptor
 * each time. Select carries no descriptor from FD_SETSIZE on: select(2).
 */
#ifndef COMMON_BACKEND_H
#define COMMON_BACKEND_H

#include <stdbool.h>

struct event_base;

enum backend { BACKEND_AUTO, BACKEND_EPOLL, BACKEND_POLL, BACKEND_SELECT, BACKEND_COUNT };

/* "auto", "epoll", "poll", "select" */
const char *backend_name(enum backend backend);

/*
 * What is used when `wanted` is configured: itself, or for BACKEND_AUTO the first of epoll, poll,
 * select that works. BACKEND_AUTO is returned when there is none: `wanted` does not work here.
 */
enum backend backend_choose(enum backend wanted);

/*
 * A loop of one thread, on exactly this one. NULL when it does not work, or libevent's environment
 * variables (EVENT_NOEPOLL, EVENT_NOPOLL, EVENT_NOSELECT) rule it out. With `precise`, timers are
 * as exact as the back end can be.
 */
struct event_base *backend_open(enum backend backend, bool precise);

/* Its descriptors must be below this number. */
int backend_descriptors(enum backend backend);

#endif
