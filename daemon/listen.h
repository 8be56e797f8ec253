/*
 * The listening sockets of all services. The master owns them, the workers share them: a connection
 * in the backlog does not care which worker dies.
 */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

#include "common/conf.h"
#include "daemon/sockpath.h"
#include "workers/worker.h"

#include <stdbool.h>

struct listen_socket {
	struct addr addr; /* the real one: with the port that the kernel chose */
	struct sockpath sockpath;
};

struct listen_set {
	struct listen_socket *sockets; /* owns */
	struct worker_listener
	    *listeners; /* owns, and the descriptors in it; one for each socket */
	unsigned count;
};

/*
 * Binds and listens on every address of every service; false when any failed. Each failure is an
 * error line in the log, each success an info line, so that all is told at once.
 */
bool listen_open(struct listen_set *set, const struct conf *conf);
/* Closes the sockets and removes the unix ones. */
void listen_close(struct listen_set *set);
/* Releases the memory too. */
void listen_free(struct listen_set *set);

#endif
