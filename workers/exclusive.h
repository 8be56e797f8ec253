/*
 * Waking one worker instead of all. Every worker watches the same listening sockets, and a new
 * connection wakes everybody who sleeps; all but one find nothing. EPOLLEXCLUSIVE, see
 * epoll_ctl(2), has the kernel wake one who sleeps. libevent cannot ask for it, so what it has told
 * the kernel is said once more, differently.
 */
#ifndef WORKERS_EXCLUSIVE_H
#define WORKERS_EXCLUSIVE_H

#include <stdbool.h>

struct event_base;

/*
 * The epoll descriptor below the loop, for exclusive_watch(); -1 where this cannot be done: another
 * kind of loop, an old kernel, a libevent that works differently. It is tried out, so nothing else
 * may be pending in the loop. Borrowed from the loop.
 */
int exclusive_find(struct event_base *base);
/*
 * Of all who watch `fd` like this only one is woken. Its event (EV_READ, level-triggered, the only
 * one of this descriptor) must be added; event_del() ends it. False with errno: then the event must
 * be deleted and added again.
 */
bool exclusive_watch(int epoll, int fd);

#endif
