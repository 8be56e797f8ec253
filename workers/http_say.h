/*
 * How protocol http answers a request; the three in the middle are as those of struct proto. A
 * request's tag: how its reply is to be written, and for a refusal of our own the status.
 */
#ifndef WORKERS_HTTP_SAY_H
#define WORKERS_HTTP_SAY_H

#include "workers/req.h"

#include <stdbool.h>
#include <stddef.h>

struct conn;

#define HTTP_SAY_TAG(status, flags) ((uint32_t)(status) << 16 | (flags))
#define HTTP_UPGRADE                "Upgrade: websocket\r\nConnection: Upgrade\r\n"

/* Whether the connection ends behind what it is owed, because its service or its worker ends. */
bool http_say_is_last(const struct conn *conn);

void http_say_part(struct conn *conn, const struct req *req, const char *data, size_t length);
bool http_say_reply(struct conn *conn, const struct req *req, const char *data, size_t length);
/* Before it has asked for anything. */
void http_say_too_many(struct conn *conn);
void http_say_refusal(struct conn *conn, const struct req *req, enum outcome outcome);

#endif
