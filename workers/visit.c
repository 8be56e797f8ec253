/*
 * Connections and requests of one address, held to the limits of their service. Owns nothing: the
 * counts are in the service's shared memory, see common/visitors.h.
 */
#include "workers/visit.h"

#include "workers/conn.h"
#include "workers/proto.h"
#include "workers/service.h"
#include "workers/worker.h"

#include <sys/socket.h>

static const struct visitors *
visit_of(const struct service *service)
{
	return &service->worker->start->stats[service->index]->visitors;
}

/* 0 where it has no address, or none any more. */
static uint64_t
visit_key(const struct conn *conn)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getpeername(conn->fd, (struct sockaddr *)&address, &length) != 0)
		return 0;
	return visitors_key((struct sockaddr *)&address);
}

void
visit_begin(struct conn *conn)
{
	const struct service *service = conn->service;
	const struct worker *worker = service->worker;

	conn->visitor = VISITORS_NONE;
	if (service->conf->max_connections_per_address > 0 || service->conf->rate > 0)
		conn->visitor = visitors_enter(
		    visit_of(service), worker->start->id, visit_key(conn), worker->now);
}

void
visit_end(struct conn *conn)
{
	const struct service *service = conn->service;

	if (conn->visitor == VISITORS_NONE)
		return;
	visitors_leave(
	    visit_of(service), service->worker->start->id, conn->visitor, conn->turned_away);
	conn->visitor = VISITORS_NONE;
}

/*
 * Who is told so still has a connection until it has read it. As many of an address may as may be
 * connected; the others are closed without a word, so that nobody holds more than twice the limit.
 */
static void
visit_turn_away(struct conn *conn, uint64_t key)
{
	const struct service *service = conn->service;
	const struct visitors *visitors = visit_of(service);

	stats_count(service->stats, COUNTER_address_cut);
	visitors_turn_away(visitors, service->worker->start->id, conn->visitor);
	conn->turned_away = true;
	if (conn->proto->turn_away == NULL ||
	    visitors_turned_away(visitors, key) > service->conf->max_connections_per_address) {
		conn_close(conn, "too many of its address");
		return;
	}
	conn->proto->turn_away(conn);
	conn_end_input(conn);
}

void
visit_welcome(struct conn *conn)
{
	const struct service *service = conn->service;
	unsigned limit = service->conf->max_connections_per_address;
	uint64_t key;

	if (limit == 0 || conn->visitor == VISITORS_NONE)
		return;
	key = visit_key(conn);
	if (visitors_open(visit_of(service), key) > limit)
		visit_turn_away(conn, key);
}

bool
visit_fits(const struct conn *conn, const struct service *service)
{
	unsigned limit = service->conf->max_connections_per_address;
	uint64_t key;

	if (limit == 0 || service == conn->service)
		return true;
	key = visit_key(conn);
	if (key == 0 || visitors_open(visit_of(service), key) < limit)
		return true;
	stats_count(service->stats, COUNTER_address_cut);
	return false;
}

bool
visit_may_ask(struct conn *conn)
{
	const struct service *service = conn->service;

	if (service->conf->rate == 0 || conn->visitor == VISITORS_NONE ||
	    visitors_ask(visit_of(service), service->worker->start->id, conn->visitor,
		service->conf->rate, service->worker->now))
		return true;
	stats_count(service->stats, COUNTER_address_cut);
	return false;
}
