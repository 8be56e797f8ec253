/*
 * What one address may: max_connections_per_address and rate of the service that a connection
 * belongs to. Who has no address, or found no room in the table, may all.
 */
#ifndef WORKERS_VISIT_H
#define WORKERS_VISIT_H

#include <stdbool.h>

struct conn;
struct service;

/* It counts from now on, wherever it came from; not any more. */
void visit_begin(struct conn *conn);
void visit_end(struct conn *conn);
/* It is new: where there are too many it is turned away or closed. */
void visit_welcome(struct conn *conn);
/* Whether it may become one of another service, too. */
bool visit_fits(const struct conn *conn, const struct service *service);
/*
 * For protocols: one request more. False where there are too many; the protocol closes the
 * connection then, or says that there were and closes it.
 */
bool visit_may_ask(struct conn *conn);

#endif
