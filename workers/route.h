/*
 * Which service a request is for. Those that listen on one address share it; what a request says
 * tells: its host first, then the longest path, and whether it wants to become a WebSocket.
 */
#ifndef WORKERS_ROUTE_H
#define WORKERS_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct http_request;
struct service;
struct worker;

/* Of one listening socket. */
struct route {
	struct service **services; /* owns the list; the front first, then as in the file */
	unsigned count;
	bool is_plain;        /* there is but one, and it is for every request */
	bool has_log;         /* one of them has an access log */
	bool kills;           /* one of them has on_cancel = kill */
	uint64_t max_message; /* the largest of theirs */
};

/* Makes worker->routes, one for each listening socket; its services are there. */
void route_open(struct worker *worker);
void route_close(struct worker *worker);
/* That of a connection. */
const struct route *route_of(const struct conn *conn);

/* The service that a request with a whole head is for. NULL: nobody; *status says what to reply. */
struct service *route_find(const struct conn *conn, const struct http_request *request,
    const char *data, unsigned *status);
/* Whether the path, as it was sent, is the prefix or below it. */
bool route_is_below(const char *path, size_t length, const char *prefix);
/* How well the host, as it was sent, fits the list of them; 0: not at all. NULL fits a little. */
unsigned route_host_rank(const char *host, size_t length, const char *hosts);

#endif
