/*
 * Which services share an address: see route.h. Owns worker->routes, which never change while a
 * worker lives. Which of them a request is for is route_find.c.
 */
#include "workers/route.h"

#include "common/conf.h"
#include "common/mem.h"
#include "workers/conn.h"
#include "workers/service.h"
#include "workers/worker.h"

#include <stdlib.h>
#include <string.h>

/* Which address of its front a socket has: sockets come in the order of the addresses. */
static const struct addr *
route_address(const struct worker_start *start, unsigned socket)
{
	unsigned front = start->listeners[socket].service, before = 0;
	const struct conf_service *conf = &start->conf->services[front];

	for (unsigned i = 0; i < socket; i++)
		before += start->listeners[i].service == front;
	for (unsigned i = 0; i < conf->listens; i++)
		if (conf_front(start->conf, front, i) == front && before-- == 0)
			return &conf->listen[i];
	return NULL;
}

static bool
route_shares(const struct conf *conf, unsigned service, unsigned front, const struct addr *addr)
{
	const struct conf_service *own = &conf->services[service];

	for (unsigned i = 0; i < own->listens; i++)
		if (addr_equal(&own->listen[i], addr) && conf_front(conf, service, i) == front)
			return true;
	return false;
}

static void
route_add(struct route *route, struct service *service)
{
	const struct conf_service *conf = service->conf;

	route->services = mem_resize(route->services, route->count + 1, sizeof(struct service *));
	route->services[route->count++] = service;
	route->has_log |= service->access != NULL;
	route->kills |= conf->on_cancel == ON_CANCEL_KILL;
	if (conf->max_message > route->max_message)
		route->max_message = conf->max_message;
}

static void
route_open_one(struct worker *worker, unsigned socket)
{
	const struct worker_start *start = worker->start;
	struct route *route = &worker->routes[socket];
	unsigned front = start->listeners[socket].service;
	const struct addr *addr = route_address(start, socket);
	const struct conf_service *conf = &start->conf->services[front];

	route_add(route, &worker->services[front]);
	for (unsigned i = front + 1; addr != NULL && i < start->conf->service_count; i++)
		if (route_shares(start->conf, i, front, addr))
			route_add(route, &worker->services[i]);
	route->is_plain = route->count == 1 && conf->protocol == PROTOCOL_HTTP &&
			  conf->host == NULL && strcmp(conf->path, "/") == 0;
}

void
route_open(struct worker *worker)
{
	worker->routes = mem_alloc(worker->start->listener_count + 1, sizeof(*worker->routes));
	for (unsigned i = 0; i < worker->start->listener_count; i++)
		route_open_one(worker, i);
}

void
route_close(struct worker *worker)
{
	for (unsigned i = 0; i < worker->start->listener_count; i++)
		free(worker->routes[i].services);
	free(worker->routes);
	worker->routes = NULL;
}

const struct route *
route_of(const struct conn *conn)
{
	return &conn->service->worker->routes[conn->listener];
}
