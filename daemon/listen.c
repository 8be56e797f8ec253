/*
 * Makes the listening sockets before anything is forked. Unix sockets get mode 0666: who may
 * connect is said by the mode of the folder, as with every other port. Owns the descriptors until
 * the stop.
 */
#include "daemon/listen.h"

#include "common/log.h"
#include "common/mem.h"
#include "daemon/owner.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_UNIX_MODE 0666
#define LISTEN_WHY_MAX   256

static void
listen_explain(int error, const struct addr *addr, char why[LISTEN_WHY_MAX])
{
	char owner[128];

	if (error == EADDRINUSE && owner_find(addr, owner, sizeof(owner)))
		snprintf(why, LISTEN_WHY_MAX, "port %u is in use by %s", addr_port(addr), owner);
	else if (error == EADDRINUSE)
		snprintf(why, LISTEN_WHY_MAX, "port %u is in use", addr_port(addr));
	else if (error == EACCES && addr_port(addr) < 1024)
		snprintf(why, LISTEN_WHY_MAX, "only root may use port %u", addr_port(addr));
	else
		snprintf(why, LISTEN_WHY_MAX, "%s", strerror(error));
}

static int
listen_bind_ip(int fd, const struct addr *addr, int backlog)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return -1;
	/* [::]:80 and *:80 are two addresses; both can be written. */
	if (addr->storage.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)&addr->storage, addr->length) != 0)
		return -1;
	return listen(fd, backlog);
}

/* Opens one socket. Returns it, or -1 with a clause in `why`. */
static int
listen_one(
    struct listen_socket *s, const struct addr *addr, unsigned backlog, char why[LISTEN_WHY_MAX])
{
	int fd = socket(addr->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = errno;
	socklen_t length = sizeof(s->addr.storage);

	s->addr = *addr;
	if (fd < 0) {
		listen_explain(error, addr, why);
		return -1;
	}
	if (addr_is_unix(addr)) {
		if (sockpath_bind(&s->sockpath, fd, addr, LISTEN_UNIX_MODE, why, LISTEN_WHY_MAX)) {
			if (listen(fd, (int)backlog) == 0)
				return fd;
			listen_explain(errno, addr, why);
			sockpath_remove(&s->sockpath, addr_path(addr));
		}
	} else if (listen_bind_ip(fd, addr, (int)backlog) == 0) {
		if (getsockname(fd, (struct sockaddr *)&s->addr.storage, &length) == 0)
			s->addr.length = length;
		return fd;
	} else {
		listen_explain(errno, addr, why);
	}
	close(fd);
	return -1;
}

/* Opens what one service listens on, behind those that are open already. */
static bool
listen_open_service(struct listen_set *set, const struct conf *conf, unsigned index)
{
	const struct conf_service *service = &conf->services[index];
	char text[ADDR_TEXT_MAX], why[LISTEN_WHY_MAX];
	bool all = true;

	for (unsigned i = 0; i < service->listens; i++) {
		struct listen_socket *s = &set->sockets[set->count];
		int fd = listen_one(s, &service->listen[i], service->backlog, why);

		if (fd < 0) {
			log_errorx("service %s: cannot listen on %s: %s", service->name,
			    addr_format(&service->listen[i], text), why);
			all = false;
			continue;
		}
		set->listeners[set->count++] = (struct worker_listener){.fd = fd, .service = index};
		log_info("service %s: listening on %s", service->name, addr_format(&s->addr, text));
	}
	return all;
}

bool
listen_open(struct listen_set *set, const struct conf *conf)
{
	unsigned count = 0;
	bool all = true;

	for (unsigned i = 0; i < conf->service_count; i++)
		count += conf->services[i].listens;
	set->count = 0;
	set->sockets = mem_alloc(count + 1, sizeof(*set->sockets));
	set->listeners = mem_alloc(count + 1, sizeof(*set->listeners));
	for (unsigned i = 0; i < conf->service_count; i++)
		all = listen_open_service(set, conf, i) && all;
	return all;
}

void
listen_close(struct listen_set *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (set->listeners[i].fd < 0)
			continue;
		close(set->listeners[i].fd);
		set->listeners[i].fd = -1;
		if (addr_is_unix(&set->sockets[i].addr))
			sockpath_remove(
			    &set->sockets[i].sockpath, addr_path(&set->sockets[i].addr));
	}
}

void
listen_free(struct listen_set *set)
{
	listen_close(set);
	free(set->sockets);
	free(set->listeners);
	set->sockets = NULL;
	set->listeners = NULL;
	set->count = 0;
}
