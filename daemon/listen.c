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
#include <netinet/tcp.h>
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

#define LISTEN_UNSENT 65536 /* bytes that the kernel holds beside those that are under way */

static int
listen_bind_ip(int fd, const struct addr *addr, int backlog)
{
	int on = 1, unsent = LISTEN_UNSENT;

	/*
	 * Connections inherit the second and the third (tcp(7)), which spares calls for each.
	 * Without the one a reply behind another waits for the client's kernel to confirm that one:
	 * up to 40 ms. Without the other the kernel takes megabytes for a client that does not
	 * read, and write_timeout never sees that it does not.
	 */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent)) != 0)
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

/* Logs the address, as it is given to a browser where one can go there, and the hosts. */
static void
listen_tell(const struct conf_service *service, const struct addr *addr, const char *more)
{
	bool is_url = protocol_is_http(service->protocol) && !addr_is_unix(addr);
	const char *scheme = service->protocol == PROTOCOL_HTTP ? "http://" : "ws://";
	char text[ADDR_TEXT_MAX];

	log_info("service %s: listening on %s%s%s%s%s%s", service->name, is_url ? scheme : "",
	    addr_format(addr, text), is_url ? service->path : "",
	    service->host != NULL ? " for " : "", service->host != NULL ? service->host : "", more);
}

static struct listen_socket *
listen_new(const struct conf_service *service, const struct addr *addr, char why[LISTEN_WHY_MAX])
{
	struct listen_socket *s = mem_alloc(1, sizeof(*s));

	s->fd = listen_one(s, addr, service->backlog, why);
	if (s->fd < 0) {
		free(s);
		return NULL;
	}
	s->service = mem_strdup(service->name);
	listen_tell(service, &s->addr, "");
	return s;
}

static void
listen_release(struct listen_socket *s)
{
	if (--s->holders > 0)
		return;
	close(s->fd);
	if (addr_is_unix(&s->addr))
		sockpath_remove(&s->sockpath, addr_path(&s->addr));
	free(s->service);
	free(s);
}

static bool
listen_has(const struct listen_set *set, const struct listen_socket *s)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->sockets[i] == s)
			return true;
	return false;
}

/* The socket of that address. Where the kernel chose the port it stays with its service. */
static struct listen_socket *
listen_find(const struct listen_set *set, const struct listen_set *before,
    const struct conf_service *service, const struct addr *addr)
{
	for (unsigned i = 0; before != NULL && i < before->count; i++) {
		struct listen_socket *s = before->sockets[i];

		if (listen_has(set, s))
			continue;
		if (addr_equal(&s->addr, addr) ||
		    (addr_equal(&before->asked[i], addr) && strcmp(s->service, service->name) == 0))
			return s;
	}
	return NULL;
}

/* What is listened on already and would be in the way; the kernel would only say "in use". */
static bool
listen_collides(const struct listen_set *before, const struct addr *addr, char why[LISTEN_WHY_MAX])
{
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; before != NULL && i < before->count; i++) {
		if (!addr_collides(&before->sockets[i]->addr, addr))
			continue;
		snprintf(why, LISTEN_WHY_MAX,
		    "it collides with %s, which is listened on now: one of them is every address "
		    "at that port; take the one away with a first reload, add the other with a "
		    "second, or restart",
		    addr_format(&before->sockets[i]->addr, text));
		return true;
	}
	return false;
}

/* The socket of a service that was there before, for one that shares it. */
static bool
listen_share(const struct listen_set *set, const struct conf *conf, unsigned index, unsigned listen)
{
	const struct conf_service *service = &conf->services[index];
	unsigned front = conf_front(conf, index, listen);
	char more[128];

	if (front == index)
		return false;
	snprintf(more, sizeof(more), ", with service %s", conf->services[front].name);
	for (unsigned i = 0; i < set->count; i++)
		if (set->listeners[i].service == front &&
		    addr_equal(&set->asked[i], &service->listen[listen]))
			listen_tell(service, &set->sockets[i]->addr, more);
	return true;
}

/* Opens what one service listens on, behind those that are open already. */
static bool
listen_open_service(struct listen_set *set, const struct conf *conf, unsigned index,
    const struct listen_set *before, struct conf_errors *errors)
{
	const struct conf_service *service = &conf->services[index];
	char text[ADDR_TEXT_MAX], why[LISTEN_WHY_MAX];
	bool all = true;

	for (unsigned i = 0; i < service->listens; i++) {
		const struct addr *addr = &service->listen[i];
		struct listen_socket *s;

		if (listen_share(set, conf, index, i))
			continue;
		s = listen_find(set, before, service, addr);
		if (s == NULL && !listen_collides(before, addr, why))
			s = listen_new(service, addr, why);
		if (s == NULL) {
			char *where = conf_where(conf, 1 + index, "listen");

			conf_errors_add(errors, mem_printf("%s: cannot listen on %s: %s", where,
						    addr_format(addr, text), why));
			free(where);
			all = false;
			continue;
		}
		s->holders++;
		set->sockets[set->count] = s;
		set->asked[set->count] = *addr;
		set->listeners[set->count++] =
		    (struct worker_listener){.fd = s->fd, .service = index};
	}
	return all;
}

bool
listen_open(struct listen_set *set, const struct conf *conf, const struct listen_set *before,
    struct conf_errors *errors)
{
	unsigned count = listen_count(conf);
	bool all = true;

	set->count = 0;
	set->sockets = mem_alloc(count + 1, sizeof(*set->sockets));
	set->asked = mem_alloc(count + 1, sizeof(*set->asked));
	set->listeners = mem_alloc(count + 1, sizeof(*set->listeners));
	for (unsigned i = 0; i < conf->service_count; i++)
		all = listen_open_service(set, conf, i, before, errors) && all;
	return all;
}

bool
listen_serves(
    const struct listen_set *set, const struct conf *conf, unsigned socket, unsigned service)
{
	const struct conf_service *own = &conf->services[service];

	for (unsigned i = 0; i < own->listens; i++)
		if (conf_front(conf, service, i) == set->listeners[socket].service &&
		    addr_equal(&own->listen[i], &set->asked[socket]))
			return true;
	return false;
}

unsigned
listen_count(const struct conf *conf)
{
	unsigned count = 0;

	for (unsigned i = 0; i < conf->service_count; i++)
		for (unsigned j = 0; j < conf->services[i].listens; j++)
			count += conf_front(conf, i, j) == i;
	return count;
}

void
listen_set_backlogs(const struct listen_set *set, const struct conf *conf)
{
	for (unsigned i = 0; i < set->count; i++)
		(void)listen(
		    set->listeners[i].fd, (int)conf->services[set->listeners[i].service].backlog);
}

void
listen_close(struct listen_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		listen_release(set->sockets[i]);
	set->count = 0;
}

void
listen_free(struct listen_set *set)
{
	listen_close(set);
	free(set->sockets);
	free(set->asked);
	free(set->listeners);
	set->sockets = NULL;
	set->asked = NULL;
	set->listeners = NULL;
}
