/*
 * Listening sockets. The master owns them, the workers share them: a connection in the backlog does
 * not care which worker dies, nor whether the configuration is another one by now. Each generation
 * has a set; a socket of the same address is in both.
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
	char *service; /* owns; for which it was opened */
	int fd;        /* owns */
	unsigned holders;
};

struct listen_set {
	struct listen_socket **sockets;    /* owns the list; holds each */
	struct addr *asked;                /* owns; the address of each as configured */
	struct worker_listener *listeners; /* owns; one for each socket, with its front */
	unsigned count;
};

/*
 * Binds and listens on every address of every service; a socket of `before` (may be NULL) that has
 * the address is shared. False when any failed: each failure is told in `errors`, each new socket
 * is an info line in the log, so that all is told at once.
 */
bool listen_open(struct listen_set *set, const struct conf *conf, const struct listen_set *before,
    struct conf_errors *errors);
/* How many sockets a configuration has. */
unsigned listen_count(const struct conf *conf);
/* Whether a connection of that socket may ask that service. */
bool listen_serves(
    const struct listen_set *set, const struct conf *conf, unsigned socket, unsigned service);
/* Gives each socket the backlog of its service. */
void listen_set_backlogs(const struct listen_set *set, const struct conf *conf);
/* Lets go of the sockets; the last set that has one closes it and removes the unix path. */
void listen_close(struct listen_set *set);
/* Releases the memory too. */
void listen_free(struct listen_set *set);

#endif
