/* From a whole HTTP request to a request of the handler, in the manner that `message` asks for. */
#ifndef WORKERS_HTTP_ASK_H
#define WORKERS_HTTP_ASK_H

#include "workers/http.h"

#include <stdint.h>

struct conn;
struct service;

/*
 * Asks the handler of the service, or answers in its place. `tag` is how the reply is written; the
 * status of one that is known already comes into its upper half. The connection may be closed
 * afterwards.
 */
void http_ask(struct conn *conn, struct service *service, const struct http_request *request,
    const char *data, uint32_t tag);

/*
 * Method and target for the access log, cut to ACCESS_ASKED_MAX; the caller frees it.
 * NULL where the service has none, or while the head is not whole.
 */
char *http_ask_line(
    const struct service *service, const struct http_request *request, const char *data);

#endif
