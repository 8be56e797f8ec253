/*
 * A handler: request to reply. One const instance per handler_NAME.c; the table comes from
 * common/kinds.h. A handler never knows a socket or a protocol: they meet in req.h.
 */
#ifndef WORKERS_HANDLER_H
#define WORKERS_HANDLER_H

#include "common/kinds.h"

#include <stdbool.h>

struct req;
struct service;

struct handler {
	/* Once per worker and service; NULL where there is nothing to set up. */
	void (*start)(struct service *service);
	/*
	 * Must lead to exactly one req_reply(), req_fail() or req_finish_silently(), now or
	 * later. The request's bytes are borrowed until it returns; req_keep() makes them stay.
	 */
	void (*handle)(struct req *req);
	/*
	 * The client left; the request has no connection any more. The handler withdraws and frees
	 * it with req_drop(), or lets it end by itself. NULL where handle() always answers at once.
	 */
	void (*cancel)(struct req *req);
	/* It serves HTTP alone, and is told more of each request: see req_web.h. */
	bool is_web;
};

const struct handler *handler_find(enum handler_kind kind);

#endif
